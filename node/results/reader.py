"""Reads a TID 1500 SR, ours or another vendor's, as findings and numbers (PS3.16).

Tolerant where highdicom is strict: an item it does not know is passed over, never an error, because a
report that is hard to read still has to be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from highdicom.sr import CodedConcept
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as StandardCode

from node.errors import PermanentError
from node.results import codes as our_codes
from node.results.tables import unit_text

_ALGORITHM = {
    codes.DCM.AlgorithmName.value,
    codes.DCM.AlgorithmVersion.value,
    codes.DCM.AlgorithmManufacturer.value,
    codes.DCM.AlgorithmParameters.value,
    codes.DCM.AlgorithmFamily.value,
}


class NotAReportError(PermanentError):
    """The file is no SR, or its content is no measurement report."""


@dataclass(frozen=True, slots=True)
class ReadCode:
    """A code as it stands in the report."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class ReadMeasurement:
    """A NUM: `value` is None where the report says in `qualifier` why there is none."""

    concept: ReadCode
    value: float | None
    unit: ReadCode | None
    qualifier: str
    site: str
    laterality: str
    method: str
    derivation: str
    reference: str


@dataclass(frozen=True, slots=True)
class ReadRegion:
    """A SCOORD or SCOORD3D: (column, row) on an image, or (x, y, z) in mm."""

    graphic_type: str
    points: tuple[tuple[float, ...], ...]
    sop_instance_uid: str
    frame_number: int | None


@dataclass(frozen=True, slots=True)
class ReadFinding:
    """One measurement group."""

    finding: ReadCode | None
    present: bool | None
    site: str
    laterality: str
    tracking_identifier: str
    tracking_uid: str
    algorithm: str
    measurements: tuple[ReadMeasurement, ...]
    evaluations: tuple[tuple[str, str], ...]
    """Questions and answers in words, such as ("Pneumothorax", "Absent")."""
    comments: tuple[str, ...]
    regions: tuple[ReadRegion, ...]
    segments: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadReport:
    """A measurement report."""

    title: str
    sop_instance_uid: str
    study_instance_uid: str
    observer: str
    marking: str
    summary: str
    status: ReadCode | None
    """(111017, DCM, "CAD Processing and Findings Summary")."""
    findings: tuple[ReadFinding, ...]
    notes: tuple[tuple[str, str], ...]
    """All other texts and codes of the report as a whole, by their names."""

    def lines(self) -> list[str]:
        """The report as a radiologist would read it."""
        lines = [self.title, *(text for text in (self.marking, self.summary) if text)]
        for finding in self.findings:
            lines += ["", *_finding_lines(finding)]
        if self.status is not None:
            lines += ["", f"Processing: {self.status.meaning}"]
        return [*lines, *(f"{name}: {text}" for name, text in self.notes)]

    def to_json(self) -> str:
        """The same for programs; keys as the fields here."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)


def _finding_lines(finding: ReadFinding) -> list[str]:
    name = finding.finding.meaning if finding.finding else "Finding"
    place = ", ".join(text for text in (finding.site, finding.laterality) if text)
    answer = {True: ": PRESENT", False: ": ABSENT", None: ""}[finding.present]
    lines = [f"{name}{f' ({place})' if place else ''}{answer}"]
    for number in finding.measurements:
        side = f" ({number.laterality})" if number.laterality and number.laterality != finding.laterality else ""
        unit = unit_text(number.unit.value) if number.unit else ""
        value = number.qualifier if number.value is None else f"{number.value:.10g}"
        how = f" ({number.derivation})" if number.derivation else ""
        shown = f"  {number.concept.meaning}{how}{side}: {value} {unit}".rstrip()
        lines.append(f"{shown}  [{number.reference}]" if number.reference else shown)
    for region in finding.regions:
        where = f"image {region.sop_instance_uid}" if region.sop_instance_uid else "the patient's coordinates"
        lines.append(f"  marked by {region.graphic_type} in {where}")
    return [*lines, *(f"  {comment}" for comment in finding.comments)]


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


def _text(item: Dataset, name: StandardCode) -> str:
    """The value of the first child of this name, as text."""
    for child in _children(item, name=name):
        if child.get("ValueType") == "CODE":
            code = _code(_first(child, "ConceptCodeSequence"))
            return code.meaning if code else ""
        return str(child.get("TextValue") or child.get("UID") or "")
    return ""


def _site(item: Dataset) -> tuple[str, str]:
    for child in _children(item, "CODE", codes.SCT.FindingSite):
        code = _code(_first(child, "ConceptCodeSequence"))
        return (code.meaning if code else ""), _text(child, codes.SCT.Laterality)
    return "", ""


def _measurement(item: Dataset) -> ReadMeasurement:
    measured = _first(item, "MeasuredValueSequence")
    qualifier = _code(_first(item, "NumericValueQualifierCodeSequence"))
    value: float | None = None
    if measured is not None:
        # The floating point value is exact, the decimal string has 16 characters.
        exact = measured.get("FloatingPointValue")
        stated = exact if exact is not None else measured.get("NumericValue")
        value = None if stated is None or stated == "" else float(stated)
    site, laterality = _site(item)
    reference = _text(item, codes.DCM.NormalRangeDescription)
    authority = _text(item, codes.DCM.NormalRangeAuthority)
    return ReadMeasurement(
        concept=_name(item),
        value=value,
        unit=_code(_first(measured, "MeasurementUnitsCodeSequence")) if measured is not None else None,
        qualifier=qualifier.meaning if qualifier else "",
        site=site,
        laterality=laterality,
        method=_text(item, codes.SCT.MeasurementMethod),
        derivation=_text(item, codes.DCM.Derivation),
        reference=", ".join(text for text in (reference, authority) if text),
    )


def _region(item: Dataset) -> ReadRegion:
    size = 3 if item.ValueType == "SCOORD3D" else 2
    data = [float(value) for value in item.get("GraphicData") or ()]
    points = tuple(tuple(data[start : start + size]) for start in range(0, len(data), size))
    image = next(_children(item, "IMAGE"), None)
    reference = _first(image, "ReferencedSOPSequence") if image is not None else None
    frame = reference.get("ReferencedFrameNumber") if reference is not None else None
    return ReadRegion(
        graphic_type=str(item.get("GraphicType", "")),
        points=points,
        sop_instance_uid=str(reference.get("ReferencedSOPInstanceUID", "")) if reference is not None else "",
        frame_number=None if frame is None else int(frame if isinstance(frame, int | str) else frame[0]),
    )


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
        elif name.value not in _ALGORITHM:
            evaluations.append((name.meaning, value.meaning))
            answers = ((codes.SCT.Present, True), (codes.SCT.Absent, False))
            present = next((truth for code, truth in answers if _is(value, code)), present)
    site, laterality = _site(group)
    numbers = list(_children(group, "NUM"))
    return ReadFinding(
        finding=finding,
        present=present,
        site=site,
        laterality=laterality,
        tracking_identifier=_text(group, codes.DCM.TrackingIdentifier),
        tracking_uid=_text(group, codes.DCM.TrackingUniqueIdentifier),
        algorithm=" ".join(
            text for text in (_text(group, codes.DCM.AlgorithmName), _text(group, codes.DCM.AlgorithmVersion)) if text
        ),
        measurements=tuple(_measurement(item) for item in numbers),
        evaluations=tuple(evaluations),
        comments=tuple(
            str(item.get("TextValue", ""))
            for item in _children(group, "TEXT")
            if item.get("RelationshipType") == "CONTAINS"
        ),
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


def read_sr(source: Dataset | Path | str) -> ReadReport:
    """Read a report from a file or a dataset. Raises `NotAReportError` where it is none."""
    document = source if isinstance(source, Dataset) else dcmread(source)
    if "ContentSequence" not in document or document.get("ValueType") != "CONTAINER":
        raise NotAReportError(f"{document.get('SOPInstanceUID', source)}: no structured report, it has no content tree")
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
        notes=tuple((name.meaning, text.meaning) for name, text in notes if name.value not in apart),
    )


def sc_png(source: Path, target: Path) -> Path:
    """Write the picture of an SC page (RGB, one frame) as PNG; returns `target`."""
    Image.fromarray(dcmread(source).pixel_array).save(target)
    return target
