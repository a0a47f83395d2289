"""The numbers of findings on a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from node.results.pages.badges import NumberBadges, NumberedShape, PictureBox

GREEN, GREY = (0, 200, 0), (90, 90, 90)


def shape(number: int, extent: PictureBox) -> NumberedShape:
    return NumberedShape(number, (extent[2], extent[1]), extent, GREEN)


def drawn(*groups: list[NumberedShape], size: tuple[int, int] = (400, 300)) -> tuple[list[PictureBox], Image.Image]:
    """Where the badges are, group after group."""
    picture = Image.new("RGB", size, GREY)
    badges = NumberBadges(picture, 20)
    for group in groups:
        badges.draw(group)
    return badges._taken, picture


def overlap(one: PictureBox, other: PictureBox) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def test_a_box_with_its_axes_has_one_number_and_that_is_the_boxs() -> None:
    """In whatever order they come, and where its segment was numbered before."""
    box, long_axis = shape(1, (100, 100, 160, 150)), shape(1, (100, 120, 160, 130))
    short_axis = shape(1, (128, 100, 132, 150))
    (one,), _ = drawn([long_axis, short_axis, box])
    assert (one[0], one[3]) == (100 + 60 + 5 - 1, 101), "right of and above the corner of the box"
    found, _ = drawn([box], [long_axis, short_axis])
    assert len(found) == 1


def test_a_finding_at_two_places_has_its_number_at_both() -> None:
    """Nobody would look for the second."""
    found, picture = drawn([shape(1, (50, 50, 80, 80)), shape(1, (250, 200, 280, 220))])
    assert len(found) == 2
    assert (np.asarray(picture) == GREEN).all(axis=-1).any()


def test_no_number_is_on_another_nor_on_what_another_finding_has_beside_it() -> None:
    """Two findings next to each other, and four at one place."""
    first, second = shape(1, (100, 100, 160, 150)), shape(2, (163, 95, 200, 150))
    found, _ = drawn([first, second])
    assert not overlap(*found)
    assert not overlap(found[0], second.extent)
    found, _ = drawn([shape(number, (100, 100, 160, 150)) for number in (1, 2, 3, 4)])
    assert not any(overlap(one, other) for place, one in enumerate(found) for other in found[:place])


def test_each_is_within_the_picture() -> None:
    """In every corner of a small one."""
    corners = [(0, 0, 5, 5), (55, 0, 59, 5), (0, 55, 5, 59), (55, 55, 59, 59)]
    found, _ = drawn([shape(number, corner) for number, corner in enumerate(corners, start=1)], size=(60, 60))
    assert all(left >= 0 and top >= 0 and right < 61 and bottom < 61 for left, top, right, bottom in found)
