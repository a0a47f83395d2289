"""Points, boxes and diameters that come from a volume are where the mask is, in the words of the contract."""

from __future__ import annotations

import numpy as np
import pytest

from plugins.contract import ContractError, ImageReference, Volume


def volume(shape=(5, 40, 60), spacing=(3.0, 0.5, 0.8), turned: float = 0.0) -> Volume:
    """A stack, turned by an angle about x and by the same about z, from an odd origin."""
    c, s = np.cos(turned), np.sin(turned)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing[::-1])
    affine[:3, 3] = (-11.5, 42.25, 7)
    frames = tuple(ImageReference(f"1.2.3.{number}") for number in range(shape[0]))
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Volume(array, spacing, affine, frames, "1.9")


def disc(centre, radius_mm: float, of: Volume, z: int = 2, squeeze: float = 1.0) -> np.ndarray:
    """A disc (or an ellipse, `squeeze` times as high) around a centre (row, column) on one slice."""
    rows, columns = np.mgrid[: of.array.shape[1], : of.array.shape[2]]
    away = np.hypot((rows - centre[0]) * of.spacing[1] / squeeze, (columns - centre[1]) * of.spacing[2])
    mask = np.zeros(of.array.shape, bool)
    mask[z] = away <= radius_mm
    return mask


@pytest.mark.parametrize("turned", [0.0, 0.4])
def test_a_point_of_the_array_is_where_the_affine_says(turned):
    """In the patient by the affine, and on its image half a pixel from the corner, column first."""
    of = volume(turned=turned)
    point = of.point(2, 10, 20.5)
    assert point.points[0] == pytest.approx((of.affine @ (20.5, 10, 2, 1))[:3])
    assert (point.frame_of_reference_uid, point.image) == ("1.9", None)
    on_image = of.image_point(2, 10, 20)
    assert on_image.points.tolist() == [[20.5, 10.5]]
    assert on_image.image == of.frames[2]


def test_a_point_in_the_patient_needs_a_frame_of_reference():
    """The message says which function works without."""
    nowhere = Volume(np.zeros((1, 2, 2), np.float32), (1, 1, 1), np.eye(4), (ImageReference("1"),))
    with pytest.raises(ContractError, match="image_point"):
        nowhere.point(0, 0, 0)


@pytest.mark.parametrize("radius", [4.0, 7.3])
def test_a_disc_has_its_own_diameter(radius):
    """Long and short axis of a disc are its diameter, to one pixel, also where pixels are not square."""
    of = volume()
    found = of.diameters(disc((20, 28), radius, of))
    assert found.long_mm == pytest.approx(2 * radius, abs=0.81)
    assert found.short_mm == pytest.approx(2 * radius, abs=0.81)
    assert found.slice_index == 2
    assert found.long_axis.image == found.short_axis.image == of.frames[2]


def test_axes_of_an_ellipse_are_perpendicular_and_on_its_image():
    """An ellipse of 16 × 8 mm: both lengths, a right angle in mm, and ends on the outline in columns and rows."""
    of = volume()
    found = of.diameters(disc((18, 30), 8.0, of, squeeze=0.5))
    assert (found.long_mm, found.short_mm) == pytest.approx((16, 8), abs=0.81)
    spacing = np.array([0.8, 0.5])
    one, other = (np.diff(axis.points, axis=0)[0] * spacing for axis in (found.long_axis, found.short_axis))
    assert abs(one @ other) < 1e-6 * found.long_mm * found.short_mm
    assert found.long_axis.points.mean(axis=0) == pytest.approx([30.5, 18.5], abs=1)


def test_the_slice_with_the_longest_axis_is_measured():
    """Of several slices it is the one that a reader would choose."""
    of = volume()
    mask = disc((20, 28), 4.0, of, z=1) | disc((20, 28), 6.0, of, z=3)
    assert of.diameters(mask).slice_index == 3


@pytest.mark.parametrize(("shape", "expected"), [((1, 1), (0.8, 0.5)), ((1, 7), (5.6, 0.5)), ((6, 1), (3.0, 0.8))])
def test_thin_masks_have_the_width_of_their_pixels(shape, expected):
    """One pixel and one line of pixels: no axis is 0 mm."""
    of = volume()
    mask = np.zeros(of.array.shape, np.uint8)
    mask[0, 3 : 3 + shape[0], 4 : 4 + shape[1]] = 1
    found = of.diameters(mask)
    assert (found.long_mm, found.short_mm) == pytest.approx(expected, abs=1e-6)


def test_a_notch_does_not_cut_an_axis_short():
    """The outline is convex: a disc with a hole and a bay has the diameters of the disc."""
    of = volume()
    whole = disc((20, 28), 7.0, of)
    bitten = np.array(whole)
    bitten[2, 19:22, :28] = False
    assert of.diameters(bitten).long_mm == pytest.approx(of.diameters(whole).long_mm, abs=0.5)


def test_a_bounding_box_is_what_the_mask_fills():
    """Indices cut the mask out, mm follow from the spacing, and the box ends where the last pixel ends."""
    of = volume()
    mask = np.zeros(of.array.shape, bool)
    mask[1:4, 10:20, 30:34] = True
    mask[4, 12, 30] = True
    found = of.bounding_box(mask)
    assert (found.start, found.stop) == ((1, 10, 30), (5, 20, 34))
    assert found.size_mm == pytest.approx((12, 5, 3.2))
    assert mask[found.slices].sum() == mask.sum()
    assert found.box.points.tolist() == [[30, 10], [34, 20]]
    assert found.box.image == of.frames[1]


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (np.zeros((5, 40, 60), bool), "no voxel"),
        (np.ones((60, 40, 5), bool), r"\(60, 40, 5\), the volume \(5, 40, 60\)"),
        (np.full((5, 40, 60), 0.3), "probability >= threshold"),
    ],
    ids=["empty", "other axes", "probabilities"],
)
def test_a_mask_that_cannot_be_measured_is_refused(mask, match):
    """The message says what is wrong with it."""
    for measure in (volume().diameters, volume().bounding_box):
        with pytest.raises(ContractError, match=match):
            measure(mask)


def test_a_volume_on_another_grid_has_no_images():
    """A resampled volume cannot say on which image a lesion is."""
    of = volume()
    resampled = Volume(of.array, of.spacing, of.affine, ())
    with pytest.raises(ContractError, match="resample_like"):
        resampled.image_point(0, 1, 1)
