"""Asking a model: once, for each slice, or for windows that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plugins import onnx_session
from plugins.images import ContractError
from plugins.model import intensity
from plugins.model.mapping import BlendRule, HeatmapOutput, OnnxModel, SegmentationOutput, SlidingWindow
from plugins.model.preparing import PreparedImages

if TYPE_CHECKING:
    from plugins.onnx_session import InferenceSession

Answers = Mapping[str, NDArray[np.float32]]
"""Name of an output → what the model says, without the axis of the batch; maps as (classes, *spatial axes)."""
_SHARE_OF_WINDOW = 8
_LEAST_WEIGHT = 1e-3
"""Of what lies in the corner of a window, beside its middle: it counts where nothing else does."""


class ModelRunner:
    """A model that is loaded, and how it is asked."""

    def __init__(self, model: OnnxModel, session: InferenceSession) -> None:
        self._model, self._session = model, session
        self._numbers: dict[str, NDArray[np.generic]] = {}
        only = session.get_inputs()[0].name
        self._tensors = {name or only: channels for name, channels in model.given.tensors.items()}
        self._axes = {each.name: len(each.shape) for each in session.get_inputs()}
        maps = (each for each in model.outputs if isinstance(each, SegmentationOutput | HeatmapOutput))
        self._layouts = {each.name: each.layout for each in maps}

    def answers(self, images: PreparedImages) -> list[Answers]:
        """What it says of the images; of a stack by slices an answer for each, else one."""
        self._numbers = self._as_tensors(images.numbers)
        if self._model.given.is_by_slice:
            return [self._parted(images.array[:, number]) for number in range(images.array.shape[1])]
        return [self._parted(images.array)]

    def _as_tensors(self, numbers: Mapping[str, float]) -> dict[str, NDArray[np.generic]]:
        """Each number with as many axes as the model wants."""
        found: dict[str, NDArray[np.generic]] = {}
        for each in self._model.given.scalars:
            value = np.full([1] * self._axes[each.name], numbers[each.name], np.float32)
            found[each.name] = intensity.as_element(value, each.element)
        return found

    def _parted(self, array: NDArray[np.float32]) -> Answers:
        sliding = self._model.sliding
        return self._asked(array) if sliding is None else self._in_windows(array, sliding)

    def _asked(self, array: NDArray[np.float32]) -> Answers:
        """One call; `array`: (channels, *spatial axes)."""
        given = self._model.given
        order = ["C", *given.axes]
        tensors = dict(self._numbers)
        for name, channels in self._tensors.items():
            part = array if len(channels) == len(array) else array[channels]
            tensor = part.transpose([order.index(each) for each in given.layout[1:]])[np.newaxis]
            tensors[name] = intensity.as_element(np.ascontiguousarray(tensor), given.element)
        names = self._model.output_names
        said = onnx_session.computed(self._session, names, tensors)
        return {name: self._in_order(name, value) for name, value in zip(names, said, strict=True)}

    def _in_order(self, name: str, value: NDArray[np.generic]) -> NDArray[np.float32]:
        """Finite numbers without the axis of the batch; of maps (classes, *spatial axes)."""
        if value.dtype.kind not in "fiub" or not np.isfinite(value).all():
            raise ContractError(f"onnx.outputs: {name}: the model gave something else than finite numbers")
        found = value.astype(np.float32, copy=False)
        layout = self._layouts.get(name)
        if layout is None:
            return found[0] if found.ndim > 1 and len(found) == 1 else found
        if found.ndim != len(layout) or len(found) != 1:
            raise ContractError(
                f"onnx.outputs: {name}: the model gave the shape {found.shape}, not {layout} with N = 1"
            )
        return np.moveaxis(found[0], layout.index("C") - 1, 0) if "C" in layout else found

    def _in_windows(self, array: NDArray[np.float32], sliding: SlidingWindow) -> Answers:
        """The maps of all windows, blended where they overlap."""
        padded, shape = _at_least(array, sliding.size, self._model.given.fill), array.shape[1:]
        weights = _weights(sliding)
        sums: dict[str, NDArray[np.float32]] = {}
        total = np.zeros(padded.shape[1:], np.float32)
        for place in _windows(padded.shape[1:], sliding):
            for name, value in self._asked(padded[(slice(None), *place)]).items():
                if value.shape[1:] != sliding.size:
                    raise ContractError(
                        f"onnx.outputs: {name}: of a window of {sliding.size} the model gave {value.shape[1:]}"
                    )
                added = sums.setdefault(name, np.zeros((len(value), *total.shape), np.float32))
                added[(slice(None), *place)] += value * weights
            total[place] += weights
        inside = (slice(None), *(slice(0, size) for size in shape))
        return {name: (each / total)[inside] for name, each in sums.items()}


def _at_least(array: NDArray[np.float32], size: Sequence[int], fill: float) -> NDArray[np.float32]:
    """Filled up at the ends of axes that are shorter than a window."""
    lacking = [(0, max(wanted - have, 0)) for wanted, have in zip(size, array.shape[1:], strict=True)]
    return np.pad(array, [(0, 0), *lacking], constant_values=fill)


def _windows(shape: Sequence[int], sliding: SlidingWindow) -> Iterator[tuple[slice, ...]]:
    """Where each window lies; the last one of an axis ends with it."""
    along = []
    for have, size in zip(shape, sliding.size, strict=True):
        step = max(int(size * (1 - sliding.overlap)), 1)
        starts = [*range(0, have - size, step), have - size]
        along.append([slice(start, start + size) for start in starts])
    return product(*along)


def _weights(sliding: SlidingWindow) -> NDArray[np.float32]:
    """How much each voxel of a window counts."""
    found: NDArray[np.float32] = np.ones(sliding.size, np.float32)
    if sliding.blending is BlendRule.GAUSSIAN:
        for axis, size in enumerate(sliding.size):
            away = (np.arange(size) - (size - 1) / 2) / (size / _SHARE_OF_WINDOW)
            shape = [size if each == axis else 1 for each in range(len(sliding.size))]
            found = found * np.exp(-0.5 * away**2).reshape(shape).astype(np.float32)
    return np.asarray(np.maximum(found / found.max(), _LEAST_WEIGHT), np.float32)
