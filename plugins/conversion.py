"""Volumes as images of SimpleITK and nibabel, and what was computed on those back on the volume's own axes.

SimpleITK counts (column, row, slice) and has its arrays the other way round; its space is that of DICOM (LPS). NIfTI
counts (column, row, slice), and its space is RAS: x and y are negated. Neither is asked which way it lies: what comes
back is brought to the volume's axes by its own affine, and refused where its voxels are not those of the volume.

Needs SimpleITK or nibabel, each for its own functions only.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.images import ContractError, VoxelGrid, require

_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From LPS to RAS, and back."""
_OFF = 0.05
"""How far a voxel may be from that of the volume, as a share of a voxel: NIfTI keeps its affine as float32."""


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} is not installed in the interpreter of this plugin; write `pip install {name}` there, and name it "
            "in [runtime] interpreter"
        ) from error


def to_sitk(volume: VoxelGrid) -> Any:
    """A SimpleITK image of float32 with the volume's voxels, spacing, origin and direction."""
    sitk = _package("SimpleITK")
    image = sitk.GetImageFromArray(volume.array)
    steps = np.linalg.norm(volume.affine[:3, :3], axis=0)
    image.SetSpacing([float(step) for step in steps])
    image.SetOrigin([float(value) for value in volume.affine[:3, 3]])
    image.SetDirection([float(value) for value in (volume.affine[:3, :3] / steps).ravel()])
    return image


def from_sitk(volume: VoxelGrid, image: Any) -> NDArray[Any]:
    """The array of a SimpleITK image on the volume's axes (slices, rows, columns); `ContractError` for other voxels."""
    sitk = _package("SimpleITK")
    array = sitk.GetArrayFromImage(image)
    require(array.ndim == 3, f"from_sitk: the image has {array.ndim} dimensions, expected 3")
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return _on_axes_of(volume, array.transpose(2, 1, 0), affine, "from_sitk")


def to_nifti(volume: VoxelGrid) -> Any:
    """A nibabel Nifti1Image of float32, axes (column, row, slice), in mm; sform and qform say scanner coordinates."""
    nibabel = _package("nibabel")
    image = nibabel.Nifti1Image(volume.array.transpose(2, 1, 0), _RAS @ volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    return image


def from_nifti(volume: VoxelGrid, image: Any) -> NDArray[Any]:
    """The array of a NIfTI image on the volume's axes (slices, rows, columns); `ContractError` for other voxels.

    Images whose axes were flipped or exchanged (`nibabel.as_closest_canonical`, many tools) come back right.
    """
    array = np.asarray(image.dataobj)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    require(array.ndim == 3, f"from_nifti: the image has the shape {array.shape}, expected three dimensions")
    return _on_axes_of(volume, array, _RAS @ np.asarray(image.affine, dtype=np.float64), "from_nifti")


def turned(
    shape: tuple[int, ...], target: NDArray[np.float64], array: NDArray[Any], affine: NDArray[np.float64]
) -> NDArray[Any] | None:
    """A view of `array`, its axes exchanged and flipped to those of another grid; None where its voxels are others.

    `shape`: (slices, rows, columns) and `target`: affine of the grid; `affine`: that of `array`, whose axes are its
    columns. Both map indices to the same space.
    """
    across = np.linalg.inv(target) @ affine  # index of the array → (column, row, slice) of the grid
    turn = np.round(across[:3, :3])
    is_turn = bool((np.abs(turn).sum(axis=0) == 1).all() and (np.abs(turn).sum(axis=1) == 1).all())
    if not is_turn:
        return None
    wanted = shape[::-1]
    order = [int(np.flatnonzero(row)[0]) for row in turn]  # axis of the array for each axis of the grid
    moved = array.transpose(order)
    flipped = [axis for axis, row in enumerate(turn) if row.sum() < 0]
    moved = np.flip(moved, tuple(flipped))
    last = np.array(array.shape) - 1.0
    corners = np.array(np.meshgrid(*([0.0, end] for end in last), indexing="ij")).reshape(3, -1)
    exact = turn @ corners + np.array([[wanted[axis] - 1.0 if axis in flipped else 0.0] for axis in range(3)])
    off = np.abs(across[:3, :3] @ corners + across[:3, 3:] - exact).max()
    return moved.transpose(2, 1, 0) if moved.shape == wanted and off <= _OFF else None


def _on_axes_of(volume: VoxelGrid, array: NDArray[Any], affine: NDArray[np.float64], name: str) -> NDArray[Any]:
    """`array` (its axes are the columns of `affine`) with its axes exchanged and flipped to those of the volume."""
    found = turned(volume.array.shape, volume.affine, array, affine)
    if found is None:
        raise _other_grid(volume, array, affine, name)
    return np.ascontiguousarray(found)


def _other_grid(volume: VoxelGrid, array: NDArray[Any], affine: NDArray[np.float64], name: str) -> ContractError:
    """What both grids are, in the same words."""
    both = [(volume.array.shape[::-1], volume.affine), (array.shape, affine)]
    shown = [
        f"{shape} voxels of {np.round(np.linalg.norm(grid[:3, :3], axis=0), 4).tolist()} mm from "
        f"{np.round(grid[:3, 3], 3).tolist()}"
        for shape, grid in both
    ]
    return ContractError(
        f"{name}: the image is on another grid than the volume (columns, rows, slices; LPS): {shown[1]}, not "
        f"{shown[0]}; bring it back with resampling.resample_like"
    )
