"""How do the plugins do? Inventory, health, slots and warm models, throughput, failures by reason; pause, withdraw."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.datastructures import ImmutableMultiDict
from starlette.responses import Response

from node.config.in_force import InForce
from node.console.page import PageRequest, PageRoute
from node.console.reader import Ledger
from node.desk import pausing, plugins, recalls
from node.desk.outcomes import ActionOutcome
from node.desk.recalls import RecallRequest
from node.desk.rights import Right
from node.desk.rows import Pausable, Pause, RecallReason
from node.errors import UsageError

_NAMED = 200
"""Objects of a withdrawal that the page lists; `plugin withdraw --csv` has them all."""


async def _plugins(page: PageRequest) -> Response:
    now = page.now
    found = await page.look_together(
        "plugins", lambda in_force, ledger: plugins.look(ledger, in_force.configuration, now)
    )
    return page.render("plugins.html", found=found)


async def _plugin(page: PageRequest) -> Response:
    name, now = page.part("name"), page.now
    found = await page.look(lambda in_force, ledger: plugins.of_name(ledger, in_force.configuration, name, now))
    return page.render("plugin.html", found=found, plugin=found.standing, reasons=[*RecallReason])


async def _pause(page: PageRequest) -> Response:
    sent = await page.form()
    name, why, by, at = page.part("name"), str(sent.get("why", "")), page.actor, page.now
    wanted = Pause(Pausable.PLUGIN, name, str(by), at, why)
    return await page.act(
        lambda in_force, ledger: pausing.pause(ledger, in_force.configuration, wanted, by), _address(name)
    )


async def _resume(page: PageRequest) -> Response:
    sent = await page.form()
    paused, by, at = str(sent.get("paused", "")), page.actor, page.now
    return await page.act(
        lambda _, ledger: pausing.resume(ledger, Pausable.PLUGIN, paused, at, by), _address(page.part("name"))
    )


async def _what_is_concerned(page: PageRequest) -> Response:
    """A withdrawal as it would be: nothing is changed."""
    request, by, at = _request(page.part("name"), page.http.query_params), page.actor, page.now
    found = await page.look(lambda in_force, ledger: recalls.dry_run(ledger, in_force.configuration, request, at, by))
    return page.render("withdraw.html", found=found, lines=[*recalls.lines(found)], shown=found.delivered[:_NAMED])


async def _withdraw(page: PageRequest) -> Response:
    request, by, at = _request(page.part("name"), await page.form()), page.actor, page.now

    def done(in_force: InForce, ledger: Ledger) -> ActionOutcome:
        found = recalls.withdraw(ledger, in_force.configuration, request, at, by)
        return ActionOutcome("\n".join(recalls.lines(found)), recalls.plain(found))

    return await page.act(done, _address(request.plugin))


async def _reinstate(page: PageRequest) -> Response:
    sent = await page.form()
    name, version, why = page.part("name"), str(sent.get("version", "")), str(sent.get("why", ""))
    by, at = page.actor, page.now
    return await page.act(lambda _, ledger: recalls.reinstate(ledger, name, version, why, at, by), _address(name))


def _request(name: str, said: ImmutableMultiDict[str, Any]) -> RecallRequest:
    """What the form asks for; UsageError."""
    values = {each: str(said.get(each, "")).strip() for each in ("version", "reason", "why")}
    if not values["version"]:
        raise UsageError("say which version")
    return RecallRequest(name, values["version"], recalls.reason_of(values["reason"]), values["why"])


def _address(name: str) -> str:
    return f"/plugins/{quote(name)}"


ROUTES = [
    PageRoute("/plugins", _plugins, Right.SEE_NODE),
    PageRoute("/plugins/{name}", _plugin, Right.SEE_NODE),
    PageRoute("/plugins/{name}/pause", _pause, Right.ACT, ("POST",)),
    PageRoute("/plugins/{name}/resume", _resume, Right.ACT, ("POST",)),
    PageRoute("/plugins/{name}/withdraw", _what_is_concerned, Right.ACT),
    PageRoute("/plugins/{name}/withdraw", _withdraw, Right.ACT, ("POST",)),
    PageRoute("/plugins/{name}/reinstate", _reinstate, Right.ACT, ("POST",)),
]
