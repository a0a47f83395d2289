"""Many findings in one list, a line each with its score and its numbers: two pages for forty, not ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.results.context import Context
from node.results.pages.canvas import ABSENT, MARKING, PRESENT, RULE, SECONDARY, TEXT, URGENT, Canvas, Colour
from node.results.pages.finding_rows import common_meaning, score_text, threshold_text
from node.results.pages.fonts import Face, drawable, line_height, width, wrap
from node.results.pages.overlay import finding_colour
from node.results.pages.page import CONTENT, MARGIN, WIDTH, Block, space
from node.results.pages.tables import Cell, finding_name, measured_columns
from node.results.texts import Texts
from node.results.tracking import reading_order, shown_numbers
from plugins.contract import Finding

MANY = 8
"""Findings, present or absent, from which on they are listed."""
_SIZE, _HEAD = 18, 18
_GAP = 18
_LEAST_NAME = 300


@dataclass(frozen=True)
class _Line:
    """A finding with the words of its line."""

    finding: Finding
    number: str
    name: str
    cells: tuple[Cell, ...]
    """Its score, then its measurements."""


@dataclass(frozen=True)
class FindingList:
    """The lines, and the findings whose measurements are in them."""

    blocks: tuple[Block, ...]
    measured: frozenset[int]
    """Their places in the result."""


def has_many(context: Context) -> bool:
    """Whether the findings of a result are listed."""
    return sum(finding.present is not None for finding in context.request.result.findings) > MANY


def finding_list(context: Context) -> FindingList:
    """The findings that are present or absent, in reading order, under a heading each for urgent, present, absent."""
    result, texts = context.request.result, context.texts
    order = [index for index in reading_order(result) if result.findings[index].present is not None]
    columns, values = measured_columns(result, order, texts)
    meaning = common_meaning([f.score for i in order if (f := result.findings[i]).score], texts)
    numbers = shown_numbers(result)
    lines = []
    for index in order:
        finding = result.findings[index]
        name = finding_name(finding, texts) + (f" – {finding.comment}" if finding.comment else "")
        score = Cell(_score(finding, meaning, texts))
        lines.append(_Line(finding, str(numbers[index] or ""), name, (score, *values.get(index, ()))))
    heads = ["\n".join(_two_lines(meaning or texts.score)), *(head for _, head in columns)]
    return FindingList(tuple(_blocks(lines, heads, texts)), frozenset(order if columns else ()))


def _score(finding: Finding, meaning: str, texts: Texts) -> str:
    """ "0.91"; with what it means and its threshold, where these differ from those of others."""
    score = finding.score
    if score is None:
        return ""
    return score_text(score) if meaning else f"{score_text(score)} {threshold_text(score, texts)}".rstrip()


def _two_lines(text: str) -> list[str]:
    """A long head in two lines, broken before its bracket."""
    first, bracket, rest = text.partition(" (")
    return [first, f"({rest}"] if bracket else [text]


def _blocks(lines: Sequence[_Line], heads: Sequence[str], texts: Texts) -> list[Block]:
    widths = [
        max(
            *(width(drawable(line.cells[i].text), Face.SEMIBOLD, _SIZE) for line in lines if i < len(line.cells)),
            *(width(drawable(part), Face.REGULAR, _HEAD) for part in head.split("\n")),
        )
        for i, head in enumerate(heads)
    ]
    number = max(width(line.number, Face.SEMIBOLD, _SIZE) for line in lines) + 12
    name = max(CONTENT - number - sum(used + _GAP for used in widths), _LEAST_NAME)
    head = _head_block(heads, widths)
    blocks, before = [space(16), head], ""
    for line in lines:
        state, colour = _state(line.finding, texts)
        if state != before:
            count = sum(_state(other.finding, texts)[0] == state for other in lines)
            blocks.append(_state_block(f"{state} ({count})", colour))
            before = state
        blocks.append(_line_block(line, number, name, widths, head))
    return blocks


def _state(finding: Finding, texts: Texts) -> tuple[str, Colour]:
    if finding.urgent:
        return texts.urgent, URGENT
    return (texts.present, PRESENT) if finding.present else (texts.absent, ABSENT)


def _state_block(text: str, colour: Colour) -> Block:
    def draw(canvas: Canvas, top: int) -> None:
        canvas.text(MARGIN, top + 4, text, _SIZE, colour, Face.SEMIBOLD)

    return Block(line_height(_SIZE) + 8, draw, keep_with_next=True)


def _rights(widths: Sequence[int]) -> list[int]:
    """Where each column ends."""
    rights, right = [], WIDTH - MARGIN
    for used in reversed(widths):
        rights.append(right)
        right -= used + _GAP
    return rights[::-1]


def _head_block(heads: Sequence[str], widths: Sequence[int]) -> Block:
    lines = max(head.count("\n") + 1 for head in heads)

    def draw(canvas: Canvas, top: int) -> None:
        for head, right in zip(heads, _rights(widths), strict=True):
            parts = head.split("\n")
            for number, part in enumerate(parts, start=lines - len(parts)):
                left = right - width(drawable(part), Face.REGULAR, _HEAD)
                canvas.text(left, top + number * line_height(_HEAD), part, _HEAD, SECONDARY)
        bottom = top + lines * line_height(_HEAD) + 3
        canvas.rectangle(MARGIN, bottom, WIDTH - MARGIN, bottom + 1, RULE)

    return Block(lines * line_height(_HEAD) + 6, draw, keep_with_next=True)


def _line_block(line: _Line, number: int, name: int, widths: Sequence[int], head: Block) -> Block:
    lines = wrap(line.name, Face.REGULAR, _SIZE, name)
    colour = finding_colour(urgent=line.finding.urgent) if line.finding.present else TEXT

    def draw(canvas: Canvas, top: int) -> None:
        canvas.text(MARGIN, top, line.number, _SIZE, colour, Face.SEMIBOLD)
        for index, text in enumerate(lines):
            canvas.text(MARGIN + number, top + index * line_height(_SIZE), text, _SIZE, TEXT)
        for cell, right in zip(line.cells, _rights(widths), strict=False):
            shade = MARKING if cell.outside else SECONDARY if cell.missing else TEXT
            left = right - width(drawable(cell.text), Face.SEMIBOLD, _SIZE)
            canvas.text(left, top, cell.text, _SIZE, shade, Face.SEMIBOLD)

    return Block(len(lines) * line_height(_SIZE) + 3, draw, repeat=head)
