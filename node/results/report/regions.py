"""Regions of a finding, on the source image they lie on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.results.errors import NotEncodableError
from node.results.source.geometry import plane_of
from node.results.source.images import SourceImage, Sources
from plugins.contract import Box, Ellipse, Point, Polygon, Region

_FAR = 300.0
"""mm: so far outside of all images that a plugin was given it cannot have found anything."""
_IN_PLANE = 1.0
"""mm: a region farther than this from every slice is not drawn on a neighbouring one."""


@dataclass(frozen=True)
class LocatedRegion:
    """A region in pixels of one frame: (n, 2) column, row from the corner of the top-left pixel."""

    region: Region
    image: SourceImage
    frame_number: int
    pixels: NDArray[np.float64]

    @property
    def outline(self) -> NDArray[np.float64]:
        """The points of a line that draws it: boxes and polygons closed, ellipses as their four points."""
        if isinstance(self.region, Box):
            (left, top), (right, bottom) = self.pixels.min(axis=0), self.pixels.max(axis=0)
            return np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])
        if isinstance(self.region, Polygon):
            return np.concatenate([self.pixels, self.pixels[:1]])
        if isinstance(self.region, Ellipse) and self._is_circle:
            # either axis is the major one: that along the columns first, from which viewers read a circle right
            return self.pixels if _runs_along_columns(self.pixels) else self.pixels[[2, 3, 0, 1]]
        return self.pixels

    @property
    def _is_circle(self) -> bool:
        axes = np.linalg.norm(self.pixels[[0, 2]] - self.pixels[[1, 3]], axis=1)
        return bool(np.isclose(axes[0], axes[1], rtol=1e-3))

    @property
    def graphic_type(self) -> str:
        """Graphic Type of an SCOORD (PS3.3 C.18.6.1.1)."""
        if isinstance(self.region, Point):
            return "POINT"
        return "ELLIPSE" if isinstance(self.region, Ellipse) else "POLYLINE"


def _runs_along_columns(axes: NDArray[np.float64]) -> bool:
    columns, rows = np.abs(axes[1] - axes[0])
    return bool(rows >= columns)


def _nearest_frame(region: Region, sources: Sources) -> LocatedRegion | None:
    best: tuple[float, LocatedRegion] | None = None
    for image in sources.images:
        if image.frame_of_reference_uid != region.frame_of_reference_uid:
            continue
        for frame_number in range(1, image.frames + 1):
            plane = plane_of(image, frame_number)
            if plane is None or (distance := plane.distance(region.points)) > _IN_PLANE:
                continue
            pixels = plane.to_pixels(region.points)
            if plane.holds(pixels) and (best is None or distance < best[0]):
                best = (distance, LocatedRegion(region, image, frame_number, pixels))
    return best[1] if best else None


def check_places(regions: Iterable[Region], sources: Sources) -> None:
    """Raise `NotEncodableError` for a region that lies where the plugin cannot have seen it.

    On an image it was not given, beside its image, or in the patient far from every image of its frame of reference.
    """
    corners: dict[str | None, NDArray[np.float64]] = {}
    for region in regions:
        if region.image is not None:
            locate(region, sources)
            continue
        uid = region.frame_of_reference_uid
        if uid not in corners:
            corners[uid] = _corners(uid, sources)
        if not len(corners[uid]):
            continue  # of images without a place: `locate` finds none, and the position is said in words
        below, above = corners[uid].min(axis=0), corners[uid].max(axis=0)
        outside = float(np.maximum(below - region.points, region.points - above).max())
        if outside > _FAR:
            name = type(region).__name__
            raise NotEncodableError(f"{name}.points", f"lie {outside:.0f} mm outside of all images that were analysed")


def _corners(frame_of_reference_uid: str | None, sources: Sources) -> NDArray[np.float64]:
    """(n, 3) corners of every frame of this frame of reference, mm."""
    corners = []
    for image in sources.images:
        if image.frame_of_reference_uid == frame_of_reference_uid:
            planes = (plane_of(image, number) for number in range(1, image.frames + 1))
            corners += [plane.corners for plane in planes if plane is not None]
    return np.concatenate(corners) if corners else np.empty((0, 3))


def locate(region: Region, sources: Sources) -> LocatedRegion | None:
    """Where a region lies on a source image; None for one in the patient that no slice holds.

    Raises `NotEncodableError` for an image that the plugin was not given, and for points beside the image.
    """
    if region.image is None:
        return _nearest_frame(region, sources)
    name = type(region).__name__
    image = sources.find(region.image.sop_instance_uid, f"{name}.image", region.image.frame_number)
    columns, rows = (float(image.header.get(keyword) or np.inf) for keyword in ("Columns", "Rows"))
    if (region.points > [columns, rows]).any():
        raise NotEncodableError(f"{name}.points", f"lie outside the image of {columns:g} columns and {rows:g} rows")
    return LocatedRegion(region, image, region.image.frame_number, region.points)
