"""The Standard's level of the gate: what is wrong with any SOP instance, ours or another's, by PS3.3 and PS3.5.

Modules, per-frame groups, segments, lookup tables and pixels; values, terms and references are `gate.reading`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

# Private, but the only tables of IODs and modules at hand; the version is pinned, and a test says what they hold.
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from node.results.gate.compressed import compressed_problems
from node.results.gate.reading import UnreadableObjectError, read_for_itself, unreadable_if_it_fails
from node.results.source.laterality import UNPAIRED

_OF_ITEMS = "sr-document-content"
"""The module whose table lists what only some content items hold: they have a check of their own (`gate.tables`)."""
_OF_FRAMES = "multi-frame-functional-groups"
"""The same of functional groups, below the root."""
_SPECIALISED = {("multi-frame-true-color-secondary-capture-image", "FrameIncrementPointer")}
"""Attributes whose type an IOD changes: that of SC Multi-frame Image (C.8.6.3) overrides that of Multi-frame."""
_LOOK_UP_TABLES = (
    *(("ModalityLUTSequence", "LUTDescriptor", "LUTData"), ("VOILUTSequence", "LUTDescriptor", "LUTData")),
    *(
        ("PresentationLUTSequence", "LUTDescriptor", "LUTData"),
        ("SoftcopyVOILUTSequence.VOILUTSequence", "LUTDescriptor", "LUTData"),
    ),
    *(
        ("", f"{colour}PaletteColorLookupTableDescriptor", f"{colour}PaletteColorLookupTableData")
        for colour in ("Red", "Green", "Blue")
    ),
)
"""Sequence (from the root), descriptor, data."""
_NUCLEAR = "NM"
"""The Modality in which Spacing Between Slices may be negative (PS3.3 C.8.4.15)."""


def problems_by_standard(content: bytes) -> tuple[str, ...]:
    """What is wrong with a Part 10 file by the Standard alone, each with its attribute; none: nothing was found.

    For any object; of a private SOP class, or one whose IOD is not known, without its modules. Never raises for what a
    file holds.
    """
    try:
        reading = read_for_itself(content)
        with unreadable_if_it_fails():
            return tuple(dict.fromkeys([*problems_of_object(reading.read), *reading.problems]))
    except UnreadableObjectError as error:
        return (str(error),)


def knows(read: Dataset) -> bool:
    """Whether the IOD of its SOP class is known."""
    return str(read.get("SOPClassUID", "")) in get_sop_class_iod_map()


def problems_of_object(read: Dataset) -> Iterator[str]:
    """What is wrong with the object as a whole; single values apart."""
    yield from _meta_problems(read)
    yield from _module_problems(read)
    yield from _laterality_problems(read)
    yield from _frame_problems(read)
    yield from _segment_problems(read)
    yield from _table_problems(read)
    yield from _size_problems(read)
    yield from _pixel_problems(read)


# --- the IOD --------------------------------------------------------------------------------------


def _module_problems(read: Dataset) -> Iterator[str]:
    """Types 1 and 2 of every mandatory module of the IOD, in sequences too (PS3.3 Annex A; PS3.5 7.4)."""
    iod = get_sop_class_iod_map().get(str(read.get("SOPClassUID", "")))
    if iod is None:
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
        if module["usage"] != "M" or module["key"].endswith(_OF_ITEMS):
            continue
        root_only = module["key"].endswith(_OF_FRAMES)
        for attribute in get_module_attribute_map()[module["key"]]:
            if root_only and attribute["path"]:
                continue
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


def _meta_problems(read: Dataset) -> Iterator[str]:
    """The file meta information names the object (PS3.10 7.1)."""
    meta = getattr(read, "file_meta", Dataset())
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if meta.get(f"MediaStorage{keyword}") != read.get(keyword):
            yield f"MediaStorage{keyword}: file meta information names another SOP instance"


def _laterality_problems(read: Dataset) -> Iterator[str]:
    """Type 2C: not of a part without sides (C.7.3.1)."""
    if "Laterality" in read and read.get("BodyPartExamined") in UNPAIRED:
        yield "Laterality: of a body part that is not paired"


# --- counts ---------------------------------------------------------------------------------------


def _number(read: Dataset, keyword: str) -> int:
    """A whole number; 0 where it is missing, or none."""
    try:
        return int(read.get(keyword) or 0)
    except (TypeError, ValueError):
        return 0


def _items(read: Dataset, keyword: str) -> list[Dataset]:
    value = read.get(keyword)
    return (
        [item for item in value if isinstance(item, Dataset)]
        if isinstance(value, list) or hasattr(value, "append")
        else []
    )


def _frame_problems(read: Dataset) -> Iterator[str]:
    """One item of per-frame functional groups for each frame (C.7.6.16)."""
    if "PerFrameFunctionalGroupsSequence" in read:
        groups, frames = len(_items(read, "PerFrameFunctionalGroupsSequence")), _number(read, "NumberOfFrames")
        if groups != frames:
            yield f"PerFrameFunctionalGroupsSequence: {groups} items for {frames} frames"


def _segment_problems(read: Dataset) -> Iterator[str]:
    """Segment Numbers count from 1; in label maps they only differ, and 0 may be the background (C.8.20.2)."""
    segments = _items(read, "SegmentSequence")
    numbers = [_number(item, "SegmentNumber") for item in segments]
    if read.get("SegmentationType") == "LABELMAP":
        if len(set(numbers)) < len(numbers):
            yield "SegmentSequence: a Segment Number occurs twice"
    elif segments and numbers != list(range(1, len(numbers) + 1)):
        yield f"SegmentSequence: Segment Numbers {numbers[:8]}, which do not count from 1"
    for number, frame in enumerate(_items(read, "PerFrameFunctionalGroupsSequence"), start=1):
        for named in _items(frame, "SegmentIdentificationSequence"):
            if _number(named, "ReferencedSegmentNumber") not in numbers:
                yield f"PerFrameFunctionalGroupsSequence[{number}]: names a segment that is not described"
                return


def _table_problems(read: Dataset) -> Iterator[str]:
    """As many entries as the descriptor says (C.11.1.1, C.7.6.3.1.5)."""
    for path, descriptor, data in _LOOK_UP_TABLES:
        holders = [read]
        for keyword in filter(None, path.split(".")):
            holders = [item for holder in holders for item in _items(holder, keyword)]
        for holder in holders:
            yield from _one_table(holder, descriptor, data)


def _one_table(holder: Dataset, descriptor: str, data: str) -> Iterator[str]:
    described, values = holder.get(descriptor), holder.get(data)
    if described is None or values is None:
        return
    if not hasattr(described, "__len__") or len(described) != 3:
        yield f"{descriptor}: is not three numbers"
        return
    entries = int(described[0]) or 65536
    if isinstance(values, bytes):
        fits = len(values) in {entries * 2, entries + entries % 2}
        found = len(values) // 2
    else:
        found = len(values) if hasattr(values, "__len__") else 1
        fits = found in {entries, ceil(entries / 2)}  # entries of 8 bits are two in a word
    if not fits:
        yield f"{data}: {found} entries, the descriptor says {entries}"


def _size_problems(read: Dataset) -> Iterator[str]:
    """Distances that are none."""
    shared = _items(read, "SharedFunctionalGroupsSequence")
    measures = [item for groups in shared for item in _items(groups, "PixelMeasuresSequence")]
    for item in [read, *measures]:
        for keyword in ("SliceThickness", "SpacingBetweenSlices", "PixelSpacing", "ImagerPixelSpacing"):
            value = item.get(keyword)
            values = value if isinstance(value, list) or hasattr(value, "append") else [value]
            may_be_negative = keyword == "SpacingBetweenSlices" and read.get("Modality") == _NUCLEAR
            if any(_is_negative(each) for each in values) and not may_be_negative:
                yield f"{keyword}: is below 0"


def _is_negative(value: object) -> bool:
    try:
        return float(value) < 0  # type: ignore[arg-type] # the except has the rest
    except (TypeError, ValueError):
        return False


def _pixel_problems(read: Dataset) -> Iterator[str]:
    """As many pixels as rows, columns, frames and samples say (PS3.5 8.1.1), compressed ones as far as they say it."""
    syntax = UID(str(getattr(read, "file_meta", Dataset()).get("TransferSyntaxUID", "")))
    if syntax.is_transfer_syntax and syntax.is_encapsulated:
        yield from compressed_problems(read, syntax)
        return
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        value = read.get(keyword)
        if not isinstance(value, bytes):
            continue
        samples: float = _number(read, "SamplesPerPixel") or 1
        if read.get("PhotometricInterpretation") == "YBR_FULL_422":
            samples = 2
        frames = _number(read, "NumberOfFrames") or 1
        pixels = _number(read, "Rows") * _number(read, "Columns") * frames * int(samples)
        expected = (pixels * _number(read, "BitsAllocated") + 7) // 8
        if len(value) != expected + expected % 2:
            yield f"{keyword}: {len(value)} bytes, expected {expected + expected % 2}"
