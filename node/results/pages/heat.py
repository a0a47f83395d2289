"""A heat map in colour over the frame under it, with its scale: for viewers that read no Parametric Map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from node.results.pages.canvas import SECONDARY, TEXT, Canvas
from node.results.pages.fonts import Face, drawable, line_height, width
from node.results.pages.meanings import meaning
from node.results.pages.page import MARGIN, Block
from node.results.pages.units import shown_unit
from node.results.texts import Texts
from plugins.contract import Heatmap

_STOPS = np.array([[40, 11, 84], [120, 28, 109], [188, 55, 84], [237, 105, 37], [252, 165, 10], [252, 255, 164]])
"""From dark violet to light yellow, equally spaced: ever lighter, so that it reads without colour vision too."""
_LEAST_SHOWN = 0.15
"""Share of the scale below which the image stays as it is."""
NOTHING = 1e-4
"""Share of the scale below which a value is as good as 0."""
_OPACITY = 0.7
_FULL_SCALES = {"1": 1.0, "{score}": 1.0, "%": 100.0}
"""Where the quantity's own scale ends, which begins at 0, by UCUM unit."""
_MOST_PEAKS = 3
_LESSER_PEAK = 0.5
"""Share of the greatest value from which a second peak is named too."""
_BAR_WIDTH, _BAR_HEIGHT, _SIZE = 420, 18, 20


def peak(heatmap: Heatmap) -> int:
    """Index of the plane that holds the greatest value."""
    return int(heatmap.values.max(axis=(1, 2)).argmax())


def value_range(heatmap: Heatmap) -> tuple[float, float]:
    """Least and greatest value; a map of one value gets a range of one above it, which a window needs."""
    low, high = float(heatmap.values.min()), float(heatmap.values.max())
    return (low, high) if high > low else (low, low + 1.0)


def scale_of(heatmap: Heatmap) -> tuple[float, float]:
    """What the ends of the colours stand for: the quantity's whole range, so that 0.05 never looks like 1.

    The map's own range where the quantity has none, or values beyond it.
    """
    low, high = value_range(heatmap)
    full = _FULL_SCALES.get(heatmap.unit.code)
    return (0.0, full) if full is not None and low >= 0 and float(heatmap.values.max()) <= full else (low, high)


def has_own_scale(heatmap: Heatmap) -> bool:
    """Whether the colours are those of the quantity's whole range."""
    full = _FULL_SCALES.get(heatmap.unit.code)
    return full is not None and scale_of(heatmap) == (0.0, full)


@dataclass(frozen=True)
class Peak:
    """A place where the map is greatest around, and its value for people."""

    column: float
    """Sub-pixel, of the map's own columns."""
    row: float
    text: str


def peaks(heatmap: Heatmap, plane: int) -> list[Peak]:
    """The greatest value of a plane, then up to two others of half of it or more, well apart; none of a flat plane."""
    values = np.array(heatmap.values[plane])
    floor, low, (rows, columns) = float(values.min()), scale_of(heatmap)[0], values.shape
    apart = max(1, min(rows, columns) // 6)
    found: list[Peak] = []
    greatest = float(values.max())
    while len(found) < _MOST_PEAKS and (value := float(values.max())) > floor:
        row, column = (int(index) for index in np.unravel_index(values.argmax(), values.shape))
        if found and value - low < _LESSER_PEAK * (greatest - low):
            break
        around = heatmap.values[plane, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        if float(around.max()) <= value:  # else it is the slope of a peak that is named already
            found.append(Peak(column + 0.5, row + 0.5, value_text(heatmap, value)))
        values[max(0, row - apart) : row + apart + 1, max(0, column - apart) : column + apart + 1] = floor
    return found


def greatest_text(heatmap: Heatmap) -> str:
    """ "0.94 mL": the greatest value, for people."""
    return value_text(heatmap, float(heatmap.values.max()))


def value_text(heatmap: Heatmap, value: float) -> str:
    """A value of the map with its unit, for people."""
    low, high = scale_of(heatmap)
    return f"{_number(value, high - low)} {shown_unit(heatmap.unit.code)}".rstrip()


def range_text(heatmap: Heatmap) -> str:
    """ "0.02 to 0.94 mL": from the least to the greatest value, for people."""
    unit = shown_unit(heatmap.unit.code)
    low, high = float(heatmap.values.min()), float(heatmap.values.max())
    return f"{_number(low, high - low)} – {_number(high, high - low)} {unit}".rstrip()


def _number(value: float, span: float) -> str:
    """Three digits; what is nothing against the span of the map is 0, not 7.9e-12."""
    return "0" if abs(value) < NOTHING * span else f"{value:.3g}".replace("-", "−")


def colours(shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shares of the scale (0 to 1, any shape) as red, green, blue of 0 to 255 along a new last axis."""
    at = np.linspace(0, 1, len(_STOPS))
    return np.stack([np.interp(shares, at, _STOPS[:, channel]) for channel in range(3)], axis=-1)


def blend(picture: Image.Image, heatmap: Heatmap, plane: int) -> None:
    """Lay one plane of the map over the RGB picture of its frame, the stronger the less transparent."""
    low, high = scale_of(heatmap)
    values = Image.fromarray(heatmap.values[plane]).resize(picture.size, Image.Resampling.BILINEAR)
    shares = np.clip((np.asarray(values) - low) / (high - low), 0, 1)
    opacity = _OPACITY * np.clip((shares - _LEAST_SHOWN) / (1 - _LEAST_SHOWN), 0, 1) ** 0.5
    under = np.asarray(picture, dtype=np.float64)
    share = opacity[..., np.newaxis]
    mixed = np.asarray(under * (1 - share) + colours(shares) * share)
    picture.paste(Image.fromarray(mixed.round().astype(np.uint8)))


def scale_block(heatmap: Heatmap, texts: Texts) -> Block:
    """The colours with the values they stand for, and what is measured."""
    low, high = scale_of(heatmap)
    unit = shown_unit(heatmap.unit.code)
    ramp = colours(np.linspace(0, 1, _BAR_WIDTH, dtype=np.float32)[np.newaxis].repeat(_BAR_HEIGHT, axis=0))
    bar = Image.fromarray(ramp.round().astype(np.uint8))
    left_text, right_text = _number(low, high - low), f"{_number(high, high - low)} {unit}".rstrip()

    def draw(canvas: Canvas, top: int) -> None:
        after = canvas.text(MARGIN, top + 4, left_text, _SIZE, TEXT) + 10
        canvas.paste(after, top + 4 + (line_height(_SIZE) - _BAR_HEIGHT) // 2, bar)
        at = after + _BAR_WIDTH + 10
        canvas.text(at, top + 4, right_text, _SIZE, TEXT)
        at += width(drawable(right_text), Face.REGULAR, _SIZE) + 24
        canvas.text(at, top + 4, meaning(heatmap.quantity, texts)[:40], _SIZE, SECONDARY)

    return Block(line_height(_SIZE) + 10, draw)
