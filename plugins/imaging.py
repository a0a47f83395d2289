"""From frames to volumes: order, one proper stack, decoding; `plugins.stored_values` has what the values mean.

`volume` refuses what is no proper stack of parallel slices, with a `NotApplicableError` that says what
is wrong in words a radiologist or an admin can act on. It never guesses: an algorithm that measures
in a volume with a missing slice reports a wrong number.

Needs pydicom (and, for compressed images, its decoders).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plugins import acquisition, decoding, stored_values
from plugins.image_frames import ImageFrame, frames_of_files
from plugins.images import NotApplicableError
from plugins.volume import Volume

DIRECTION_TOLERANCE = 1e-3
"""Difference of two direction cosines that is rounding, not another orientation."""
SHEAR_TOLERANCE = math.tan(math.radians(0.5))
"""Lean of the stack against the slice normal that still counts as upright (mm sideways per mm up)."""
SPACING_TOLERANCE = 0.05
"""Deviation of one gap from the median gap, as a share of it, that is rounding of positions."""
POSITION_TOLERANCE_MM = 0.02
"""The same in mm: positions are often written with two decimals."""


def volume(files: Sequence[Path], stack_id: str | None = None) -> Volume:
    """One volume from the single-frame or enhanced multi-frame instances of one series.

    `stack_id` chooses one stack of an enhanced image that has several (PS3.3 C.7.6.16.2.2).
    Slices are ordered along the slice normal (row direction × column direction): an axial series
    with the usual orientation comes feet to head whatever the order of its files.

    Raises `NotApplicableError` for: no files, localizers, colour, missing pixel data or geometry, mixed
    series, sizes, orientations, spacings or frames of reference, two frames at one position, missing
    slices, varying spacing, a sheared stack (gantry tilt), a tilt that the orientation does not have, pixels that do
    not decode; and for values whose meaning
    is not certain (`plugins.stored_values`): CT and PET without rescale, slope without intercept, rescale of some
    images only or outside of the functional groups, High Bit that contradicts Bits Stored, mixed units; for pixel data
    that contradict their header (`plugins.pixel_data`), and for frames of several echoes, phases, b-values or kernels
    (`plugins.acquisition`).
    Values that a scanner writes outside its field of view (Pixel Padding Value) are rescaled like the others.
    """
    return stacked(_one_stack(frames_of_files(files), stack_id))


def stacked(frames: list[ImageFrame]) -> Volume:
    """One volume of these frames, which must be a proper stack; raises `NotApplicableError`."""
    _refuse_mixtures(frames)
    frame_of_reference = _frame_of_reference(frames)
    frames = _ordered(frames)
    step = _step(frames)
    stored_values.refuse_mixed([(frame.place, frame.meaning) for frame in frames])
    acquisition.refuse_mixed([(frame.place, frame.acquisition) for frame in frames])
    first = frames[0]
    affine = np.eye(4)
    affine[:3, 0] = first.row_cosines * first.spacing[1]
    affine[:3, 1] = first.column_cosines * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return Volume(
        array=_decoded(frames),
        spacing=(float(np.linalg.norm(step)), *first.spacing),
        affine=affine,
        frames=tuple(frame.reference for frame in frames),
        frame_of_reference_uid=frame_of_reference,
    )


# --- one proper stack ----------------------------------------------------------------------------


def _one_stack(frames: list[ImageFrame], stack_id: str | None) -> list[ImageFrame]:
    stacks = sorted({frame.stack_id for frame in frames})
    if stack_id is not None:
        if stack_id not in stacks:
            raise NotApplicableError(f"There is no stack {stack_id!r}; the stacks are {', '.join(stacks)}.")
        return [frame for frame in frames if frame.stack_id == stack_id]
    if len(stacks) > 1:
        raise NotApplicableError(f"The images hold {len(stacks)} stacks ({', '.join(stacks)}); one must be chosen.")
    return frames


def _refuse_mixtures(frames: list[ImageFrame]) -> None:
    """Raise where the frames differ in something that one volume has once."""
    first = frames[0]
    for frame in frames:
        if frame.series_instance_uid != first.series_instance_uid:
            raise NotApplicableError("The images are of more than one series.")
        if (frame.rows, frame.columns) != (first.rows, first.columns):
            raise NotApplicableError(
                f"The images differ in size: {first.rows} × {first.columns} and {frame.rows} × {frame.columns} "
                f"({frame.place})."
            )
        turned = np.abs(np.r_[frame.row_cosines - first.row_cosines, frame.column_cosines - first.column_cosines])
        if turned.max() > DIRECTION_TOLERANCE:
            raise NotApplicableError(f"The images differ in orientation ({frame.place}).")
        if not np.allclose(frame.spacing, first.spacing, rtol=1e-3):
            raise NotApplicableError(f"The images differ in pixel spacing ({frame.place}).")
        if frame.modality != first.modality:
            raise NotApplicableError(f"The images differ in Modality: {first.modality} and {frame.modality}.")


def _frame_of_reference(frames: list[ImageFrame]) -> str | None:
    """The frame of reference of all frames; None where there is none to be named.

    Some de-identification tools (that of the LIDC-IDRI collection, for one) gave every instance of a series a
    frame of reference of its own. That is not a mixture of two coordinate systems, and is let pass.
    """
    uids = {frame.frame_of_reference_uid for frame in frames}
    if len(uids) == 1:
        return uids.pop()
    instances = {frame.reference.sop_instance_uid for frame in frames}
    if len(uids) == len(instances) > 2:
        return None
    raise NotApplicableError(f"The images are in {len(uids)} different frames of reference.")


def _ordered(frames: list[ImageFrame]) -> list[ImageFrame]:
    """The frames along the normal of the first one, each at a place of its own."""
    normal = frames[0].normal
    heights = np.array([frame.position @ normal for frame in frames])
    order = np.argsort(heights, kind="stable")
    shared = int((np.diff(heights[order]) < POSITION_TOLERANCE_MM / 2).sum())
    if shared:
        raise NotApplicableError(
            f"The {len(frames)} images lie at {len(frames) - shared} positions only: the series holds several "
            "phases, echoes or reconstructions, or an image twice."
        )
    return [frames[index] for index in order]


def _step(frames: list[ImageFrame]) -> NDArray[np.float64]:
    """Vector in mm from one slice to the next; raises where there is not one for all."""
    first, last = frames[0], frames[-1]
    if len(frames) == 1:
        if first.thickness is None:
            raise NotApplicableError("There is a single image, and its slice thickness is not given.")
        return first.normal * first.thickness
    step = (last.position - first.position) / (len(frames) - 1)
    normal = first.normal
    sideways = np.linalg.norm(step - (step @ normal) * normal) / (step @ normal)
    if sideways > SHEAR_TOLERANCE:
        raise NotApplicableError(
            f"The stack is sheared: it leans by {math.degrees(math.atan(sideways)):.1f}° against its slices "
            "(gantry tilt). It must be reconstructed without tilt."
        )
    _refuse_gaps(np.diff([frame.position @ normal for frame in frames]))
    for index, frame in enumerate(frames):
        off = frame.position - (first.position + index * step)
        if np.linalg.norm(off - (off @ normal) * normal) > max(first.spacing) / 2:
            raise NotApplicableError(f"The slices are shifted against each other within their planes ({frame.place}).")
    return step


def _refuse_gaps(gaps: NDArray[np.float64]) -> None:
    usual = float(np.median(gaps))
    tolerance = max(SPACING_TOLERANCE * usual, POSITION_TOLERANCE_MM)
    odd = gaps[np.abs(gaps - usual) > tolerance]
    if not len(odd):
        return
    multiples = odd / usual
    if len(odd) < len(gaps) / 2 and (np.abs(multiples - np.round(multiples)) < 2 * SPACING_TOLERANCE).all():
        missing = int((np.round(multiples) - 1).sum())
        raise NotApplicableError(
            f"{missing} slice{'s are' if missing > 1 else ' is'} missing: the slices are {usual:.3g} mm apart, "
            f"but there are gaps of up to {gaps.max():.3g} mm."
        )
    raise NotApplicableError(f"The spacing of the slices varies from {gaps.min():.3g} to {gaps.max():.3g} mm.")


# --- values --------------------------------------------------------------------------------------


def _decoded(frames: list[ImageFrame]) -> NDArray[np.float32]:
    """Rescaled values of all frames in their order; each file is opened once, one frame is in memory at a time."""
    array = np.empty((len(frames), frames[0].rows, frames[0].columns), dtype=np.float32)
    by_file = sorted(enumerate(frames), key=lambda entry: (entry[1].file, entry[1].reference.frame_number))
    for file, group in groupby(by_file, key=lambda entry: entry[1].file):
        entries = list(group)
        numbers = [frame.reference.frame_number for _, frame in entries]
        pixels = decoding.frames_of(file, numbers, f"SOP instance {entries[0][1].reference.sop_instance_uid}")
        for (place, frame), raw in zip(entries, pixels, strict=True):
            array[place] = _numbers(raw, frame)
    return array


def _numbers(raw: NDArray[np.generic], frame: ImageFrame) -> NDArray[np.float32]:
    if raw.shape != (frame.rows, frame.columns):
        raise NotApplicableError(f"{frame.place} decodes to {raw.shape}, not to {frame.rows} × {frame.columns}.")
    with np.errstate(over="ignore"):
        values = stored_values.applied(raw, frame.meaning, frame.place)
    if np.isinf(values).any() and (raw.dtype.kind != "f" or np.isfinite(raw).all()):
        raise NotApplicableError(f"{frame.place} has values greater than 3.4e38, which a volume cannot hold.")
    return values
