"""Where on the images: points, lines and outlines, on one image or in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from plugins import fields
from plugins.images import ContractError, ImageReference, require

_FLAT = 1e-3
"""How far points of one outline may be from its plane, as a share of its size: rounding."""
_CROOKED = 0.02
"""How far the axes of an ellipse may be from halving each other at a right angle, as a share of the major one."""


@dataclass(frozen=True)
class _Region:
    """Coordinates on one image, or in the patient.

    With `image`: (n, 2) array of (column, row), sub-pixel; the centre of the top-left pixel is
    (0.5, 0.5) (PS3.3 C.18.6.1.2). Without: (n, 3) array of x, y, z in mm, LPS, in the frame of
    reference `frame_of_reference_uid` (PS3.3 C.18.9).

    An index of an array is (row, column) and counts from the centre of the first pixel: the point of `array[row,
    column]` is (column + 0.5, row + 0.5). Nothing in two numbers tells one order from the other.
    """

    points: NDArray[np.float64]
    image: ImageReference | None = None
    frame_of_reference_uid: str | None = None

    counts: ClassVar[tuple[int, int | None]] = (1, None)

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.image is not None:
            object.__setattr__(self, "image", ImageReference.of(self.image, f"{name}.image"))
        if self.frame_of_reference_uid is not None:
            uid = fields.text(self.frame_of_reference_uid, f"{name}.frame_of_reference_uid", 64)
            object.__setattr__(self, "frame_of_reference_uid", uid)
        points = _as_points(self.points, name, self.counts)
        object.__setattr__(self, "points", points)
        if self.image is not None:
            self._check_on_image(name)
        else:
            require(
                points.shape[1] == 3,
                f"{name}.points: without an image they are (x, y, z) in mm, got {points.shape[1]} values each",
            )
            require(
                self.frame_of_reference_uid is not None,
                f"{name}.frame_of_reference_uid: needed for patient coordinates",
            )

    def _check_on_image(self, name: str) -> None:
        points = self.points
        require(
            points.shape[1] == 2,
            f"{name}.points: on an image they are (column, row), got {points.shape[1]} values each",
        )
        require(bool((points >= 0).all()), f"{name}.points: a coordinate on an image cannot be negative")
        require(
            len(points) == 1 or bool((points > 1).any()),
            f"{name}.points: all lie within the first pixel; columns and rows are wanted, not shares of the image",
        )


def _as_points(value: Any, name: str, counts: tuple[int, int | None]) -> NDArray[np.float64]:
    """Finite points as (n, 2) or (n, 3): also one point alone, and the outlines of OpenCV, which are (n, 1, 2)."""
    points = fields.array(value, f"{name}.points")
    require(points.dtype.kind != "b", f"{name}.points: expected coordinates, got true and false")
    points = points.astype(np.float64)
    if points.ndim == 1:
        points = points[np.newaxis, :]
    if points.ndim == 3 and points.shape[1] == 1:
        points = points[:, 0, :]
    require(points.ndim == 2, f"{name}.points: expected (n, 2) or (n, 3), got shape {points.shape}")
    require(bool(np.isfinite(points).all()), f"{name}.points: holds a coordinate that is not a number")
    if points.shape[1] not in (2, 3):
        raise ContractError(
            f"{name}.points: expected (n, 2) or (n, 3), got shape {points.shape}{_shape_hint(points.shape)}"
        )
    least, most = counts
    require(
        len(points) >= least and (most is None or len(points) <= most),
        f"{name}.points: {len(points)} points, expected {least if least == most else f'{least} or more'}",
    )
    return points


def _shape_hint(shape: tuple[int, ...]) -> str:
    if shape == (1, 4):
        return "; four numbers may be corners or a size: write [[x, y], [x + width, y + height]]"
    return "; write points.T" if shape[0] in (2, 3) else ""


@dataclass(frozen=True)
class Point(_Region):
    """One point."""

    counts: ClassVar[tuple[int, int | None]] = (1, 1)


@dataclass(frozen=True)
class Polyline(_Region):
    """An open line through two or more points; with two it can carry a length."""

    counts: ClassVar[tuple[int, int | None]] = (2, None)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool((self.points != self.points[0]).any()), "Polyline.points: all are the same point")


@dataclass(frozen=True)
class Box(_Region):
    """An axis-parallel rectangle on one image, by two opposite corners; they come out as top left, bottom right.

    The far corner is where the last pixel ends: the box around the columns 10 to 19 goes from 10 to 20.
    """

    counts: ClassVar[tuple[int, int | None]] = (2, 2)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.image is not None, "Box.image: a box lies on one image")
        corners = np.sort(self.points, axis=0)
        object.__setattr__(self, "points", corners)
        width, height = corners[1] - corners[0]
        require(
            width > 0 and height > 0,
            f"Box.points: the corners make a box of {width:g} × {height:g} pixels; "
            "write [[x, y], [x + width, y + height]]",
        )


@dataclass(frozen=True)
class Polygon(_Region):
    """A closed, planar outline of three or more points; the first is not repeated."""

    counts: ClassVar[tuple[int, int | None]] = (3, None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.points) > 3 and (self.points[0] == self.points[-1]).all():  # closed by its author
            object.__setattr__(self, "points", self.points[:-1])
        _refuse_uneven(self.points, "Polygon")


@dataclass(frozen=True)
class Ellipse(_Region):
    """Four points: ends of the major axis, then ends of the minor axis (PS3.3 C.18.6.1.2)."""

    counts: ClassVar[tuple[int, int | None]] = (4, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        first, second = self.points[1] - self.points[0], self.points[3] - self.points[2]
        lengths = np.linalg.norm([first, second], axis=1)
        require(bool(lengths.min() > 0), "Ellipse.points: an axis has no length")
        apart = np.linalg.norm(self.points[:2].mean(axis=0) - self.points[2:].mean(axis=0))
        along = abs(first @ second) / lengths.max()
        require(
            bool(max(apart, along) <= max(_CROOKED * lengths.max(), 1.0)),
            "Ellipse.points: the axes do not halve each other at a right angle; write the two ends of the major axis, "
            "then the two ends of the minor axis",
        )
        if lengths[1] > lengths[0]:  # the axes in the other order are the same ellipse
            object.__setattr__(self, "points", self.points[[2, 3, 0, 1]])


def _refuse_uneven(points: NDArray[np.float64], name: str) -> None:
    """Raise where an outline in the patient is not flat."""
    if points.shape[1] == 3:
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        require(
            bool(spread[2] <= _FLAT * spread[0]),
            f"{name}.points: they do not lie in one plane; an outline belongs to one slice",
        )


Region = Point | Polyline | Box | Polygon | Ellipse
