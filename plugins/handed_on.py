"""The result of an earlier step in a job's folder: result.json and arrays, in the form in which plugins write theirs.

The node has checked the result when its plugin returned it, and has written these files itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugins import encoding, writing
from plugins.earlier import EarlierResult
from plugins.encoding import EncodingError, Planes
from plugins.untrusted import ArrayFiles, ExchangeError, open_folder, read_json

RESULT = "result.json"


def write(folder: Path, earlier: EarlierResult) -> None:
    """Write it into a folder that is made for it; OSError."""
    folder.mkdir(parents=True)
    writing.write(folder, RESULT, earlier)


def read(folder: Path) -> EarlierResult:
    """Read what `write` wrote; arrays are mapped, not read. Raises `ExchangeError`."""
    with open_folder(folder, f"{folder.name}/") as descriptor:
        document = read_json(descriptor, RESULT, f"{folder.name}/{RESULT}")
        decoder = encoding.Decoder(planes=_planes, read_array=ArrayFiles(descriptor, folder.name))
        try:  # what it refers to was checked against the images when it was handed on
            result = decoder.decode(EarlierResult, document)
        except EncodingError as error:
            raise ExchangeError(f"{folder.name}/{RESULT}", error.path, error.problem) from error
    assert isinstance(result, EarlierResult)
    return result


def _planes(_path: str, fields: Mapping[str, Any], index: int | None) -> Planes | None:
    """As many as there are frames, of any size."""
    frames = fields.get("frames")
    if frames is None:
        return None
    return Planes([None] * len(frames)) if index is None else Planes([None], flat=True)
