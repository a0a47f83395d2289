"""Resampling keeps things where they are, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.contract import Volume
from plugins.resampling import resample, resample_like


def ramp(shape=(10, 12, 14), spacing=(3.0, 1.0, 2.0)) -> Volume:
    """Values that are x + 10·y + 100·z in mm, on an oblique grid."""
    affine = np.eye(4)
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    affine[:3, :3] = turn @ np.diag(spacing[::-1])
    affine[:3, 3] = (-20, 5, 7)
    z, y, x = np.indices(shape)
    places = np.einsum("ij,j...->i...", affine, np.stack([x, y, z, np.ones(shape)]))
    values = places[0] + 10 * places[1] + 100 * places[2]
    return Volume(values.astype(np.float32), spacing, affine, ())


@given(st.floats(0.5, 1.0), st.floats(0.4, 1.0), st.floats(0.7, 2.0))
def test_every_voxel_keeps_its_place(dz, dy, dx):
    """Inside the old voxel centres, a linear field sampled at the new ones has exactly its values there."""
    source = ramp()
    target = resample(source, (dz, dy, dx))
    z, y, x = np.indices(target.array.shape)
    places = np.einsum("ij,j...->i...", target.affine, np.stack([x, y, z, np.ones(target.array.shape)]))
    expected = places[0] + 10 * places[1] + 100 * places[2]
    inner = tuple(
        slice(int(4 * s / n) + 1, -int(4 * s / n) - 1) for s, n in zip(source.spacing, target.spacing, strict=True)
    )
    assert target.array[inner] == pytest.approx(expected[inner], abs=0.05)
    assert target.spacing == (dz, dy, dx)


def test_extent_is_kept():
    """The new grid covers the same space to within a voxel: half a voxel is not lost at each end."""
    source = ramp((10, 10, 10), (2.0, 2.0, 2.0))
    target = resample(source, 1.0)
    assert target.array.shape == (20, 20, 20)
    corner = np.array([-0.5, -0.5, -0.5, 1])
    assert target.affine @ corner == pytest.approx(source.affine @ corner)


def test_labels_there_and_back():
    """A mask made on a finer grid comes back to the source grid as it was."""
    source = ramp((8, 9, 10), (2.0, 1.5, 1.5))
    mask = np.zeros(source.array.shape, dtype=np.uint8)
    mask[2:6, 3:7, 4:8] = 3
    fine = resample(Volume(mask.astype(np.float32), source.spacing, source.affine, ()), 0.5)
    labels = np.where(fine.array > 1.5, 3, 0).astype(np.uint8)
    back = resample_like(labels, fine.affine, source, labels=True)
    assert back.dtype == np.uint8
    assert np.array_equal(back, mask)


def test_beyond_the_map_is_background():
    """A model that saw a part of the volume says nothing about the rest."""
    source = ramp((6, 6, 6), (1.0, 1.0, 1.0))
    part = source.affine.copy()
    part[:3, 3] = (source.affine @ (2, 2, 2, 1))[:3]
    back = resample_like(np.ones((2, 2, 2), dtype=np.float32), part, source, labels=False)
    assert back.sum() == pytest.approx(8)
    assert back[2:4, 2:4, 2:4] == pytest.approx(1)


def test_coarser_grid_does_not_alias():
    """A pattern finer than the new grid averages out instead of turning into another pattern."""
    board = np.indices((16, 16, 16)).sum(axis=0) % 2 * 100.0
    coarse = resample(Volume(board.astype(np.float32), (1.0, 1.0, 1.0), np.eye(4), ()), 4.0)
    assert coarse.array == pytest.approx(50, abs=5)


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan"), (1.0, 1.0, 0.0)])
def test_impossible_spacing(spacing):
    """Spacings are positive numbers."""
    with pytest.raises(ValueError, match="spacing"):
        resample(ramp(), spacing)
