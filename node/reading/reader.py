"""Reads a TID 1500 SR, ours or another vendor's, as findings and numbers (PS3.16).

Tolerant where highdicom is strict: an item it does not know is no error, because a report that is hard to read
still has to be read. It is not dropped either: what was not understood is said, with its value (`tree.Tree.left`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes

from node.errors import PermanentError
from node.reading import codes as our_codes
from node.reading.report import (
    ReadCode,
    ReadFinding,
    ReadKeyImage,
    ReadMeasurement,
    ReadRegion,
    ReadReport,
    ReadSite,
)
from node.reading.tracking import lesion_of
from node.reading.tree import FINDING_CATEGORY, Tree, code_of, first, is_certain, is_code, name_of, value_of

_NO_ANSWERS = (
    FINDING_CATEGORY,
    codes.DCM.GeometricPurposeOfRegion,
    codes.DCM.AlgorithmName,
    codes.DCM.AlgorithmVersion,
    codes.DCM.AlgorithmManufacturer,
    codes.DCM.AlgorithmParameters,
    codes.DCM.AlgorithmFamily,
)
_ANSWERS = ((codes.SCT.Present, True), (codes.SCT.Absent, False))
_SIDES = (codes.SCT.Right, codes.SCT.Left, codes.SCT.Bilateral, codes.SCT.Unilateral)
_NO_COMMENTS = (our_codes.NUMBER, our_codes.AGAINST_THRESHOLD, codes.DCM.TrackingIdentifier)
"""Texts of ours in a group, or in a finding that is an evaluation, that are not the plugin's comment."""


class NotAReportError(PermanentError):
    """The file is not an SR, or its content is not a measurement report."""


def _site(tree: Tree, item: Dataset) -> ReadSite | None:
    for child in tree.children(item, "CODE", codes.SCT.FindingSite):
        region = value_of(tree.use(child))
        return _modified(tree, region, (child, item)) if region else None
    return None


def _modified(tree: Tree, region: ReadCode, items: Iterable[Dataset]) -> ReadSite:
    """A site with its side and modifiers, which belong below it; some write them beside it, or the side as one."""
    laterality: ReadCode | None = None
    modifiers: list[ReadCode] = []
    for item in items:
        laterality = laterality or tree.coded(item, codes.SCT.Laterality)
        modifiers += [
            value
            for each in tree.children(item, "CODE", codes.SCT.TopographicalModifier)
            if (value := value_of(tree.use(each))) is not None
        ]
    sides = [each for each in modifiers if any(is_code(each, side) for side in _SIDES)]
    if laterality is None and len(sides) == 1:
        [laterality] = sides
        modifiers.remove(laterality)
    return ReadSite(region, laterality, tuple(dict.fromkeys(modifiers)))


def _algorithm(tree: Tree, item: Dataset) -> str:
    texts = (tree.text(item, codes.DCM.AlgorithmName), tree.text(item, codes.DCM.AlgorithmVersion))
    return " ".join(text for text in texts if text)


def _measurement(tree: Tree, item: Dataset, method: ReadCode | None) -> ReadMeasurement:
    """A NUM; `method`: that of its group, where it has none of its own."""
    tree.use(item)
    measured = first(item, "MeasuredValueSequence")
    value: float | None = None
    if measured is not None:
        # The floating point value is exact, the decimal string has 16 characters.
        exact = measured.get("FloatingPointValue")
        stated = exact if exact is not None else measured.get("NumericValue")
        value = None if stated is None or stated == "" else float(stated)
    return ReadMeasurement(
        concept=name_of(item),
        value=value,
        unit=code_of(first(measured, "MeasurementUnitsCodeSequence")),
        qualifier=code_of(first(item, "NumericValueQualifierCodeSequence")),
        site=_site(tree, item),
        method=tree.coded(item, codes.SCT.MeasurementMethod) or method,
        derivation=tree.coded(item, codes.DCM.Derivation),
        range_text=tree.text(item, codes.DCM.NormalRangeDescription),
        range_source=tree.text(item, codes.DCM.NormalRangeAuthority),
        algorithm=_algorithm(tree, item),
    )


def _region(tree: Tree, item: Dataset) -> ReadRegion:
    tree.use(item)
    size = 3 if item.ValueType == "SCOORD3D" else 2
    data = [float(value) for value in item.get("GraphicData") or ()]
    points = tuple(tuple(data[start : start + size]) for start in range(0, len(data), size))
    image = next(map(tree.use, tree.children(item, "IMAGE")), None)
    reference = first(image, "ReferencedSOPSequence")
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


def _segments(tree: Tree, group: Dataset) -> tuple[int, ...]:
    numbers: list[int] = []
    for image in tree.children(group, "IMAGE"):
        reference = first(image, "ReferencedSOPSequence")
        value = reference.get("ReferencedSegmentNumber") if reference is not None else None
        if value is not None:
            tree.use(image)
            numbers += [int(value)] if isinstance(value, int | str) else [int(number) for number in value]
    return tuple(numbers)


_TOLD = ("CONTAINS", "HAS PROPERTIES")
"""How a group, and a finding that is a qualitative evaluation, say what they say."""


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the codes of a group say."""

    finding: ReadCode | None
    present: bool | None
    evaluations: tuple[tuple[str, str], ...]


def _answers(tree: Tree, group: Dataset) -> _Answers:
    """Of a measurement group, or of a CODE item that has what such a group has (`node.results.report.evaluations`)."""
    finding, present, evaluations = None, None, []
    for item in (*([group] if group.get("ValueType") == "CODE" else []), *tree.children(group, "CODE")):
        name, value = name_of(item), value_of(item)
        if value is None or item.get("RelationshipType") not in _TOLD:
            continue
        if is_code(name, codes.DCM.Finding) and finding is None:
            finding = value
        elif any(is_code(name, each) for each in _NO_ANSWERS):
            continue
        else:
            evaluations.append((name.meaning, value.meaning))
            present = next((truth for code, truth in _ANSWERS if is_code(value, code)), present)
            finding = name if item is group else finding
        tree.use(item)
    return _Answers(finding, present, tuple(evaluations))


def _comments(tree: Tree, group: Dataset) -> Iterator[str]:
    for item in tree.children(group, "TEXT"):
        if item.get("RelationshipType") in _TOLD:
            text = str(tree.use(item).get("TextValue", ""))
            if not any(is_code(name_of(item), code) for code in _NO_COMMENTS):
                yield text


def _finding(tree: Tree, group: Dataset) -> ReadFinding:
    answers, method = _answers(tree, group), tree.coded(group, codes.SCT.MeasurementMethod)
    numbers = [item for item in tree.children(group, "NUM") if is_certain(item)]  # others are not understood
    return ReadFinding(
        finding=answers.finding,
        present=answers.present,
        site=_site(tree, group),
        tracking_identifier=lesion_of(tree.text(group, codes.DCM.TrackingIdentifier)),
        tracking_uid=tree.text(group, codes.DCM.TrackingUniqueIdentifier),
        algorithm=_algorithm(tree, group),
        algorithm_parameters=tuple(
            dict.fromkeys(
                str(tree.use(item).get("TextValue", ""))
                for holder in (group, *numbers)
                for item in tree.children(holder, "TEXT", codes.DCM.AlgorithmParameters)
            )
        ),
        measurements=tuple(_measurement(tree, item, method) for item in numbers),
        evaluations=answers.evaluations,
        comments=tuple(_comments(tree, group)),
        number=tree.text(group, our_codes.NUMBER),
        regions=tuple(
            dict.fromkeys(  # a number may repeat the region of its group
                _region(tree, item)
                for holder in (group, *numbers)
                for item in (*tree.children(holder, "SCOORD"), *tree.children(holder, "SCOORD3D"))
            )
        ),
        segments=_segments(tree, group),
    )


def _notes(tree: Tree) -> Iterator[tuple[ReadCode, ReadCode]]:
    """Texts and codes of the report as a whole: below the root and in Qualitative Evaluations."""
    for holder in (tree.document, *_evaluations(tree)):
        for item in tree.children(holder):
            if item.get("RelationshipType") != "CONTAINS" or _is_finding(tree, item):
                continue
            if item.get("ValueType") == "TEXT":
                yield name_of(tree.use(item)), ReadCode("", "", str(item.get("TextValue", "")))
            elif item.get("ValueType") == "CODE":
                yield name_of(tree.use(item)), value_of(item) or ReadCode("", "", "")


def _evaluations(tree: Tree) -> Iterator[Dataset]:
    return tree.children(tree.document, "CONTAINER", our_codes.QUALITATIVE_EVALUATIONS)


def _is_finding(tree: Tree, item: Dataset) -> bool:
    """Whether an item of Qualitative Evaluations is a finding with all that belongs to it."""
    return item.get("ValueType") == "CODE" and any(tree.children(item, "UIDREF", codes.DCM.TrackingUniqueIdentifier))


def _groups(tree: Tree) -> Iterator[Dataset]:
    """The findings: measurement groups, and items of Qualitative Evaluations that have all that such a group has."""
    yield from tree.containers(codes.DCM.MeasurementGroup)
    for holder in _evaluations(tree):
        yield from (item for item in tree.children(holder, "CODE") if _is_finding(tree, item))


def _key_images(tree: Tree) -> Iterator[ReadKeyImage]:
    """Images in Qualitative Evaluations, each with the reason that stands before it."""
    for holder in _evaluations(tree):
        reason = ""
        for item in tree.children(holder):
            if is_code(name_of(item), our_codes.KEY_IMAGE):
                reason = str(tree.use(item).get("TextValue", ""))
            elif item.get("ValueType") == "IMAGE" and is_code(name_of(item), codes.DCM.BestIllustrationOfFinding):
                reference = first(tree.use(item), "ReferencedSOPSequence")
                uid = str(reference.get("ReferencedSOPInstanceUID", "")) if reference is not None else ""
                yield ReadKeyImage(uid, _frame(reference), reason)
                reason = ""


def _is_measurement_report(tree: Tree) -> bool:
    template = first(tree.document, "ContentTemplateSequence")
    return (
        is_code(name_of(tree.document), codes.DCM.ImagingMeasurementReport)
        or (template is not None and template.get("TemplateIdentifier") == "1500")
        or any(tree.children(tree.document, "CONTAINER", codes.DCM.ImagingMeasurements))
    )


def read_sr(source: Dataset | Path | str) -> ReadReport:
    """Read a report from a file or a dataset. Raises `NotAReportError` where it is none."""
    document = source if isinstance(source, Dataset) else dcmread(source)
    if "ContentSequence" not in document or document.get("ValueType") != "CONTAINER":
        raise NotAReportError(f"{document.get('SOPInstanceUID', source)}: no structured report, it has no content tree")
    tree = Tree(document)
    if not _is_measurement_report(tree):
        raise NotAReportError(
            f"{document.get('SOPInstanceUID', source)}: a structured report {name_of(document).meaning!r}, but no"
            " measurement report (TID 1500): what it says is not understood here"
        )
    return _report(tree)


def _report(tree: Tree) -> ReadReport:
    document, notes = tree.document, list(_notes(tree))
    named = {name.value: text for name, text in reversed(notes)}
    apart = {our_codes.MARKING.value, codes.DCM.Summary.value, codes.DCM.CADProcessingAndFindingsSummary.value}
    marking, summary = named.get(our_codes.MARKING.value), named.get(codes.DCM.Summary.value)
    findings = tuple(_finding(tree, group) for group in _groups(tree))
    key_images = tuple(_key_images(tree))
    device, person = (
        tree.text(document, codes.DCM.DeviceObserverName),
        tree.text(document, codes.DCM.PersonObserverName),
    )
    return ReadReport(
        title=name_of(document).meaning,
        sop_instance_uid=str(document.get("SOPInstanceUID", "")),
        study_instance_uid=str(document.get("StudyInstanceUID", "")),
        observer=device,
        person=person,
        is_partial=document.get("CompletionFlag") == "PARTIAL",
        marking=marking.meaning if marking else "",
        summary=summary.meaning if summary else "",
        status=named.get(codes.DCM.CADProcessingAndFindingsSummary.value),
        findings=findings,
        key_images=key_images,
        notes=tuple((name.meaning, text.meaning) for name, text in notes if name.value not in apart),
        not_understood=tuple(tree.left()),
    )


def sc_png(source: Path, target: Path) -> Path:
    """Write the picture of an SC page (RGB, one frame) as PNG; returns `target`."""
    Image.fromarray(dcmread(source).pixel_array).save(target)
    return target
