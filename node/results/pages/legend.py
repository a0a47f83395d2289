"""What the outlines in pictures are: the name of each segment beside its colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.results.pages.canvas import SECONDARY, Canvas
from node.results.pages.fonts import Face, drawable, line_height, width, wrap
from node.results.pages.overlay import Outline
from node.results.pages.page import CONTENT, MARGIN, Block

_SIZE = 20
_CHIP, _AFTER_CHIP, _BETWEEN = 18, 10, 28
_MOST_IN_ROWS = 12
"""Outlines that are named below small pictures; of more, those alone whose number is in no row of findings."""


def in_lines(outlines: Sequence[Outline]) -> list[Block]:
    """One line or more for each, as under a picture with a page of its own."""
    return [
        _line([(outline if first else None, line)])
        for outline in outlines
        for first, line in _marked(wrap(_text(outline), Face.REGULAR, _SIZE, CONTENT - _CHIP - _AFTER_CHIP))
    ]


def in_rows(outlines: Iterable[Outline]) -> list[Block]:
    """As many in a row as there is room for, each once, as below several pictures."""
    unique = list(dict.fromkeys(outlines))
    if len(unique) > _MOST_IN_ROWS:
        unique = [outline for outline in unique if outline.number is None][:_MOST_IN_ROWS]
    rows: list[list[tuple[Outline | None, str]]] = []
    left = 0
    for outline in unique:
        for first, line in _marked(wrap(_text(outline), Face.REGULAR, _SIZE, CONTENT - _CHIP - _AFTER_CHIP)):
            used = _used(line)
            if not rows or used > left or not first:
                rows.append([])
                left = CONTENT
            rows[-1].append((outline if first else None, line))
            left -= used + _BETWEEN
    return [_line(row) for row in rows]


def _text(outline: Outline) -> str:
    """ "2  Nodule B": the number of the finding that it shows, and its name."""
    return f"{outline.number or ''}  {outline.name}".strip()


def _marked(lines: Sequence[str]) -> list[tuple[bool, str]]:
    """Each line, and whether it is the first."""
    return [(number == 0, line) for number, line in enumerate(lines)]


def _used(line: str) -> int:
    return _CHIP + _AFTER_CHIP + width(drawable(line), Face.REGULAR, _SIZE)


def _line(parts: Sequence[tuple[Outline | None, str]]) -> Block:
    """Names side by side, each behind its colour where it begins."""

    def draw(canvas: Canvas, top: int) -> None:
        left = MARGIN
        for outline, line in parts:
            if outline is not None:
                canvas.rectangle(left, top + 8, left + _CHIP, top + 20, outline.colour, radius=3)
            canvas.text(left + _CHIP + _AFTER_CHIP, top, line, _SIZE, SECONDARY)
            left += _used(line) + _BETWEEN

    return Block(line_height(_SIZE), draw)
