"""The pictures of a set in small, on the summary: as large as its room lets them be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.results.pages.canvas import SECONDARY, Canvas, fitting
from node.results.pages.fonts import Face, line_height, width, wrap
from node.results.pages.page import CONTENT, MARGIN, Block, space

_MOST_IN_A_ROW = 4
_GAP = 22
_CAPTION = 18
_ABOVE = 18
LEAST = 230
"""Height in pixels below which a slice shows nothing."""


@dataclass(frozen=True)
class Thumbnail:
    """A picture of the set, and what it shows."""

    size: tuple[float, float]
    """Its proportions: width, height."""
    draw: Callable[[tuple[int, int]], NDArray[np.uint8]]
    """RGB, as large as fits into (width, height)."""
    caption: str


@dataclass(frozen=True)
class _Grid:
    columns: int
    heights: tuple[int, ...]
    """Of the pictures of each row, at most."""
    area: int
    """Pixels of all pictures."""


def _cell(columns: int) -> int:
    return (CONTENT - (columns - 1) * _GAP) // columns


def _in_rows(thumbnails: Sequence[Thumbnail], columns: int) -> list[Sequence[Thumbnail]]:
    return [thumbnails[start : start + columns] for start in range(0, len(thumbnails), columns)]


def _below(thumbnails: Sequence[Thumbnail], cell: int) -> int:
    """Height of a row's captions."""
    lines = max(len(wrap(thumbnail.caption, Face.REGULAR, _CAPTION, cell)) for thumbnail in thumbnails)
    return 8 + lines * line_height(_CAPTION)


def _grid(thumbnails: Sequence[Thumbnail], columns: int, room: int) -> _Grid | None:
    """The pictures in this many columns, within `room`; None where they would be too small."""
    cell, rows = _cell(columns), _in_rows(thumbnails, columns)
    height = (room - sum(_ABOVE + _below(row, cell) for row in rows)) // len(rows)
    if height < LEAST:
        return None
    sizes = [[fitting(thumbnail.size, (cell, height)) for thumbnail in row] for row in rows]
    heights = tuple(max(tall for _, tall in row) for row in sizes)
    return _Grid(columns, heights, sum(wide * tall for row in sizes for wide, tall in row))


def _row_block(thumbnails: Sequence[Thumbnail], columns: int, height: int) -> Block:
    cell = _cell(columns)
    sizes = [fitting(thumbnail.size, (cell, height)) for thumbnail in thumbnails]
    captions = [wrap(thumbnail.caption, Face.REGULAR, _CAPTION, cell) for thumbnail in thumbnails]

    def draw(canvas: Canvas, top: int) -> None:
        for column, (thumbnail, (wide, tall), caption) in enumerate(zip(thumbnails, sizes, captions, strict=True)):
            left = MARGIN + column * (cell + _GAP)
            # Towards the middle of the page: the breasts of a mammogram stand back to back, and series close together.
            share = 1 - column / (columns - 1) if columns > 1 else 0.5
            canvas.paste(left + round(share * (cell - wide)), top, thumbnail.draw((wide, tall)))
            for number, line in enumerate(caption):
                at = left + round(share * (cell - width(line, Face.REGULAR, _CAPTION)))
                canvas.text(at, top + height + 4 + number * line_height(_CAPTION), line, _CAPTION, SECONDARY)

    return Block(height + _below(thumbnails, cell), draw)


def arranged(thumbnails: Sequence[Thumbnail], room: int) -> list[Block]:
    """All of them within `room`, in the columns in which they are largest; nothing where they would be too small."""
    if not thumbnails:
        return []
    grids = (_grid(thumbnails, columns, room) for columns in range(1, min(len(thumbnails), _MOST_IN_A_ROW) + 1))
    best = max((grid for grid in grids if grid), key=lambda grid: grid.area, default=None)
    if best is None:
        return []
    rows = zip(_in_rows(thumbnails, best.columns), best.heights, strict=True)
    return [block for row, height in rows for block in (space(_ABOVE), _row_block(row, best.columns, height))]
