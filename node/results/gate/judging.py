"""The gate: every object is read back from its bytes and judged before it may leave.

Nobody else looks: archives, DICOMweb and viewers accept objects that break the Standard without a word. What is
checked here follows from the object itself, its IOD's tables and the request, never from how we wrote it; the
validators of other makers say in the tests that the gate and they agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# Private, but the only tables of IODs and modules at hand; the version is pinned, and a test says what they hold.
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag, Tag

from node.results.context import Context
from node.results.errors import NotEncodableError
from node.results.gate.reading import ObjectReadBack, UnreadableError, plain, read_back
from node.results.gate.report import report_problems
from node.results.request import Kind, SourceReference
from node.results.source.copied import Treatment, of_patient_and_study

_MACROS_OF_MANY_KINDS = ("sr-document-content", "multi-frame-functional-groups")
"""Modules whose table lists what only some items hold: the content tree has a check of its own."""
_SPECIALISED = {("multi-frame-true-color-secondary-capture-image", "FrameIncrementPointer")}
"""Attributes whose type an IOD changes: that of SC Multi-frame Image (C.8.6.3) overrides that of Multi-frame."""
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
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
_SHOWN = 12
"""Problems that an error names; more would only hide the first."""


class RefusedError(NotEncodableError):
    """No object of a set is sound: those that were made stay, none is sent."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        super().__init__("refused before sending", "; ".join(problems[:_SHOWN]) + more)
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        return RefusedError, (self.problems,)  # it is pickled on its way out of the encoder's process


@dataclass(frozen=True)
class Candidate:
    """One object of a set, as it would be sent."""

    kind: Kind
    dataset: Dataset
    """As it was built."""
    content: bytes
    """The Part 10 file."""


def problems_of(candidates: Iterable[Candidate], context: Context, beside: Iterable[Candidate] = ()) -> tuple[str, ...]:
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


def _problems(candidate: Candidate, context: Context, known: dict[str, str]) -> Iterator[str]:
    try:
        reading = read_back(candidate.content, candidate.dataset, _several(context))
    except UnreadableError as error:
        yield str(error)
        return
    read = reading.read
    yield from _module_problems(read)
    yield from reading.problems
    yield from _identity_problems(read, context)
    yield from _uid_problems(read, context)
    yield from _reference_problems(reading, known)
    yield from _marking_problems(read, context)
    yield from _pixel_problems(read)
    if read.get("ContinuityOfContent", "SEPARATE") != "SEPARATE":
        yield "ContinuityOfContent: some viewers drop the names of what is in a continuous container"
    if candidate.kind == "sr":
        yield from report_problems(read, context)


# --- the IOD --------------------------------------------------------------------------------------


def _module_problems(read: Dataset) -> Iterator[str]:
    """Types 1 and 2 of every mandatory module of the IOD, in sequences too (PS3.3 Annex A; PS3.5 7.4)."""
    iod = get_sop_class_iod_map().get(str(read.SOPClassUID))
    if iod is None:
        yield f"SOPClassUID: {read.SOPClassUID} is not a SOP class whose IOD is known"
        return
    for path, attributes in _mandatory(iod).items():
        for item in _items_at(read, path):
            for attribute in attributes:
                if problem := _attribute_problem(item, attribute):
                    yield problem


@dataclass(frozen=True, slots=True)
class _Attribute:
    """One that has to be there."""

    tag: BaseTag
    keyword: str
    type: str
    """1: with a value; 2."""
    module: str


@lru_cache(maxsize=16)
def _mandatory(iod: str) -> dict[tuple[BaseTag, ...], list[_Attribute]]:
    """What every item at a path of sequences must have, in the mandatory modules of an IOD."""
    mandatory: dict[tuple[BaseTag, ...], list[_Attribute]] = {}
    for module in get_iod_module_map()[iod]:
        if module["usage"] != "M" or module["key"].endswith(_MACROS_OF_MANY_KINDS):
            continue
        for attribute in get_module_attribute_map()[module["key"]]:
            if attribute["type"] in {"1", "2"} and (iod, attribute["keyword"]) not in _SPECIALISED:
                keyword = attribute["keyword"]
                one = _Attribute(Tag(keyword), keyword, attribute["type"], module["key"])
                mandatory.setdefault(tuple(Tag(each) for each in attribute["path"]), []).append(one)
    return mandatory


def _items_at(item: Dataset, path: tuple[BaseTag, ...]) -> Iterator[Dataset]:
    if not path:
        yield item
    elif path[0] in item:
        for child in item[path[0]].value or ():
            yield from _items_at(child, path[1:])


def _attribute_problem(item: Dataset, attribute: _Attribute) -> str:
    stated = f"(Type {attribute.type}, {attribute.module})"
    element = item.get_item(attribute.tag)
    if element is None:
        return f"{attribute.keyword}: missing {stated}"
    return f"{attribute.keyword}: empty {stated}" if attribute.type == "1" and _is_empty(element) else ""


def _is_empty(element: DataElement | RawDataElement) -> bool:
    """Whether it has no value, found without decoding it."""
    if isinstance(element, RawDataElement):
        return not (element.value or b"").strip(b" \0")
    return element.is_empty


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
        if tag in read and keyword not in chosen:
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
    meta = read.file_meta
    if (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) != (read.SOPClassUID, read.SOPInstanceUID):
        yield "file meta information: names another SOP instance"


# --- references, marking, pixels ----------------------------------------------------------------------


def _known(context: Context, objects: Iterable[Candidate]) -> dict[str, str]:
    """SOP Instance UID → SOP Class UID of all that our objects may refer to."""
    request = context.request
    references: list[SourceReference] = [image.reference for image in context.sources.images]
    references += [*request.evidence, *request.supersedes]
    references += [reference for _, reference in request.belongs_to.companions] if request.belongs_to else []
    known = {reference.sop_instance_uid: reference.sop_class_uid for reference in references}
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


def _pixel_problems(read: Dataset) -> Iterator[str]:
    """As many pixels as rows, columns, frames and samples say (PS3.5 8.1.1); all our pixels are uncompressed."""
    for keyword in ("PixelData", "FloatPixelData"):
        if keyword not in read:
            continue
        pixels = int(read.Rows) * int(read.Columns) * int(read.get("NumberOfFrames") or 1) * int(read.SamplesPerPixel)
        expected = (pixels * int(read.BitsAllocated) + 7) // 8
        if len(read[keyword].value) != expected + expected % 2:
            yield f"{keyword}: {len(read[keyword].value)} bytes, expected {expected + expected % 2}"
