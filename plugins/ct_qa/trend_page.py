"""The page of the trend: water, noise and non-uniformity of the earlier scans and of today, with their limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE = (1024, 768)
"""Columns and rows."""
_BACKGROUND, _INK, _FAINT, _LINE = (10, 13, 18), (232, 236, 241), (150, 160, 172), (44, 52, 62)
_POINT, _GOOD, _BAD, _LIMIT = (110, 170, 250), (110, 200, 140), (240, 92, 82), (246, 190, 60)
_LEFT, _RIGHT, _TOP, _HEIGHT, _STEP = 110, 984, 100, 150, 208


@dataclass(frozen=True, slots=True)
class TrendLine:
    """One number over time."""

    name: str
    days: Sequence[float]
    """Before today, oldest first; the last one is today's, 0."""
    values: Sequence[float]
    limits: tuple[float, float] | None

    @property
    def is_out(self) -> bool:
        """Whether today's is beyond its limits."""
        return self.limits is not None and not self.limits[0] <= self.values[-1] <= self.limits[1]


def draw(lines: Sequence[TrendLine], out: Sequence[str]) -> NDArray[np.uint8]:
    """The picture: uint8, shape (768, 1024, 3); `out`: what is out of limits, in words, the trend among it."""
    canvas = Image.new("RGB", SIZE, _BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    count = len(lines[0].days)
    pen.text((24, 34), f"CT quality control, the last {count} scans", _INK, _font(26), anchor="lm")
    verdict, colour = ("OUT OF LIMITS", _BAD) if out else ("within all limits", _GOOD)
    pen.text((SIZE[0] - 24, 34), verdict, colour, _font(26), anchor="rm")
    for number, text in enumerate(out[:2]):
        pen.text((24, 704 + 22 * number), text, _BAD, _font(16), anchor="lm")
    for number, line in enumerate(lines):
        _plot(pen, line, _TOP + number * _STEP)
    pen.text((24, SIZE[1] - 18), "yellow: limits; large: today", _FAINT, _font(16), anchor="lm")
    pen.text((SIZE[0] - 24, SIZE[1] - 18), "Not for diagnosis", _FAINT, _font(16), anchor="rm")
    return np.asarray(canvas, dtype=np.uint8)


def _plot(pen: ImageDraw.ImageDraw, line: TrendLine, top: int) -> None:
    shown = [*line.values, *(line.limits or ())]
    middle, half = (max(shown) + min(shown)) / 2, max(0.6 * (max(shown) - min(shown)), 0.5)

    def height(value: float) -> float:
        return float(top + _HEIGHT / 2 - (value - middle) / half * _HEIGHT / 2)

    longest = max(*line.days, 1e-6)
    xs = [_RIGHT - (_RIGHT - _LEFT) * day / longest for day in line.days]
    pen.rectangle((_LEFT, top, _RIGHT, top + _HEIGHT), outline=_LINE)
    for limit in line.limits or ():
        pen.line((_LEFT, height(limit), _RIGHT, height(limit)), fill=_LIMIT, width=2)
        pen.text((_LEFT - 8, height(limit)), f"{limit:.1f}", _LIMIT, _font(16), anchor="rm")
    ys = [height(value) for value in line.values]
    pen.line(list(zip(xs, ys, strict=True)), fill=_POINT, width=1)
    colour = _BAD if line.is_out else _GOOD
    for number, (x, y) in enumerate(zip(xs, ys, strict=True)):
        today = number == len(xs) - 1
        radius = 7 if today else 3
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour if today else _POINT)
    pen.text((_LEFT, top - 16), line.name, _INK, _font(18), anchor="lm")
    pen.text((_RIGHT, top - 16), f"today {line.values[-1] + 0.0:.1f}", colour, _font(18), anchor="rm")
    pen.text((_LEFT, top + _HEIGHT + 14), f"{longest:.0f} days ago", _FAINT, _font(16), anchor="lm")
    pen.text((_RIGHT, top + _HEIGHT + 14), "today", _FAINT, _font(16), anchor="rm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
