"""Annotated key slices: the source's pixels in a window, with what was found drawn on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from node.results.canvas import TEXT, Colour
from node.results.context import Context
from node.results.fonts import Face, font, width
from node.results.geometry import functional_group, opposite, patient_orientation, plane_of
from node.results.heat import blend, peak
from node.results.regions import LocatedRegion, locate
from node.results.sources import SourceImage
from plugins.contract import Ellipse, Heatmap, ImageReference, Point, Segment

log = structlog.get_logger(__name__)

_SHADOW: Colour = (0, 0, 0)
_REGION: Colour = (255, 214, 10)
_SEGMENTS: tuple[Colour, ...] = ((255, 150, 90), (90, 160, 255), (120, 220, 150), (230, 130, 230))
_LETTER = 30
_SCALE_BARS = (100, 50, 20, 10, 5)


@dataclass(frozen=True)
class KeySlice:
    """One frame to be shown, why, and what lies on it."""

    image: SourceImage
    frame_number: int
    reason: str
    window: tuple[float, float] | None
    regions: tuple[tuple[str, LocatedRegion], ...]
    """Label and region, in the order of the findings."""
    heatmap: Heatmap | None = None
    """Laid over the frame in colour."""


def key_slices(context: Context) -> list[KeySlice]:
    """The frames that the plugin named, then those on which a finding has a region, then each heat map's hottest."""
    result = context.request.result
    regions: dict[tuple[str, int], list[tuple[str, LocatedRegion]]] = {}
    number = 0
    for finding in result.findings:
        for region in finding.regions:
            number += 1
            located = locate(region, context.sources)
            if located is not None:
                key = (located.image.reference.sop_instance_uid, located.frame_number)
                regions.setdefault(key, []).append((f"{number} {finding.code.meaning}", located))
    slices = []
    for key_image in result.key_images:
        reference = key_image.image
        image = context.sources.find(reference.sop_instance_uid, "KeyImage.image", reference.frame_number)
        drawn = regions.pop((reference.sop_instance_uid, reference.frame_number), [])
        slices.append(KeySlice(image, reference.frame_number, key_image.reason, key_image.window, tuple(drawn)))
    for (uid, frame_number), drawn in regions.items():
        reason = ", ".join(dict.fromkeys(label.split(" ", 1)[1] for label, _ in drawn))
        image = context.sources.find(uid, "regions")
        slices.append(KeySlice(image, frame_number, reason, None, tuple(drawn)))
    for heatmap in result.heatmaps:
        frame = heatmap.frames[peak(heatmap)]
        image = context.sources.find(frame.sop_instance_uid, "Heatmap.frames", frame.frame_number)
        slices.append(KeySlice(image, frame.frame_number, heatmap.label, None, (), heatmap))
    return slices


# --- pixels ---------------------------------------------------------------------------------------


def _first(value: object) -> float | None:
    """The first of one or several numbers."""
    try:
        if value is None or value == "":
            return None
        return float(value)  # type: ignore[arg-type] # checked by the except
    except TypeError:
        return float(next(iter(value)))  # type: ignore[call-overload] # a MultiValue: it has at least one


def _window(values: NDArray[np.float32], voi: Dataset, asked: tuple[float, float] | None) -> tuple[float, float]:
    """Centre and width: as asked, else as the image says, else from 1st to 99th percentile."""
    if asked is not None:
        return asked
    centre, wide = _first(voi.get("WindowCenter")), _first(voi.get("WindowWidth"))
    if centre is not None and wide is not None and wide > 0:
        return centre, wide
    low, high = (float(value) for value in np.percentile(values, (1, 99)))
    return (low + high) / 2, max(high - low, 1.0)


def _grey(
    stored: NDArray[np.generic], image: SourceImage, frame_number: int, asked: tuple[float, float] | None
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    header = image.header
    rescale = functional_group(header, "PixelValueTransformationSequence", frame_number)
    slope, intercept = _first(rescale.get("RescaleSlope")), _first(rescale.get("RescaleIntercept"))
    values = stored.astype(np.float32) * np.float32(1 if slope is None else slope) + np.float32(intercept or 0)
    window = _window(values, functional_group(header, "FrameVOILUTSequence", frame_number), asked)
    shown = np.clip((values - (window[0] - window[1] / 2)) / window[1], 0, 1)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        shown = 1 - shown
    return (shown * 255).round().astype(np.uint8), window


def frame_pixels(
    image: SourceImage, frame_number: int, asked: tuple[float, float] | None = None
) -> tuple[NDArray[np.uint8], tuple[float, float] | None]:
    """One frame as RGB, shape (rows, columns, 3), and the window it is shown in (None for colour)."""
    stored = pixel_array(image.path, index=frame_number - 1)
    if image.header.get("PhotometricInterpretation") == "PALETTE COLOR":
        coloured = apply_color_lut(stored, image.header)
        return (coloured >> 8 if coloured.dtype == np.uint16 else coloured).astype(np.uint8), None
    if stored.ndim == 3:
        return stored.astype(np.uint8), None
    grey, window = _grey(stored, image, frame_number, asked)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2), window


def _aspect(image: SourceImage, frame_number: int) -> float:
    """Height of a pixel by its width."""
    plane = plane_of(image, frame_number)
    if plane is not None:
        return plane.spacing[0] / plane.spacing[1]
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        value = image.header.get(keyword)
        if value is not None and not isinstance(value, str) and len(value) == 2 and float(value[1]) > 0:
            return float(value[0]) / float(value[1])
    return 1.0


# --- drawing --------------------------------------------------------------------------------------

_Stroke = list[tuple[float, float]]


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
        return [[(x + dx * a, y + dy * a), (x + dx * b, y + dy * b)]
                for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)) for a, b in ((5, 16),)]  # fmt: skip
    return [[(float(x), float(y)) for x, y in points]]


def _outlined(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: Colour) -> None:
    draw.text(at, text, font=font(Face.SEMIBOLD, size), fill=colour, stroke_width=2, stroke_fill=_SHADOW)


def _draw_regions(picture: Image.Image, key: KeySlice, scale: tuple[float, float]) -> None:
    draw = ImageDraw.Draw(picture)
    for label, located in key.regions:
        strokes = _strokes(located, scale)
        for wide, colour in ((6, _SHADOW), (2, _REGION)):
            for stroke in strokes:
                draw.line(stroke, fill=colour, width=wide, joint="curve")
        number = label.split(" ", 1)[0]
        xs, ys = [x for stroke in strokes for x, _ in stroke], [y for stroke in strokes for _, y in stroke]
        # At the top-right corner of the region, but within the picture.
        left = min(max(xs) + 5, picture.width - width(number, Face.SEMIBOLD, 24) - 4)
        _outlined(draw, (left, max(min(ys) - 28, 2)), number, 24, _REGION)


def _colour(segment: Segment) -> Colour:
    return segment.colour or _SEGMENTS[segment.number % len(_SEGMENTS)]


def _labels(context: Context, key: KeySlice) -> NDArray[np.unsignedinteger[Any]] | None:
    """The slice of the label map that lies on this frame."""
    segmentation = context.request.result.segmentation
    reference = ImageReference(key.image.reference.sop_instance_uid, key.frame_number)
    if segmentation is None or reference not in segmentation.frames:
        return None
    plane: NDArray[np.unsignedinteger[Any]] = segmentation.labels[segmentation.frames.index(reference)]
    return plane


def _draw_segments(picture: Image.Image, context: Context, key: KeySlice) -> None:
    """The outline of each segment on this slice, in its colour."""
    segmentation, labels = context.request.result.segmentation, _labels(context, key)
    if segmentation is None or labels is None:
        return
    pixels = np.asarray(picture).copy()
    for segment in segmentation.segments:
        mask = Image.fromarray((labels == segment.number).astype(np.uint8) * 255).resize(
            picture.size, Image.Resampling.NEAREST
        )
        inside = np.asarray(mask) > 0
        edge = inside.copy()
        edge[2:-2, 2:-2] &= ~(inside[:-4, 2:-2] & inside[4:, 2:-2] & inside[2:-2, :-4] & inside[2:-2, 4:])
        pixels[edge] = _colour(segment)
    picture.paste(Image.fromarray(pixels))


def _draw_orientation(picture: Image.Image, key: KeySlice) -> None:
    """The patient's directions at all four edges; nothing where nobody knows."""
    orientation = patient_orientation(key.image, key.frame_number)
    if orientation is None:
        return
    draw = ImageDraw.Draw(picture)
    right, bottom = orientation
    for letters, x, y in (
        (right, 1.0, 0.5), (opposite(right), 0.0, 0.5), (bottom, 0.5, 1.0), (opposite(bottom), 0.5, 0.0)
    ):  # fmt: skip
        size = width(letters, Face.SEMIBOLD, _LETTER)
        at = (8 + x * (picture.width - size - 16), 4 + y * (picture.height - _LETTER - 16))
        _outlined(draw, at, letters, _LETTER, TEXT)


def _draw_scale(picture: Image.Image, key: KeySlice, factor: float) -> None:
    """A scale bar for images that know their size in the patient; projections do not."""
    plane = plane_of(key.image, key.frame_number)
    if plane is None:
        return
    per_mm = factor / plane.spacing[1]
    length = next((mm for mm in _SCALE_BARS if mm * per_mm <= picture.width / 3), None)
    if length is None:
        return
    draw = ImageDraw.Draw(picture)
    left, y = 16, picture.height - 18
    draw.rectangle((left - 1, y - 1, left + round(length * per_mm) + 1, y + 5), fill=_SHADOW)
    draw.rectangle((left, y, left + round(length * per_mm), y + 4), fill=TEXT)
    _outlined(draw, (left, y - 30), f"{length} mm", 20, TEXT)


@dataclass(frozen=True)
class DecodedSlice:
    """A key slice with its pixels, decoded once for all the sizes it is drawn in."""

    context: Context
    key: KeySlice
    rgb: NDArray[np.uint8]
    window: tuple[float, float] | None
    decoded: bool = True

    @property
    def lines(self) -> list[str]:
        """What belongs under it: where the slice lies and how it is shown, then the numbered regions."""
        texts, heatmap = self.context.texts, self.key.heatmap
        missing = [] if self.decoded else [texts.no_pixels]
        hottest = [texts.hottest.format(slices=len(heatmap.frames))] if heatmap and len(heatmap.frames) > 1 else []
        return [_where(self.context, self.key, self.window), *hottest, *missing, *_legend(self.key)]

    @property
    def segments(self) -> list[tuple[str, Colour]]:
        """Label and colour of each segment whose outline is drawn."""
        labels = None if self.key.heatmap is not None else _labels(self.context, self.key)
        segmentation = self.context.request.result.segmentation
        if labels is None or segmentation is None:
            return []
        here = set(np.unique(labels).tolist())
        return [(segment.label, _colour(segment)) for segment in segmentation.segments if segment.number in here]

    def draw(self, box: tuple[int, int]) -> NDArray[np.uint8]:
        """RGB, as large as fits into `box` (width, height) with square millimetres."""
        rows, columns = self.rgb.shape[0], self.rgb.shape[1]
        aspect = _aspect(self.key.image, self.key.frame_number)
        factor = min(box[0] / columns, box[1] / (rows * aspect))
        size = (max(1, round(columns * factor)), max(1, round(rows * aspect * factor)))
        picture = Image.fromarray(self.rgb).resize(size, Image.Resampling.BICUBIC)
        if self.key.heatmap is not None:
            blend(picture, self.key.heatmap, peak(self.key.heatmap))
        else:  # outlines over the colours of a map would hide what it shows
            _draw_segments(picture, self.context, self.key)
        _draw_regions(picture, self.key, (size[0] / columns, size[1] / rows))
        _draw_orientation(picture, self.key)
        _draw_scale(picture, self.key, size[0] / columns)
        return np.asarray(picture)


def decode(context: Context, key: KeySlice) -> DecodedSlice:
    """Read the frame's pixels. Where they cannot be decoded the slice is black, and its lines say why:
    what was found on it is worth more than its picture.
    """
    try:
        rgb, window = frame_pixels(key.image, key.frame_number, key.window)
    except Exception as error:  # noqa: BLE001 - codecs raise what they like; the reader is told, the log names the image
        log.warning(
            "key slice not decoded",
            sop_instance_uid=key.image.reference.sop_instance_uid,
            frame=key.frame_number,
            error=type(error).__name__,
        )
        size = (int(key.image.header.get("Rows") or 0) or 512, int(key.image.header.get("Columns") or 0) or 512)
        return DecodedSlice(context, key, np.zeros((*size, 3), dtype=np.uint8), None, decoded=False)
    return DecodedSlice(context, key, rgb, window)


def _where(context: Context, key: KeySlice, window: tuple[float, float] | None) -> str:
    """Which slice this is, so that it is found again in the series."""
    texts, parts = context.texts, []
    number = str(key.image.header.get("InstanceNumber") or "")
    if key.image.is_multi_frame:
        number = f"{number}/{key.frame_number}" if number else str(key.frame_number)
    if number:
        parts.append(texts.slice_number.format(number=number))
    plane = plane_of(key.image, key.frame_number)
    if plane is not None:
        axis = int(np.argmax(np.abs(plane.normal)))
        parts.append(texts.slice_position.format(value=f"{'xyz'[axis]} = {plane.position[axis]:.1f}".replace("-", "−")))
    if window is not None:
        parts.append(texts.window.format(centre=f"{window[0]:g}".replace("-", "−"), width=f"{window[1]:g}"))
    return "  ·  ".join(parts)


def _legend(key: KeySlice) -> list[str]:
    """ "1, 2 Nodule of lung": the numbers at the regions, and of what."""
    numbers: dict[str, list[str]] = {}
    for label, _ in key.regions:
        number, name = label.split(" ", 1)
        numbers.setdefault(name, []).append(number)
    return [f"{', '.join(of)}  {name}" for name, of in numbers.items()]
