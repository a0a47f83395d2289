"""In a child: what a program wrote becomes a result, by the mapping of its manifest.

Nothing is a negative by itself: a mask without a voxel says that something is absent only where the mapping says so,
and where the mask covers the images. Volumes are counts of voxels on the grid of the images, times their size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.own_notes import OwnNote
from node.run.nifti.grids import SourceGrid
from node.run.nifti.masks import GridReader, MaskStack
from node.run.nifti.tables import NumberTables
from plugins import codes, exchange, limits, untrusted
from plugins.coding import Code, Site
from plugins.exchange import OutputReading
from plugins.images import ContractError
from plugins.maps import Heatmap, Segment, Segmentation
from plugins.measurements import Measurement, NoValue, Score
from plugins.nifti_mapping import EmptyMask, MappedNumber, NiftiFolders
from plugins.result import SUMMARY_LIMIT, Finding, Result
from plugins.status import ResultStatus
from plugins.untrusted import ExchangeError

_NOT_FOR_IT = "The program says that these images are not what it is for."
_SMALL_ML = 10.0
"""Below this a volume is shown with two decimals."""
_UNIT_WORDS = {"[hnsf'U]": " HU", "1": ""}
"""What readers know a unit by, where its code is no word of theirs."""
_NOTE = 256
_MOST_NAMED = 6


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


@dataclass
class _Draft:
    """A finding that is being put together."""

    name: str
    code: Code
    site: Site | None
    present: bool | None = None
    measurements: list[Measurement] = field(default_factory=list)
    score: Score | None = None
    segments: tuple[int, ...] = ()

    def made(self) -> Finding:
        return Finding(
            self.code,
            present=self.present,
            score=self.score,
            site=self.site,
            measurements=tuple(self.measurements),
            segments=self.segments,
        )


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
    drafts, silent = _of_masks(mapping, stack, grid, answer.has_segmentation)
    silent += _of_numbers(mapping, NumberTables(out), drafts)
    notes = [OwnNote.NOT_OUTLINED.format(names=_listed(silent))] if silent else []
    if stack is not None and stack.resampled:
        notes.append(OwnNote.RESAMPLED.format(names=_listed(stack.resampled)))
    if not drafts:
        told = f"The program found none of: {_listed(silent)}. This does not say that there is none."
        return Result(ResultStatus.NOT_APPLICABLE, told)
    heatmaps = [
        Heatmap(reader.heatmap(each, number), grid.frames, each.quantity, each.unit, each.name)
        for number, each in enumerate(mapping.heatmaps)
    ]
    is_negative = all(draft.present is False for draft in drafts)
    return Result(
        status=ResultStatus.NO_FINDINGS if is_negative else ResultStatus.FINDINGS,
        summary=_summary(drafts),
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
) -> tuple[list[_Draft], list[str]]:
    """A finding for each segment that says something, and the names of those that say nothing."""
    drafts, silent = [], []
    for number, segment in enumerate(mapping.segments if stack else (), start=1):
        assert stack is not None, "there are segments"
        voxels = stack.voxels[number]
        is_absent = not voxels and segment.empty is EmptyMask.ABSENT and number not in stack.uncovered
        if not voxels and not is_absent:
            silent.append(segment.name)
            continue
        draft = _Draft(segment.name, segment.heading, segment.site, present=not is_absent if segment.finding else None)
        if voxels:
            volume = voxels * grid.voxel_volume
            decimals = 2 if volume < _SMALL_ML else 1
            draft.measurements.append(Measurement(codes.VOLUME, volume, codes.MILLILITER, decimals=decimals))
            draft.segments = (number,) if has_segmentation else ()
        drafts.append(draft)
    return drafts, silent


def _of_numbers(mapping: NiftiFolders, tables: NumberTables, drafts: list[_Draft]) -> list[str]:
    """Add the numbers of the tables to the findings that they are of; the names of scores that have no value."""
    without = []
    for number in mapping.numbers:
        value = tables.value(number)
        if number.is_score and value is None:
            without.append(number.concept.meaning)
            continue
        draft = _draft_of(number, drafts)
        if number.is_score and value is not None:
            _score(draft, number, value)
        elif value is not None or draft.present is not False:  # of what is absent, no value says nothing more
            no_value = NoValue.CANNOT_BE_COMPUTED if value is None else None
            draft.measurements.append(
                Measurement(number.concept, value, number.unit, no_value, decimals=number.decimals, site=None)
            )
    return without


def _draft_of(number: MappedNumber, drafts: list[_Draft]) -> _Draft:
    """The one finding of this code at this site; a new one where there is none, or several."""
    found = [draft for draft in drafts if (draft.code, draft.site) == (number.finding, number.site)]
    if len(found) == 1:
        return found[0]
    side = number.site.laterality if number.site else None
    name = f"{number.finding.meaning}, {side.meaning.lower()}" if side else number.finding.meaning
    drafts.append(_Draft(name, number.finding, number.site))
    return drafts[-1]


def _score(draft: _Draft, number: MappedNumber, value: float) -> None:
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


def _summary(drafts: Sequence[_Draft]) -> str:
    """What was found, one sentence each, as many as there is room for."""
    text = ""
    for index, sentence in enumerate(_sentences(drafts)):
        rest = f" And {len(drafts) - index} more."
        if len(text) + len(sentence) + len(rest) + 1 > SUMMARY_LIMIT:
            return text + rest
        text = f"{text} {sentence}".strip()
    return text


def _sentences(drafts: Sequence[_Draft]) -> Iterator[str]:
    for draft in drafts:
        said = {True: " found", False: " not found", None: ""}[draft.present]
        numbers = [f"{draft.score.name} {draft.score.value:.2f}"] if draft.score else []
        for each in draft.measurements:
            unit = _UNIT_WORDS.get(each.unit.code, f" {each.unit.code}")
            shown = "cannot be computed" if each.value is None else f"{each.value:.{each.decimals}f}{unit}"
            is_plain = each.concept == codes.VOLUME and each.value is not None
            numbers.append(shown if is_plain else f"{each.concept.meaning} {shown}")
        yield f"{draft.name}{said}{': ' if numbers else ''}{', '.join(numbers)}."


def _listed(names: Sequence[str] | set[str]) -> str:
    """`a, b, c and 4 more`, within the length of a note."""
    listed = sorted(names) if isinstance(names, set) else list(names)
    shown = ", ".join(each[: _NOTE // (2 * _MOST_NAMED)] for each in listed[:_MOST_NAMED])
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return f"{shown}{more}"
