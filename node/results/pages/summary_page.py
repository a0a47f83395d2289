"""The page a radiologist reads: the answer at one glance, then the findings, the numbers and the limits."""

from __future__ import annotations

from collections.abc import Sequence

from node.results.context import Context
from node.results.missing import missing_texts
from node.results.pages.canvas import (
    ABSENT,
    MARKING,
    MEASURED,
    NOT_ANALYSED,
    PRESENT,
    RULE,
    SECONDARY,
    TEXT,
    URGENT,
    Canvas,
    Colour,
)
from node.results.pages.finding_list import FindingList, finding_list, has_many
from node.results.pages.finding_rows import finding_rows, rest_of_findings
from node.results.pages.fonts import Face, drawable, line_height, width, wrap
from node.results.pages.page import CONTENT, MARGIN, WIDTH, Block, PageFrame, heading, space, text_blocks
from node.results.pages.tables import Cell, PageTable, tables
from plugins.contract import Result, ResultStatus

_BODY, _STATUS, _NOTE = 24, 34, 18
_COLUMN_GAP = 22
_LEAST_COLUMN, _LEAST_VALUE = 44, 88
_TALLEST_ROW = 360


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
    blocks += [space(4), *text_blocks(texts.summary(result), _BODY + 2, TEXT, indent=24)]
    for missing in missing_texts(context):
        blocks += text_blocks(missing, _NOTE + 2, MARKING, indent=24)
    for line in context.returned:
        blocks += text_blocks(line, _NOTE + 2, TEXT, indent=24)
    asked = (
        text_blocks(f"{texts.asked}: {context.request.asked}", _NOTE + 2, SECONDARY) if context.request.asked else []
    )
    revision = text_blocks(context.revision_text, _NOTE + 4, MARKING, Face.SEMIBOLD) if context.revision_text else []
    return [*revision, *asked, space(10), *_barred(blocks, colour)]


# --- numbers --------------------------------------------------------------------------------------


def _column_widths(table: PageTable) -> list[int]:
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


def _table(table: PageTable) -> list[Block]:
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
        blocks += text_blocks(f"• {context.texts.note(limit)}", _NOTE + 2, TEXT)
    return blocks


def answer_of_summary(context: Context) -> list[Block]:
    """What stands above the images: what was asked, and the answer."""
    return _answer(context)


def details_of_summary(context: Context) -> list[Block]:
    """What stands below the images: findings, numbers, limits, intended use."""
    listed = finding_list(context) if has_many(context) else FindingList((), frozenset())
    blocks = [*listed.blocks, *(rest_of_findings(context) if listed.blocks else finding_rows(context))]
    for table in tables(context.request.result, context.texts, listed.measured):
        blocks += _table(table)
    blocks += _limits(context)
    if use := PageFrame(context).long_intended_use:
        blocks += [space(10), *text_blocks(use, _NOTE, SECONDARY)]
    return blocks
