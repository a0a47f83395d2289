"""The input of a model, made of the series that a job was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from plugins import resampling
from plugins.images import ImageReference, NotApplicableError
from plugins.model import geometry, intensity
from plugins.model.geometry import ModelGrid
from plugins.model.mapping import ModelChannel, ModelImages, ModelInput, PatientFact
from plugins.study import Series, Study
from plugins.volume import Volume

_SEXES = {"F": 0.0, "M": 1.0}
_COVERED = 0.9
"""Of the voxels of the first channel, the share that each other one has to reach."""


@dataclass(frozen=True)
class PreparedImages:
    """What the model gets, and where it lies."""

    array: NDArray[np.float32]
    """(channels, *spatial axes of the layout); of a stack by slices (channels, slices, *axes)."""
    grid: ModelGrid
    """Of the spatial axes that the model knows."""
    frames: tuple[ImageReference, ...]
    """The images, one for each slice."""
    axes: str
    """Their letters in the model's layout."""
    volume: Volume | None = None
    """Of a stack."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Name of an input that is one number → the number."""

    @property
    def source_shape(self) -> tuple[int, ...]:
        """(slices, rows, columns); a projection is one slice."""
        return (len(self.frames), *self.grid.source_shape[-2:])


def prepared(given: ModelInput, study: Study) -> PreparedImages:
    """The model's input; NotApplicableError where images, or what is known of the patient, are not what it is for."""
    numbers = {each.name: (_fact(each.fact, study) - each.shift) / each.scale for each in given.scalars}
    return replace(_images(given, study), numbers=numbers)


def _fact(fact: PatientFact, study: Study) -> float:
    if fact is PatientFact.AGE:
        if study.patient_age is None:
            raise NotApplicableError("The patient's age is not known, and the model needs it.")
        return study.patient_age
    if study.patient_sex not in _SEXES:
        raise NotApplicableError("The patient's sex is not known to be female or male, and the model needs it.")
    return _SEXES[study.patient_sex]


def _images(given: ModelInput, study: Study) -> PreparedImages:
    series = {channel.role: _series(channel, study) for channel in given.channels}
    if given.images is ModelImages.PROJECTION:
        return _projection(given, series)
    volumes = {role: each.volume() for role, each in series.items()}
    first = volumes[given.channels[0].role]
    if len(first.array) < given.least_slices:
        raise NotApplicableError(f"Slices in the series: {len(first.array)}; at least {given.least_slices} are needed.")
    arrays = {role: each.array if each is first else _beside(first, each, role) for role, each in volumes.items()}
    shape = first.array.shape[1:] if given.is_by_slice else first.array.shape
    grid = geometry.grid_of(given, shape, first.spacing[-len(shape) :], first.affine)
    channels = [_channel(channel, arrays[channel.role], grid, given) for channel in given.channels]
    return PreparedImages(np.stack(channels), grid, first.frames, given.axes, first)


def _series(channel: ModelChannel, study: Study) -> Series:
    """The series of a role: the only one that has it."""
    found = [each for each in study.series if each.role == channel.role]
    of_the_role = f" of the role {channel.role}" if channel.role else ""
    if len(found) != 1:
        raise NotApplicableError(f"There are {len(found)} series{of_the_role}; the model needs one.")
    if channel.modality and found[0].modality != channel.modality:
        raise NotApplicableError(f"The series{of_the_role} is {found[0].modality}, not {channel.modality}.")
    return found[0]


def _projection(given: ModelInput, series: dict[str, Series]) -> PreparedImages:
    (only,) = series.values()
    found = only.projections()
    if len(found) != 1:
        raise NotApplicableError(f"The series has {len(found)} images; the model looks at one.")
    array = found[0].array
    grid = geometry.grid_of(given, array.shape, (1.0, 1.0))
    channels = [_channel(channel, array, grid, given) for channel in given.channels]
    return PreparedImages(np.stack(channels), grid, (found[0].image,), given.axes)


def _beside(first: Volume, other: Volume, role: str) -> NDArray[np.float32]:
    """Another series on the grid of the first one: they have to be of the same frame of reference."""
    if other.frame_of_reference_uid != first.frame_of_reference_uid or not first.frame_of_reference_uid:
        raise NotApplicableError(f"The series of the role {role} has another frame of reference than the first one.")
    there = resampling.resample_like(np.ones(other.array.shape, np.uint8), other.affine, first, labels=True, outside=0)
    if there.mean() < _COVERED:
        raise NotApplicableError(f"The series of the role {role} shows only a part of what the first one shows.")
    lowest = float(other.array.min())
    return resampling.resample_like(other.array, other.affine, first, labels=False, outside=lowest)


def _channel(
    channel: ModelChannel, array: NDArray[np.float32], grid: ModelGrid, given: ModelInput
) -> NDArray[np.float32]:
    steps = intensity.fixed(channel.steps, array)
    planes = list(array) if array.ndim > len(grid.axes) else [array]
    made = [
        _filled(intensity.applied(steps, grid.taken(plane, 0.0, smooth=given.smooth)), grid, given) for plane in planes
    ]
    return np.stack(made) if array.ndim > len(grid.axes) else made[0]


def _filled(values: NDArray[np.float32], grid: ModelGrid, given: ModelInput) -> NDArray[np.float32]:
    """With the model's own value where there is no image: what the steps made of nothing means nothing."""
    made = np.full(values.shape, given.fill, np.float32)
    inside = tuple(axis.inside for axis in grid.axes)
    made[inside] = values[inside]
    return made
