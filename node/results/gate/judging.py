"""The gate: every object is read back from its bytes and judged before it may leave.

Nobody else looks: archives, DICOMweb and viewers accept objects that break the Standard without a word. There are two
levels. What the Standard says of any object is in `gate.standard`, `gate.reading` and `gate.tables`; what we ask of our
own beside it (identity, references, marking, `gate.report`) is here. Both follow from the object itself and the
request, never from how we wrote it; the validators of other makers say in the tests that the gate and they agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from highdicom._standard_utils import get_module_attribute_map  # private, as in `gate.standard`
from pydicom import Dataset
from pydicom.tag import BaseTag, Tag

from node.config.encoding import Kind
from node.results.context import Context
from node.results.errors import NotEncodableError
from node.results.gate import standard
from node.results.gate.reading import ObjectReadBack, SourceFlaws, UnreadableObjectError, plain, read_back
from node.results.gate.report import report_problems
from node.results.request import RejectionRequest, SourceReference
from node.results.source.copied import Treatment, of_patient_and_study
from node.results.source.references import DETACHED_STUDY

_NOT_INHERITED = (
    "patient",
    "general-study",
    "patient-study",
    "clinical-trial-subject",
    "clinical-trial-study",
    "clinical-trial-series",
    "general-series",
    "general-equipment",
)
_OURS = frozenset(
    {
        "SeriesDate",
        "SeriesTime",
        "Modality",
        "SeriesDescription",
        "SeriesInstanceUID",
        "SeriesNumber",
        "Laterality",
        "BodyPartExamined",
        "ReferencedPerformedProcedureStepSequence",
        "RequestAttributesSequence",
        "Manufacturer",
        "ManufacturerModelName",
        "DeviceSerialNumber",
        "SoftwareVersions",
        "PixelPaddingValue",
    }
)
"""Attributes of these modules that we write ourselves."""
_EMPTY = frozenset({"OperatorsName"})
"""Such attributes that an IOD wants, if only empty (RT Series, Type 2)."""
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
_SHOWN = 12
"""Problems that an error names; more would only hide the first."""


class SetRefusedError(NotEncodableError):
    """No object of a set is sound: those that were made stay, none is sent."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        super().__init__("refused before sending", "; ".join(problems[:_SHOWN]) + more)
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        return SetRefusedError, (self.problems,)  # it is pickled on its way out of the encoder's process


@dataclass(frozen=True)
class EncodedCandidate:
    """One object of a set, as it would be sent."""

    kind: Kind
    dataset: Dataset
    """As it was built."""
    content: bytes
    """The Part 10 file."""


def problems_of(
    candidates: Iterable[EncodedCandidate], context: Context, beside: Iterable[EncodedCandidate] = ()
) -> tuple[str, ...]:
    """Everything wrong with these objects, each with the object and the attribute; none: they may leave.

    `beside`: sound objects of the same set, which these may refer to.
    """
    objects, others = list(candidates), list(beside)
    known = _known(context, [*others, *objects])
    found = []
    for number, candidate in enumerate(objects, start=1):
        name = f"{candidate.kind} {candidate.dataset.get('InstanceNumber', number)}"
        found += [f"{name}: {problem}" for problem in _problems(candidate, context, known)]
    uids = [str(candidate.dataset.get("SOPInstanceUID")) for candidate in (*others, *objects)]
    found += [f"SOPInstanceUID: {uid} occurs twice in the set" for uid in dict.fromkeys(uids) if uids.count(uid) > 1]
    return tuple(found)


def _problems(candidate: EncodedCandidate, context: Context, known: dict[str, str]) -> Iterator[str]:
    try:
        reading = read_back(candidate.content, candidate.dataset, SourceFlaws(_several(context), context.odd_uids))
    except UnreadableObjectError as error:
        yield str(error)
        return
    read = reading.read
    yield from standard.problems_of_object(read)
    if not standard.knows(read):
        yield f"SOPClassUID: {read.SOPClassUID} is not a SOP class whose IOD is known"
    yield from reading.problems
    yield from _identity_problems(read, context)
    yield from _uid_problems(read, context)
    yield from _reference_problems(reading, known)
    yield from _marking_problems(read, context)
    if read.get("ContinuityOfContent", "SEPARATE") != "SEPARATE":
        yield "ContinuityOfContent: some viewers drop the names of what is in a continuous container"
    if candidate.kind == "sr":
        yield from report_problems(read, context)


def problems_of_note(candidate: EncodedCandidate, request: RejectionRequest, stored: Dataset) -> tuple[str, ...]:
    """Everything wrong with a rejection note; `stored`: the object that patient and study were copied from."""
    of_stored = {rule.keyword for rule in of_patient_and_study()} & {element.keyword for element in stored}
    several = {name: plain(stored[name].value) for name in of_stored if stored[name].VM > 1}
    flaws = SourceFlaws(several, frozenset({str(stored.StudyInstanceUID)}))
    try:
        reading = read_back(candidate.content, candidate.dataset, flaws)
    except UnreadableObjectError as error:
        return (str(error),)
    problems = [*standard.problems_of_object(reading.read), *reading.problems]
    copied = (rule.keyword for rule in of_patient_and_study())
    others = (name for name in copied if plain(reading.read.get(name)) != plain(stored.get(name)))
    problems += [f"{name}: is not that of the objects that it rejects" for name in others]
    known = {reference.sop_instance_uid: reference.sop_class_uid for _, reference in request.rejected}
    problems += _reference_problems(reading, known)
    named = {reference.sop_instance_uid for reference in reading.references if reference.within in _EVIDENCE}
    problems += [f"does not name {uid}" for uid in sorted(known.keys() - named)]
    return tuple(f"rejection note: {problem}" for problem in problems)


# --- identity, UIDs ---------------------------------------------------------------------------------


def _identity_problems(read: Dataset, context: Context) -> Iterator[str]:
    """Patient and study are the source's, no attribute more and none less (case 35)."""
    for keyword in (attribute.keyword for attribute in of_patient_and_study()):
        ours, theirs = read.get(keyword), context.identity.get(keyword)
        if keyword in read and keyword not in context.identity:
            yield f"{keyword}: is not in the source image"
        elif plain(ours) != plain(theirs):
            yield f"{keyword}: is not the source image's"
    chosen = _OURS | {attribute.keyword for attribute in of_patient_and_study()}
    for tag, keyword in _of_modules().items():
        if tag in read and keyword not in chosen and not (keyword in _EMPTY and read[tag].is_empty):
            yield f"{keyword}: is none of the attributes that results have of patient, study, series and equipment"


@lru_cache(maxsize=1)
def _of_modules() -> dict[BaseTag, str]:
    """The root attributes of the modules that results do not inherit from their images."""
    attributes = (each for module in _NOT_INHERITED for each in get_module_attribute_map()[module])
    return {Tag(each["keyword"]): each["keyword"] for each in attributes if not each["path"]}


def _several(context: Context) -> dict[str, object]:
    """The identifiers of the source that have several values, though the Standard allows one."""
    identifiers = {each.keyword for each in of_patient_and_study() if each.treatment is Treatment.IDENTIFIES}
    return {
        element.keyword: plain(element.value)
        for element in context.identity
        if element.keyword in identifiers and element.VM > 1
    }


def _uid_problems(read: Dataset, context: Context) -> Iterator[str]:
    if read.SOPInstanceUID in context.sources.by_uid:
        yield "SOPInstanceUID: is a source image's"
    if read.SeriesInstanceUID in {image.reference.series_instance_uid for image in context.sources.images}:
        yield "SeriesInstanceUID: is a source series'"


# --- references, marking, pixels ----------------------------------------------------------------------


def _known(context: Context, objects: Iterable[EncodedCandidate]) -> dict[str, str]:
    """SOP Instance UID → SOP Class UID of all that our objects may refer to."""
    request = context.request
    references: list[SourceReference] = [image.reference for image in context.sources.images]
    references += [*request.evidence, *request.supersedes, *context.beside]
    references += [reference for each in request.computed_from for reference in each.segmentations]
    references += [reference for _, reference in request.belongs_to.companions] if request.belongs_to else []
    known = {reference.sop_instance_uid: reference.sop_class_uid for reference in references}
    known |= {image.reference.study_instance_uid: DETACHED_STUDY for image in context.sources.images}
    return known | {str(one.dataset.SOPInstanceUID): str(one.dataset.SOPClassUID) for one in objects}


def _reference_problems(reading: ObjectReadBack, known: dict[str, str]) -> Iterator[str]:
    """No dangling reference: each names an instance that is known, with its own SOP class."""
    for reference in reading.references:
        if reference.sop_instance_uid not in known:
            yield f"ReferencedSOPInstanceUID: {reference.sop_instance_uid} is not an instance that is known here"
        elif known[reference.sop_instance_uid] != reference.sop_class_uid:
            yield f"ReferencedSOPClassUID: {reference.sop_class_uid} is not the class of {reference.sop_instance_uid}"
    listed = {reference.sop_instance_uid for reference in reading.references if reference.within in _EVIDENCE}
    used = {reference.sop_instance_uid for reference in reading.references if reference.within == "ContentSequence"}
    for uid in sorted(used - listed):
        yield f"ContentSequence: refers to {uid}, which the evidence does not list"


def _marking_problems(read: Dataset, context: Context) -> Iterator[str]:
    if not str(read.get("SeriesDescription", "")).startswith(context.marking):
        yield f"SeriesDescription: does not begin with the marking {context.marking!r}"
    qualification = "PRODUCT" if context.request.mode == "clinical" else "RESEARCH"
    if read.get("ContentQualification") != qualification:
        yield f"ContentQualification: is not {qualification}"
    if read.get("VerificationFlag", "UNVERIFIED") != "UNVERIFIED":
        yield "VerificationFlag: nobody has verified this"
