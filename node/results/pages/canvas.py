"""What pages are drawn on: an RGB picture that remembers where each text went."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from node.results.pages.fonts import Face, drawable, font, line_height

Colour = tuple[int, int, int]

BACKGROUND: Colour = (10, 12, 15)
PANEL: Colour = (22, 26, 32)
RULE: Colour = (52, 60, 70)
TEXT: Colour = (241, 243, 245)
SECONDARY: Colour = (180, 188, 198)
MARKING: Colour = (255, 194, 71)
ON_MARKING: Colour = (26, 18, 0)
PRESENT: Colour = (255, 168, 99)
ABSENT: Colour = (137, 190, 255)
MEASURED: Colour = (143, 211, 200)
NOT_ANALYSED: Colour = (255, 143, 163)
URGENT: Colour = (255, 92, 92)
ON_URGENT: Colour = (38, 0, 0)
REGION: Colour = (255, 214, 10)
"""Of what is drawn on images for a present finding; what is urgent is drawn in its own colour."""


@dataclass(frozen=True)
class TextPlacement:
    """A text as it was drawn: its box in pixels (left, top, right, bottom) and its colours."""

    text: str
    box: tuple[int, int, int, int]
    colour: Colour
    ground: Colour


@dataclass
class Canvas:
    """A picture under construction."""

    width: int
    height: int
    placed: list[TextPlacement] = field(default_factory=list)
    image: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        self.image = Image.new("RGB", (self.width, self.height), BACKGROUND)
        self._draw = ImageDraw.Draw(self.image)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Shape (rows, columns, 3)."""
        return np.asarray(self.image, dtype=np.uint8)

    def text(
        self,
        left: int,
        top: int,
        text: str,
        size: int,
        colour: Colour = TEXT,
        face: Face = Face.REGULAR,
        ground: Colour = BACKGROUND,
    ) -> int:
        """Draw one line whose line box begins at `top`; returns the x where it ends. Nothing is clipped:
        the caller has wrapped it.
        """
        shown = drawable(text)
        used = font(face, size)
        # The line box is a little taller than the letters: centre them in it.
        ascent, descent = used.getmetrics()
        offset = (line_height(size) - ascent - descent) // 2
        self._draw.text((left, top + offset), shown, font=used, fill=colour)
        box = self._draw.textbbox((left, top + offset), shown, font=used)
        self.placed.append(TextPlacement(shown, (int(box[0]), int(box[1]), int(box[2]), int(box[3])), colour, ground))
        return left + round(used.getlength(shown))

    def rectangle(self, left: int, top: int, right: int, bottom: int, colour: Colour, radius: int = 0) -> None:
        """A filled rectangle; `right` and `bottom` are outside it."""
        self._draw.rounded_rectangle((left, top, right - 1, bottom - 1), radius, fill=colour)

    def paste(self, left: int, top: int, picture: Image.Image | NDArray[np.uint8]) -> None:
        """Put a picture with its top-left corner there."""
        self.image.paste(picture if isinstance(picture, Image.Image) else Image.fromarray(picture), (left, top))


def fitting(size: tuple[float, float], box: tuple[int, int]) -> tuple[int, int]:
    """Width and height as large as fits into `box`, in the proportions of `size`."""
    factor = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def scaled(pixels: NDArray[np.uint8], box: tuple[int, int]) -> NDArray[np.uint8]:
    """An RGB array as large as fits into `box` (width, height), its proportions kept."""
    picture = Image.fromarray(np.ascontiguousarray(pixels), "RGB")
    size = fitting(picture.size, box)
    smaller = size[0] < picture.width
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS if smaller else Image.Resampling.BICUBIC))
