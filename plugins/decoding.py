"""The pixels of a file's frames as they are stored, and why there are none.

Needs pydicom (and, for compressed images, its decoders).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from plugins import pixel_data
from plugins.images import NotApplicableError
from plugins.pixel_data import Doubt


def frames_of(file: Path, numbers: Sequence[int], place: str) -> Iterator[NDArray[Any]]:
    """The decoded pixels of these frames (from 1) of a file, bits above Bits Stored still as they came.

    Raises `NotApplicableError` where they do not decode, or are not what the header says: `place` names the image.
    """
    doubt = pixel_data.doubt_about(file, place)
    try:
        pixels = iter_pixels(_decodable(file), indices=[number - 1 for number in numbers], correct_unused_bits=False)
        for raw in pixels:
            _refuse_doubtful(raw, doubt)
            yield raw
    except NotApplicableError:
        raise
    except Exception as error:  # decoders raise whatever their libraries raise; each means the same
        raise NotApplicableError(f"The pixels of {place} cannot be decoded: {_damage(file)}.") from error


def _refuse_doubtful(raw: NDArray[Any], doubt: Doubt | None) -> None:
    if doubt is not None and (int(raw.min()) < 0 or int(raw.max()) >= doubt.limit):
        raise NotApplicableError(doubt.reason)


def _damage(file: Path) -> str:
    """Why pixels cannot be decoded, as far as a person can do something about it."""
    try:
        header = pydicom.dcmread(file, specific_tags=["PixelData", "FloatPixelData", "DoubleFloatPixelData"])
    except (InvalidDicomError, OSError, ValueError, EOFError, AttributeError):
        return "the file is damaged"
    if not any(element.value for element in header):
        return "there are none"
    syntax = UID(str(header.file_meta.get("TransferSyntaxUID", "")))
    return f"they are damaged, or not what the header says (transfer syntax {syntax.name or 'not stated'})"


def _decodable(file: Path) -> Path | Dataset:
    """What pydicom decodes frame by frame: the file, but all of a deflated one, which it does not inflate."""
    is_deflated = read_file_meta_info(file).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    return pydicom.dcmread(file) if is_deflated else file
