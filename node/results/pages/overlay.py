"""What is drawn over the pixels of a source image: regions, outlines of segments, sides, scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from node.results.pages.badges import SHADOW, NumberBadges, NumberedShape
from node.results.pages.canvas import REGION, TEXT, URGENT, Colour
from node.results.pages.fonts import Face, font, width
from node.results.pages.heat import Peak
from node.results.pages.meanings import segment_name
from node.results.report.regions import LocatedRegion
from node.results.source.breast_views import view_of
from node.results.source.geometry import FramePlane, opposite, patient_orientation
from node.results.source.images import SourceImage
from node.results.source.laterality import side_of
from node.results.texts import Texts
from node.results.tracking import segment_numbers
from plugins.contract import Ellipse, Point, Result

_SEGMENTS: tuple[Colour, ...] = ((120, 220, 150), (230, 130, 230), (80, 215, 225), (200, 225, 110))
"""Of anatomy and other segments without a colour: unlike those of findings, urgent, present or absent."""
_SCALE_BARS = (100, 50, 20, 10, 5)
_SMALLEST, _LARGEST = 16, 30
"""Height of the letters in pixels: legible in a thumbnail, not in the way on a page."""

_Stroke = list[tuple[float, float]]


@dataclass(frozen=True)
class DrawnRegion:
    """A region with its finding's number, and what it is."""

    number: int
    """Of the finding (`tracking.finding_numbers`)."""
    finding: str
    """The finding's code meaning."""
    legend: str
    """What is beside the number under the picture."""
    located: LocatedRegion
    urgent: bool = False


@dataclass(frozen=True)
class Outline:
    """How a segment is drawn: its label and colour, and the number of the finding that it shows."""

    label: int
    name: str
    colour: Colour
    number: int | None = None
    urgent: bool = False


def _letters(picture: Image.Image) -> int:
    return min(_LARGEST, max(_SMALLEST, min(picture.size) // 24))


def _outlined(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: Colour) -> None:
    draw.text(at, text, font=font(Face.SEMIBOLD, size), fill=colour, stroke_width=2, stroke_fill=SHADOW)


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


def draw_regions(
    picture: Image.Image, regions: Sequence[DrawnRegion], scale: tuple[float, float], badges: NumberBadges
) -> None:
    """Each region as a line with its number, the urgent ones thicker and on top.

    `scale`: pixels of the picture for one column and one row.
    """
    draw, shapes = ImageDraw.Draw(picture), []
    for drawn in sorted(regions, key=lambda each: (each.urgent, -each.number)):
        strokes = _strokes(drawn.located, scale)
        line = 4 if drawn.urgent else 2
        for wide, colour in ((line + 4, SHADOW), (line, finding_colour(urgent=drawn.urgent))):
            for stroke in strokes:
                draw.line(stroke, fill=colour, width=wide, joint="curve")
        points = [point for stroke in strokes for point in stroke]
        shapes.append(_numbered(drawn.number, points, finding_colour(urgent=drawn.urgent)))
    badges.draw(shapes)


def badges_on(picture: Image.Image) -> NumberBadges:
    """The numbers of findings, for all that is drawn on a picture."""
    return NumberBadges(picture, max(_SMALLEST, _letters(picture) * 4 // 5))


def _numbered(number: int, points: Sequence[tuple[float, float]], colour: Colour) -> NumberedShape:
    columns, rows = [x for x, _ in points], [y for _, y in points]
    extent = min(columns), min(rows), max(columns), max(rows)
    return NumberedShape(number, max(points, key=lambda point: (point[0], -point[1])), extent, colour)


def finding_colour(*, urgent: bool) -> Colour:
    """In which a present finding is drawn and numbered."""
    return URGENT if urgent else REGION


def outlines(result: Result, texts: Texts) -> list[Outline]:
    """How each segment is drawn: in the colour of the present finding that it shows, with its number, else its own."""
    if result.segmentation is None:
        return []
    numbers = segment_numbers(result)
    urgent = {label for finding in result.findings if finding.urgent for label in finding.segments}
    found = {label for finding in result.findings if finding.present for label in finding.segments}
    made = []
    for segment in result.segmentation.segments:
        own = segment.colour or _SEGMENTS[segment.number % len(_SEGMENTS)]
        colour = finding_colour(urgent=segment.number in urgent) if segment.number in found else own
        number = numbers.get(segment.number)
        made.append(Outline(segment.number, segment_name(segment, texts), colour, number, segment.number in urgent))
    return made


def draw_segments(
    picture: Image.Image,
    labels: NDArray[np.unsignedinteger[Any]],
    drawn: Sequence[Outline],
    badges: NumberBadges,
) -> None:
    """The outline of each segment on this slice, in its colour, with the number of its finding; the urgent thicker."""
    pixels = np.array(picture)
    shown = np.asarray(Image.fromarray(labels).resize(picture.size, Image.Resampling.NEAREST))
    here = set(np.unique(shown).tolist())
    shapes = []
    for outline in sorted((each for each in drawn if each.label in here), key=lambda each: each.urgent):
        inside = shown == outline.label
        wide = 4 if outline.urgent else 2
        pixels[_edge(inside, wide)] = outline.colour
        rows, columns = np.nonzero(inside)
        last = columns.argmax()
        right = float(columns[last]), float(rows[last])
        extent = float(columns.min()), float(rows.min()), right[0], float(rows.max())
        if outline.number is not None:
            shapes.append(NumberedShape(outline.number, right, extent, outline.colour))
    picture.paste(Image.fromarray(pixels))
    badges.draw(shapes)


def _edge(inside: NDArray[np.bool_], wide: int) -> NDArray[np.bool_]:
    """The pixels of a mask that are within `wide` of its edge, or of the picture's."""
    edge = np.array(inside)
    core = inside[: -2 * wide, wide:-wide] & inside[2 * wide :, wide:-wide]
    core = core & inside[wide:-wide, : -2 * wide] & inside[wide:-wide, 2 * wide :]
    edge[wide:-wide, wide:-wide] &= ~core
    return edge


def draw_peaks(picture: Image.Image, peaks: Sequence[Peak], scale: tuple[float, float]) -> None:
    """A cross at each peak of a heat map, beside it its value; `scale`: as for regions."""
    draw, size = ImageDraw.Draw(picture), max(_SMALLEST, _letters(picture) * 4 // 5)
    for peak in peaks:
        x, y = peak.column * scale[0], peak.row * scale[1]
        for wide, colour in ((5, SHADOW), (2, TEXT)):
            draw.line([(x - 7, y), (x + 7, y)], fill=colour, width=wide)
            draw.line([(x, y - 7), (x, y + 7)], fill=colour, width=wide)
        used = width(peak.text, Face.SEMIBOLD, size)
        left = x + 10 if x + 14 + used <= picture.width else x - 14 - used
        _outlined(draw, (left, min(max(y - size - 4, 2), picture.height - size - 6)), peak.text, size, TEXT)


# --- sides and scale ------------------------------------------------------------------------------


def breast_view(image: SourceImage) -> str:
    """Laterality and view of a mammogram, "R CC", as its film would be marked; empty for other images."""
    if image.code("Modality") != "MG":
        return ""
    laterality = side_of(image)
    return f"{laterality} {view_of(image)}".strip() if laterality in {"R", "L", "B"} else ""


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


def draw_scale(picture: Image.Image, plane: FramePlane | None, factor: float) -> None:
    """A scale bar for images that know their size in the patient; projections do not. `factor`: pixels a column."""
    if plane is None:
        return
    per_mm = factor / plane.spacing[1]
    length = next((mm for mm in _SCALE_BARS if mm * per_mm <= picture.width / 3), None)
    if length is None:
        return
    draw, size = ImageDraw.Draw(picture), max(_SMALLEST, _letters(picture) * 2 // 3)
    left, y = 16, picture.height - 18
    draw.rectangle((left - 1, y - 1, left + round(length * per_mm) + 1, y + 5), fill=SHADOW)
    draw.rectangle((left, y, left + round(length * per_mm), y + 4), fill=TEXT)
    _outlined(draw, (left, y - size - 10), f"{length} mm", size, TEXT)
