"""Compressed pixels, as far as they say themselves what they are: how many frames, and a JPEG-LS frame's size."""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack

from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, JPEGLSLossless

_START_OF_FRAME = b"\xff\xf7"
"""SOF55, the marker of a JPEG-LS frame header (ISO/IEC 14495-1, C.2.2); its length follows."""


def compressed_problems(read: Dataset, syntax: UID) -> Iterator[str]:
    """Whether encapsulated Pixel Data hold as many frames as the object says (PS3.5 A.4), each of its size."""
    pixels = read.get("PixelData")
    if not isinstance(pixels, bytes):
        return
    count = int(read.get("NumberOfFrames") or 1)
    try:
        frames = list(generate_frames(pixels, number_of_frames=count))
    except (ValueError, IndexError):
        yield f"PixelData: its fragments cannot be taken apart into {count} frames"
        return
    if len(frames) != count:
        yield f"PixelData: {len(frames)} frames, expected {count}"
    if syntax == JPEGLSLossless:
        meant = tuple(int(read.get(each) or 0) for each in ("Rows", "Columns", "SamplesPerPixel"))
        for found in dict.fromkeys(_size_of(frame) for frame in frames):
            if found != meant:
                yield f"PixelData: JPEG-LS of (rows, columns, samples) {found}, expected {meant}"


def _size_of(frame: bytes) -> tuple[int, ...]:
    """Rows, columns and samples of a JPEG-LS frame; empty where it has no frame header."""
    start = frame.find(_START_OF_FRAME)
    header = frame[start + 5 : start + 10]  # behind marker, length and precision
    return unpack(">HHB", header) if start >= 0 and len(header) == 5 else ()
