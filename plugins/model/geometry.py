"""The grid of a model's input, and the way back from it: axis by axis, since axes are exchanged, turned and scaled.

Indices are of arrays, (slices, rows, columns) or (rows, columns), and count from the centre of the first voxel. Where a
grid is scaled its outer faces stay, so index i of a grid that is r times as coarse lies at (i + 0.5) · r − 0.5. Oblique
stacks keep their own axes: an orientation exchanges and turns them, and interpolates nothing.

Needs scipy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins.images import NotApplicableError
from plugins.model.mapping import ModelInput, SizeFit

_LPS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
"""Where a letter leads: the axis x, y, z of the patient (LPS) and the sign."""
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class AxisOfModel:
    """One axis of the model's grid: index i lies at `ratio · i + offset` of an axis of the images."""

    source: int
    """Axis of the images' array."""
    count: int
    """Voxels of the images along it."""
    size: int
    """Voxels of the model along it."""
    turned: bool = False
    """Whether the images' axis is counted from its end."""
    ratio: float = 1.0
    offset: float = 0.0

    def scaled(self, size: int, ratio: float, before: int = 0) -> AxisOfModel:
        """Another grid on this one: its index i lies at (i − before + 0.5) · ratio − 0.5."""
        first = (0.5 - before) * ratio - 0.5
        return replace(self, size=size, ratio=self.ratio * ratio, offset=self.ratio * first + self.offset)

    @property
    def inside(self) -> slice:
        """The indices of the model's voxels that the images reach, the last one perhaps in part."""
        low, high = ((edge - self.offset) / self.ratio for edge in (-0.5, self.count - 0.5))
        first, stop = int(np.floor(low + 0.5 + _ROUNDING)), int(np.ceil(high + 0.5 - _ROUNDING))
        return slice(max(first, 0), max(min(stop, self.size), 0))

    @property
    def seen(self) -> slice:
        """The images' indices, turned where the axis is, whose centres lie in the model's grid."""
        low, high = (edge * self.ratio + self.offset for edge in (-0.5, self.size - 0.5))
        first, stop = int(np.ceil(low - _ROUNDING)), int(np.floor(high + _ROUNDING)) + 1
        return slice(max(first, 0), max(min(stop, self.count), 0))

    def place(self, index: float) -> float:
        """Where an index of the model lies on the images' axis."""
        found = self.ratio * index + self.offset
        return self.count - 1 - found if self.turned else found


@dataclass(frozen=True, slots=True)
class ModelGrid:
    """The model's spatial axes, in the order of its layout."""

    axes: tuple[AxisOfModel, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def source_shape(self) -> tuple[int, ...]:
        """Of the images' array."""
        return tuple(axis.count for axis in sorted(self.axes, key=lambda each: each.source))

    @property
    def is_whole(self) -> bool:
        """Whether the model sees all of the images."""
        return all(axis.seen == slice(0, axis.count) for axis in self.axes)

    def taken(self, array: NDArray[Any], fill: float, *, smooth: bool) -> NDArray[np.float32]:
        """The images' values at the model's voxels, linearly interpolated; `fill` where there is no image."""
        turned = self._turned(array.transpose([axis.source for axis in self.axes]))
        ratios = np.array([axis.ratio for axis in self.axes])
        if smooth and (ratios > 1).any():
            turned = ndimage.gaussian_filter(turned, sigma=np.maximum(ratios - 1, 0) / 2, mode="nearest")
        found = _along_axes(turned, ratios, [axis.offset for axis in self.axes], self.shape, order=1)
        made = np.full(self.shape, fill, np.float32)
        inside = tuple(axis.inside for axis in self.axes)
        made[inside] = found[inside]
        return made

    def given_back(self, values: NDArray[Any], outside: float, *, order: Literal[0, 1] = 1) -> NDArray[Any]:
        """What the model says at its voxels, on the images' own grid; `outside` where it did not look.

        `values` may have fewer voxels along an axis than the input: then each stands for several.
        """
        axes = [axis.scaled(size, axis.size / size) for axis, size in zip(self.axes, values.shape, strict=True)]
        ratios = np.array([1 / axis.ratio for axis in axes])
        shape = tuple(axis.count for axis in axes)
        found = _along_axes(values, ratios, [-axis.offset / axis.ratio for axis in axes], shape, order=order)
        made = np.full(shape, outside, found.dtype)
        seen = tuple(axis.seen for axis in self.axes)
        made[seen] = found[seen]
        return self._turned(made).transpose(np.argsort([axis.source for axis in self.axes]))

    def place(self, indices: Sequence[float]) -> list[float]:
        """Where indices of the model's voxels lie in the images' array; between voxels, too."""
        found = [0.0] * len(self.axes)
        for axis, index in zip(self.axes, indices, strict=True):
            found[axis.source] = axis.place(index)
        return found

    def _turned(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array in the order of the model's axes, with those turned that are."""
        return array[tuple(slice(None, None, -1 if axis.turned else 1) for axis in self.axes)]


def _along_axes(
    array: NDArray[Any],
    ratios: NDArray[np.float64],
    offsets: Sequence[float],
    shape: tuple[int, ...],
    order: Literal[0, 1],
) -> NDArray[Any]:
    if tuple(array.shape) == shape and np.allclose(ratios, 1) and np.allclose(offsets, 0):
        return array
    output = np.empty(shape, array.dtype)
    ndimage.affine_transform(array, ratios, offsets, shape, output=output, order=order, mode="nearest", prefilter=False)
    return output


def grid_of(
    given: ModelInput,
    shape: Sequence[int],
    spacing: Sequence[float],
    affine: NDArray[np.float64] | None = None,
) -> ModelGrid:
    """The model's grid over images of this shape (slices, rows, columns, or rows, columns) and spacing (mm).

    `affine`: of the volume, needed for an orientation. Raises `NotApplicableError` where the images do not fit.
    """
    letters = "DHW"[-len(shape) :]
    order, turned = [letters.index(each) for each in given.axes], [False] * len(shape)
    if given.orientation and affine is not None:
        order, turned = _oriented(given.orientation, affine)
    axes = [AxisOfModel(source, shape[source], shape[source], turn) for source, turn in zip(order, turned, strict=True)]
    if given.spacing:
        ratios = [wanted / spacing[axis.source] for axis, wanted in zip(axes, given.spacing, strict=True)]
        sizes = [int(np.ceil(axis.size / each - _ROUNDING)) for axis, each in zip(axes, ratios, strict=True)]
        axes = [axis.scaled(size, each) for axis, size, each in zip(axes, sizes, ratios, strict=True)]
    return ModelGrid(tuple(_fitted(axes, given.size, given.fit) if given.size else axes))


def _oriented(wanted: str, affine: NDArray[np.float64]) -> tuple[list[int], list[bool]]:
    """Which axis of the array leads most nearly where each letter says, and whether it has to be turned for that."""
    along = affine[:3, 2::-1] / np.linalg.norm(affine[:3, 2::-1], axis=0)  # of slices, rows, columns
    goals = [_LPS[letter] for letter in wanted]
    best = max(
        permutations(range(3)),
        key=lambda order: sum(abs(along[axis, source]) for (axis, _), source in zip(goals, order, strict=True)),
    )
    return list(best), [bool(along[axis, source] * sign < 0) for (axis, sign), source in zip(goals, best, strict=True)]


def _fitted(axes: Sequence[AxisOfModel], size: Sequence[int], fit: SizeFit) -> list[AxisOfModel]:
    have = [axis.size for axis in axes]
    pairs = list(zip(axes, size, strict=True))
    if fit is SizeFit.STRETCH:
        return [axis.scaled(wanted, axis.size / wanted) for axis, wanted in pairs]
    if fit is SizeFit.LETTERBOX:
        shrink = max(axis.size / wanted for axis, wanted in pairs)
        content = [max(min(round(axis.size / shrink), wanted), 1) for axis, wanted in pairs]
        return [
            axis.scaled(wanted, axis.size / filled, (wanted - filled) // 2)
            for (axis, wanted), filled in zip(pairs, content, strict=True)
        ]
    shown = " × ".join(map(str, have)), " × ".join(map(str, size))
    if fit is SizeFit.CROP and any(axis.size < wanted for axis, wanted in pairs):
        raise NotApplicableError("The images are smaller than what the model looks at ({} of {}).".format(*shown))
    if fit is SizeFit.PAD and any(axis.size > wanted for axis, wanted in pairs):
        raise NotApplicableError("The images are larger than what the model looks at ({} for {}).".format(*shown))
    return [axis.scaled(wanted, 1.0, (wanted - axis.size) // 2) for axis, wanted in pairs]
