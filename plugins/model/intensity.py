"""Values of images become values of a model: windows, scales, and what the images' own values say.

What is taken of the images themselves (percentiles, mean, standard deviation) is of all their voxels on their own grid,
before any is interpolated, cut off or filled up; it is applied to the voxels of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.images import ContractError, NotApplicableError
from plugins.model.mapping import IntensityStep, StepKind


@dataclass(frozen=True, slots=True)
class FixedStep:
    """(value − shift) / scale; then what is below 0 or above 1 is cut off, where it `clips`."""

    shift: float
    scale: float
    clips: bool = False

    def applied(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The values after it."""
        made = (values - np.float32(self.shift)) / np.float32(self.scale)
        return np.clip(made, 0, 1) if self.clips else made


def fixed(steps: Sequence[IntensityStep], array: NDArray[np.float32]) -> tuple[FixedStep, ...]:
    """The steps with the numbers that these images give them; NotApplicableError where they give none."""
    found: list[FixedStep] = []
    for number, step in enumerate(steps):
        made = _fixed(step, array)
        found.append(made)
        if any(each.kind in (StepKind.PERCENTILE, StepKind.ZSCORE) for each in steps[number + 1 :]):
            array = made.applied(array)
    return tuple(found)


def applied(steps: Sequence[FixedStep], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values after all steps."""
    for step in steps:
        values = step.applied(values)
    return values


def _fixed(step: IntensityStep, array: NDArray[np.float32]) -> FixedStep:
    if step.kind is StepKind.WINDOW:
        return FixedStep(step.first, step.second - step.first, clips=True)
    if step.kind is StepKind.RESCALE:
        return FixedStep(step.first, step.second)
    counted = array if step.above is None else array[array > step.above]
    if not counted.size:
        raise NotApplicableError(f"No value of the images is above {step.above:g}.")
    if step.kind is StepKind.PERCENTILE:
        low, high = (float(each) for each in np.percentile(counted, [step.first, step.second]))
        scale = high - low
    else:
        low, scale = float(counted.mean(dtype=np.float64)), float(counted.std(dtype=np.float64))
    if not scale > 0:
        raise NotApplicableError("All values of the images are the same: there is nothing to look at.")
    return FixedStep(low, scale, clips=step.kind is StepKind.PERCENTILE)


def as_element(values: NDArray[np.float32], element: str) -> NDArray[np.generic]:
    """In the type that the model takes; ContractError where that cannot hold the values."""
    wanted = np.dtype(element)
    if wanted.kind == "f":
        with np.errstate(over="ignore"):
            made = values.astype(wanted)
        if not np.isfinite(made).all():
            raise ContractError(f"onnx.channels: values after the steps are beyond {element}")
        return made
    rounded, limits = np.rint(values), np.iinfo(wanted)
    if not (rounded.min() >= limits.min and rounded.max() <= limits.max):  # also where one is not a number
        low, high = float(rounded.min()), float(rounded.max())
        raise ContractError(f"onnx.channels: values after the steps are {low:g} to {high:g}, beyond {element}")
    return rounded.astype(wanted)
