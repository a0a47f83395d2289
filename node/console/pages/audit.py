"""Who did what? The history by time, kind, actor and study, and as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from node.console.page import PageRequest, PageRoute
from node.desk import history
from node.desk.find import is_number
from node.desk.history import KINDS, EventPage, EventQuestion
from node.desk.rights import Right
from node.errors import NotFoundError, UsageError

_A_PAGE = 100
_A_SLICE = 1000
_MOST = 100_000
"""Events of one file."""
_FIELDS = ("since", "until", "kind", "actor", "study")


async def _audit(page: PageRequest) -> Response:
    asked = _asked(page)
    problem, found = "", EventPage([], {}, None, None)
    try:
        found = await _look(page, asked, _A_PAGE, _before(page))
    except (UsageError, NotFoundError) as error:
        problem = str(error)
    return page.render(
        "audit.html",
        asked=asked,
        found=found,
        problem=problem,
        kinds=KINDS,
        is_first=_before(page) is None,
        following=_address("/audit", asked, found.before) if found.before is not None else "",
        as_file=_address("/audit.csv", asked, None),
    )


async def _file(page: PageRequest) -> Response:
    asked = _asked(page)
    first = await _look(page, asked, _A_SLICE, None)

    async def lines() -> AsyncIterator[str]:
        part, written = first, 0
        yield "\ufeff" + history.as_csv(part.events, heading=True)  # so that Excel reads it as UTF-8
        while part.before is not None and (written := written + len(part.events)) < _MOST:
            part = await _look(page, asked, _A_SLICE, part.before)
            yield history.as_csv(part.events, heading=False)

    name = f"audit-{page.now:%Y%m%d-%H%M%S}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


async def _look(page: PageRequest, asked: EventQuestion, limit: int, before: int | None) -> EventPage:
    by, now, zone = page.actor, page.now, page.in_force.configuration.node.zone
    return await page.look(lambda _, ledger: history.look(ledger, asked, by, now, zone, limit, before))


def _asked(page: PageRequest) -> EventQuestion:
    return EventQuestion(**{name: page.asked(name).strip() for name in _FIELDS})


def _before(page: PageRequest) -> int | None:
    text = page.asked("before")
    if text and not is_number(text):
        raise UsageError("this is not a place in the history")
    return int(text) if text else None


def _address(path: str, asked: EventQuestion, before: int | None) -> str:
    values = {name: value for name in _FIELDS if (value := getattr(asked, name))}
    if before is not None:
        values["before"] = str(before)
    return f"{path}?{urlencode(values)}" if values else path


ROUTES = [PageRoute("/audit", _audit, Right.SEE_AUDIT), PageRoute("/audit.csv", _file, Right.SEE_AUDIT)]
