"""A heat map in colour over the frame under it, with its scale: for viewers that read no Parametric Map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from node.results.pages.canvas import SECONDARY, TEXT, Canvas
from node.results.pages.fonts import Face, drawable, line_height, width
from node.results.pages.page import MARGIN, Block
from node.results.pages.tables import unit_text
from plugins.contract import Heatmap

_STOPS = np.array([[40, 11, 84], [120, 28, 109], [188, 55, 84], [237, 105, 37], [252, 165, 10], [252, 255, 164]])
"""From dark violet to light yellow, equally spaced: ever lighter, so that it reads without colour vision too."""
_LEAST_SHOWN = 0.15
"""Share of the scale below which the image stays as it is."""
_OPACITY = 0.7
_BAR_WIDTH, _BAR_HEIGHT, _SIZE = 420, 18, 20


def peak(heatmap: Heatmap) -> int:
    """Index of the plane that holds the greatest value."""
    return int(heatmap.values.max(axis=(1, 2)).argmax())


def value_range(heatmap: Heatmap) -> tuple[float, float]:
    """Least and greatest value; a map of one value gets a range of one above it, which a window needs."""
    low, high = float(heatmap.values.min()), float(heatmap.values.max())
    return (low, high) if high > low else (low, low + 1.0)


def range_text(heatmap: Heatmap) -> str:
    """ "0.02 to 0.94 mL": from the least to the greatest value, for people."""
    unit = unit_text(heatmap.unit.code)
    low, high = float(heatmap.values.min()), float(heatmap.values.max())
    return f"{_number(low, high - low)} – {_number(high, high - low)} {unit}".rstrip()


def _number(value: float, span: float) -> str:
    """Three digits; what is nothing against the span of the map is 0, not 7.9e-12."""
    return "0" if abs(value) < 1e-4 * span else f"{value:.3g}".replace("-", "−")


def colours(shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shares of the scale (0 to 1, any shape) as red, green, blue of 0 to 255 along a new last axis."""
    at = np.linspace(0, 1, len(_STOPS))
    return np.stack([np.interp(shares, at, _STOPS[:, channel]) for channel in range(3)], axis=-1)


def blend(picture: Image.Image, heatmap: Heatmap, plane: int) -> None:
    """Lay one plane of the map over the RGB picture of its frame, the stronger the less transparent."""
    low, high = value_range(heatmap)
    values = Image.fromarray(heatmap.values[plane]).resize(picture.size, Image.Resampling.BILINEAR)
    shares = np.clip((np.asarray(values) - low) / (high - low), 0, 1)
    opacity = _OPACITY * np.clip((shares - _LEAST_SHOWN) / (1 - _LEAST_SHOWN), 0, 1) ** 0.5
    under = np.asarray(picture, dtype=np.float64)
    share = opacity[..., np.newaxis]
    mixed = np.asarray(under * (1 - share) + colours(shares) * share)
    picture.paste(Image.fromarray(mixed.round().astype(np.uint8)))


def scale_block(heatmap: Heatmap) -> Block:
    """The colours with the values they stand for, and what is measured."""
    low, high = value_range(heatmap)
    unit = unit_text(heatmap.unit.code)
    ramp = colours(np.linspace(0, 1, _BAR_WIDTH, dtype=np.float32)[np.newaxis].repeat(_BAR_HEIGHT, axis=0))
    bar = Image.fromarray(ramp.round().astype(np.uint8))
    left_text, right_text = _number(low, high - low), f"{_number(high, high - low)} {unit}".rstrip()

    def draw(canvas: Canvas, top: int) -> None:
        after = canvas.text(MARGIN, top + 4, left_text, _SIZE, TEXT) + 10
        canvas.paste(after, top + 4 + (line_height(_SIZE) - _BAR_HEIGHT) // 2, bar)
        at = after + _BAR_WIDTH + 10
        canvas.text(at, top + 4, right_text, _SIZE, TEXT)
        at += width(drawable(right_text), Face.REGULAR, _SIZE) + 24
        canvas.text(at, top + 4, heatmap.quantity.meaning[:40], _SIZE, SECONDARY)

    return Block(line_height(_SIZE) + 10, draw)
