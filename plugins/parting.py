"""A series of several phases, echoes, b-values or times as volumes, each with what tells it from the others.

Frames are sorted by what may not differ within a volume (`plugins.acquisition`), then, where several still lie at one
place, by the first attribute of `_MARKS` that has one value, or one rank, for each of them at every place. Where none
does, the series is refused: an order that is guessed would mix times or directions.

PS3.3 C.7.6.16.2 (functional groups), C.8.13.5 (MR), C.7.6.2 (Image Plane).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue

from plugins import acquisition, imaging
from plugins.attribute_numbers import decimal
from plugins.image_frames import FrameAttributes, ImageFrame, described_frames
from plugins.images import NotApplicableError
from plugins.volume import Volume

Tag = str | float | tuple[float, ...]
_Labels = dict[str, Tag]

_MARKS = (
    # attribute of a single-frame image; functional group macro; attribute in it
    ("DiffusionGradientOrientation", "MRDiffusionSequence", "DiffusionGradientOrientation"),
    ("ComplexImageComponent", "MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("EchoNumbers", "", ""),
    ("ASLContext", "MRArterialSpinLabelingSequence", "ASLContext"),
    ("NominalPercentageOfCardiacPhase", "CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    ("TriggerTime", "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("TemporalPositionTimeOffset", "TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ("AcquisitionNumber", "FrameContentSequence", "FrameAcquisitionNumber"),
    ("AcquisitionDateTime", "FrameContentSequence", "FrameAcquisitionDateTime"),
    ("AcquisitionTime", "", ""),
    ("InstanceNumber", "", ""),
)
"""What may tell frames at one place apart, the most telling first."""
_NUMBERING = "InstanceNumber"
"""Says nothing by itself: it counts only where it is as regular as a scanner numbers its images."""


@dataclass(frozen=True, slots=True)
class VolumePart:
    """One volume of a series that holds several, its pixels on demand."""

    tags: Mapping[str, Tag]
    """Keyword of each attribute that tells the volumes apart, and its value here: {"DiffusionBValue": 800.0}. Of one
    that differs from slice to slice, such as Acquisition Time, the value of the first slice."""
    frames: tuple[ImageFrame, ...]

    def volume(self) -> Volume:
        """The volume, with all that `plugins.imaging.volume` refuses."""
        return imaging.stacked(list(self.frames))


@dataclass(frozen=True, slots=True)
class _MarkedFrame:
    """A frame, where it is along the slice normal, and what may tell it from others there."""

    frame: ImageFrame
    place: int
    marks: Mapping[str, Tag | None]


def volumes(files: Sequence[Path]) -> tuple[VolumePart, ...]:
    """The volumes of one series, in the order of their tags; a series that is one volume has one, without tags.

    Raises `NotApplicableError` where a file is no slice of a volume, or where no attribute tells apart the images that
    lie at one place.
    """
    described = described_frames(files)
    parts = list(_by_acquisition(described))
    shown = [(labels, frames) for labels, members in parts for labels, frames in _told_apart(members, labels, 0)]
    differing = {
        keyword for labels, _ in shown for keyword in labels if len({each.get(keyword) for each, _ in shown}) > 1
    }
    found = [
        VolumePart(MappingProxyType({key: value for key, value in labels.items() if key in differing}), tuple(frames))
        for labels, frames in shown
    ]
    return tuple(sorted(found, key=lambda part: [_sortable(value) for value in part.tags.values()]))


def _sortable(value: Tag) -> tuple[bool, tuple[float, ...], str]:
    numbers = value if isinstance(value, tuple) else (value,) if isinstance(value, float) else ()
    return isinstance(value, str), numbers, value if isinstance(value, str) else ""


def _by_acquisition(
    described: Sequence[tuple[ImageFrame, FrameAttributes]],
) -> Iterator[tuple[_Labels, list[_MarkedFrame]]]:
    """Frames of one stack, orientation and way of acquisition each, in the order of the first frame of each."""
    groups: dict[tuple[Any, ...], list[tuple[ImageFrame, FrameAttributes]]] = defaultdict(list)
    representatives: dict[str, list[Any]] = defaultdict(list)
    for frame, attributes in described:
        values: dict[str, Any] = {"StackID": frame.stack_id or None, "ImageOrientationPatient": _direction(frame)}
        values |= dict(zip(acquisition.KEYWORDS, frame.acquisition, strict=True))
        key = tuple((keyword, _nearest(keyword, representatives[keyword], value)) for keyword, value in values.items())
        groups[key].append((frame, attributes))
    for key, members in groups.items():
        labels = {keyword: value for keyword, value in key if value is not None}
        yield labels, _placed(members)


def _direction(frame: ImageFrame) -> tuple[float, ...]:
    return tuple(float(value) for value in (*frame.row_cosines, *frame.column_cosines))


def _nearest(keyword: str, known: list[Any], value: Any) -> Any:
    """The value that was seen first of those that are the same but for rounding; remembers a new one."""
    if value is None:
        return None
    for each in known:
        if isinstance(value, tuple):
            if np.allclose(each, value, rtol=0, atol=imaging.DIRECTION_TOLERANCE):
                return each
        elif acquisition.alike(keyword, each, value):
            return each
    known.append(value)
    return value


def _placed(members: Sequence[tuple[ImageFrame, FrameAttributes]]) -> list[_MarkedFrame]:
    """The frames with their places counted along the normal of the first one."""
    normal = members[0][0].normal
    heights = np.array([frame.position @ normal for frame, _ in members])
    order = np.argsort(heights, kind="stable")
    places = np.empty(len(order), dtype=int)
    places[order] = np.r_[0, np.cumsum(np.diff(heights[order]) >= imaging.POSITION_TOLERANCE_MM / 2)]
    return [
        _MarkedFrame(frame, int(place), _marks(attributes))
        for (frame, attributes), place in zip(members, places, strict=True)
    ]


def _marks(attributes: FrameAttributes) -> dict[str, Tag | None]:
    found: dict[str, Tag | None] = {}
    for keyword, macro, within in _MARKS:
        if attributes.groups and not macro:
            continue
        place = attributes.within(macro)
        name = within if attributes.groups else keyword
        if attributes.groups and keyword == "DiffusionGradientOrientation":
            place = next(iter(place.get("DiffusionGradientDirectionSequence") or ()), Dataset())
        found[keyword] = _mark(place, name)
    return found


def _mark(place: Dataset, keyword: str) -> Tag | None:
    """Numbers as float or as a tuple of them, all else as text; None where there is nothing that can be read."""
    try:
        value = place.get(keyword)
        if value is None or str(value).strip() == "":
            return None
        if isinstance(value, MultiValue | list):
            return tuple(round(decimal(each), 6) for each in value)
        return (
            str(value)
            if isinstance(value, str) and keyword.endswith(("Time", "Component", "Context"))
            else decimal(value)
        )
    except (ValueError, TypeError, OverflowError):  # pydicom reads values when they are asked for
        return None


def _told_apart(members: list[_MarkedFrame], labels: _Labels, first: int) -> Iterator[tuple[_Labels, list[ImageFrame]]]:
    """Parts with one frame at each place, by the marks from `first` on."""
    places = {each.place for each in members}
    if len(places) == len(members):
        yield labels, [each.frame for each in members]
        return
    for index, (keyword, *_) in enumerate(_MARKS[first:], start=first):
        groups = _by_value(members, keyword) or _by_rank(members, keyword)
        if groups:
            for value, group in groups:
                yield from _told_apart(group, labels if value is None else {**labels, keyword: value}, index + 1)
            return
    raise NotApplicableError(
        f"{len(members)} images lie at {len(places)} positions, and no attribute tells apart those at one position: "
        f"an image twice, or a series whose phases cannot be distinguished ({members[0].frame.place})."
    )


def _by_value(members: list[_MarkedFrame], keyword: str) -> list[tuple[Tag | None, list[_MarkedFrame]]]:
    """Groups of one value each, where every value occurs at every place; none where the value says nothing."""
    groups: dict[Tag | None, list[_MarkedFrame]] = defaultdict(list)
    for each in members:
        groups[each.marks.get(keyword)].append(each)
    places = {each.place for each in members}
    is_whole = all({each.place for each in group} == places for group in groups.values())
    return list(groups.items()) if len(groups) > 1 and is_whole and keyword != _NUMBERING else []


def _by_rank(members: list[_MarkedFrame], keyword: str) -> list[tuple[Tag | None, list[_MarkedFrame]]]:
    """The first of each place, the second of each place, …: for times and numbers that differ from slice to slice."""
    at_place: dict[int, list[_MarkedFrame]] = defaultdict(list)
    for each in members:
        at_place[each.place].append(each)
    columns = []
    for place in sorted(at_place):
        values = [each.marks.get(keyword) for each in at_place[place]]
        if None in values or len(set(values)) < len(values) or any(isinstance(value, tuple) for value in values):
            return []
        columns.append(sorted(at_place[place], key=lambda each: _sortable(each.marks[keyword] or 0.0)))
    if len({len(column) for column in columns}) > 1 or (keyword == _NUMBERING and not _is_regular(columns)):
        return []
    return [(row[0].marks[keyword], list(row)) for row in zip(*columns, strict=True)]


def _is_regular(columns: list[list[_MarkedFrame]]) -> bool:
    """Whether the numbers at each place go on by one step, which is the same at all of several places."""
    steps = {
        float(after.marks[_NUMBERING]) - float(before.marks[_NUMBERING])  # type: ignore[arg-type]  # numbers, or no rank
        for column in columns
        for before, after in pairwise(column)
    }
    return len(columns) > 1 and len(steps) == 1
