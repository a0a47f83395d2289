"""Lesions that share a label: a finding for each connected part, and words for those that have none."""

from __future__ import annotations

import numpy as np
import pytest

from plugins import codes, components
from plugins.coding import Code
from plugins.images import ImageReference
from plugins.nifti_mapping import MappedSegment
from plugins.regions import Point

SPACING = (2.0, 0.5, 1.0)
FRAMES = tuple(ImageReference(f"1.2.{number}") for number in range(20))
LESION = Code("52988006", "SCT", "Lesion")


def mask(*blocks: tuple[slice, slice, slice]) -> np.ndarray:
    made = np.zeros((20, 40, 40), bool)
    for each in blocks:
        made[each] = True
    return made


LARGE = np.s_[2:6, 10:20, 10:16]  # 240 voxels: 8 mm, 5 mm, 6 mm
SMALL = np.s_[12:13, 30:32, 30:32]
SPECK = np.s_[17:18, 3:4, 3:4]


def lesion(most: int, minimum: float = 0.0) -> MappedSegment:
    return MappedSegment("Lesion", LESION, LESION, 1, finding=LESION, parts=most, part_minimum_ml=minimum)


def test_each_part_has_volume_long_axis_and_centre() -> None:
    """The largest first; the point is on the image of its centre, in its pixels."""
    found = components.findings(lesion(10), mask(SPECK, LARGE, SMALL), SPACING, FRAMES)
    assert [draft.name for draft in found.drafts] == ["Lesion 1", "Lesion 2", "Lesion 3"]
    assert [draft.measurements[0].value for draft in found.drafts] == pytest.approx([0.240, 0.004, 0.001])
    assert all(draft.measurements[1].concept == codes.LONG_AXIS for draft in found.drafts)
    assert all(draft.made().present for draft in found.drafts)
    (point,) = found.drafts[0].regions
    assert isinstance(point, Point)
    assert point.image == FRAMES[4]
    assert point.points.tolist() == [[13.0, 15.0]]
    assert found.left_out == ""


@pytest.mark.parametrize(
    ("most", "minimum", "names", "left"),
    [
        (1, 0.0, ["Lesion 1"], "Not listed, further parts of Lesion: 2, together 0.01 mL."),
        (10, 0.1, ["Lesion 1"], "Not listed, further parts of Lesion: 2, together 0.01 mL."),
        (10, 1.0, [], "Not listed, further parts of Lesion: 3, together 0.24 mL."),
    ],
    ids=["beyond the number", "too small", "all too small"],
)
def test_what_is_not_listed_is_counted_in_words(most: int, minimum: float, names: list[str], left: str) -> None:
    """Nothing goes without a word."""
    found = components.findings(lesion(most, minimum), mask(SPECK, LARGE, SMALL), SPACING, FRAMES)
    assert [draft.name for draft in found.drafts] == names
    assert found.left_out == left


def test_voxels_that_touch_at_a_corner_are_one_part() -> None:
    """26 neighbours."""
    assert len(components.parts(mask(np.s_[1:2, 1:2, 1:2], np.s_[2:3, 2:3, 2:3]), SPACING)) == 1


@pytest.mark.parametrize(
    ("block", "least", "most"),
    [
        (SPECK, 2.0, 2.0),  # one voxel: its longest edge
        (np.s_[1:2, 5:6, 0:30], 30.0, 30.1),  # a row
        (LARGE, 10.0, 11.2),  # the diagonal of 8, 5 and 6 mm is 11.2, of the voxels' centres 9.0
    ],
    ids=["one voxel", "a row", "a block"],
)
def test_the_long_axis_is_from_edge_to_edge(block: tuple[slice, ...], least: float, most: float) -> None:
    """In any direction, in mm."""
    (part,) = components.parts(mask(block), SPACING)  # type: ignore[arg-type]  # three slices
    assert least - 1e-6 <= part.longest_mm <= most


def test_the_long_axis_of_a_sphere_is_its_diameter() -> None:
    """And up to a slice more, since voxels count whole; on unequal spacings."""
    z, y, x = np.indices((20, 80, 40))
    sphere = ((z - 10) * 2.0) ** 2 + ((y - 40) * 0.5) ** 2 + ((x - 20) * 1.0) ** 2 <= 15.0**2
    (part,) = components.parts(sphere, SPACING)
    assert 30 <= part.longest_mm <= 32
