"""Coronal and axial pictures of the lungs, with low attenuation in colour, sides marked and a scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plugins.lung_density.masks import bounding_box
from plugins.lung_density.orientation import AnatomicalView

SIZE = (1024, 768)
"""Columns and rows of a picture."""
_MARGIN, _HEADER, _FOOTER = 24, 56, 84
_BACKGROUND, _INK, _FAINT = (10, 13, 18), (232, 236, 241), (150, 160, 172)
_LOW, _VERY_LOW = (246, 190, 60), (240, 72, 62)
_OUTLINES = {1: (96, 200, 160), 2: (110, 170, 250)}
"""Right and left lung; the same colours as their segments."""
_WINDOW = (-600.0, 1500.0)
_OPACITY = 0.62


@dataclass(frozen=True, slots=True)
class LungPlane:
    """A plane of the lungs as seen by a radiologist: the patient's right on the left-hand side."""

    values: NDArray[np.float32]
    """HU, head or front at the top."""
    labels: NDArray[np.uint8]
    spacing: tuple[float, float]
    """mm between rows, columns."""


def planes_of_interest(view: AnatomicalView, labels: NDArray[np.uint8]) -> tuple[int, int]:
    """(z, y): of the axial and of the coronal planes that show much lung, those with most of it below −950 HU.

    Much is at least 70 % of the most: a plane at the edge of a lung tells a reader little, however dark it is.
    """
    lung = labels > 0
    low = lung & (view.array < -950)
    chosen = []
    for axes in ((1, 2), (0, 2)):
        area = np.count_nonzero(lung, axis=axes)
        dark = np.count_nonzero(low, axis=axes)
        chosen.append(int(np.where(area >= 0.7 * area.max(), dark + area / (area.max() + 1), -1).argmax()))
    return chosen[0], chosen[1]


def axial(view: AnatomicalView, labels: NDArray[np.uint8], z: int) -> LungPlane:
    """The slice at `z`, front at the top, cropped to the lungs' surroundings."""
    _, y, x = _around(view, labels)
    return LungPlane(view.array[z, y, x], labels[z, y, x], (view.spacing[1], view.spacing[2]))


def coronal(view: AnatomicalView, labels: NDArray[np.uint8], y: int) -> LungPlane:
    """The coronal plane at `y`, head at the top, cropped to the lungs' surroundings."""
    z, _, x = _around(view, labels)
    return LungPlane(view.array[z, y, x][::-1], labels[z, y, x][::-1], (view.spacing[0], view.spacing[2]))


def _around(view: AnatomicalView, labels: NDArray[np.uint8]) -> tuple[slice, ...]:
    margin = tuple(round(28 / step) for step in view.spacing)
    return bounding_box(labels > 0, (margin[0], margin[1], margin[2]))


def draw(plane: LungPlane, title: str, detail: str) -> NDArray[np.uint8]:
    """The picture: uint8, shape (768, 1024, 3)."""
    canvas = Image.new("RGB", SIZE, _BACKGROUND)
    room = (SIZE[0] - 2 * _MARGIN, SIZE[1] - _HEADER - _FOOTER)
    height, width = (count * step for count, step in zip(plane.values.shape, plane.spacing, strict=True))
    pixels_per_mm = min(room[0] / width, room[1] / height)
    size = (round(width * pixels_per_mm), round(height * pixels_per_mm))
    left, top = (SIZE[0] - size[0]) // 2, _HEADER + (room[1] - size[1]) // 2
    canvas.paste(_coloured(plane, size), (left, top))
    pen = ImageDraw.Draw(canvas)
    pen.text((_MARGIN, 28), title, _INK, _font(26), anchor="lm")
    pen.text((SIZE[0] - _MARGIN, 28), detail, _FAINT, _font(20), anchor="rm")
    for text, x in (("R", max(_MARGIN, left + 8)), ("L", min(SIZE[0] - _MARGIN - 22, left + size[0] - 30))):
        pen.text((x, top + size[1] // 2), text, _INK, _font(34), anchor="lm", stroke_width=2, stroke_fill=_BACKGROUND)
    _legend(pen, pixels_per_mm)
    return np.asarray(canvas, dtype=np.uint8)


def _coloured(plane: LungPlane, size: tuple[int, int]) -> Image.Image:
    """Greyscale in a lung window, interpolated; colours and outlines from the nearest voxel: they are findings."""
    low, width = _WINDOW[0] - _WINDOW[1] / 2, _WINDOW[1]
    grey = np.clip((plane.values - low) / width * 255, 0, 255).astype(np.uint8)
    image = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC))
    picture = np.repeat(image[:, :, np.newaxis], 3, axis=2).astype(np.float32)
    classes = np.zeros(plane.values.shape, dtype=np.uint8)
    classes[(plane.labels > 0) & (plane.values < -910)] = 1
    classes[(plane.labels > 0) & (plane.values < -950)] = 2
    shown = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))
    for number, colour in ((1, _LOW), (2, _VERY_LOW)):
        mask = shown == number
        picture[mask] = picture[mask] * (1 - _OPACITY) + np.array(colour) * _OPACITY
    labels = np.asarray(Image.fromarray(plane.labels).resize(size, Image.Resampling.NEAREST))
    for number, colour in _OUTLINES.items():
        picture[_outline(labels == number)] = colour
    return Image.fromarray(picture.astype(np.uint8))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask's pixels with a neighbour outside it."""
    padded = np.pad(mask, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~core)


def _legend(pen: ImageDraw.ImageDraw, pixels_per_mm: float) -> None:
    y, x = SIZE[1] - 56, float(_MARGIN)
    for colour, text in ((_VERY_LOW, "below -950 HU"), (_LOW, "-950 to -910 HU")):
        pen.rectangle((x, y - 8, x + 16, y + 8), fill=colour)
        pen.text((x + 26, y), text, _INK, _font(20), anchor="lm")
        x += 46 + pen.textlength(text, _font(20))
    end = SIZE[0] - _MARGIN
    start = end - 50 * pixels_per_mm
    pen.line((start, y, end, y), fill=_INK, width=3)
    for edge in (start, end):
        pen.line((edge, y - 7, edge, y + 7), fill=_INK, width=3)
    pen.text((start - 12, y), "5 cm", _INK, _font(20), anchor="rm")
    pen.text(
        (_MARGIN, SIZE[1] - 22),
        "Reference implementation for pilots. Not a medical device.",
        _FAINT,
        _font(18),
        anchor="lm",
    )


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
