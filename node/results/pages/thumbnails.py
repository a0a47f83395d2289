"""The pictures of a set in small, on the summary: as large as its room lets them be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

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


_T = TypeVar("_T")


@dataclass(frozen=True)
class Arrangement:
    """Pictures in rows, as large as their room lets them be."""

    blocks: tuple[Block, ...]
    widths: tuple[int, ...]
    """Of each picture, in pixels."""

    @property
    def height(self) -> int:
        """Of all blocks."""
        return sum(block.height for block in self.blocks)


NOTHING = Arrangement((), ())
Slots = Sequence[Thumbnail | None]
"""Pictures in rows; None where a place stays free."""


@dataclass(frozen=True)
class _ThumbnailGrid:
    columns: int
    sizes: tuple[tuple[int, int], ...]
    """Width and height of each picture; (0, 0) of a free place."""

    @property
    def area(self) -> int:
        """Pixels of all pictures."""
        return sum(wide * tall for wide, tall in self.sizes)


def _cell(columns: int) -> int:
    return (CONTENT - (columns - 1) * _GAP) // columns


def _rows(items: Sequence[_T], columns: int) -> list[Sequence[_T]]:
    return [items[start : start + columns] for start in range(0, len(items), columns)]


def _lines(thumbnail: Thumbnail | None, cell: int) -> list[str]:
    """The caption, wrapped."""
    return wrap(thumbnail.caption, Face.REGULAR, _CAPTION, cell) if thumbnail else []


def _below(slots: Slots, cell: int) -> int:
    """Height of a row's captions."""
    return 8 + max(len(_lines(thumbnail, cell)) for thumbnail in slots) * line_height(_CAPTION)


def _grid(slots: Slots, columns: int, room: int, least: int) -> _ThumbnailGrid | None:
    """The pictures in this many columns, within `room`; None where they would be too small."""
    cell, rows = _cell(columns), _rows(slots, columns)
    height = (room - sum(_ABOVE + _below(row, cell) for row in rows)) // len(rows)
    if height < least:
        return None
    return _ThumbnailGrid(columns, tuple(fitting(one.size, (cell, height)) if one else (0, 0) for one in slots))


def _row_block(slots: Slots, sizes: Sequence[tuple[int, int]], columns: int, *, back_to_back: bool) -> Block:
    cell, height = _cell(columns), max(tall for _, tall in sizes)

    def draw(canvas: Canvas, top: int) -> None:
        for column, (thumbnail, (wide, tall)) in enumerate(zip(slots, sizes, strict=True)):
            if thumbnail is None:
                continue
            left = MARGIN + column * (cell + _GAP)
            share = 1 - column if back_to_back else 0.5
            at = left + round(share * (cell - wide))
            canvas.paste(at, top, thumbnail.draw((wide, tall)))
            for number, line in enumerate(_lines(thumbnail, cell)):
                used = width(line, Face.REGULAR, _CAPTION)
                centred = min(max(at + (wide - used) // 2, left), left + cell - used)
                canvas.text(centred, top + height + 4 + number * line_height(_CAPTION), line, _CAPTION, SECONDARY)

    return Block(height + _below(slots, cell), draw)


def arranged(
    slots: Slots, room: int, *, columns: int = 0, least: int = LEAST, back_to_back: bool = False
) -> Arrangement:
    """All of them within `room`, in the columns in which they are largest, or in `columns`; nothing where they would
    be lower than `least`. `back_to_back`: of two columns, as the breasts of a mammogram.
    """
    if not any(slots):
        return NOTHING
    choices = (columns,) if columns else range(1, min(len(slots), _MOST_IN_A_ROW) + 1)
    grids = (_grid(slots, choice, room, least) for choice in choices)
    best = max((grid for grid in grids if grid), key=lambda grid: grid.area, default=None)
    if best is None:
        return NOTHING
    rows = zip(_rows(slots, best.columns), _rows(best.sizes, best.columns), strict=True)
    blocks = [
        block
        for row, sizes in rows
        for block in (space(_ABOVE), _row_block(row, sizes, best.columns, back_to_back=back_to_back))
    ]
    return Arrangement(tuple(blocks), tuple(wide for wide, _ in best.sizes))
