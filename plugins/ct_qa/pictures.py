"""One picture: the slice with its five regions and their numbers, profiles beside it, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from plugins.contract import Volume
from plugins.ct_qa.cylinder import Cylinder
from plugins.ct_qa.readings import Reading

SIZE = (1024, 768)
"""Columns and rows."""
_BACKGROUND, _INK, _FAINT = (10, 13, 18), (232, 236, 241), (150, 160, 172)
_GOOD, _BAD, _REGION, _SECOND = (110, 200, 140), (240, 92, 82), (246, 190, 60), (110, 170, 250)
_IMAGE = (24, 96, 560)
"""Left, top and side of the slice."""
_PLOT = (640, 130, 1000, 430)
_SPAN_HU = 20.0
"""Above and below 0 in the plot, where nothing lies further out."""
_WIDTH_HU = 100.0
_AROUND = 1.15
"""Half a side of the picture of the slice, in radii of the phantom."""
_SMOOTH_MM = 4.0


def draw(volume: Volume, cylinder: Cylinder, reading: Reading, out: Sequence[str]) -> NDArray[np.uint8]:
    """The picture: uint8, shape (768, 1024, 3); `out`: what is out of limits, in words."""
    canvas = Image.new("RGB", SIZE, _BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    pen.text((24, 34), "CT quality control, water phantom", _INK, _font(26), anchor="lm")
    verdict, colour = ("OUT OF LIMITS", _BAD) if out else ("within all limits", _GOOD)
    pen.text((SIZE[0] - 24, 34), verdict, colour, _font(26), anchor="rm")
    pen.text((24, 70), "window 0 / 100 HU", _FAINT, _font(18), anchor="lm")
    mean = volume.array[list(cylinder.slices)].astype(np.float64).mean(axis=0)
    _slice(canvas, pen, mean, cylinder, reading, volume.spacing[1])
    _plot(pen, mean, cylinder, volume.spacing[1])
    _numbers(pen, reading)
    for number, line in enumerate(out[:4]):
        pen.text((24, 676 + 24 * number), line, _BAD, _font(18), anchor="lm")
    pen.text((SIZE[0] - 24, SIZE[1] - 18), "Not for diagnosis", _FAINT, _font(16), anchor="rm")
    return np.asarray(canvas, dtype=np.uint8)


def _slice(
    canvas: Image.Image,
    pen: ImageDraw.ImageDraw,
    mean: NDArray[np.float64],
    cylinder: Cylinder,
    reading: Reading,
    pixel_mm: float,
) -> None:
    """The surroundings of the phantom, with the regions as circles and their CT numbers in them."""
    left, top, side = _IMAGE
    half = _AROUND * cylinder.radius_mm / pixel_mm
    scale = side / (2 * half)
    grey = Image.fromarray(np.clip((mean / _WIDTH_HU + 0.5) * 255, 0, 255).astype(np.uint8))
    box = (
        cylinder.column + 0.5 - half,
        cylinder.row + 0.5 - half,
        cylinder.column + 0.5 + half,
        cylinder.row + 0.5 + half,
    )
    part = grey.transform((side, side), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
    canvas.paste(part.convert("RGB"), (left, top))
    for name, circle in reading.regions.items():
        x = left + (circle.column - cylinder.column + half) * scale
        y = top + (circle.row - cylinder.row + half) * scale
        radius = circle.radius * scale
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_REGION, width=2)
        value = reading.water if name == "center" else reading.edges[name]
        pen.text((x, y), _signed(value), _REGION, _font(20), anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0))


def _plot(pen: ImageDraw.ImageDraw, mean: NDArray[np.float64], cylinder: Cylinder, pixel_mm: float) -> None:
    """HU along the horizontal and the vertical diameter, smoothed, within the water."""
    left, top, right, bottom = _PLOT
    smooth = ndimage.gaussian_filter(mean, _SMOOTH_MM / pixel_mm)
    reach = int(0.85 * cylinder.radius_mm / pixel_mm)
    row, column = round(cylinder.row), round(cylinder.column)
    profiles = smooth[row, column - reach : column + reach + 1], smooth[row - reach : row + reach + 1, column]
    span = max(_SPAN_HU, *(float(np.abs(each).max()) * 1.1 for each in profiles))
    for value in (-span, -span / 2, 0.0, span / 2, span):
        y = bottom - (value + span) / (2 * span) * (bottom - top)
        pen.line((left, y, right, y), fill=(44, 52, 62), width=1)
        pen.text((left - 8, y), f"{value:+.0f}", _FAINT, _font(16), anchor="rm")
    for profile, colour in zip(profiles, (_REGION, _SECOND), strict=True):
        xs = np.linspace(left, right, len(profile))
        ys = bottom - (profile + span) / (2 * span) * (bottom - top)
        pen.line([(float(x), float(y)) for x, y in zip(xs, ys, strict=True)], fill=colour, width=2)
    pen.text((left, top - 20), "HU from left to right", _REGION, _font(16), anchor="lm")
    pen.text((right, top - 20), "from top to bottom", _SECOND, _font(16), anchor="rm")


def _numbers(pen: ImageDraw.ImageDraw, reading: Reading) -> None:
    lines = [
        ("Water, center", f"{_signed(reading.water)} HU"),
        ("Noise", f"{reading.noise:.1f} HU"),
        ("Edge minus center", f"{_signed(reading.uniformity)} HU"),
        ("Ring", f"{reading.ring:+.1f} HU at {reading.ring_mm:.0f} mm" if reading.ring else "none"),
        ("Local deviation", f"{reading.spot:+.1f} HU" if reading.spot else "none"),
    ]
    for number, (name, value) in enumerate(lines):
        y = 480 + 34 * number
        pen.text((_PLOT[0] - 20, y), name, _FAINT, _font(20), anchor="lm")
        pen.text((_PLOT[2], y), value, _INK, _font(20), anchor="rm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _signed(value: float) -> str:
    """One digit behind the point; never -0.0."""
    return f"{round(value, 1) + 0.0:+.1f}"
