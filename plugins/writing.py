"""A result as files in a folder: arrays first, then the JSON that names them, each durable before it has its name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from plugins import encoding
from plugins.untrusted import SCHEMA

_AS_THEY_ARE = ("pdf",)
"""Fields that are files already."""


def write(folder: Path, name: str, value: Any) -> None:
    """Write the arrays of a dataclass of the contract, and then itself as JSON under `name`: there only when whole."""
    count = 0

    def write_array(field: str, array: NDArray[Any]) -> str:
        nonlocal count
        count += 1
        file_name = f"{field}-{count}.{field if field in _AS_THEY_ARE else 'npy'}"
        with (folder / file_name).open("wb") as file:
            if field in _AS_THEY_ARE:
                file.write(array.tobytes())
            else:
                _save(file, _as_stored(field, array))
            file.flush()
            os.fsync(file.fileno())
        return file_name

    write_json(folder, name, encoding.encode(value, write_array))


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
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / name)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
