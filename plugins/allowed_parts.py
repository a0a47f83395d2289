"""What a result may refer to: the instances, frames and frames of reference that the plugin was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from plugins import limits
from plugins.contract import (
    Box,
    Ellipse,
    Finding,
    Heatmap,
    ImageReference,
    Measurement,
    Picture,
    Point,
    Polygon,
    Polyline,
    Region,
    Segmentation,
)
from plugins.encoding import EncodingError, Planes
from plugins.untrusted import shown_size


class GivenImage(NamedTuple):
    """What a result may say of one SOP instance that the plugin was given."""

    series_instance_uid: str
    frames: int
    frame_of_reference_uid: str
    rows: int
    """0 where it is not known."""
    columns: int


class AllowedParts:
    """What a result may refer to, and how much there may be of it: checked against each part as it is read."""

    def __init__(self, images: Mapping[str, GivenImage]) -> None:
        """`images`: by SOP Instance UID."""
        self._images = images
        self._frames_of_reference = {each.frame_of_reference_uid for each in images.values()} - {""}
        self._counted: Counter[str] = Counter()

    def check(self, path: str, value: Any) -> None:
        """`EncodingError` where a part refers to what the plugin was not given, or is one too many."""
        match value:
            case ImageReference():
                self._check_image(path, value)
            case Segmentation() | Heatmap():
                self._check_frames(f"{path}.frames", value)
            case Measurement():
                self._count(path, "measurements", 1, limits.MEASUREMENTS)
            case Finding():
                self._count(f"{path}.comment", "characters of comments", len(value.comment), limits.COMMENTS)
            case Picture():
                height, width = value.pixels.shape[:2]
                self._count(f"{path}.pixels", "pixels of pictures", height * width, limits.PICTURE_PIXELS)
            case Point() | Polyline() | Box() | Polygon() | Ellipse():
                self._check_region(path, value)

    def planes(self, path: str, fields: Mapping[str, Any], index: int | None) -> Planes | None:
        """The sizes of the images under an array; None where it lies on none."""
        frames = fields.get("frames")
        if frames is None:
            return None
        if index is None:
            return Planes([self._size(frame) for frame in frames])
        if index >= len(frames):
            raise EncodingError(path, f"{len(frames)} references for {index + 1} slices or more")
        return Planes([self._size(frames[index])], flat=True)

    def _size(self, image: ImageReference) -> tuple[int, int] | None:
        file = self._images[image.sop_instance_uid]
        return (file.rows, file.columns) if file.rows and file.columns else None

    def _count(self, path: str, what: str, more: int, most: int) -> None:
        self._counted[what] += more
        if self._counted[what] > most:
            raise EncodingError(path, f"more than {most} {what} in one result")

    def _check_image(self, path: str, image: ImageReference) -> None:
        known = self._images.get(image.sop_instance_uid)
        if known is None:
            raise EncodingError(
                f"{path}.sop_instance_uid", "is not an instance that the plugin was given: the result is refused"
            )
        if image.frame_number > known.frames:
            raise EncodingError(
                f"{path}.frame_number", f"{image.frame_number}, but the instance has {known.frames} frames"
            )

    def _check_frames(self, path: str, value: Segmentation | Heatmap) -> None:
        if len(set(value.frames)) != len(value.frames):
            raise EncodingError(path, "names a frame twice")
        # The views of an examination are often a series each; their masks become objects of their own, maps do not.
        series = {self._images[frame.sop_instance_uid].series_instance_uid for frame in value.frames}
        if isinstance(value, Heatmap) and len(series) > 1:
            raise EncodingError(path, "mixes frames of several series")

    def _check_region(self, path: str, region: Region) -> None:
        self._count(path, "regions", 1, limits.REGIONS)
        self._count(f"{path}.points", "points of regions", len(region.points), limits.POINTS)
        uid = region.frame_of_reference_uid
        if uid is not None and uid not in self._frames_of_reference:
            raise EncodingError(
                f"{path}.frame_of_reference_uid", "is not a frame of reference of the instances that the plugin has"
            )
        size = self._size(region.image) if region.image is not None else None
        if size and ((region.points[:, 0] > size[1]).any() or (region.points[:, 1] > size[0]).any()):
            raise EncodingError(f"{path}.points", f"lies outside of its image, which has {shown_size(size)} pixels")
