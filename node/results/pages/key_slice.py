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
from node.results.pages.canvas import Colour, fitting
from node.results.pages.heat import blend, peak
from node.results.pages.overlay import Drawn, draw_orientation, draw_regions, draw_scale, draw_segments, segment_colour
from node.results.pages.page import CONTENT, HEIGHTS
from node.results.pages.tables import finding_name
from node.results.report.regions import locate
from node.results.source.copying import readable
from node.results.source.geometry import numbers_of, plane_of
from node.results.source.images import SourceImage
from node.results.tracking import finding_numbers, shown_numbers
from plugins.contract import Heatmap, ImageReference
from plugins.labels import label_counts

log = structlog.get_logger(__name__)

_MOST_NUMBERS = 5
"""Of findings, named one by one."""


@dataclass(frozen=True)
class KeySlice:
    """One frame to be shown, why, and what lies on it."""

    image: SourceImage
    frame_number: int
    reason: str
    window: tuple[float, float] | None
    regions: tuple[Drawn, ...]
    """In the order of the findings."""
    heatmap: Heatmap | None = None
    """Laid over the frame in colour."""


def key_slices(context: Context) -> list[KeySlice]:
    """The frames that the plugin named, then those on which a finding has a region, then of what is segmented and not
    on any of these the frame where it is largest, then each heat map's hottest.
    """
    result = context.request.result
    regions = _regions_by_frame(context)
    slices = []
    for key_image in result.key_images:
        reference = key_image.image
        image = context.sources.find(reference.sop_instance_uid, "KeyImage.image", reference.frame_number)
        drawn = regions.pop((reference.sop_instance_uid, reference.frame_number), [])
        slices.append(KeySlice(image, reference.frame_number, key_image.reason, key_image.window, tuple(drawn)))
    for (uid, frame_number), drawn in regions.items():
        reason = ", ".join(_by_name((one.finding, one.number) for one in drawn))
        image = context.sources.find(uid, "regions")
        slices.append(KeySlice(image, frame_number, reason, None, tuple(drawn)))
    slices += _largest_of_segments(context, slices)
    for heatmap in result.heatmaps:
        frame = heatmap.frames[peak(heatmap)]
        image = context.sources.find(frame.sop_instance_uid, "Heatmap.frames", frame.frame_number)
        slices.append(KeySlice(image, frame.frame_number, heatmap.label, None, (), heatmap))
    return slices


def _largest_of_segments(context: Context, slices: Sequence[KeySlice]) -> list[KeySlice]:
    """For each present finding and each SEG that shows it, then for each SEG, a frame, where `slices` have none."""
    result = context.request.result
    shown = {(one.image.reference.sop_instance_uid, one.frame_number) for one in slices}
    made = []
    for mask in context.masks:
        wanted = [
            (f"{number or ''} {finding_name(finding, context.texts)}".strip(), finding.segments)
            for finding, number in zip(result.findings, shown_numbers(result), strict=True)
            if finding.present
        ]
        for reason, segments in (*wanted, ("", mask.labels)):
            candidates = mask.frames_with(segments)
            frames = [(mask.frames[i][0].reference.sop_instance_uid, mask.frames[i][1]) for i in candidates]
            if not candidates or shown.intersection(frames):
                continue
            index = mask.largest(segments)
            image, frame_number = mask.frames[index]
            shown.add((image.reference.sop_instance_uid, frame_number))
            made.append(KeySlice(image, frame_number, reason or _names(context, mask.pixels[index]), None, ()))
    return made


def _names(context: Context, labels: Iterable[int]) -> str:
    """The segments' labels, as many as fit into a caption."""
    segmentation = context.request.result.segmentation
    names = [segment.label for segment in segmentation.segments if segment.number in labels] if segmentation else []
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")


def _regions_by_frame(context: Context) -> dict[tuple[str, int], list[Drawn]]:
    """The regions that lie on a source frame, by SOP Instance UID and frame number."""
    result = context.request.result
    regions: dict[tuple[str, int], list[Drawn]] = {}
    for finding, number in zip(result.findings, finding_numbers(result), strict=True):
        for region in finding.regions:
            located = locate(region, context.sources)
            if located is not None:
                frame = (located.image.reference.sop_instance_uid, located.frame_number)
                drawn = Drawn(number, finding.code.meaning, finding_name(finding, context.texts), located)
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
    stored = pixel_array(image.path, index=frame_number - 1, correct_unused_bits=not is_grey)
    if photometric == "PALETTE COLOR":
        coloured = apply_color_lut(stored, image.header)
        return _shrunk((coloured >> 8 if coloured.dtype == np.uint16 else coloured).astype(np.uint8)), None
    if stored.ndim == 3:
        more = max(0, int(image.header.BitsStored) - 8)  # bits a sample than a page has
        return _shrunk((stored >> more).astype(np.uint8)), None
    grey, window = display.grey(stored, image.header, frame_number, asked)
    return np.repeat(_shrunk(grey)[:, :, np.newaxis], 3, axis=2), window


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


def _aspect(image: SourceImage, frame_number: int) -> float:
    """Height of a pixel by its width."""
    plane = plane_of(image, frame_number)
    if plane is not None:
        return plane.spacing[0] / plane.spacing[1]
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        size = numbers_of(readable(image.header, keyword), 2)
        if size is not None and (size > 0).all():
            return float(size[0] / size[1])
    return 1.0


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
        return columns, rows * _aspect(self.key.image, self.key.frame_number)

    @property
    def lines(self) -> list[str]:
        """What belongs under it: where the slice lies and how it is shown, then the numbered regions."""
        texts, heatmap = self.context.texts, self.key.heatmap
        missing = [] if self.decoded else [texts.no_pixels]
        hottest = [texts.hottest.format(slices=len(heatmap.frames))] if heatmap and len(heatmap.frames) > 1 else []
        position, shown = _position(self.key), ""
        if self.window is not None:
            centre, wide = (f"{value:g}".replace("-", "−") for value in self.window)
            shown = texts.window.format(centre=centre, width=wide)
        where = _joined(
            _number(self.context, self.key), texts.slice_position.format(value=position) if position else "", shown
        )
        return [where, *hottest, *missing, *_legend(self.key)]

    @property
    def caption(self) -> str:
        """Under it in small: why it is shown, which slice it is, and whether its pixels are missing."""
        where = _joined(_number(self.context, self.key), _position(self.key))
        missing = "" if self.decoded else f" {self.context.texts.no_pixels}"
        return (f"{self.key.reason} – {where}" if where else self.key.reason) + missing

    @property
    def segments(self) -> list[tuple[str, Colour]]:
        """Label and colour of each segment whose outline is drawn."""
        labels = None if self.key.heatmap is not None else _labels(self.context, self.key)
        segmentation = self.context.request.result.segmentation
        if labels is None or segmentation is None:
            return []
        here = set(np.flatnonzero(label_counts(labels)).tolist())
        return [(segment.label, segment_colour(segment)) for segment in segmentation.segments if segment.number in here]

    def draw(self, box: tuple[int, int]) -> NDArray[np.uint8]:
        """RGB, as large as fits into `box` (width, height) with square millimetres."""
        rows, columns = _frame_size(self.key.image)
        size = fitting(self.size, box)
        picture = Image.fromarray(self.rgb).resize(size, Image.Resampling.BICUBIC)
        labels = _labels(self.context, self.key)
        if self.key.heatmap is not None:
            blend(picture, self.key.heatmap, peak(self.key.heatmap))
        elif labels is not None:  # outlines over the colours of a map would hide what it shows
            segmentation = self.context.request.result.segmentation
            draw_segments(picture, labels, segmentation.segments if segmentation else ())
        draw_regions(picture, self.key.regions, (size[0] / columns, size[1] / rows))
        draw_orientation(picture, self.key.image, self.key.frame_number)
        draw_scale(picture, plane_of(self.key.image, self.key.frame_number), size[0] / columns)
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
    """Which image of its series it is; empty where it has no number."""
    number = str(readable(key.image.header, "InstanceNumber") or "")
    if key.image.is_multi_frame:
        number = f"{number}/{key.frame_number}" if number else str(key.frame_number)
    return context.texts.slice_number.format(number=number) if number else ""


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
    return ", ".join(str(number) for number in numbers)
