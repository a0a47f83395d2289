"""Headers of NIfTI files, through nibabel: made for what is written, and distrusted where a program wrote them.

(NIfTI-1: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h; NIfTI-2: nifti2.h beside it.)
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.run.nifti.grids import RAS

MOST_VOXELS = 2**29
"""Of a file on another grid than the images: 512 × 512 × 2,048."""
MOST_PLANE = 2**26
"""Voxels of one plane, which is in memory as a whole."""
MOST_EXTENSIONS = 16 * 2**20
"""Bytes between header and voxels."""
FIRST_BYTES = 4
"""Enough to tell the version: sizeof_hdr, in either byte order."""
_SIZES = {348: "Nifti1", 540: "Nifti2"}
_TYPES = frozenset(["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"])
_MILLIMETRES = (0, 2)
"""Spatial unit of xyzt_units: not stated, or mm."""
_APART = 5.0
"""Voxels by which qform and sform may differ: a qform cannot say that a stack leans, which is 0.5° at most."""


class NiftiHeaderError(ValueError):
    """A header that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class NiftiHead:
    """What a header says, checked."""

    shape: tuple[int, int, int]
    """Voxels along i, j and k; i is the fastest in the file."""
    dtype: np.dtype[Any]
    affine: NDArray[np.float64]
    """(i, j, k, 1) → x, y, z in mm, LPS."""
    slope: float
    intercept: float
    skip: int
    """Bytes between the header and the first voxel: extensions."""

    @property
    def voxels(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def plane_bytes(self) -> int:
        """Of all voxels with one k."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


def header_class(name: str) -> Any:
    """nibabel's class, which the node's own process never loads; it has no types."""
    return getattr(importlib.import_module(f"nibabel.{name.lower()}"), f"{name}Header")


def size_of(first: bytes) -> int:
    """Bytes of the header that begins with these; NiftiHeaderError."""
    sizes = {int.from_bytes(first, "little"), int.from_bytes(first, "big")} & _SIZES.keys()
    if len(first) < FIRST_BYTES or not sizes:
        raise NiftiHeaderError("is not a NIfTI file: it does not begin with a header of NIfTI-1 or NIfTI-2")
    return sizes.pop()


def judged(block: bytes, most_voxels: int) -> NiftiHead:
    """What a header of `size_of` bytes says; NiftiHeaderError where it may not say that."""
    size = len(block)
    try:
        header = header_class(_SIZES[size]).from_fileobj(BytesIO(block), check=False)
        magic = bytes(header["magic"])[:3]
        dtype = np.dtype(header.get_data_dtype())
    except Exception as error:
        why = str(error)[:200] or "it is damaged"
        raise NiftiHeaderError(f"has a header that cannot be read: {why}") from error
    if magic not in (b"n+1", b"n+2"):
        raise NiftiHeaderError("has its voxels in another file, or is not NIfTI; write one .nii or .nii.gz")
    if dtype.name not in _TYPES:
        raise NiftiHeaderError(f"has voxels of the type {dtype.name}; expected whole or real numbers")
    if int(header["xyzt_units"]) & 7 not in _MILLIMETRES:
        raise NiftiHeaderError("has a grid that is not in mm (xyzt_units)")
    slope, intercept = _scaling(header)
    return NiftiHead(
        shape=_shape(header, most_voxels),
        dtype=dtype,
        affine=_affine(header),
        slope=slope,
        intercept=intercept,
        skip=_skip(header, size),
    )


def _shape(header: Any, most_voxels: int) -> tuple[int, int, int]:
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise NiftiHeaderError(f"has {count} dimensions, expected 3")
    return checked_shape([int(each) for each in header["dim"][1 : count + 1]], most_voxels)


def checked_shape(lengths: Sequence[int], most_voxels: int) -> tuple[int, int, int]:
    """The lengths of the three axes of one volume; NiftiHeaderError for another number, or more than `most_voxels`."""
    shown = " × ".join(map(str, lengths))
    if min(lengths) < 1:
        raise NiftiHeaderError(f"has the shape {shown}, of which one is below 1")
    if len(lengths) < 3 or any(each != 1 for each in lengths[3:]):
        raise NiftiHeaderError(f"has {len(lengths)} dimensions ({shown}), expected one volume of 3")
    if math.prod(lengths[:3]) > most_voxels or lengths[0] * lengths[1] > MOST_PLANE:
        raise NiftiHeaderError(f"announces {shown} voxels, more than the {most_voxels:,} that it may have")
    return lengths[0], lengths[1], lengths[2]


def _scaling(header: Any) -> tuple[float, float]:
    """Slope and intercept; 1 and 0 where the slope is 0 or not a number, which stand for none."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise NiftiHeaderError(f"has the scaling {slope} (scl_slope) and {intercept} (scl_inter)")
    return slope, intercept


def _skip(header: Any, size: int) -> int:
    offset = float(header["vox_offset"])
    least = size + 4  # the four bytes that say whether there are extensions
    if not (math.isfinite(offset) and offset == int(offset) and least <= offset <= size + MOST_EXTENSIONS):
        raise NiftiHeaderError(
            f"has its voxels at byte {offset:g} (vox_offset), expected {least} to {size + MOST_EXTENSIONS}"
        )
    return int(offset) - size


def _affine(header: Any) -> NDArray[np.float64]:
    """LPS. The sform counts; where there is a qform, too, it must not contradict."""
    sform = np.asarray(header.get_sform(), np.float64) if int(header["sform_code"]) > 0 else None
    qform = _qform(header) if int(header["qform_code"]) > 0 else None
    found = sform if sform is not None else qform
    if found is None:
        raise NiftiHeaderError("does not say where its voxels are: neither qform nor sform is set")
    if not np.isfinite(found).all() or np.abs(np.linalg.det(found[:3, :3])) < 1e-9:
        raise NiftiHeaderError("does not say where its voxels are: its affine has no inverse")
    if sform is not None and qform is not None:
        last = np.array([*(max(1, int(each)) - 1 for each in header["dim"][1:4]), 0])
        off = np.abs(np.linalg.inv(found) @ (qform - sform))[:3] @ np.r_[last[:3], 1]
        if not off.max() <= _APART:
            raise NiftiHeaderError(
                f"says two things of where its voxels are: qform and sform are {off.max():.1f} voxels apart"
            )
    return np.asarray(RAS @ found)


def _qform(header: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(header.get_qform(), np.float64)
    except Exception as error:
        raise NiftiHeaderError(f"has a qform that cannot be read: {str(error)[:200]}") from error
