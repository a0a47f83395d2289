"""A result as files in a folder: arrays, documents and DICOM objects first, then the JSON that names them.

Each is durable before it has its name.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from plugins import encoding, object_files
from plugins.untrusted import SCHEMA


def write(folder: Path, name: str, value: Any) -> None:
    """Write the files of a dataclass of the contract, and then itself as JSON under `name`: there only when whole.

    The file of a DICOM object is copied into the folder unless it is there already; ContractError where it cannot be
    read.
    """
    files = _FileWriter(folder)
    writers = encoding.Writers(files.array, object_files.ObjectWriter(folder), files.content)
    write_json(folder, name, encoding.encode(value, writers))


class _FileWriter:
    """Puts arrays and contents into a folder, each under the name of its field and a number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def array(self, field: str, array: NDArray[Any]) -> str:
        """The array as .npy file."""
        name, file = self._made(field, "npy")
        with file:
            _save(file, _as_stored(field, array))
            _keep(file)
        return name

    def content(self, field: str, content: bytes) -> str:
        """A file of the kind that the field is named after."""
        name, file = self._made(field, field)
        with file:
            file.write(content)
            _keep(file)
        return name

    def _made(self, field: str, end: str) -> tuple[str, BinaryIO]:
        self._count += 1
        name = f"{field}-{self._count}.{end}"
        return name, (self._folder / name).open("wb")


def _keep(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _save(file: BinaryIO, array: NDArray[Any]) -> None:
    """As `np.save` does, but plane by plane: what is mapped from a file is never in memory as a whole."""
    np.lib.format.write_array_header_1_0(file, {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape})
    for plane in array:
        np.ascontiguousarray(plane).tofile(file)


def _as_stored(field: str, array: NDArray[Any]) -> NDArray[Any]:
    if field == "labels":  # 65,535 labels are the most that a segmentation may have
        return array.astype(np.uint8 if array.size == 0 or array.max() < 256 else np.uint16, copy=False)
    return array


def as_json(document: dict[str, Any]) -> bytes:
    """The document with the version of the exchange."""
    return json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False, allow_nan=False, indent=1).encode()


def write_json(folder: Path, name: str, document: dict[str, Any]) -> None:
    """Write it durably; it is there whole or not at all."""
    part = folder / f"{name}.part"
    with part.open("wb") as file:
        file.write(as_json(document))
        _keep(file)
    part.replace(folder / name)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
