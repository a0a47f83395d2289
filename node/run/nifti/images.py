"""In a child: one series as a NIfTI file, or as a MetaImage where the name says so.

CT is in HU, all else in the values that its rescale gives. Whole numbers are written as int16, others as float32, so no
value changes. The gzip level is chosen for speed: such a file lives for one job.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from node.run.laying_out import InputUnreadableError
from node.run.nifti import metaimage
from node.run.nifti.grids import RAS, SourceGrid
from node.run.nifti.headers import header_class
from plugins import handed_on, imaging, parting
from plugins.images import ContractError, NotApplicableError
from plugins.untrusted import ExchangeError
from plugins.volume import Volume

MOST_SIDE = 32_767
"""What the header of NIfTI-1 can say of the length of an axis."""
_LEVEL = 1
_HEADER_BYTES = 352
_INT16 = np.iinfo(np.int16)
_UPRIGHT = 0.01
"""Share of a voxel by which the qform may differ from the sform before both are kept."""


@dataclass(frozen=True, slots=True)
class SeriesToWrite:
    """One input: which files, and where it goes."""

    files: tuple[Path, ...]
    target: Path
    modality: str
    least_slices: int
    tags: tuple[tuple[str, Any], ...]
    """Which of several volumes; empty: the series is one volume."""


@dataclass(frozen=True, slots=True)
class MaskToWrite:
    """The result of an earlier step, and where its mask goes."""

    source: Path
    """The folder of the result (`plugins.handed_on`)."""
    target: Path
    grid: SourceGrid
    """Of the images that it lies on."""


def write(order: SeriesToWrite) -> SourceGrid:
    """Write the series as one file and return its grid; NotApplicableError, InputUnreadableError, OSError."""
    try:
        volume, tags = _volume(order)
    except (NotApplicableError, OSError, MemoryError):
        raise
    except Exception as error:  # readers of headers and codecs raise anything
        why = str(error)[:200] or "one of them is damaged"
        raise InputUnreadableError(f"the images cannot be read for {order.target.name}: {why}") from error
    if len(volume.array) < order.least_slices:
        raise NotApplicableError(
            f"Slices of the series: {len(volume.array)}; at least {order.least_slices} are needed."
        )
    if max(volume.array.shape) > MOST_SIDE:
        raise NotApplicableError(f"The images have more than {MOST_SIDE} rows, columns or slices.")
    upright = _save(volume, order.target)
    return SourceGrid(
        shape=(volume.array.shape[0], volume.array.shape[1], volume.array.shape[2]),
        spacing=volume.spacing,
        affine=_as_tuples(volume.affine),
        upright=_as_tuples(upright),
        frames=volume.frames,
        modality=order.modality,
        units="HU" if order.modality == "CT" else "",
        tags=tags,
    )


def _save(volume: Volume, target: Path) -> NDArray[np.float64]:
    """Write the file; the affine (LPS) as a reader of the qform has it."""
    dtype = _smallest(volume.array)
    is_metaimage = target.suffix == metaimage.ENDING
    header, upright = (metaimage.header(volume, dtype), volume.affine) if is_metaimage else _header(volume, dtype)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _opened(target) as out:
        out.write(header)
        for plane in volume.array:
            out.write(plane.astype(dtype).tobytes())
    return upright


def write_mask(order: MaskToWrite) -> dict[int, str]:
    """Write the segmentation of an earlier step on the grid of the images; its labels and what they are called.

    Where that step outlined nothing, all voxels are 0. InputUnreadableError where its mask is not of these images.
    """
    grid = order.grid
    try:
        earlier = handed_on.read(order.source).segmentation
        labels = np.zeros(grid.shape, np.float32) if earlier is None else earlier.labels_on(grid.frames)
    except (ExchangeError, ContractError) as error:
        raise InputUnreadableError(f"the mask for {order.target.name} cannot be used: {error}") from error
    if labels.shape != grid.shape:
        raise InputUnreadableError(f"the mask for {order.target.name} has other rows and columns than the images")
    _save(Volume(labels.astype(np.float32), grid.spacing, grid.matrix, grid.frames), order.target)
    return {each.number: each.label for each in earlier.segments} if earlier else {}


def _volume(order: SeriesToWrite) -> tuple[Volume, tuple[tuple[str, Any], ...]]:
    """The volume that was asked for, and what tells it apart."""
    if not order.tags:
        return imaging.volume(order.files), ()
    parts = parting.volumes(order.files)
    found = [part for part in parts if all(part.tags.get(name) == value for name, value in order.tags)]
    if len(found) != 1:
        wanted = ", ".join(f"{name} = {value}" for name, value in order.tags)
        raise NotApplicableError(f"{len(found)} of the {len(parts)} volumes of the series have {wanted}.")
    return found[0].volume(), tuple(found[0].tags.items())


def _smallest(array: NDArray[np.float32]) -> np.dtype[Any]:
    """int16 where that holds every value as it is, else float32; little-endian, as the header says."""
    for plane in array:
        low, high = plane.min(), plane.max()
        if not (low >= _INT16.min and high <= _INT16.max and (plane == np.rint(plane)).all()):
            return np.dtype("<f4")
    return np.dtype("<i2")


def _header(volume: Volume, dtype: np.dtype[Any]) -> tuple[bytes, NDArray[np.float64]]:
    """The bytes before the voxels, and the affine (LPS) of the qform."""
    made = header_class("Nifti1")(endianness="<")
    made.set_data_dtype(dtype)
    made.set_data_shape(volume.array.shape[::-1])
    made.set_xyzt_units("mm")
    made.set_sform(RAS @ volume.affine, code=1)
    made.set_qform(RAS @ volume.affine, code=1)
    made["vox_offset"], made["scl_slope"], made["scl_inter"] = _HEADER_BYTES, 1, 0
    upright = RAS @ made.get_qform()
    off = np.abs(np.linalg.inv(volume.affine) @ upright - np.eye(4))[:3] @ np.r_[volume.array.shape[::-1], 1]
    return made.binaryblock + b"\0\0\0\0", upright if off.max() > _UPRIGHT else volume.affine


@contextmanager
def _opened(target: Path) -> Iterator[BinaryIO]:
    """A new file to write to, compressed where its name says so; the same bytes for the same voxels."""
    with target.open("xb") as file:
        if target.suffix != ".gz":
            yield file
            return
        packer: Any = igzip.IGzipFile
        with packer(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed:
            yield packed


def _as_tuples(affine: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in affine)
