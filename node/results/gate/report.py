"""What the gate asks of a report's content tree: what its template says, and what readers rely on (PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag, Tag
from pydicom.uid import Comprehensive3DSRStorage

from node.reading import codes as reading_codes
from node.results import codes as our_codes
from node.results.context import Context
from plugins.contract import Finding, ResultStatus

_VALUES = {
    "CODE": "ConceptCodeSequence",
    "TEXT": "TextValue",
    "UIDREF": "UID",
    "IMAGE": "ReferencedSOPSequence",
    "COMPOSITE": "ReferencedSOPSequence",
    "SCOORD": "GraphicData",
    "SCOORD3D": "GraphicData",
    "DATETIME": "DateTime",
    "DATE": "Date",
    "TIME": "Time",
    "PNAME": "PersonName",
    "CONTAINER": "ContinuityOfContent",
}
"""Value Type → the attribute that holds the value (C.17.3)."""
_TAGS = {keyword: Tag(keyword) for keyword in _VALUES.values()}
_CONTENT, _CONCEPT_NAME, _VALUE_TYPE = Tag("ContentSequence"), Tag("ConceptNameCodeSequence"), Tag("ValueType")
_GROUP = codes.DCM.MeasurementGroup.value
_ONCE = {
    codes.DCM.ProcedureReported.value: "Procedure reported",
    codes.DCM.ImageLibrary.value: "Image Library",
    codes.DCM.Summary.value: "Summary",
}
"""What the root must hold, under its code."""


def _value(item: Dataset, tag: BaseTag) -> Any:
    """The value of an attribute; None where it is absent. By tag: by keyword it takes three times as long."""
    return item[tag].value if tag in item else None


def _name(item: Dataset) -> str:
    names = _value(item, _CONCEPT_NAME)
    return str(names[0].CodeValue) if names else ""


def _kind(item: Dataset) -> str:
    return str(_value(item, _VALUE_TYPE) or "")


def _children(item: Dataset, value_type: str = "", name: str = "") -> list[Dataset]:
    return [
        child
        for child in _value(item, _CONTENT) or ()
        if value_type in {"", _kind(child)} and name in {"", _name(child)}
    ]


def _all(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in _value(item, _CONTENT) or ():
        yield from _all(child)


def report_problems(read: Dataset, context: Context) -> Iterator[str]:
    """What is wrong with the tree of a report that claims TID 1500."""
    yield from _root_problems(read, context)
    items = list(_all(read))
    for item in items:
        yield from _item_problems(item)
    if read.SOPClassUID != Comprehensive3DSRStorage and any(_kind(item) == "SCOORD3D" for item in items):
        yield "SCOORD3D: this SOP class has no coordinates in the patient (PS3.3 A.35.3)"
    groups = [item for item in items if _is_group(item)]
    yield from _tracking_problems(groups)
    for group in groups:
        yield from _group_problems(group)
    expected = sum(_expected_groups(finding, context) for finding in context.request.result.findings)
    if len(groups) != expected:
        yield f"TID 1500: {len(groups)} measurement groups for {expected} findings, regions and segmentations"
    yield from _answer_problems(read, items, context)


def _is_group(item: Dataset) -> bool:
    """A measurement group, or a qualitative evaluation that is a finding (`node.results.report.evaluations`)."""
    if _kind(item) == "CODE":
        return bool(_children(item, "UIDREF", codes.DCM.TrackingUniqueIdentifier.value))
    return _kind(item) == "CONTAINER" and _name(item) == _GROUP


def _tracking_problems(groups: list[Dataset]) -> Iterator[str]:
    """Groups share a tracking UID where they show one lesion, each in another place, and say the same of it."""
    by_uid: dict[str, list[Dataset]] = {}
    for group in groups:
        for child in _children(group, "UIDREF", codes.DCM.TrackingUniqueIdentifier.value):
            by_uid.setdefault(str(child.get("UID")), []).append(group)
    for sharing in by_uid.values():
        if len({_lesion(group) for group in sharing}) > 1:
            yield "TID 1500: two groups share a tracking UID, and are not the same finding"
        if len({_images(group) for group in sharing}) < len(sharing):
            yield "TID 1500: two groups share a tracking UID on one image"


def _lesion(group: Dataset) -> tuple[str, ...]:
    """Tracking identifier, what was found, and whether."""
    named = [str(child.get("TextValue")) for child in _children(group, "TEXT", "112039")]
    coded = [
        f"{_name(child)} {child.ConceptCodeSequence[0].get('CodeValue')}"
        for child in _children(group, "CODE")
        if child.get("ConceptCodeSequence")
    ]
    return (*named, *sorted(coded))


def _images(group: Dataset) -> tuple[str, ...]:
    """The frames that it refers to."""
    return tuple(
        f"{reference.get('ReferencedSOPInstanceUID')} {reference.get('ReferencedFrameNumber', '')}"
        for item in _all(group)
        if _kind(item) == "IMAGE"
        for reference in item.get("ReferencedSOPSequence") or ()
    )


def _expected_groups(finding: Finding, context: Context) -> int:
    """One for each region; else one, and one for each further segmentation object of the set that shows it."""
    wanted = "seg" in context.request.profile.kinds_for(context.request.result.status)
    masks = [mask for mask in context.masks if set(mask.labels) & set(finding.segments)]
    further = [mask for mask in masks[1:] if wanted and not context.lacks("seg", mask.number)]
    return len(finding.regions) or 1 + len(further)


def _root_problems(read: Dataset, context: Context) -> Iterator[str]:
    template = (read.get("ContentTemplateSequence") or [Dataset()])[0]
    if (template.get("MappingResource"), template.get("TemplateIdentifier")) != ("DCMR", "1500"):
        yield "ContentTemplateSequence: is not DCMR 1500"
    measured = bool(_children(read, "CONTAINER", codes.DCM.ImagingMeasurements.value))
    shown_as_text = context.request.profile.editable and not measured
    title = our_codes.TITLE if shown_as_text else codes.DCM.ImagingMeasurementReport
    if _name(read) != title.value:
        yield f"ConceptNameCodeSequence: the root is not an {title.meaning}"
    for code, name in _ONCE.items():
        if shown_as_text and code == codes.DCM.ImageLibrary.value:
            continue
        if len(_children(read, name=code)) != 1:
            yield f"TID 1500: {len(_children(read, name=code))} items {name!r}, expected one"
    if not _children(read, "TEXT", our_codes.MARKING.value):
        yield "TID 1500: no item says what this report is (marking)"
    if not _children(read, "UIDREF", codes.DCM.DeviceObserverUID.value):
        yield "TID 1004: no Device Observer UID"


def _item_problems(item: Dataset) -> Iterator[str]:
    kind = _kind(item)
    label = f"{kind} {_name(item)}".strip()
    if kind == "NUM":
        measured = item.get("MeasuredValueSequence")
        if not measured and not item.get("NumericValueQualifierCodeSequence"):
            yield f"{label}: neither a value nor the reason why there is none"
        if measured and not measured[0].get("MeasurementUnitsCodeSequence"):
            yield f"{label}: a value without a unit"
    elif kind not in _VALUES:
        yield f"{label}: Value Type is none that these reports hold"
    elif (tag := _TAGS[_VALUES[kind]]) not in item or item[tag].is_empty:
        yield f"{label}: no {_VALUES[kind]}"
    if kind == "CONTAINER" and item.get("ContinuityOfContent") != "SEPARATE":
        yield f"{label}: continuous, which costs the names of what is in it in some viewers"
    if kind == "SCOORD" and len(_children(item, "IMAGE")) != 1:
        yield f"{label}: is not selected from one image"
    if kind in {"CONTAINER", "NUM", "CODE", "TEXT", "UIDREF"} and not _name(item):
        yield f"{label}: no concept name"


def _group_problems(group: Dataset) -> Iterator[str]:
    once = [("TEXT", "112039", "Tracking Identifier"), ("UIDREF", "112040", "Tracking Unique Identifier")]
    if _kind(group) == "CONTAINER":  # an evaluation says itself what was found
        once.append(("CODE", codes.DCM.Finding.value, "Finding"))
    for value_type, code, name in once:
        if len(_children(group, value_type, code)) != 1:
            yield f"measurement group: {len(_children(group, value_type, code))} items {name!r}, expected one"
    # a number may repeat the region that it is of
    regions = [item for item in _all(group) if _kind(item).startswith("SCOORD")]
    if len({(str(item.get("GraphicType")), tuple(item.get("GraphicData") or ())) for item in regions}) > 1:
        yield "measurement group: more than one region"


def _answer_problems(read: Dataset, items: list[Dataset], context: Context) -> Iterator[str]:
    """How it ended is said once; what was not analysed is never called absent."""
    status = context.request.result.status
    stated = [
        str(item.ConceptCodeSequence[0].CodeValue)
        for item in items
        if _name(item) == codes.DCM.CADProcessingAndFindingsSummary.value and item.get("ConceptCodeSequence")
    ]
    if stated != [reading_codes.SUMMARY[status].value]:
        yield f"TID 1500: the summary code is {stated}, not that of {status.value!r}"
    if status in {ResultStatus.FAILED, ResultStatus.NOT_APPLICABLE}:
        absent = codes.SCT.Absent.value
        if any((item.get("ConceptCodeSequence") or [Dataset()])[0].get("CodeValue") == absent for item in items):
            yield "TID 1500: something is called absent, though nothing was analysed"
    if (read.get("CompletionFlag") == "COMPLETE") is not (status is not ResultStatus.FAILED):
        yield f"CompletionFlag: {read.get('CompletionFlag')} for a result that is {status.value!r}"
