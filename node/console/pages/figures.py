"""How much, how fast, how often does it fail, and for how long does the disk last? As pictures, tables and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from node.console.page import PageRequest, PageRoute
from node.desk import daily
from node.desk.daily import SiteFigures
from node.desk.rights import Right
from node.errors import UsageError

_PERIODS = (7, 30, 90)
_WIDTH, _HEIGHT = 900.0, 160.0
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class DrawnBar:
    """One bar of a picture, in its own units."""

    x: float
    y: float
    width: float
    height: float
    text: str
    """What it says."""


async def _figures(page: PageRequest) -> Response:
    found, days = await _found(page)
    return page.render(
        "figures.html",
        found=found,
        days=days,
        periods=_PERIODS,
        width=_WIDTH,
        height=_HEIGHT,
        pictures={
            "studies": _bars([(f"{each.day}: {each.studies}", each.studies) for each in found.days]),
            "jobs": _bars([(f"{each.day}: {each.jobs}", each.jobs) for each in found.days]),
            "failed": _bars([(f"{each.day}: {each.failed}", each.failed) for each in found.days]),
        },
    )


async def _file(page: PageRequest) -> Response:
    """A table as CSV; no spreadsheet takes a cell for a formula."""
    found, days = await _found(page)
    tables, name = daily.tables(found), page.asked("table", "days")
    if name not in tables:
        raise UsageError(f"there is {', '.join(tables)}")
    columns, rows = tables[name]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="pacsnode-{name}-{days}-days.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


async def _found(page: PageRequest) -> tuple[SiteFigures, int]:
    asked = page.asked("days", "30")
    if asked not in {str(each) for each in _PERIODS}:
        raise UsageError(f"figures are of the last {', '.join(map(str, _PERIODS))} days")
    days, now = int(asked), page.now
    found = await page.look_together(
        f"figures {days}", lambda in_force, ledger: daily.look(ledger, in_force.configuration, now, days)
    )
    return found, days


def _bars(values: Sequence[tuple[str, int]]) -> list[DrawnBar]:
    """A bar for each; the highest has the whole height."""
    most, each = max(1, *(number for _, number in values)), _WIDTH / len(values)
    return [
        DrawnBar(place * each + each * 0.1, _HEIGHT * (1 - number / most), each * 0.8, _HEIGHT * number / most, text)
        for place, (text, number) in enumerate(values)
    ]


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


ROUTES = [PageRoute("/figures", _figures, Right.SEE_NODE), PageRoute("/figures.csv", _file, Right.SEE_NODE)]
