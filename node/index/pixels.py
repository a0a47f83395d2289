"""Whether the pixel data is what the header promises (cases 39 to 41). Nothing is decoded here."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import JPEG2000MC, JPEG2000MCLossless, MPEGTransferSyntaxes, RLELossless

from node.dicom.elements import PIXELS, Contents, Fragments, RawElement
from node.dicom.values import Header, first
from plugins import pixel_data
from rules.facts import BAD_PIXEL_DESCRIPTION, LOSSY, TRUNCATED_PIXEL_DATA

_MANY_FRAMES_A_FRAGMENT = frozenset({*MPEGTransferSyntaxes, JPEG2000MC, JPEG2000MCLossless})
_BITS = {0x7FE00008: 32, 0x7FE00009: 64}
_BITS_ALLOCATED = (1, 8, 16, 32, 64)
_LARGEST_SIDE = 0xFFFF
_MOST_FRAMES = 2**31 - 1
_DESCRIPTION = {"Rows": 0x00280010, "Columns": 0x00280011, "BitsAllocated": 0x00280100, "SamplesPerPixel": 0x00280002}
_PALETTE = {"Red": 0x00281101, "Green": 0x00281102, "Blue": 0x00281103}
_PALETTE_DATA_OFFSET = 0x100
_SEGMENTED_PALETTE = 0x00281221


@dataclass(frozen=True, slots=True)
class Frames:
    """What the header says about the pixels of one object."""

    number: int
    """0 where there are no pixels."""
    bits: int
    """Of one frame."""


def check(contents: Contents, header: Header, transfer_syntax_uid: str) -> tuple[int, dict[str, str]]:
    """Number of frames (0 for an object without pixels), and the defects found, by mark."""
    raw = next((contents.elements[tag] for tag in PIXELS if tag in contents.elements), None)
    if raw is None and contents.fragments is None:
        promised = "Rows" in header and "Columns" in header and "PixelDataProviderURL" not in header
        return 0, ({TRUNCATED_PIXEL_DATA: "Rows and Columns are given, and no pixel data"} if promised else {})
    marks: dict[str, str] = {}
    problems = _problems(contents, header)
    if problems:
        marks[BAD_PIXEL_DESCRIPTION] = "; ".join(problems[:3])
    frames = _frames(contents, header)
    if contents.cut_pixels:
        marks[TRUNCATED_PIXEL_DATA] = contents.cut_pixels
    if contents.fragments is not None and _is_lossy(contents.fragments):
        marks[LOSSY] = "its compressed pixel data say that they are lossy"
    if not contents.cut_pixels and not problems:
        kind, problem = _amount(contents, raw, frames, transfer_syntax_uid)
        if problem:
            marks[kind] = problem
    return max(1, frames.number), marks


def _is_lossy(fragments: Fragments) -> bool:
    """Whether any codestream says so, whatever the header says."""
    found = (pixel_data.codestream(bytes(each[: pixel_data.HEAD])) for each in fragments.fragments)
    return any(each.is_lossy for each in found if each is not None)


def promised_bytes(contents: Contents, header: Header) -> int:
    """Bytes of native pixel data that the header promises; 0 where it does not say."""
    return _bytes_of(_frames(contents, header))


def _bytes_of(frames: Frames) -> int:
    return -(-frames.bits * frames.number // 8)


def _frames(contents: Contents, header: Header) -> Frames:
    number = first(header, "NumberOfFrames")
    rows, columns, allocated, samples = (_number(header, keyword) for keyword in _DESCRIPTION)
    allocated = next((bits for tag, bits in _BITS.items() if tag in contents.elements), allocated)
    bits = rows * columns * allocated * max(1, samples)
    if first(header, "PhotometricInterpretation") in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        bits = bits * 2 // 3  # two samples of colour for two pixels (PS3.3 C.7.6.3.1.2)
    return Frames(number if isinstance(number, int) and 0 < number <= _MOST_FRAMES else 1, bits)


def _number(header: Header, keyword: str) -> int:
    value = first(header, keyword)
    return value if isinstance(value, int) else 0


def _problems(contents: Contents, header: Header) -> list[str]:
    """What contradicts the Standard or itself in the description of the pixels."""
    problems = []
    for keyword, tag in _DESCRIPTION.items():
        raw = contents.elements.get(tag)
        if raw is not None and raw.vr not in ("", "US", "UN"):
            problems.append(f"{keyword} has VR {raw.vr} in place of US")
    rows, columns, allocated, samples = (_number(header, keyword) for keyword in _DESCRIPTION)
    if not (0 < rows <= _LARGEST_SIDE and 0 < columns <= _LARGEST_SIDE):
        problems.append(f"Rows × Columns is {rows} × {columns}")
    is_float = any(tag in contents.elements for tag in _BITS)
    if not is_float and allocated not in _BITS_ALLOCATED:
        problems.append(f"BitsAllocated is {allocated}")
    stored = first(header, "BitsStored")
    if isinstance(stored, int) and stored > allocated > 0:
        problems.append(f"BitsStored {stored} is more than BitsAllocated {allocated}")
    interpretation = first(header, "PhotometricInterpretation")
    colours = 3 if interpretation in ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT") else samples
    if samples not in (0, 1, 3, 4) or (samples and samples != colours):
        problems.append(f"SamplesPerPixel is {samples} for {interpretation}")
    number = first(header, "NumberOfFrames")
    if number is not None and not (isinstance(number, int) and 0 <= number <= _MOST_FRAMES):
        problems.append("NumberOfFrames is not a count")
    if interpretation == "PALETTE COLOR":
        problems.extend(_palette_problems(contents))
    return problems


def _palette_problems(contents: Contents) -> list[str]:
    """Palettes shorter than their descriptors say (PS3.3 C.7.6.3.1.5)."""
    if _SEGMENTED_PALETTE in contents.elements:
        return []
    problems = []
    for colour, tag in _PALETTE.items():
        descriptor = contents.elements.get(tag)
        data = contents.elements.get(tag + _PALETTE_DATA_OFFSET)
        if descriptor is None or isinstance(descriptor.value, list) or len(descriptor.value) < 6:
            problems.append(f"the descriptor of the {colour.lower()} palette is missing")
            continue
        order = "little" if contents.little else "big"
        entries = int.from_bytes(descriptor.value[0:2], order) or 65536  # type: ignore[arg-type]  # one of two words
        bits = int.from_bytes(descriptor.value[4:6], order)  # type: ignore[arg-type]  # as above
        there = 0 if data is None or isinstance(data.value, list) else len(data.value)
        if there < entries * (2 if bits > 8 else 1):
            problems.append(f"the {colour.lower()} palette has {there} bytes for {entries} entries of {bits} bits")
    return problems


def _amount(contents: Contents, raw: RawElement | None, frames: Frames, syntax: str) -> tuple[str, str]:
    """The mark and the reason where there is too little pixel data, or far too much."""
    if contents.fragments is not None:
        there = len(contents.fragments.fragments)
        if syntax in _MANY_FRAMES_A_FRAGMENT:
            return TRUNCATED_PIXEL_DATA, "" if there else "no fragment of pixel data"
        if there < frames.number:
            return TRUNCATED_PIXEL_DATA, f"{there} fragments of pixel data for {frames.number} frames"
        listed = contents.fragments.offsets
        if (listed and listed != frames.number) or (syntax == RLELossless and there != frames.number):
            return BAD_PIXEL_DESCRIPTION, f"{listed or there} frames are there, NumberOfFrames is {frames.number}"
        return "", ""
    assert raw is not None
    assert not isinstance(raw.value, list), "the parser makes no sequence of pixel data"
    promised = _bytes_of(frames)
    there = len(raw.value)
    if there < promised:
        return TRUNCATED_PIXEL_DATA, f"{there} bytes of pixel data where the header promises {promised}"
    if frames.bits >= 8 and there - promised >= max(1024, frames.bits // 8):
        count = there * 8 // frames.bits
        return BAD_PIXEL_DESCRIPTION, f"{count} frames are there, NumberOfFrames is {frames.number}"
    return "", ""
