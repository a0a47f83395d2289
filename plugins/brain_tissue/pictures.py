"""Three planes through the brain with the outlines of both tissues, the patient's sides marked, and a scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plugins.brain_tissue.network import GREY, WHITE

SIZE = (1024, 768)
"""Columns and rows of a picture."""
COLOURS = {WHITE: (246, 190, 60), GREY: (84, 190, 232)}
"""The same colours as their segments."""
_NAMES = {WHITE: "White matter", GREY: "Grey matter"}
_MARGIN, _HEADER, _FOOTER = 24, 56, 84
_BACKGROUND, _INK, _FAINT = (10, 13, 18), (232, 236, 241), (150, 160, 172)
_AROUND_MM = 24
"""Shown beyond the brain: the skull and the scalp, by which a reader sees where it is."""
_LIGHT = 1.5
"""White in a picture, as a multiple of the brightness of white matter."""


_View = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class BrainPlane:
    """A plane on the network's grid of 1 mm, as a radiologist sees it.

    `letters`: what is left, right, above and below of it.
    """

    name: str
    place: str
    values: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    letters: str


def planes(head: NDArray[np.uint8], labels: NDArray[np.uint8]) -> tuple[BrainPlane, BrainPlane, BrainPlane]:
    """Axial and coronal where most of the brain is, sagittal through its middle; both arrays (i, j, k).

    i runs to the patient's left, as columns do for a reader who faces the patient; j runs to the feet, as rows do; k
    runs to the front, which a reader expects above in an axial plane and on the left in a sagittal one.
    """
    brain = labels > 0
    areas = [np.count_nonzero(brain, axis=others) for others in ((1, 2), (0, 2), (0, 1))]
    i = round(float(np.average(np.arange(len(areas[0])), weights=areas[0])))
    j, k = int(areas[1].argmax()), int(areas[2].argmax())
    across, along, deep = map(_around, areas)

    def plane(name: str, place: str, letters: str, view: _View) -> BrainPlane:
        return BrainPlane(name, place, view(head), view(labels), letters)

    return (
        plane("axial", "where the brain is largest", "RLAP", lambda array: array[across, j, deep].T[::-1]),
        plane("coronal", "where the brain is largest", "RLHF", lambda array: array[across, along, k].T),
        plane("sagittal", "through the middle", "APHF", lambda array: array[i, along, deep][:, ::-1]),
    )


def _around(areas: NDArray[np.intp]) -> slice:
    inside = np.flatnonzero(areas)
    return slice(max(0, int(inside[0]) - _AROUND_MM), int(inside[-1]) + 1 + _AROUND_MM)


def draw(plane: BrainPlane, white_matter: float, detail: str) -> NDArray[np.uint8]:
    """The picture: uint8, shape (768, 1024, 3); `white_matter` is how bright that is in `plane.values`."""
    canvas = Image.new("RGB", SIZE, _BACKGROUND)
    room = (SIZE[0] - 2 * _MARGIN, SIZE[1] - _HEADER - _FOOTER)
    height, width = plane.values.shape
    pixels_per_mm = min(room[0] / width, room[1] / height)
    size = (round(width * pixels_per_mm), round(height * pixels_per_mm))
    left, top = (SIZE[0] - size[0]) // 2, _HEADER + (room[1] - size[1]) // 2
    canvas.paste(_outlined(plane, size, white_matter), (left, top))
    pen = ImageDraw.Draw(canvas)
    pen.text((_MARGIN, 28), f"Grey and white matter, {plane.name}, {plane.place}", _INK, _font(24), anchor="lm")
    pen.text((SIZE[0] - _MARGIN, 28), detail, _FAINT, _font(20), anchor="rm")
    middle = (left + size[0] / 2, top + size[1] / 2)
    places = (
        (left + 20, middle[1]),
        (left + size[0] - 20, middle[1]),
        (middle[0], top + 20),
        (middle[0], top + size[1] - 20),
    )
    for letter, place in zip(plane.letters, places, strict=True):
        pen.text(place, letter, _INK, _font(30), anchor="mm", stroke_width=2, stroke_fill=_BACKGROUND)
    _legend(pen, pixels_per_mm)
    return np.asarray(canvas, dtype=np.uint8)


def _outlined(plane: BrainPlane, size: tuple[int, int], white_matter: float) -> Image.Image:
    """Greyscale, interpolated, so that the tissue can be judged under its outline; outlines from the nearest voxel."""
    grey = np.clip(plane.values / (_LIGHT * white_matter) * 255, 0, 255).astype(np.uint8)
    shown = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC))
    picture = np.repeat(shown[:, :, np.newaxis], 3, axis=2)
    labels = np.asarray(Image.fromarray(plane.labels).resize(size, Image.Resampling.NEAREST))
    for label in (GREY, WHITE):  # where they meet, the outline of white matter is shown
        picture[_outline(labels == label)] = COLOURS[label]
    return Image.fromarray(picture)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask's pixels with a neighbour outside it."""
    padded = np.pad(mask, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~core)


def _legend(pen: ImageDraw.ImageDraw, pixels_per_mm: float) -> None:
    y, x = SIZE[1] - 56, float(_MARGIN)
    for label in (GREY, WHITE):
        pen.rectangle((x, y - 8, x + 16, y + 8), fill=COLOURS[label])
        pen.text((x + 26, y), _NAMES[label], _INK, _font(20), anchor="lm")
        x += 46 + pen.textlength(_NAMES[label], _font(20))
    end = SIZE[0] - _MARGIN
    start = end - 50 * pixels_per_mm
    pen.line((start, y, end, y), fill=_INK, width=3)
    for edge in (start, end):
        pen.line((edge, y - 7, edge, y + 7), fill=_INK, width=3)
    pen.text((start - 12, y), "5 cm", _INK, _font(20), anchor="rm")
    notice = "Reference implementation for pilots. Not a medical device."
    pen.text((_MARGIN, SIZE[1] - 22), notice, _FAINT, _font(18), anchor="lm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
