"""The page a radiologist reads: the answer at one glance, then the numbers, the limits and the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.results.canvas import (
    ABSENT,
    MARKING,
    MEASURED,
    NOT_ANALYSED,
    ON_URGENT,
    PRESENT,
    RULE,
    SECONDARY,
    TEXT,
    URGENT,
    Canvas,
    Colour,
    scaled,
)
from node.results.context import Context
from node.results.fonts import Face, drawable, line_height, width, wrap
from node.results.page import CONTENT, MARGIN, WIDTH, Block, Frame, break_into_pages, heading, space, text_blocks
from node.results.tables import Cell, Table, site_text, tables, unit_text
from plugins.contract import Finding, Result, ResultStatus

_BODY, _STATUS, _NOTE = 24, 34, 18
_BAR = 150
_PER_ROW = 3
_THUMBNAIL_HEIGHTS = (460, 400, 350, 300, 260, 220, 180)
_COLUMN_GAP = 22
_LEAST_COLUMN, _LEAST_VALUE = 44, 88
_TALLEST_ROW = 360


@dataclass(frozen=True)
class Thumbnail:
    """A picture of the set in small, and what it shows."""

    pixels: NDArray[np.uint8]
    caption: str


def _status(result: Result, context: Context) -> tuple[str, Colour]:
    texts = context.texts
    if any(finding.present for finding in result.findings):
        return texts.status_present, PRESENT
    colours = {
        ResultStatus.FINDINGS: MEASURED,
        ResultStatus.NO_FINDINGS: ABSENT,
        ResultStatus.NOT_APPLICABLE: NOT_ANALYSED,
        ResultStatus.FAILED: NOT_ANALYSED,
    }
    return texts.status[result.status], colours[result.status]


def _barred(blocks: Sequence[Block], colour: Colour) -> list[Block]:
    """The blocks with a coloured bar at the left edge: the answer."""

    def with_bar(block: Block) -> Block:
        def draw(canvas: Canvas, top: int) -> None:
            canvas.rectangle(MARGIN, top, MARGIN + 8, top + block.height, colour)
            block.draw(canvas, top)

        return Block(block.height, draw, block.keep_with_next, block.repeat)

    return [with_bar(block) for block in blocks]


def _answer(context: Context) -> list[Block]:
    result, texts = context.request.result, context.texts
    status, colour = _status(result, context)
    if any(finding.urgent for finding in result.findings):
        status = f"{texts.urgent} – {status}"
        colour = URGENT
    blocks = text_blocks(status, _STATUS, colour, Face.SEMIBOLD, indent=24, keep_together=True)
    if negative := texts.not_a_negative.get(result.status):
        blocks += [space(4), *text_blocks(negative, _BODY + 2, TEXT, Face.SEMIBOLD, indent=24)]
    blocks += [space(4), *text_blocks(result.summary, _BODY + 2, TEXT, indent=24)]
    if context.request.supersedes:
        blocks += text_blocks(texts.supersedes, _NOTE + 2, MARKING, indent=24)
    asked = (
        text_blocks(f"{texts.asked}: {context.request.asked}", _NOTE + 2, SECONDARY) if context.request.asked else []
    )
    return [*asked, space(10), *_barred(blocks, colour)]


# --- findings -------------------------------------------------------------------------------------


def _score_text(finding: Finding, context: Context) -> str:
    score = finding.score
    if score is None:
        return ""
    unit = unit_text(score.unit.code)
    shown = f"{score.value:.2f}" if unit == "" else f"{score.value:.4g} {unit}"
    if score.threshold is None:
        return shown
    limit = f"{score.threshold:.2f}" if unit == "" else f"{score.threshold:.4g}"
    return f"{shown} ({context.texts.threshold} {limit})"


def _draw_score_bar(canvas: Canvas, left: int, top: int, finding: Finding, colour: Colour) -> None:
    """The score on its scale of 0 to 1 (or 100 %), the threshold as a line; other scales have no bar."""
    score = finding.score
    assert score is not None
    full = 100.0 if score.unit.code == "%" else 1.0
    canvas.rectangle(left, top, left + _BAR, top + 12, RULE, radius=6)
    canvas.rectangle(left, top, left + max(12, round(_BAR * score.value / full)), top + 12, colour, radius=6)
    if score.threshold is not None and 0 <= score.threshold <= full:
        x = left + round(_BAR * score.threshold / full)
        canvas.rectangle(x - 1, top - 5, x + 2, top + 17, TEXT)


def _has_bar(finding: Finding) -> bool:
    score = finding.score
    if score is None:
        return False
    return 0 <= score.value <= (100.0 if score.unit.code == "%" else 1.0) and score.unit.code in {"%", "1"}


def _finding_row(finding: Finding, context: Context) -> list[Block]:
    texts = context.texts
    colour = (URGENT if finding.urgent else PRESENT) if finding.present else ABSENT
    label = texts.present if finding.present else texts.absent
    chip = max(width(drawable(t), Face.SEMIBOLD, _NOTE + 2) for t in (texts.present, texts.absent)) + 24
    name_left = MARGIN + chip + 18
    score, site = _score_text(finding, context), site_text(finding.site, texts)
    beside = (width(drawable(score), Face.REGULAR, _NOTE + 2) if score else 0) + (_BAR + 16 if _has_bar(finding) else 0)
    below = beside > CONTENT // 2  # a score of many words leaves the name no room
    beside = 0 if below else beside
    name = finding.code.meaning + (f", {site}" if site else "")
    lines = wrap(name, Face.SEMIBOLD, _BODY, CONTENT - chip - 18 - (beside + 24 if beside else 0))

    def draw(canvas: Canvas, top: int) -> None:
        height = line_height(_NOTE + 2) + 4
        canvas.rectangle(MARGIN, top + 3, MARGIN + chip, top + 3 + height, colour, radius=6)
        inset = (chip - width(drawable(label), Face.SEMIBOLD, _NOTE + 2)) // 2
        canvas.text(MARGIN + inset, top + 5, label, _NOTE + 2, ON_URGENT, Face.SEMIBOLD, colour)
        if score and not below:
            left = WIDTH - MARGIN - width(drawable(score), Face.REGULAR, _NOTE + 2)
            canvas.text(left, top + 4, score, _NOTE + 2, TEXT)
            if _has_bar(finding):
                _draw_score_bar(canvas, left - _BAR - 16, top + 13, finding, colour)
        for number, line in enumerate(lines):
            canvas.text(name_left, top + number * line_height(_BODY), line, _BODY, TEXT, Face.SEMIBOLD)

    under = [*([f"{texts.score}: {score}"] if below else []), *([finding.comment] if finding.comment else [])]
    blocks = [Block(len(lines) * line_height(_BODY) + 8, draw, keep_with_next=bool(under))]
    for text in under:
        blocks += text_blocks(text, _NOTE + 2, SECONDARY, indent=chip + 18)
    return blocks


def _findings(context: Context) -> list[Block]:
    findings = context.request.result.findings
    # What is urgent or present is read first; the order of the plugin holds within.
    judged = sorted((f for f in findings if f.present is not None), key=lambda f: (not f.urgent, not f.present))
    rows = [block for finding in judged for block in _finding_row(finding, context)]
    comments = [
        block
        for finding in findings
        if finding.present is None and finding.comment
        for block in text_blocks(f"{finding.code.meaning}: {finding.comment}", _NOTE + 2, SECONDARY)
    ]
    return [space(16), *rows, *comments] if rows or comments else []


# --- numbers --------------------------------------------------------------------------------------


def _column_widths(table: Table) -> list[int]:
    """The first column takes what is left. The others get what they need, at most an equal share (never less
    than their longest word, as far as there is room); columns of values are equally wide.
    """
    count = len(table.head)
    room = CONTENT - _COLUMN_GAP * (count - 1)
    share = room * 2 // 3 // max(1, count - 1)
    widths = [0]
    for column in range(1, count):
        texts = [row[column].text for row in table.rows]
        whole = max(width(drawable(text), Face.SEMIBOLD, _BODY) for text in texts)
        words = [word for text in texts for word in drawable(text).split()] or [""]
        longest = max(width(word, Face.SEMIBOLD, _BODY) for word in words)
        head = width(drawable(table.head[column]), Face.SEMIBOLD, _NOTE + 2)
        widths.append(max(min(whole, share), min(longest, room // count), head, _LEAST_COLUMN))
    common = max(_LEAST_VALUE, *(widths[column] for column in table.values))
    widths = [common if column in table.values else used for column, used in enumerate(widths)]
    widths[0] = max(room - sum(widths), room // (2 * count))
    excess = sum(widths) - room
    if excess > 0:
        for column in range(1, count):
            widths[column] -= -(-excess * widths[column] // sum(widths[1:]))
    return widths


def _table_row(
    cells: Sequence[Cell], widths: Sequence[int], size: int, colour: Colour, numbers: frozenset[int]
) -> Block:
    faces = [Face.SEMIBOLD if column in numbers else Face.REGULAR for column in range(len(cells))]
    wrapped = [wrap(cell.text, faces[i], size, widths[i]) for i, cell in enumerate(cells)]
    lines = max(len(part) for part in wrapped)

    def draw(canvas: Canvas, top: int) -> None:
        left = MARGIN
        for column, (cell, part) in enumerate(zip(cells, wrapped, strict=True)):
            shade = MARKING if cell.outside else SECONDARY if cell.missing else colour
            for number, line in enumerate(part):
                used = width(line, faces[column], size)
                x = left + widths[column] - used if column in numbers else left
                canvas.text(x, top + 5 + number * line_height(size), line, size, shade, faces[column])
            left += widths[column] + _COLUMN_GAP
        bottom = top + lines * line_height(size) + 10
        canvas.rectangle(MARGIN, bottom, WIDTH - MARGIN, bottom + 1, RULE)

    return Block(lines * line_height(size) + 12, draw)


def _table(table: Table) -> list[Block]:
    widths = _column_widths(table)
    head = _table_row([Cell(text) for text in table.head], widths, _NOTE + 2, SECONDARY, table.values)
    blocks = [*heading(table.title), Block(head.height, head.draw, keep_with_next=True)]
    for row in table.rows:
        made = _table_row(row, widths, _BODY, TEXT, table.values)
        if made.height <= _TALLEST_ROW:
            blocks.append(Block(made.height, made.draw, repeat=head))
        else:  # cells of many words: as running text, which may go on over the page
            blocks += text_blocks("  ·  ".join(cell.text for cell in row if cell.text), _BODY, TEXT)
    return [*blocks, *(block for note in table.notes for block in text_blocks(note, _NOTE, SECONDARY))]


def _limits(context: Context) -> list[Block]:
    quality = context.request.result.quality
    if not quality:
        return []
    blocks = heading(context.texts.limits)
    for limit in quality:
        blocks += text_blocks(f"• {limit}", _NOTE + 2, TEXT)
    return blocks


# --- images ---------------------------------------------------------------------------------------


def _thumbnail_row(thumbnails: Sequence[Thumbnail], columns: int, height: int) -> Block:
    cell = (CONTENT - (columns - 1) * _COLUMN_GAP) // columns
    pictures = [scaled(thumbnail.pixels, cell, height) for thumbnail in thumbnails]
    captions = [wrap(thumbnail.caption, Face.REGULAR, _NOTE, cell) for thumbnail in thumbnails]
    tallest = max(picture.height for picture in pictures)

    def draw(canvas: Canvas, top: int) -> None:
        for column, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            left = MARGIN + column * (cell + _COLUMN_GAP)
            canvas.paste(left, top, picture)
            for number, line in enumerate(caption):
                canvas.text(left, top + tallest + 4 + number * line_height(_NOTE), line, _NOTE, SECONDARY)

    return Block(tallest + 8 + max(len(caption) for caption in captions) * line_height(_NOTE), draw)


def _images(thumbnails: Sequence[Thumbnail], height: int) -> list[Block]:
    columns = min(len(thumbnails), _PER_ROW)
    rows = [thumbnails[start : start + columns] for start in range(0, len(thumbnails), max(1, columns))]
    return [block for row in rows for block in (space(18), _thumbnail_row(row, columns, height))]


def summary_pages(context: Context, thumbnails: Sequence[Thumbnail]) -> list[list[Block]]:
    """The summary on as many pages as it needs.

    The thumbnails are as large as lets them stay on the page of the answer, if any size does.
    """
    frame = Frame(context)
    blocks = [*_answer(context), *_findings(context)]
    for table in tables(context.request.result.findings, context.texts):
        blocks += _table(table)
    blocks += _limits(context)
    if frame.long_intended_use:
        blocks += [space(10), *text_blocks(frame.long_intended_use, _NOTE, SECONDARY)]
    attempts = (break_into_pages(frame, [*blocks, *_images(thumbnails, height)]) for height in _THUMBNAIL_HEIGHTS)
    on_one = next((pages for pages in attempts if len(pages) == 1), None)
    return on_one or break_into_pages(frame, [*blocks, *_images(thumbnails, 300)])
