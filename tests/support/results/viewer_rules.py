"""What OHIF, Weasis and plain readers are known to expect of a set of results, looked for in its objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

_REPORT, _LIBRARY, _LIBRARY_GROUP = "126000", "111028", "126200"
_MEASUREMENTS, _GROUP = "126010", "125007"
_TRACKING_IDENTIFIER, _TRACKING_UID = "112039", "112040"


def problems_for_viewers(objects: Sequence[Dataset], images: Sequence[str], *, ohif: bool = False) -> list[str]:
    """What a viewer would stumble over in one set as it was sent.

    `images`: the SOP Instance UIDs of what it was made from, in order. `ohif`: whether it was sent for OHIF, whose
    rules are stricter.
    """
    reports = [one for one in objects if one.Modality == "SR"]
    problems = list(_series_problems(objects))
    if len(reports) != 1:
        problems.append(f"{len(reports)} reports in the set")
    for one in objects:
        if "ContentSequence" in one:
            problems += _container_problems(one)
    for report in reports:
        problems += _report_problems(report, images, ohif=ohif)
    return problems


def _series_problems(objects: Sequence[Dataset]) -> Iterator[str]:
    """OHIF shows the last report of a series; no viewer expects two kinds of object in one."""
    classes: dict[str, set[str]] = {}
    for one in objects:
        classes.setdefault(str(one.SeriesInstanceUID), set()).add(str(one.SOPClassUID))
    if any(len(each) > 1 for each in classes.values()):
        yield "two SOP classes in one series"
    if len(classes) > len({one.SOPClassUID for one in objects}):
        yield "a SOP class in two series"


def _container_problems(document: Dataset) -> Iterator[str]:
    """Weasis drops the concept names in continuous containers."""
    for item in every_item(document):
        if item.ValueType == "CONTAINER" and item.get("ContinuityOfContent") != "SEPARATE":
            yield f"container {_name(item)} is {item.get('ContinuityOfContent')}"


def _report_problems(report: Dataset, images: Sequence[str], *, ohif: bool) -> Iterator[str]:
    if _name(report) == _REPORT:
        yield from _library_problems(report, images)
    elif not all("ConceptNameCodeSequence" in item for item in every_item(report)):
        yield "an item without concept name, on which OHIF fails where it shows texts"
    sections = [item for item in report.ContentSequence if _name(item) == _MEASUREMENTS]
    groups = [item for section in sections for item in section.ContentSequence]
    if len(groups) != sum(_name(item) == _GROUP for item in every_item(report)):
        yield "a measurement group stands outside of Imaging Measurements, or something else within"
    if len(sections) != bool(groups):
        yield f"{len(sections)} Imaging Measurements with {len(groups)} groups"
    for group in groups:
        yield from _group_problems(group, images)
    # OHIF shows a measurement report through its regions, and stays black without any; other titles it shows as texts
    if (_name(report) == _REPORT) == (ohif and not groups):
        yield f"the root of a report with {len(groups)} groups is {_name(report)}"
    if ohif and not all(_children(group, "SCOORD", "SCOORD3D") for group in groups):
        yield "a group without a region"
    yield from _tracking_problems(groups, ohif=ohif)
    kinds = {item.ValueType for item in every_item(report)}
    if "SCOORD3D" in kinds and report.SOPClassUID != Comprehensive3DSRStorage:
        yield "SCOORD3D in a SOP class that has none"


def _tracking_problems(groups: Sequence[Dataset], *, ohif: bool) -> Iterator[str]:
    """One UID is one lesion: under the same name, on another image each time. OHIF draws one region of a UID."""
    named: dict[str, list[tuple[str, list[str]]]] = {}
    for group in groups:
        name = " ".join(str(item.TextValue) for item in _children(group, "TEXT") if _name(item) == _TRACKING_IDENTIFIER)
        images = [_instance(item) for item in every_item(group) if item.ValueType == "IMAGE"]
        for item in _children(group, "UIDREF"):
            if _name(item) == _TRACKING_UID:
                named.setdefault(str(item.UID), []).append((name, images))
    for sharing in named.values():
        again = len(sharing) > 1
        if again and (
            ohif or len({name for name, _ in sharing}) > 1 or len({str(i) for _, i in sharing}) < len(sharing)
        ):
            yield "two groups have one tracking UID"


def _library_problems(report: Dataset, images: Sequence[str]) -> Iterator[str]:
    """OHIF reads no report without an Image Library."""
    libraries = [item for item in report.ContentSequence if _name(item) == _LIBRARY]
    parts = [item for library in libraries for item in library.ContentSequence]
    listed = [_instance(item) for part in parts for item in _children(part, "IMAGE")]
    if len(libraries) != 1 or [_name(part) for part in parts] != [_LIBRARY_GROUP]:
        yield "not one Image Library with one group"
    if listed != list(images):
        yield f"the Image Library lists {len(listed)} images, not the {len(images)} that were used"


def _group_problems(group: Dataset, images: Sequence[str]) -> Iterator[str]:
    for value_type, code in (("TEXT", _TRACKING_IDENTIFIER), ("UIDREF", _TRACKING_UID)):
        found = [item for item in _children(group, value_type) if _name(item) == code]
        if len(found) != 1:
            yield f"{len(found)} items {code} in a group"
    if len(_children(group, "SCOORD", "SCOORD3D")) > 1:
        yield "several regions in one group"
    for region in (item for item in every_item(group) if item.ValueType == "SCOORD"):
        sources = [(item.RelationshipType, _instance(item) in images) for item in _children(region, "IMAGE")]
        if sources != [("SELECTED FROM", True)]:
            yield "a region is not selected from one of the images"
    # OHIF breaks on a number without anything below it where the group has no region
    if not all("ContentSequence" in number for number in _children(group, "NUM")):
        yield "a number without children"


def every_item(item: Dataset) -> Iterator[Dataset]:
    """The item and all below it."""
    yield item
    for child in item.get("ContentSequence") or ():
        yield from every_item(child)


def _children(item: Dataset, *value_types: str) -> list[Dataset]:
    return [child for child in item.get("ContentSequence") or () if child.ValueType in value_types]


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue") or names[0].get("LongCodeValue", "")) if names else ""


def _instance(item: Dataset) -> str:
    return str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
