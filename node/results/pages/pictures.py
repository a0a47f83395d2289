"""Pictures and texts of single files for people who look at the node itself: in a child process, as bytes are hostile.

What is shown is what pages of results show: the same windows, the same outlines in the same colours.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from node.reading import reader
from node.results.pages.canvas import fitting
from node.results.pages.key_slice import frame_pixels
from node.results.pages.overlay import badges_on, draw_orientation, draw_segments, outlines
from node.results.source.geometry import pixel_aspect
from node.results.source.images import SourceImage, read_sources
from node.results.texts import texts_of
from plugins import exchange
from plugins.contract import Result, Segmentation
from plugins.labels import label_counts

Box = tuple[int, int]
"""Width and height, in pixels, that a picture is to fit into."""


@dataclass(frozen=True, slots=True)
class SegmentationSummary:
    """What can be looked at of a segmentation, slice by slice."""

    slices: int
    first: int
    """The slice, from 0, on which most is segmented."""
    segments: tuple[tuple[str, str], ...]
    """Name and colour (`#rrggbb`) of each."""


def picture(path: Path, frame_number: int, box: Box) -> bytes:
    """One frame of a file, as PNG, upright and with square millimetres; raises what reading and decoding raise."""
    image = read_sources((path,)).images[0]
    return _png(_drawn(image, frame_number, box))


def report(path: Path) -> list[str]:
    """A structured report, line by line, as it is read back from its file."""
    return reader.read_sr(path).lines()


def segmentation(folder: Path) -> SegmentationSummary | None:
    """Of a kept result; None where it has none."""
    result = _result(folder)
    found = result.segmentation
    if found is None or not len(found.frames):
        return None
    sizes = [int(label_counts(found.planes[index])[1:].sum()) for index in range(len(found.frames))]
    drawn = [(each.name, "#{:02x}{:02x}{:02x}".format(*each.colour)) for each in outlines(result, texts_of("en"))]
    return SegmentationSummary(len(found.frames), int(np.argmax(sizes)), tuple(drawn))


def outlined(folder: Path, images: Mapping[str, Path], index: int, box: Box) -> bytes:
    """Slice `index`, from 0, of a kept result's segmentation, its segments outlined, as PNG.

    `images`: SOP Instance UID → file of what the result was made from. LookupError where the slice or its image is
    not among them.
    """
    result = _result(folder)
    found: Segmentation | None = result.segmentation
    if found is None or not 0 <= index < len(found.frames):
        raise LookupError("there is no such slice")
    frame = found.frames[index]
    image = read_sources((images[frame.sop_instance_uid],)).images[0]
    drawn = _drawn(image, frame.frame_number, box)
    labels: NDArray[np.unsignedinteger] = found.planes[index]
    draw_segments(drawn, labels, outlines(result, texts_of("en")), badges_on(drawn))
    draw_orientation(drawn, image, frame.frame_number)
    return _png(drawn)


@lru_cache(maxsize=1)  # one person scrolls through its slices
def _result(folder: Path) -> Result:
    return exchange.read_result(folder, exchange.read_request(folder))


def _drawn(image: SourceImage, frame_number: int, box: Box) -> Image.Image:
    pixels, _ = frame_pixels(image, frame_number)
    rows, columns = pixels.shape[:2]
    size = fitting((columns, rows * pixel_aspect(image, frame_number)), box)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _png(drawn: Image.Image) -> bytes:
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG")
    return buffer.getvalue()
