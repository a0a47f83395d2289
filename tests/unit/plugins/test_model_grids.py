"""The grid of a model's input lies where the images lie, and what the model says comes back to its place."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from plugins.images import NotApplicableError
from plugins.model.geometry import grid_of
from plugins.model.mapping import ModelChannel, ModelImages, ModelInput, SizeFit

SHAPE, SPACING = (12, 30, 22), (5.0, 0.7, 1.1)
HALF = 0.5 + 1e-6


def given(**changes) -> ModelInput:
    """An input of volumes."""
    usual = {"name": "", "images": ModelImages.VOLUME, "layout": "NCDHW", "element": "float32"}
    return ModelInput(**{**usual, "channels": (ModelChannel(),), **changes})


def affine_of(turn: int = 0) -> np.ndarray:
    """Of an oblique stack of `SPACING`; `turn` exchanges and mirrors its axes."""
    directions = np.linalg.qr(np.array([[1, 0.2, 0.1], [-0.15, 1, 0.25], [-0.1, -0.3, 1]]))[0]
    directions = directions * np.sign(np.diag(directions))
    order, signs = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))[turn]
    affine = np.eye(4)
    affine[:3, :3] = directions[:, order] * signs * np.array(SPACING[::-1])
    affine[:3, 3] = (-31, 12, 400)
    return affine


def blob(shape: tuple[int, ...], centre: tuple[float, ...]) -> np.ndarray:
    """A smooth peak around a point of an array."""
    away = np.indices(shape).reshape(len(shape), -1).T - np.array(centre)
    scale = np.array([1.5, 4.0, 4.0])[-len(shape) :]
    return np.exp(-0.5 * ((away / scale) ** 2).sum(axis=1)).reshape(shape).astype(np.float32)


def centre_of(array: np.ndarray) -> np.ndarray:
    """Centre of mass."""
    weights = np.where(array > 0.2 * array.max(), array, 0)
    return np.array([float((each * weights).sum() / weights.sum()) for each in np.indices(array.shape)])


FITS: list[dict[str, Any]] = [
    {},
    {"spacing": (2.0, 2.0, 2.0)},
    {"spacing": (1.3, 2.5, 0.9), "layout": "NCWHD"},
    {"spacing": (2.0, 2.0, 2.0), "size": (40, 20, 16), "fit": SizeFit.CROP_OR_PAD},
    {"spacing": (1.5, 1.5, 1.5), "size": (33, 33, 33), "fit": SizeFit.LETTERBOX},
    {"size": (24, 24, 24), "fit": SizeFit.STRETCH},
    {"size": (17, 41, 25), "fit": SizeFit.PAD},
    {"size": (9, 25, 20), "fit": SizeFit.CROP},
]


@pytest.mark.parametrize(
    "changes", FITS, ids=lambda each: "-".join(f"{key}={value}" for key, value in each.items()) or "as it is"
)
def test_what_the_model_sees_comes_back_to_its_place(changes):
    """A peak in the images is one at the model's index, and its map one at the images', to half a voxel."""
    centre = (5.4, 14.7, 10.2)
    grid = grid_of(given(**changes), SHAPE, SPACING)
    seen = grid.taken(blob(SHAPE, centre), 0.0, smooth=False)
    assert seen.shape == grid.shape
    there = grid.place(tuple(centre_of(seen)))
    assert np.abs(np.array(there) - centre).max() < HALF
    back = grid.given_back(seen, 0.0)
    assert back.shape == SHAPE
    assert np.abs(centre_of(back) - centre).max() < HALF


@pytest.mark.parametrize("turn", range(48))
def test_an_orientation_is_reached_from_every_stack(turn):
    """Whatever axes a stack has, oblique ones too, the model's lead most nearly right, anterior and up."""
    affine = affine_of(turn)
    grid = grid_of(given(orientation="RAS", spacing=(1.5, 1.5, 2.0)), SHAPE, SPACING, affine)

    def in_patient(index: tuple[float, ...]) -> np.ndarray:
        z, y, x = grid.place(index)
        return (affine @ (x, y, z, 1.0))[:3]

    origin = in_patient((0, 0, 0))
    for axis, (wanted, step) in enumerate(zip(([-1, 0, 0], [0, -1, 0], [0, 0, 1]), (1.5, 1.5, 2.0), strict=True)):
        leads = in_patient(tuple(1.0 if each == axis else 0.0 for each in range(3))) - origin
        assert np.linalg.norm(leads) == pytest.approx(step)
        assert int(np.abs(leads).argmax()) == axis
        assert float(leads @ wanted) > 0


@pytest.mark.parametrize("turn", range(0, 48, 7))
def test_masks_come_back_through_an_orientation(turn):
    """The same voxels where nothing is scaled; half a voxel at most where it is."""
    mask = np.zeros(SHAPE, np.float32)
    mask[3:6, 8:19, 4:15] = 1
    exact = grid_of(given(orientation="LPS"), SHAPE, SPACING, affine_of(turn))
    assert (exact.given_back(exact.taken(mask, 0.0, smooth=False), 0.0) == mask).all()
    scaled = grid_of(given(orientation="SAR", spacing=(2.5, 0.6, 0.6)), SHAPE, SPACING, affine_of(turn))
    back = scaled.given_back(scaled.taken(mask, 0.0, smooth=False), 0.0) > 0.5
    for axis in range(3):
        rest = tuple(each for each in range(3) if each != axis)
        wanted, found = np.flatnonzero(mask.any(axis=rest)), np.flatnonzero(back.any(axis=rest))
        coarsest = max(1.0, next(each.ratio for each in scaled.axes if each.source == axis))
        assert abs(wanted.mean() - found.mean()) <= HALF * coarsest


def test_a_coarse_map_stands_where_its_cells_lie():
    """A map with fewer cells than the input has, such as one of class activation: each cell stands for its part."""
    projection = given(images=ModelImages.PROJECTION, layout="NCHW", size=(64, 64), fit=SizeFit.LETTERBOX)
    grid = grid_of(projection, (300, 200), (1.0, 1.0))
    cells = np.zeros((8, 8), np.float32)
    cells[2, 5] = 1  # rows 16 to 23, columns 40 to 47 of the input
    back = grid.given_back(cells, 0.0)
    row, column = grid.place((19.5, 43.5))
    assert np.abs(centre_of(back) - (row, column)).max() < 1.5
    assert (row, column) == pytest.approx((20 * 300 / 64 - 0.5, (44 - 10.5) * 200 / 43 - 0.5), abs=2.5)


def test_what_the_model_did_not_see_is_not_made_up():
    """Beyond a crop there is what the caller says; a grid that leaves something out says so."""
    grid = grid_of(given(layout="NCDHW", size=(12, 10, 10), fit=SizeFit.CROP), SHAPE, SPACING)
    assert not grid.is_whole
    back = grid.given_back(np.ones(grid.shape, np.float32), -1.0)
    assert (back == 1).sum() == 12 * 10 * 10
    assert back[:, 10:20, 6:16].min() == 1
    assert all(grid_of(given(**each), SHAPE, SPACING).is_whole for each in FITS[:3])


@pytest.mark.parametrize(("fit", "size"), [(SizeFit.CROP, (12, 31, 22)), (SizeFit.PAD, (12, 29, 22))])
def test_images_that_do_not_fit_are_not_applicable(fit, size):
    """A crop needs something to cut off, padding room to fill: nothing is scaled unasked."""
    with pytest.raises(NotApplicableError, match="12 × 30 × 22"):
        grid_of(given(size=size, fit=fit), SHAPE, SPACING)


def test_padding_is_where_no_image_is():
    """The model's own value, on both sides, beside values that are the images'."""
    grid = grid_of(given(size=(14, 30, 25), fit=SizeFit.PAD), SHAPE, SPACING)
    seen = grid.taken(np.ones(SHAPE, np.float32), -7.0, smooth=True)
    assert (seen[1:13, :, 1:23] == 1).all()
    assert (seen == -7).sum() == seen.size - 12 * 30 * 22
