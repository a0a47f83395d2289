"""The findings of the summary: present or absent, what and where, how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.results.context import Context
from node.results.pages.canvas import ABSENT, ON_URGENT, PRESENT, RULE, SECONDARY, TEXT, URGENT, Canvas, Colour
from node.results.pages.fonts import Face, drawable, line_height, width, wrap
from node.results.pages.meanings import score_name
from node.results.pages.overlay import finding_colour
from node.results.pages.page import CONTENT, MARGIN, WIDTH, Block, space, text_blocks
from node.results.pages.tables import finding_name
from node.results.pages.units import shown_unit
from node.results.texts import Texts
from node.results.tracking import reading_order, shown_numbers
from plugins.contract import Finding, Score

_NAME, _NOTE = 24, 20
_BAR = 150


def score_text(score: Score) -> str:
    """A score with its unit, for people."""
    return _shown(score.value, score)


def _shown(value: float, score: Score) -> str:
    unit = shown_unit(score.unit.code)
    return f"{value:.2f}" if unit == "" else f"{value:.4g} {unit}"


def threshold_text(score: Score, texts: Texts) -> str:
    """ "(threshold 0.50)"; empty where there is none."""
    return "" if score.threshold is None else f"({texts.threshold} {_shown(score.threshold, score)})"


def _full(score: Score) -> float:
    """The end of a scale from 0 that a bar can show; 0 for other scales."""
    full = {"%": 100.0, "1": 1.0}.get(score.unit.code, 0.0)
    return full if 0 <= score.value <= full else 0.0


@dataclass(frozen=True)
class _FindingRow:
    """A finding that is present or absent, with the words of its row."""

    finding: Finding
    number: str
    """As on the images; empty where nothing asks for one."""
    name: str
    score: str

    @property
    def colour(self) -> Colour:
        if not self.finding.present:
            return ABSENT
        return URGENT if self.finding.urgent else PRESENT


@dataclass(frozen=True)
class _RowColumns:
    """What all rows share, so that their parts stand below each other."""

    texts: Texts
    chip: int
    score: int
    """Width of the longest score; 0 where scores are too long to fit beside names."""
    bar: bool
    meaning: str
    """Of all scores, with their threshold, where it is one: it stands above them."""


def common_meaning(scores: Sequence[Score], texts: Texts) -> str:
    """ "Likelihood of finding (threshold 0.50)", where that is so of all of them and fits above their column."""
    meanings = {f"{score_name(score, texts)} {threshold_text(score, texts)}".strip() for score in scores}
    one = meanings.pop() if len(meanings) == 1 else ""
    return one if width(drawable(one), Face.REGULAR, _NOTE - 2) <= CONTENT // 2 else ""


def _rows(context: Context) -> tuple[list[_FindingRow], str]:
    """What is urgent or present is read first; the order of the plugin holds within. And what all scores mean."""
    result, texts = context.request.result, context.texts
    numbers = shown_numbers(result)
    ordered = [(result.findings[index], numbers[index]) for index in reading_order(result)]
    judged = [(finding, number) for finding, number in ordered if finding.present is not None]
    meaning = common_meaning([finding.score for finding, _ in judged if finding.score], texts)
    rows = []
    for finding, number in judged:
        score = finding.score
        limit = "" if score is None or meaning else threshold_text(score, texts)
        shown = f"{_shown(score.value, score)} {limit}".rstrip() if score else ""
        rows.append(_FindingRow(finding, str(number or ""), finding_name(finding, texts), shown))
    return rows, meaning


def _columns(rows: Sequence[_FindingRow], meaning: str, texts: Texts) -> _RowColumns:
    bar = any(_full(row.finding.score) for row in rows if row.finding.score)
    longest = max((width(drawable(row.score), Face.REGULAR, _NOTE) for row in rows), default=0)
    beside = longest + (_BAR + 16 if bar else 0) <= CONTENT // 2
    chip = max(width(drawable(text), Face.SEMIBOLD, _NOTE) for text in (texts.present, texts.absent)) + 24
    return _RowColumns(texts, chip, longest if beside else 0, bar and beside, meaning if beside else "")


def _draw_bar(canvas: Canvas, left: int, top: int, score: Score, colour: Colour) -> None:
    """The score on its scale, the threshold as a line."""
    full = _full(score)
    canvas.rectangle(left, top, left + _BAR, top + 12, RULE, radius=6)
    canvas.rectangle(left, top, left + max(12, round(_BAR * score.value / full)), top + 12, colour, radius=6)
    if score.threshold is not None and 0 <= score.threshold <= full:
        x = left + round(_BAR * score.threshold / full)
        canvas.rectangle(x - 1, top - 5, x + 2, top + 17, TEXT)


def _row_block(row: _FindingRow, columns: _RowColumns, followed: bool) -> Block:
    label = columns.texts.present if row.finding.present else columns.texts.absent
    number_left = MARGIN + columns.chip + 18
    name_left = number_left + (width(row.number, Face.SEMIBOLD, _NAME) + 12 if row.number else 0)
    beside = columns.score + (_BAR + 16 if columns.bar else 0)
    score_left = WIDTH - MARGIN - columns.score
    number_colour = finding_colour(urgent=row.finding.urgent) if row.finding.present else TEXT
    lines = wrap(row.name, Face.SEMIBOLD, _NAME, WIDTH - MARGIN - name_left - (beside + 24 if beside else 0))

    def draw(canvas: Canvas, top: int) -> None:
        height = line_height(_NOTE) + 4
        canvas.rectangle(MARGIN, top + 1, MARGIN + columns.chip, top + 1 + height, row.colour, radius=6)
        inset = (columns.chip - width(drawable(label), Face.SEMIBOLD, _NOTE)) // 2
        canvas.text(MARGIN + inset, top + 3, label, _NOTE, ON_URGENT, Face.SEMIBOLD, row.colour)
        if row.number:
            canvas.text(number_left, top, row.number, _NAME, number_colour, Face.SEMIBOLD)
        for number, line in enumerate(lines):
            canvas.text(name_left, top + number * line_height(_NAME), line, _NAME, TEXT, Face.SEMIBOLD)
        if columns.score and row.finding.score:
            canvas.text(score_left, top + 2, row.score, _NOTE, TEXT)
            if columns.bar and _full(row.finding.score):
                _draw_bar(canvas, score_left - _BAR - 16, top + 11, row.finding.score, row.colour)

    return Block(len(lines) * line_height(_NAME) + 8, draw, keep_with_next=followed)


def _under(row: _FindingRow, columns: _RowColumns) -> list[str]:
    """What stands below a finding: its score where there is no room or no common meaning, where it
    and the answer disagree, and its comment."""
    score, texts = row.finding.score, []
    if score and not columns.meaning:
        texts.append(
            f"{score_name(score, columns.texts)}: {row.score}"
            if not columns.score
            else score_name(score, columns.texts)
        )
    if contradiction := columns.texts.against_threshold(row.finding):
        texts.append(contradiction)
    return [*texts, *([row.finding.comment] if row.finding.comment else [])]


def _meaning(columns: _RowColumns) -> list[Block]:
    """What the scores below say, above their column."""
    if not columns.meaning:
        return []

    def draw(canvas: Canvas, top: int) -> None:
        left = WIDTH - MARGIN - columns.score - (_BAR + 16 if columns.bar else 0)
        used = width(drawable(columns.meaning), Face.REGULAR, _NOTE - 2)
        canvas.text(min(left, WIDTH - MARGIN - used), top, columns.meaning, _NOTE - 2, SECONDARY)

    return [Block(line_height(_NOTE - 2) + 2, draw, keep_with_next=True)]


def finding_rows(context: Context) -> list[Block]:
    """A row for each finding that is present or absent, then the rest of them."""
    rows, meaning = _rows(context)
    columns = _columns(rows, meaning, context.texts)
    blocks = _meaning(columns)
    for row in rows:
        under = _under(row, columns)
        blocks.append(_row_block(row, columns, followed=bool(under)))
        for text in under:
            blocks += text_blocks(text, _NOTE, SECONDARY, indent=columns.chip + 18)
        blocks += [space(8)] if under else []
    blocks += rest_of_findings(context)
    return [space(16), *blocks] if blocks else []


def rest_of_findings(context: Context) -> list[Block]:
    """Findings that are neither present nor absent, as far as no table has them: what is only marked on an image (a
    landmark), with its number there, and the comments of what is measured."""
    result, blocks = context.request.result, []
    for finding, number in zip(result.findings, shown_numbers(result), strict=True):
        if finding.present is None and (finding.comment or not finding.measurements):
            name = f"{number or ''} {finding_name(finding, context.texts)}".strip()
            blocks += text_blocks(f"{name}: {finding.comment}" if finding.comment else name, _NOTE, SECONDARY)
    return blocks
