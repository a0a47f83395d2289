"""What is drawn over the pixels of a source image: regions, outlines of segments, sides, scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from node.results.pages.canvas import TEXT, Colour
from node.results.pages.fonts import Face, font, width
from node.results.report.regions import LocatedRegion
from node.results.source.geometry import Plane, opposite, patient_orientation
from node.results.source.images import SourceImage
from plugins.contract import Ellipse, Point, Segment

REGION: Colour = (255, 214, 10)
_SHADOW: Colour = (0, 0, 0)
_SEGMENTS: tuple[Colour, ...] = ((255, 150, 90), (90, 160, 255), (120, 220, 150), (230, 130, 230))
_SCALE_BARS = (100, 50, 20, 10, 5)
_SMALLEST, _LARGEST = 16, 30
"""Height of the letters in pixels: legible in a thumbnail, not in the way on a page."""

_Stroke = list[tuple[float, float]]


@dataclass(frozen=True)
class Drawn:
    """A region with its finding's number, and what it is."""

    number: int
    """Of the finding (`tracking.finding_numbers`)."""
    finding: str
    """The finding's code meaning."""
    legend: str
    """What is beside the number under the picture."""
    located: LocatedRegion


def _letters(picture: Image.Image) -> int:
    return min(_LARGEST, max(_SMALLEST, min(picture.size) // 24))


def _outlined(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: Colour) -> None:
    draw.text(at, text, font=font(Face.SEMIBOLD, size), fill=colour, stroke_width=2, stroke_fill=_SHADOW)


# --- regions --------------------------------------------------------------------------------------


def _ellipse(points: NDArray[np.float64]) -> _Stroke:
    """The curve through the ends of major and minor axis."""
    centre = points[:2].mean(axis=0)
    major, minor = (points[0] - points[1]) / 2, (points[2] - points[3]) / 2
    angles = np.linspace(0, 2 * np.pi, 73)
    curve = centre + np.outer(np.cos(angles), major) + np.outer(np.sin(angles), minor)
    return [(float(x), float(y)) for x, y in curve]


def _strokes(located: LocatedRegion, scale: tuple[float, float]) -> list[_Stroke]:
    points = located.outline * np.asarray(scale)
    if isinstance(located.region, Ellipse):
        return [_ellipse(points)]
    if isinstance(located.region, Point):
        x, y = (float(value) for value in points[0])
        # A cross that leaves the point itself free.
        return [
            [(x + dx * a, y + dy * a), (x + dx * b, y + dy * b)]
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))
            for a, b in ((5, 16),)
        ]
    return [[(float(x), float(y)) for x, y in points]]


def draw_regions(picture: Image.Image, regions: Sequence[Drawn], scale: tuple[float, float]) -> None:
    """Each region as a line with its number; `scale`: pixels of the picture for one column and one row."""
    draw, size = ImageDraw.Draw(picture), max(_SMALLEST, _letters(picture) * 4 // 5)
    for drawn in regions:
        strokes = _strokes(drawn.located, scale)
        for wide, colour in ((6, _SHADOW), (2, REGION)):
            for stroke in strokes:
                draw.line(stroke, fill=colour, width=wide, joint="curve")
        number = str(drawn.number)
        # Beside the region's rightmost point (of two the upper one), but within the picture.
        x, y = max((point for stroke in strokes for point in stroke), key=lambda point: (point[0], -point[1]))
        left = min(x + 5, picture.width - width(number, Face.SEMIBOLD, size) - 4)
        _outlined(draw, (left, max(y - size - 4, 2)), number, size, REGION)


def segment_colour(segment: Segment) -> Colour:
    """The segment's own colour, else one of four."""
    return segment.colour or _SEGMENTS[segment.number % len(_SEGMENTS)]


def draw_segments(picture: Image.Image, labels: NDArray[np.unsignedinteger[Any]], segments: Sequence[Segment]) -> None:
    """The outline of each segment on this slice, in its colour."""
    pixels = np.asarray(picture).copy()
    shown = np.asarray(Image.fromarray(labels).resize(picture.size, Image.Resampling.NEAREST))
    here = set(np.unique(shown).tolist())
    for segment in segments:
        if segment.number not in here:
            continue
        inside = shown == segment.number
        edge = inside.copy()
        edge[2:-2, 2:-2] &= ~(inside[:-4, 2:-2] & inside[4:, 2:-2] & inside[2:-2, :-4] & inside[2:-2, 4:])
        pixels[edge] = segment_colour(segment)
    picture.paste(Image.fromarray(pixels))


# --- sides and scale ------------------------------------------------------------------------------


def breast_view(image: SourceImage) -> str:
    """Laterality and view of a mammogram, "R CC", as its film would be marked; empty for other images."""
    if image.code("Modality") != "MG":
        return ""
    laterality = image.code("ImageLaterality") or image.code("Laterality")
    return f"{laterality} {image.code('ViewPosition')}".strip() if laterality in {"R", "L", "B"} else ""


def draw_orientation(picture: Image.Image, image: SourceImage, frame_number: int) -> None:
    """The patient's directions at all four edges, or a mammogram's side and view away from the chest wall; nothing
    where nobody knows.
    """
    draw, size = ImageDraw.Draw(picture), _letters(picture)
    orientation = patient_orientation(image, frame_number)
    if view := breast_view(image):
        chest_wall_left = orientation is not None and orientation[0].startswith("A")
        left = picture.width - width(view, Face.SEMIBOLD, size) - 12 if chest_wall_left else 12
        _outlined(draw, (left, 6), view, size, TEXT)
    elif orientation is not None:
        right, bottom = orientation
        for letters, x, y in (
            (right, 1.0, 0.5),
            (opposite(right), 0.0, 0.5),
            (bottom, 0.5, 1.0),
            (opposite(bottom), 0.5, 0.0),
        ):
            used = width(letters, Face.SEMIBOLD, size)
            at = (8 + x * (picture.width - used - 16), 4 + y * (picture.height - size - 16))
            _outlined(draw, at, letters, size, TEXT)


def draw_scale(picture: Image.Image, plane: Plane | None, factor: float) -> None:
    """A scale bar for images that know their size in the patient; projections do not. `factor`: pixels a column."""
    if plane is None:
        return
    per_mm = factor / plane.spacing[1]
    length = next((mm for mm in _SCALE_BARS if mm * per_mm <= picture.width / 3), None)
    if length is None:
        return
    draw, size = ImageDraw.Draw(picture), max(_SMALLEST, _letters(picture) * 2 // 3)
    left, y = 16, picture.height - 18
    draw.rectangle((left - 1, y - 1, left + round(length * per_mm) + 1, y + 5), fill=_SHADOW)
    draw.rectangle((left, y, left + round(length * per_mm), y + 4), fill=TEXT)
    _outlined(draw, (left, y - size - 10), f"{length} mm", size, TEXT)
