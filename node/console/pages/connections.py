"""Who talks with this node? Senders, refused callers, destinations, boxes, services, certificates; echo and probe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.responses import Response

from node.config.in_force import InForce
from node.console import children
from node.console.page import PageRequest, PageRoute
from node.console.reader import Ledger, why_not
from node.desk import configuration_files, connections, drafts, letting_in, pausing
from node.desk.drafts import DraftText
from node.desk.letting_in import SeenCaller
from node.desk.rights import NotAllowedError, Right
from node.desk.rows import Pausable, Pause
from node.errors import NodeError, PermanentError, TransientError

_PAGE = "/connections"
_LONGEST = 45.0
"""Seconds that a page waits for a peer: a probe has a few associations."""
_CHECK_SECONDS = 20.0
_CALLERS = ThreadPoolExecutor(4, thread_name_prefix="asking")
"""Peers are asked by threads of their own: a peer that hangs keeps nobody from reading or acting."""
T = TypeVar("T")


async def _connections(page: PageRequest) -> Response:
    now = page.now
    found = await page.look_together(
        "connections", lambda in_force, ledger: connections.look(ledger, in_force.configuration, now)
    )
    return page.render("connections.html", found=found, edit=page.site.settings.edit)


async def _echo(page: PageRequest) -> Response:
    sent = await page.form()
    name, at, by = str(sent.get("name", "")), page.now, page.actor
    try:
        done = await _asked(page, lambda there, ledger: connections.echo(ledger, there.configuration, name, at, by))
    except (NodeError, OSError) as error:
        return page.go(_PAGE, "error", f"{name}: {why_not(error)}")
    return page.go(_PAGE, "ok", done.sentence)


async def _probe(page: PageRequest) -> Response:
    sent = await page.form()
    name, at, by = str(sent.get("name", "")), page.now, page.actor
    try:
        found = await _asked(page, lambda there, ledger: connections.probe(ledger, there.configuration, name, at, by))
    except (NodeError, OSError) as error:
        return page.go(_PAGE, "error", f"{name}: {why_not(error)}")
    return page.render("probe.html", name=name, found=found)


async def _asked(page: PageRequest, what: Callable[[InForce, Ledger], T]) -> T:
    """Have a peer asked, with what is in force and the ledger, by a thread that may wait for it."""
    in_force, ledger = await page.look(lambda in_force, ledger: (in_force, ledger))
    work = asyncio.get_running_loop().run_in_executor(_CALLERS, what, in_force, ledger)
    try:
        return await asyncio.wait_for(work, _LONGEST)
    except TimeoutError:
        raise TransientError(f"no answer within {_LONGEST:.0f} s") from None


async def _allow(page: PageRequest) -> Response:
    """Enter a refused caller with the address that was seen; the file is checked, and written as the editor does."""
    sent = await page.form()
    if not page.site.settings.edit:
        raise NotAllowedError("the configuration is not changed in the console here (console.edit: false)")
    seen = SeenCaller(*(str(sent.get(name, "")) for name in ("calling", "called", "address")))
    at, by = page.now, page.actor
    running = page.in_force
    try:
        edit = await page.look(lambda in_force, ledger: letting_in.draft(ledger, in_force, seen, at))
        text = DraftText(running.path, edit.file.path, edit.file.name, edit.text, running.value, running.folder)
        check = await children.call(drafts.check, text, _CHECK_SECONDS)
        if check.problems:
            first = check.problems[0]
            raise PermanentError(f"{first.file}:{first.line}: {first.where} {first.message}")
        if check.serious and not page.who.is_confirmed:
            return page.go(f"/confirm?next={_PAGE}")
    except (NodeError, OSError) as error:
        return page.go(_PAGE, "error", f"{seen.calling_ae_title}: {why_not(error)}")
    return await page.act(lambda _, ledger: configuration_files.write(ledger, edit, at, by), _PAGE)


async def _pause(page: PageRequest) -> Response:
    sent = await page.form()
    name, why, by, at = str(sent.get("name", "")), str(sent.get("why", "")), page.actor, page.now
    wanted = Pause(Pausable.DESTINATION, name, str(by), at, why)
    return await page.act(lambda there, ledger: pausing.pause(ledger, there.configuration, wanted, by), _PAGE)


async def _resume(page: PageRequest) -> Response:
    sent = await page.form()
    name, by, at = str(sent.get("name", "")), page.actor, page.now
    return await page.act(lambda _, ledger: pausing.resume(ledger, Pausable.DESTINATION, name, at, by), _PAGE)


ROUTES = [
    PageRoute(_PAGE, _connections, Right.SEE_NODE),
    PageRoute(f"{_PAGE}/echo", _echo, Right.ACT, ("POST",)),
    PageRoute(f"{_PAGE}/probe", _probe, Right.ACT, ("POST",)),
    PageRoute(f"{_PAGE}/allow", _allow, Right.CHANGE_RULES, ("POST",)),
    PageRoute(f"{_PAGE}/pause", _pause, Right.ACT, ("POST",)),
    PageRoute(f"{_PAGE}/resume", _resume, Right.ACT, ("POST",)),
]
