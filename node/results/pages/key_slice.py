"""Annotated key slices: the source's pixels in a window, with what was found drawn on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from node.results.context import Context
from node.results.pages import display
from node.results.pages.canvas import fitting
from node.results.pages.heat import blend, greatest_text, has_own_scale, peak, peaks, scale_of, value_text
from node.results.pages.meanings import meaning, segment_name, words
from node.results.pages.overlay import (
    DrawnRegion,
    Outline,
    badges_on,
    breast_view,
    draw_orientation,
    draw_peaks,
    draw_regions,
    draw_scale,
    draw_segments,
    outlines,
)
from node.results.pages.page import CONTENT, HEIGHTS
from node.results.pages.tables import finding_name
from node.results.report.regions import locate
from node.results.source.copying import readable
from node.results.source.geometry import pixel_aspect, plane_of
from node.results.source.images import SourceImage
from node.results.tracking import finding_numbers, reading_order, shown_numbers
from plugins import decoding, pixel_data
from plugins.contract import Heatmap, ImageReference
from plugins.labels import label_counts

log = structlog.get_logger(__name__)

_MOST_IN_LEGEND = 8
"""Regions that are named under their picture."""
_MOST_NUMBERS = 5
"""Of findings, named one by one."""


@dataclass(frozen=True)
class KeySlice:
    """One frame to be shown, why, and what lies on it."""

    image: SourceImage
    frame_number: int
    reason: str
    window: tuple[float, float] | None
    regions: tuple[DrawnRegion, ...]
    """In the order of the findings."""
    heatmap: Heatmap | None = None
    """Laid over the frame in colour."""
    shows_urgent: bool = False
    """A segment on it is of an urgent finding."""
    is_named: bool = False
    """The plugin named it, so that it is in the Key Object Selection."""

    @property
    def is_urgent(self) -> bool:
        """Whether something urgent lies on it."""
        return self.shows_urgent or any(drawn.urgent for drawn in self.regions)


def key_slices(context: Context) -> list[KeySlice]:
    """The frames that the plugin named, then those on which a finding has a region, then of what is segmented and not
    on any of these the frame where it is largest, then each heat map's hottest; what is urgent comes first.
    """
    result = context.request.result
    regions = _regions_by_frame(context)
    slices = []
    for key_image in result.key_images:
        reference = key_image.image
        image = context.sources.find(reference.sop_instance_uid, "KeyImage.image", reference.frame_number)
        drawn = regions.pop((reference.sop_instance_uid, reference.frame_number), [])
        slices.append(
            KeySlice(image, reference.frame_number, key_image.reason, key_image.window, tuple(drawn), is_named=True)
        )
    for (uid, frame_number), drawn in regions.items():
        reason = ", ".join(_by_name((one.finding, one.number) for one in drawn))
        image = context.sources.find(uid, "regions")
        slices.append(KeySlice(image, frame_number, reason, None, tuple(drawn)))
    slices += _largest_of_segments(context, slices)
    for heatmap in result.heatmaps:
        frame = heatmap.frames[peak(heatmap)]
        image = context.sources.find(frame.sop_instance_uid, "Heatmap.frames", frame.frame_number)
        slices.append(KeySlice(image, frame.frame_number, words(heatmap.label, context.texts), None, (), heatmap))
    return sorted(slices, key=lambda one: not one.is_urgent)


def _largest_of_segments(context: Context, slices: Sequence[KeySlice]) -> list[KeySlice]:
    """For each present finding and each SEG that shows it, then for each SEG, a frame, where `slices` have none."""
    result = context.request.result
    shown = {(one.image.reference.sop_instance_uid, one.frame_number) for one in slices}
    made = []
    numbers = shown_numbers(result)
    present = [index for index in reading_order(result) if result.findings[index].present]
    for mask in context.masks:
        for segments in (*(result.findings[index].segments for index in present), mask.labels):
            candidates = mask.frames_with(segments)
            frames = [(mask.frames[i][0].reference.sop_instance_uid, mask.frames[i][1]) for i in candidates]
            if not candidates or shown.intersection(frames):
                continue
            index = mask.largest(segments)
            image, frame_number = mask.frames[index]
            shown.add((image.reference.sop_instance_uid, frame_number))
            here = [i for i in present if index in mask.frames_with(result.findings[i].segments)]
            found = [(result.findings[i], numbers[i]) for i in here]
            named = ", ".join(f"{number or ''} {finding_name(each, context.texts)}".strip() for each, number in found)
            named = named or _names(context, mask.pixels[index])
            urgent = any(each.urgent for each, _ in found)
            made.append(KeySlice(image, frame_number, named, None, (), shows_urgent=urgent))
    return made


def _names(context: Context, labels: Iterable[int]) -> str:
    """The segments' labels, as many as fit into a caption."""
    segmentation = context.request.result.segmentation
    segments = segmentation.segments if segmentation else ()
    names = [segment_name(segment, context.texts) for segment in segments if segment.number in labels]
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")


def _regions_by_frame(context: Context) -> dict[tuple[str, int], list[DrawnRegion]]:
    """The regions that lie on a source frame, by SOP Instance UID and frame number."""
    result = context.request.result
    regions: dict[tuple[str, int], list[DrawnRegion]] = {}
    for finding, number in zip(result.findings, finding_numbers(result), strict=True):
        for region in finding.regions:
            located = locate(region, context.sources)
            if located is not None:
                frame = (located.image.reference.sop_instance_uid, located.frame_number)
                drawn = DrawnRegion(
                    number,
                    meaning(finding.code, context.texts),
                    finding_name(finding, context.texts),
                    located,
                    finding.urgent,
                )
                regions.setdefault(frame, []).append(drawn)
    return regions


# --- pixels ---------------------------------------------------------------------------------------


def frame_pixels(
    image: SourceImage, frame_number: int, asked: tuple[float, float] | None = None
) -> tuple[NDArray[np.uint8], tuple[float, float] | None]:
    """One frame as RGB, no larger than a page shows it, shape (rows, columns, 3); and the window it is shown in.

    None for colour, and where the frame is shown through a table or its values mean nothing certain.
    """
    photometric = str(image.header.get("PhotometricInterpretation") or "")
    is_grey = photometric.startswith("MONOCHROME")
    if is_grey:
        grey, window = display.grey(
            next(decoding.frames_of(image.path, [frame_number], "the image")), image.header, frame_number, asked
        )
        return np.repeat(_shrunk(grey)[:, :, np.newaxis], 3, axis=2), window
    pixel_data.doubt_about(image.path, "the image")
    stored = pixel_array(image.path, index=frame_number - 1)
    if photometric == "PALETTE COLOR":
        coloured = apply_color_lut(stored, image.header)
        # tables that say 16 bits and hold 8 would be black
        return _shrunk((coloured >> 8 if coloured.max() > 255 else coloured).astype(np.uint8)), None
    more = max(0, int(image.header.BitsStored) - 8)  # bits a sample than a page has
    return _shrunk((stored >> more).astype(np.uint8)), None


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As large as a page is at most: a set may have a hundred slices, of images of a hundred million pixels each."""
    rows, columns = pixels.shape[:2]
    factor = min(CONTENT / columns, HEIGHTS[-1] / rows)
    if factor >= 1:
        return pixels
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def _frame_size(image: SourceImage) -> tuple[int, int]:
    """Rows and Columns, of an image that has them."""
    return int(image.header.get("Rows") or 0) or 512, int(image.header.get("Columns") or 0) or 512


# --- the picture ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DecodedSlice:
    """A key slice with its pixels, decoded once for all the sizes it is drawn in."""

    context: Context
    key: KeySlice
    rgb: NDArray[np.uint8]
    """No larger than a page shows it."""
    window: tuple[float, float] | None
    decoded: bool = True

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, in columns."""
        rows, columns = _frame_size(self.key.image)
        return columns, rows * pixel_aspect(self.key.image, self.key.frame_number)

    @property
    def lines(self) -> list[str]:
        """What belongs under it: where the slice lies and how it is shown, then the numbered regions."""
        texts, heatmap = self.context.texts, self.key.heatmap
        missing = [] if self.decoded else [texts.no_pixels]
        hottest = [texts.hottest.format(slices=len(heatmap.frames))] if heatmap and len(heatmap.frames) > 1 else []
        position = _position(self.key)
        where = _joined(
            _number(self.context, self.key),
            texts.slice_position.format(value=position) if position else "",
            self._shown_through,
        )
        legend = _legend(self.key) if len(self.key.regions) <= _MOST_IN_LEGEND else []  # more have a list of their own
        return [where, *self._scale, *hottest, *missing, *legend]

    @property
    def _shown_through(self) -> str:
        """Its window; empty where it is shown through a table or as it is."""
        if self.window is None:
            return ""
        centre, wide = (f"{value:g}".replace("-", "−") for value in self.window)
        return self.context.texts.window.format(centre=centre, width=wide)

    @property
    def _scale(self) -> list[str]:
        """What the colours of a heat map stand for, and how far it goes."""
        heatmap, texts = self.key.heatmap, self.context.texts
        if heatmap is None:
            return []
        low, high = (value_text(heatmap, end) for end in scale_of(heatmap))
        text = texts.whole_scale if has_own_scale(heatmap) else texts.range_of_map
        return [text.format(low=low, high=high, greatest=greatest_text(heatmap))]

    @property
    def caption(self) -> str:
        """Under it in small: why it is shown, which slice it is, and whether its pixels are missing."""
        return self._caption("")

    @property
    def full_caption(self) -> str:
        """The same with the window, where no page of its own says it."""
        return self._caption(self._shown_through)

    def _caption(self, window: str) -> str:
        where = _joined(_number(self.context, self.key), _position(self.key), window)
        missing = "" if self.decoded else f" {self.context.texts.no_pixels}"
        return " – ".join(part for part in (self.key.reason, *self._scale, where) if part) + missing

    @property
    def segments(self) -> list[Outline]:
        """Each segment whose outline is drawn."""
        labels = None if self.key.heatmap is not None else _labels(self.context, self.key)
        if labels is None:
            return []
        here = set(np.flatnonzero(label_counts(labels)).tolist())
        drawn = outlines(self.context.request.result, self.context.texts)
        return [outline for outline in drawn if outline.label in here]

    def draw(self, box: tuple[int, int]) -> NDArray[np.uint8]:
        """RGB, as large as fits into `box` (width, height) with square millimetres."""
        rows, columns = _frame_size(self.key.image)
        size = fitting(self.size, box)
        picture = Image.fromarray(self.rgb).resize(size, Image.Resampling.BICUBIC)
        labels, badges = _labels(self.context, self.key), badges_on(picture)
        if self.key.heatmap is not None:
            plane = peak(self.key.heatmap)
            blend(picture, self.key.heatmap, plane)
            draw_peaks(picture, peaks(self.key.heatmap, plane), (size[0] / columns, size[1] / rows))
        elif labels is not None:  # outlines over the colours of a map would hide what it shows
            draw_segments(picture, labels, outlines(self.context.request.result, self.context.texts), badges)
        draw_orientation(picture, self.key.image, self.key.frame_number)
        draw_scale(picture, plane_of(self.key.image, self.key.frame_number), size[0] / columns)
        draw_regions(picture, self.key.regions, (size[0] / columns, size[1] / rows), badges)
        return np.asarray(picture)


def _labels(context: Context, key: KeySlice) -> NDArray[np.unsignedinteger[Any]] | None:
    """The slice of the label map that lies on this frame."""
    segmentation = context.request.result.segmentation
    reference = ImageReference(key.image.reference.sop_instance_uid, key.frame_number)
    if segmentation is None or not context.masks or reference not in segmentation.frames:
        return None
    return segmentation.planes[segmentation.frames.index(reference)]


def decode(context: Context, key: KeySlice) -> DecodedSlice:
    """Read the frame's pixels. Where they cannot be decoded the slice is black, and its lines say why:
    what was found on it is worth more than its picture.
    """
    try:
        rgb, window = frame_pixels(key.image, key.frame_number, key.window)
    except Exception as error:  # noqa: BLE001 - codecs raise what they like; the reader sees it, the log names the image
        log.warning(
            "results.key-slice-not-decoded",
            sop_instance_uid=key.image.reference.sop_instance_uid,
            frame=key.frame_number,
            error=type(error).__name__,
        )
        black = _shrunk(np.zeros(_frame_size(key.image), dtype=np.uint8))
        return DecodedSlice(context, key, np.repeat(black[:, :, np.newaxis], 3, axis=2), None, decoded=False)
    return DecodedSlice(context, key, rgb, window)


def _joined(*parts: str) -> str:
    return "  ·  ".join(part for part in parts if part)


def _number(context: Context, key: KeySlice) -> str:
    """Which image it is, so that it is found again: a mammogram's view, the series, the image, the frame."""
    texts, header = context.texts, key.image.header
    series = str(readable(header, "SeriesNumber") or readable(header, "SeriesDescription") or "")
    number = str(readable(header, "InstanceNumber") or "")
    frame = texts.frame_number.format(number=key.frame_number, frames=key.image.frames)
    return _joined(
        breast_view(key.image),
        texts.series_number.format(number=series) if series else "",
        texts.slice_number.format(number=number) if number else "",
        frame if key.image.is_multi_frame else "",
    )


def _position(key: KeySlice) -> str:
    """ "z = −660.8 mm", so that it is found again in the series; empty where nobody knows."""
    plane = plane_of(key.image, key.frame_number)
    if plane is None:
        return ""
    axis = int(np.argmax(np.abs(plane.normal)))
    return f"{'xyz'[axis]} = {plane.position[axis]:.1f} mm".replace("-", "−")


def _legend(key: KeySlice) -> list[str]:
    """ "1, 2  Solitary nodule of lung, Right": the numbers at the regions, and of what."""
    return _by_name((drawn.legend, drawn.number) for drawn in key.regions)


def _by_name(named: Iterable[tuple[str, int]]) -> list[str]:
    """ "1, 2  Solitary nodule of lung": each name once, behind the numbers of the findings that it is the name of."""
    numbers: dict[str, dict[int, None]] = {}
    for name, number in named:
        numbers.setdefault(name, {})[number] = None
    return [f"{_listed(list(of))}  {name}" for name, of in numbers.items()]


def _listed(numbers: Sequence[int]) -> str:
    """ "1, 2, 4"; many in a row as "1–40"."""
    if len(numbers) > _MOST_NUMBERS and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}–{numbers[-1]}"
    if len(numbers) > 2 * _MOST_NUMBERS:
        return f"{', '.join(str(number) for number in numbers[:_MOST_NUMBERS])} … ({len(numbers)})"
    return ", ".join(str(number) for number in numbers)
