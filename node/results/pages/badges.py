"""The numbers of findings on a picture: one for what is drawn of a finding at one place, and none on another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from node.results.pages.canvas import Colour
from node.results.pages.fonts import Face, font, width

SHADOW: Colour = (0, 0, 0)
_ON_BADGE: Colour = (24, 18, 0)
_GAP = 5
"""Pixels between what is drawn and its number."""

PictureBox = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the picture."""


@dataclass(frozen=True, slots=True)
class NumberedShape:
    """What a finding's number is beside: the region or segment, as it is drawn."""

    number: int
    """Of the finding (`tracking.finding_numbers`)."""
    right: tuple[float, float]
    """Its rightmost point, of two the upper one."""
    extent: PictureBox
    colour: Colour

    @property
    def area(self) -> float:
        """Of its extent."""
        left, top, right, bottom = self.extent
        return (right - left) * (bottom - top)


@dataclass
class NumberBadges:
    """The numbers on one picture."""

    picture: Image.Image
    size: int
    """Height of the letters in pixels."""
    _numbered: list[NumberedShape] = field(default_factory=list)
    _taken: list[PictureBox] = field(default_factory=list)

    def draw(self, shapes: Sequence[NumberedShape]) -> None:
        """A number beside each shape, the largest of a finding first.

        Not where the finding has its number already: the axes of a lesion lie in its box.
        """
        for shape in sorted(shapes, key=lambda each: (each.number, -each.area)):
            if not any(each.number == shape.number and _meet(each.extent, shape.extent) for each in self._numbered):
                self._numbered.append(shape)
                self._draw(shape, [each.extent for each in shapes if not _meet(each.extent, shape.extent)])

    def _draw(self, shape: NumberedShape, beside: Sequence[PictureBox]) -> None:
        """On a badge of its colour: right of and above the rightmost point, or where nothing is in the way.

        `beside`: other shapes, which it should not seem to belong to.
        """
        text = str(shape.number)
        wide, tall = width(text, Face.SEMIBOLD, self.size) + 8, self.size + 6
        places = self._places(shape, wide, tall)
        free = [each for each in places if not any(_meet(each, taken) for taken in self._taken)] or places
        clear = [each for each in free if not any(_meet(each, other) for other in beside)] or free
        left, top, right, bottom = clear[0]
        self._taken.append((left - 1, top - 1, right + 1, bottom + 1))
        draw = ImageDraw.Draw(self.picture)
        draw.rounded_rectangle((left - 1, top - 1, right + 1, bottom + 1), 4, fill=SHADOW)
        draw.rounded_rectangle((left, top, right, bottom), 4, fill=shape.colour)
        middle = (left + wide / 2, top + tall / 2)
        draw.text(middle, text, font=font(Face.SEMIBOLD, self.size), fill=_ON_BADGE, anchor="mm")

    def _places(self, shape: NumberedShape, wide: int, tall: int) -> list[PictureBox]:
        """Where its badge could be, within the picture, the usual place first."""
        x, y = shape.right
        left, top, right, bottom = shape.extent
        middle = (left + right) / 2
        corners = (
            (x + _GAP, y - tall),
            (right + _GAP, bottom),
            (left - _GAP - wide, top - tall),
            (left - _GAP - wide, bottom),
            (middle - wide / 2, top - _GAP - tall),
            (middle - wide / 2, bottom + _GAP),
        )
        within = [
            (
                min(max(left, 1), self.picture.width - wide - 1),
                min(max(top, 1), self.picture.height - tall - 1),
            )
            for left, top in corners
        ]
        return [(left, top, left + wide, top + tall) for left, top in within]


def _meet(one: PictureBox, other: PictureBox) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
