"""The pages of a result as canvases, and what is written on them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from node.results.context import Context, prepare
from node.results.pages.canvas import Canvas, Colour
from node.results.pages.sheets import draw, sheets
from plugins.contract import Result
from tests.support.results import reports


def context_of(series: Sequence[Path], result: Result, **changes: object) -> Context:
    """What the encoder works on, for a result of these images."""
    return prepare(reports.request(series, result, **changes))


def canvases_of(context: Context) -> list[Canvas]:
    """All pages, drawn."""
    return draw(context, sheets(context))


def words_of(canvases: Sequence[Canvas], ground: Colour | None = None) -> str:
    """All texts of all pages (on one ground) without white space: wrapping may break a line anywhere."""
    placed = [one for canvas in canvases for one in canvas.placed if ground in (None, one.ground)]
    return re.sub(r"\s", "", "".join(one.text for one in placed))
