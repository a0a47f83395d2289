"""Reads a TID 1500 SR, ours or another vendor's, as findings and numbers (PS3.16).

Tolerant where highdicom is strict: an item it does not know is passed over, never an error, because a
report that is hard to read still has to be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from highdicom.sr import CodedConcept
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as StandardCode

from node.errors import PermanentError
from node.results import codes as our_codes
from node.results.reading.report import (
    ReadCode,
    ReadFinding,
    ReadKeyImage,
    ReadMeasurement,
    ReadRegion,
    ReadReport,
    ReadSite,
)
from node.results.report.hand_over import lesion_of

_FINDING_CATEGORY = "276214006"
_NO_ANSWERS = {
    _FINDING_CATEGORY,
    codes.DCM.GeometricPurposeOfRegion.value,
    codes.DCM.AlgorithmName.value,
    codes.DCM.AlgorithmVersion.value,
    codes.DCM.AlgorithmManufacturer.value,
    codes.DCM.AlgorithmParameters.value,
    codes.DCM.AlgorithmFamily.value,
}


class NotAReportError(PermanentError):
    """The file is not an SR, or its content is not a measurement report."""


# --- the tree -------------------------------------------------------------------------------------


def _first(item: Dataset, keyword: str) -> Dataset | None:
    sequence = item.get(keyword)
    return sequence[0] if sequence else None


def _code(item: Dataset | None) -> ReadCode | None:
    if item is None:
        return None
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return ReadCode(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))


def _name(item: Dataset) -> ReadCode:
    return _code(_first(item, "ConceptNameCodeSequence")) or ReadCode("", "", "")


def _is(code: ReadCode, wanted: StandardCode | CodedConcept) -> bool:
    return code.value == wanted.value and code.scheme == wanted.scheme_designator


def _children(
    item: Dataset, value_type: str = "", name: StandardCode | CodedConcept | None = None
) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or ():
        if value_type in {"", child.get("ValueType")} and (name is None or _is(_name(child), name)):
            yield child


def _text(item: Dataset, name: StandardCode | CodedConcept) -> str:
    """The value of the first child of this name, as text."""
    for child in _children(item, name=name):
        if child.get("ValueType") == "CODE":
            code = _code(_first(child, "ConceptCodeSequence"))
            return code.meaning if code else ""
        return str(child.get("TextValue") or child.get("UID") or "")
    return ""


def _coded(item: Dataset, name: StandardCode) -> ReadCode | None:
    """The value of the first CODE child of this name."""
    return next((_code(_first(child, "ConceptCodeSequence")) for child in _children(item, "CODE", name)), None)


def _site(item: Dataset) -> ReadSite | None:
    for child in _children(item, "CODE", codes.SCT.FindingSite):
        region = _code(_first(child, "ConceptCodeSequence"))
        return ReadSite(region, _coded(child, codes.SCT.Laterality)) if region else None
    return None


def _measurement(item: Dataset) -> ReadMeasurement:
    measured = _first(item, "MeasuredValueSequence")
    value: float | None = None
    if measured is not None:
        # The floating point value is exact, the decimal string has 16 characters.
        exact = measured.get("FloatingPointValue")
        stated = exact if exact is not None else measured.get("NumericValue")
        value = None if stated is None or stated == "" else float(stated)
    return ReadMeasurement(
        concept=_name(item),
        value=value,
        unit=_code(_first(measured, "MeasurementUnitsCodeSequence")) if measured is not None else None,
        qualifier=_code(_first(item, "NumericValueQualifierCodeSequence")),
        site=_site(item),
        method=_coded(item, codes.SCT.MeasurementMethod),
        derivation=_coded(item, codes.DCM.Derivation),
        range_text=_text(item, codes.DCM.NormalRangeDescription),
        range_source=_text(item, codes.DCM.NormalRangeAuthority),
    )


def _region(item: Dataset) -> ReadRegion:
    size = 3 if item.ValueType == "SCOORD3D" else 2
    data = [float(value) for value in item.get("GraphicData") or ()]
    points = tuple(tuple(data[start : start + size]) for start in range(0, len(data), size))
    image = next(_children(item, "IMAGE"), None)
    reference = _first(image, "ReferencedSOPSequence") if image is not None else None
    return ReadRegion(
        graphic_type=str(item.get("GraphicType", "")),
        points=points,
        sop_instance_uid=str(reference.get("ReferencedSOPInstanceUID", "")) if reference is not None else "",
        frame_number=_frame(reference),
        frame_of_reference_uid=str(item.get("ReferencedFrameOfReferenceUID", "")),
    )


def _frame(reference: Dataset | None) -> int | None:
    """The first frame number that a reference names."""
    frame = reference.get("ReferencedFrameNumber") if reference is not None else None
    return None if frame is None else int(frame if isinstance(frame, int | str) else frame[0])


def _segments(group: Dataset) -> tuple[int, ...]:
    numbers: list[int] = []
    for image in _children(group, "IMAGE"):
        reference = _first(image, "ReferencedSOPSequence")
        value = reference.get("ReferencedSegmentNumber") if reference is not None else None
        if value is not None:
            numbers += [int(value)] if isinstance(value, int | str) else [int(number) for number in value]
    return tuple(numbers)


def _finding(group: Dataset) -> ReadFinding:
    finding, present = None, None
    evaluations = []
    for item in _children(group, "CODE"):
        name, value = _name(item), _code(_first(item, "ConceptCodeSequence"))
        if value is None or item.get("RelationshipType") != "CONTAINS":
            continue
        if _is(name, codes.DCM.Finding):
            finding = value
        elif name.value not in _NO_ANSWERS:
            evaluations.append((name.meaning, value.meaning))
            answers = ((codes.SCT.Present, True), (codes.SCT.Absent, False))
            present = next((truth for code, truth in answers if _is(value, code)), present)
    numbers = list(_children(group, "NUM"))
    return ReadFinding(
        finding=finding,
        present=present,
        site=_site(group),
        tracking_identifier=lesion_of(_text(group, codes.DCM.TrackingIdentifier)),
        tracking_uid=_text(group, codes.DCM.TrackingUniqueIdentifier),
        algorithm=" ".join(
            text for text in (_text(group, codes.DCM.AlgorithmName), _text(group, codes.DCM.AlgorithmVersion)) if text
        ),
        algorithm_parameters=tuple(
            str(item.get("TextValue", "")) for item in _children(group, "TEXT", codes.DCM.AlgorithmParameters)
        ),
        measurements=tuple(_measurement(item) for item in numbers),
        evaluations=tuple(evaluations),
        comments=tuple(
            str(item.get("TextValue", ""))
            for item in _children(group, "TEXT")
            if item.get("RelationshipType") == "CONTAINS" and not _is(_name(item), our_codes.NUMBER)
        ),
        number=_text(group, our_codes.NUMBER),
        regions=tuple(
            dict.fromkeys(  # a number may repeat the region of its group
                _region(item)
                for holder in (group, *numbers)
                for item in (*_children(holder, "SCOORD"), *_children(holder, "SCOORD3D"))
            )
        ),
        segments=_segments(group),
    )


def _notes(document: Dataset) -> Iterator[tuple[ReadCode, ReadCode]]:
    """Texts and codes of the report as a whole: below the root and in Qualitative Evaluations."""
    evaluations = _children(document, "CONTAINER", our_codes.QUALITATIVE_EVALUATIONS)
    for holder in (document, *evaluations):
        for item in _children(holder):
            if item.get("RelationshipType") != "CONTAINS":
                continue
            if item.get("ValueType") == "TEXT":
                yield _name(item), ReadCode("", "", str(item.get("TextValue", "")))
            elif item.get("ValueType") == "CODE":
                yield _name(item), _code(_first(item, "ConceptCodeSequence")) or ReadCode("", "", "")


def _key_images(document: Dataset) -> Iterator[ReadKeyImage]:
    """Images in Qualitative Evaluations, each with the reason that stands before it."""
    for holder in _children(document, "CONTAINER", our_codes.QUALITATIVE_EVALUATIONS):
        reason = ""
        for item in _children(holder):
            if _is(_name(item), our_codes.KEY_IMAGE):
                reason = str(item.get("TextValue", ""))
            elif item.get("ValueType") == "IMAGE" and _is(_name(item), codes.DCM.BestIllustrationOfFinding):
                reference = _first(item, "ReferencedSOPSequence")
                uid = str(reference.get("ReferencedSOPInstanceUID", "")) if reference is not None else ""
                yield ReadKeyImage(uid, _frame(reference), reason)
                reason = ""


def _is_measurement_report(document: Dataset) -> bool:
    template = _first(document, "ContentTemplateSequence")
    return (
        _is(_name(document), codes.DCM.ImagingMeasurementReport)
        or (template is not None and template.get("TemplateIdentifier") == "1500")
        or any(_children(document, "CONTAINER", codes.DCM.ImagingMeasurements))
    )


def read_sr(source: Dataset | Path | str) -> ReadReport:
    """Read a report from a file or a dataset. Raises `NotAReportError` where it is none."""
    document = source if isinstance(source, Dataset) else dcmread(source)
    if "ContentSequence" not in document or document.get("ValueType") != "CONTAINER":
        raise NotAReportError(f"{document.get('SOPInstanceUID', source)}: no structured report, it has no content tree")
    if not _is_measurement_report(document):
        raise NotAReportError(
            f"{document.get('SOPInstanceUID', source)}: a structured report {_name(document).meaning!r}, but no"
            " measurement report (TID 1500): what it says is not understood here"
        )
    notes = list(_notes(document))
    named = {name.value: text for name, text in reversed(notes)}
    apart = {our_codes.MARKING.value, codes.DCM.Summary.value, codes.DCM.CADProcessingAndFindingsSummary.value}
    groups = [
        group
        for container in _children(document, "CONTAINER", codes.DCM.ImagingMeasurements)
        for group in _children(container, "CONTAINER", codes.DCM.MeasurementGroup)
    ]
    marking, summary = named.get(our_codes.MARKING.value), named.get(codes.DCM.Summary.value)
    return ReadReport(
        title=_name(document).meaning,
        sop_instance_uid=str(document.get("SOPInstanceUID", "")),
        study_instance_uid=str(document.get("StudyInstanceUID", "")),
        observer=_text(document, codes.DCM.DeviceObserverName),
        marking=marking.meaning if marking else "",
        summary=summary.meaning if summary else "",
        status=named.get(codes.DCM.CADProcessingAndFindingsSummary.value),
        findings=tuple(_finding(group) for group in groups),
        key_images=tuple(_key_images(document)),
        notes=tuple((name.meaning, text.meaning) for name, text in notes if name.value not in apart),
    )


def sc_png(source: Path, target: Path) -> Path:
    """Write the picture of an SC page (RGB, one frame) as PNG; returns `target`."""
    Image.fromarray(dcmread(source).pixel_array).save(target)
    return target
