"""Volumes go to SimpleITK and NIfTI and come back: the same voxels at the same places, also in oblique stacks."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from plugins.contract import ContractError, Volume
from tests.unit.plugins.test_shapes import volume

sitk: Any = pytest.importorskip("SimpleITK")
nibabel: Any = pytest.importorskip("nibabel")

ANGLES = [0.0, 0.35, 1.2]
INDEX = (3, 11, 47)
"""A voxel: slice, row, column."""


@pytest.mark.parametrize("turned", ANGLES)
def test_simpleitk_sees_each_voxel_where_it_is(turned):
    """The same value at the same point of the patient (LPS), by SimpleITK's own arithmetic; and back."""
    of = volume(turned=turned)
    image = of.to_sitk()
    z, y, x = INDEX
    assert image.GetPixel(x, y, z) == of.array[INDEX]
    assert image.TransformIndexToPhysicalPoint((x, y, z)) == pytest.approx((of.affine @ (x, y, z, 1))[:3])
    assert np.array_equal(of.from_sitk(image), of.array)


@pytest.mark.parametrize("turned", ANGLES)
def test_nifti_sees_each_voxel_where_it_is(turned, tmp_path):
    """The same value at the same point (RAS: x and y negated), also from a file; and back."""
    of = volume(turned=turned)
    nibabel.save(of.to_nifti(), tmp_path / "v.nii.gz")
    image = nibabel.load(tmp_path / "v.nii.gz")
    z, y, x = INDEX
    assert image.get_fdata()[x, y, z] == of.array[INDEX]
    there = (image.affine @ (x, y, z, 1))[:3] * (-1, -1, 1)
    assert there == pytest.approx((of.affine @ (x, y, z, 1))[:3], abs=1e-4)
    assert image.header.get_zooms() == pytest.approx(of.spacing[::-1])
    assert np.array_equal(of.from_nifti(image), of.array)


@pytest.mark.parametrize("turned", ANGLES)
def test_a_nifti_with_other_axes_comes_back_right(turned):
    """Tools that flip and exchange axes (as_closest_canonical) change nothing, for masks of uint8 as well."""
    of = volume(turned=turned)
    mask = (of.array % 7 == 0).astype(np.uint8)
    stored = nibabel.Nifti1Image(mask.transpose(2, 1, 0), of.to_nifti().affine)
    orientation = nibabel.orientations.io_orientation(stored.affine)
    other = nibabel.orientations.axcodes2ornt(("I", "L", "P"))
    moved = stored.as_reoriented(nibabel.orientations.ornt_transform(orientation, other))
    assert moved.shape != stored.shape
    for image in (moved, nibabel.as_closest_canonical(stored)):
        back = of.from_nifti(image)
        assert (back.dtype, back.flags.c_contiguous) == (np.uint8, True)
        assert np.array_equal(back, mask)


def test_simpleitk_and_nibabel_agree_on_a_file(tmp_path):
    """A NIfTI that SimpleITK writes is read by nibabel onto the same axes."""
    of = volume(turned=0.35)
    sitk.WriteImage(of.to_sitk(), str(tmp_path / "v.nii"))
    assert np.array_equal(of.from_nifti(nibabel.load(tmp_path / "v.nii")), of.array)


def shifted(of: Volume, **other: Any) -> Volume:
    affine = np.array(of.affine)
    affine[0, 3] += other.get("by", 0)
    affine[:3, 0] *= other.get("scale", 1)
    return Volume(of.array, of.spacing, affine, of.frames)


@pytest.mark.parametrize(
    "change",
    [{"by": 0.4}, {"scale": 1.01}, {"scale": 2.0}],
    ids=["half a voxel away", "one per cent larger", "twice as large"],
)
def test_another_grid_is_refused_with_both(change):
    """A mask of other voxels never lands on the volume; the message says what brings it there."""
    of = volume()
    other = shifted(of, **change)
    for back, image in ((of.from_sitk, other.to_sitk()), (of.from_nifti, other.to_nifti())):
        with pytest.raises(ContractError, match=r"another grid.*resample_like"):
            back(image)


def test_a_cropped_or_turned_image_is_refused():
    """Fewer slices, or an image turned by some degrees, are other voxels."""
    of = volume()
    with pytest.raises(ContractError, match=r"\(60, 40, 3\) voxels"):
        of.from_sitk(of.to_sitk()[:, :, :3])
    with pytest.raises(ContractError, match="another grid"):
        of.from_nifti(volume(turned=0.1).to_nifti())


def test_a_missing_package_is_named(monkeypatch):
    """The error says what to install and where."""
    original = builtins.__import__
    monkeypatch.setattr("plugins.conversion.importlib.import_module", lambda name: original(f"{name}_not_there"))
    with pytest.raises(ImportError, match=r"nibabel is not installed.*pip install nibabel"):
        volume().to_nifti()
