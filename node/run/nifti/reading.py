"""In a child: what a program wrote becomes a result, by the mapping of its manifest.

Nothing is a negative by itself: a mask without a voxel says that something is absent only where the mapping says so,
and where the mask covers the images. Volumes are counts of voxels on the grid of the images, times their size.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from node.own_notes import OwnNote
from node.run.nifti.grids import SourceGrid
from node.run.nifti.masks import GridReader, MaskStack
from node.run.nifti.tables import NumberTables
from plugins import components, exchange, limits, untrusted
from plugins.exchange import OutputReading
from plugins.images import ContractError
from plugins.mapped_findings import FindingDraft, draft_of, listed, nothing_found, summary_of
from plugins.maps import Heatmap, Segment, Segmentation
from plugins.measurements import Measurement, NoValue, Score
from plugins.nifti_mapping import EmptyMask, MappedNumber, NiftiFolders
from plugins.result import Result
from plugins.status import ResultStatus
from plugins.untrusted import ExchangeError

_NOT_FOR_IT = "The program says that these images are not what it is for."


@dataclass(frozen=True, slots=True)
class NiftiAnswer:
    """What a program left, and what it was given."""

    folder: Path
    """The attempt's."""
    mapping: NiftiFolders
    grid: SourceGrid
    """Of the images that masks and maps lie on."""
    has_segmentation: bool
    """Whether the manifest wants the masks in the result, beside what they say."""
    says_not_applicable: bool = False
    """Whether its exit code says that the images are not what it is for."""


def read(answer: NiftiAnswer) -> OutputReading:
    """The result, and what else lies in `out/`; ExchangeError, which names the file."""
    mapping = answer.mapping
    with untrusted.open_folder(answer.folder / exchange.OUT, f"{exchange.OUT}/") as out:
        named = {each.split("/")[0] for each in mapping.output_files()} | {exchange.LOG}
        ignored = untrusted.strays(out, exchange.OUT, named)
        reason = untrusted.read_line(out, mapping.not_applicable_file) if mapping.not_applicable_file else ""
        if reason or answer.says_not_applicable:
            return OutputReading(Result(ResultStatus.NOT_APPLICABLE, reason or _NOT_FOR_IT), ignored)
        work = Path(tempfile.mkdtemp(prefix="reading-", dir=answer.folder))  # on the disk of the data folder
        try:
            return OutputReading(_result(answer, out, work), ignored)
        except ContractError as error:
            raise ExchangeError(f"{exchange.OUT}/", "", str(error)) from error


def _result(answer: NiftiAnswer, out: int, work: Path) -> Result:
    mapping, grid = answer.mapping, answer.grid
    reader = GridReader(out, grid, work)
    _refuse_too_much(answer)
    stack = reader.masks(mapping) if mapping.segments else None
    drafts, silent, left_out = _of_masks(mapping, stack, grid, answer.has_segmentation)
    silent += _of_numbers(mapping, NumberTables(out), drafts)
    notes = [*left_out, *([OwnNote.NOT_OUTLINED.format(names=listed(silent))] if silent else [])]
    if stack is not None and stack.resampled:
        notes.append(OwnNote.RESAMPLED.format(names=listed(stack.resampled)))
    if not drafts:
        return Result(ResultStatus.NOT_APPLICABLE, nothing_found(silent, left_out))
    heatmaps = [
        Heatmap(reader.heatmap(each, number), grid.frames, each.quantity, each.unit, each.name)
        for number, each in enumerate(mapping.heatmaps)
    ]
    is_negative = all(draft.present is False for draft in drafts)
    return Result(
        status=ResultStatus.NO_FINDINGS if is_negative else ResultStatus.FINDINGS,
        summary=summary_of(drafts),
        findings=tuple(draft.made() for draft in drafts),
        segmentation=_segmentation(mapping, stack, grid) if answer.has_segmentation and stack else None,
        heatmaps=tuple(heatmaps),
        quality=tuple(notes),
    )


def _refuse_too_much(answer: NiftiAnswer) -> None:
    size = answer.grid.voxels * ((answer.has_segmentation and 2) + 4 * len(answer.mapping.heatmaps))
    if size > limits.ARRAY_BYTES:
        raise ExchangeError(
            f"{exchange.OUT}/", "", f"masks and maps of these images have more than {limits.ARRAY_BYTES >> 20} MiB"
        )


def _of_masks(
    mapping: NiftiFolders, stack: MaskStack | None, grid: SourceGrid, has_segmentation: bool
) -> tuple[list[FindingDraft], list[str], list[str]]:
    """A finding for each segment, or part of one, that says something; the names of those that say nothing; notes."""
    drafts: list[FindingDraft] = []
    silent, notes = [], []
    for number, segment in enumerate(mapping.segments if stack else (), start=1):
        assert stack is not None, "there are segments"
        voxels = stack.voxels[number]
        is_absent = not voxels and segment.empty is EmptyMask.ABSENT and number not in stack.uncovered
        if not voxels and not is_absent:
            silent.append(segment.name)
            continue
        if voxels and segment.parts:
            found = components.findings(segment, stack.labels == number, grid.spacing, grid.frames)
            drafts += found.drafts
            notes += [found.left_out] if found.left_out else []
            silent += [] if found.drafts else [segment.name]
            continue
        draft = FindingDraft(segment.name, segment.heading, segment.site)
        draft.present = not is_absent if segment.finding else None
        if voxels:
            draft.add_volume(voxels * grid.voxel_volume)
            draft.segments = (number,) if has_segmentation else ()
        drafts.append(draft)
    return drafts, silent, notes


def _of_numbers(mapping: NiftiFolders, tables: NumberTables, drafts: list[FindingDraft]) -> list[str]:
    """Add the numbers of the tables to the findings that they are of; the names of scores that have no value."""
    without = []
    for number in mapping.numbers:
        value = tables.value(number)
        if number.is_score and value is None:
            without.append(number.concept.meaning)
            continue
        draft = draft_of(drafts, number.finding, number.site)
        if number.is_score and value is not None:
            _score(draft, number, value)
        elif value is not None or draft.present is not False:  # of what is absent, no value says nothing more
            no_value = NoValue.CANNOT_BE_COMPUTED if value is None else None
            draft.measurements.append(
                Measurement(number.concept, value, number.unit, no_value, decimals=number.decimals, site=None)
            )
    return without


def _score(draft: FindingDraft, number: MappedNumber, value: float) -> None:
    draft.score = Score(value, number.threshold, unit=number.unit, concept=number.concept)
    if number.threshold is None or draft.present is not None:
        return
    if value >= number.threshold:
        draft.present = True
    elif number.below is EmptyMask.ABSENT:
        draft.present = False


def _segmentation(mapping: NiftiFolders, stack: MaskStack, grid: SourceGrid) -> Segmentation | None:
    """The masks; None where all are empty."""
    segments = [
        Segment(number, each.name, each.category, each.type, each.site, each.colour)
        for number, each in enumerate(mapping.segments, start=1)
        if stack.voxels[number]
    ]
    return Segmentation(stack.labels, grid.frames, tuple(segments)) if segments else None
