"""Is everything well? Queues, destinations, alerts with owner and age, last results."""

from __future__ import annotations

from starlette.responses import Response, StreamingResponse

from node.config.in_force import InForce
from node.console.page import PageRequest, PageRoute
from node.console.reader import Ledger
from node.console.visitor import visitor_of
from node.desk import alerts, overview, site, warnings
from node.desk.overview import Overview
from node.desk.rights import Right
from node.errors import NodeError


def _overview(in_force: InForce, ledger: Ledger) -> Overview:
    return overview.look(ledger, in_force.configuration, site.standing(in_force.path))


async def _now(page: PageRequest) -> Response:
    found = await page.look_together("overview", _overview)
    told = list(warnings.of(found, page.in_force.configuration))
    return page.render("now.html", found=found, warnings=told)


async def _acknowledge(page: PageRequest) -> Response:
    sent = await page.form()
    what, owner, note = f"{alerts.ALERT}{sent.get('alert')}", sent.get("owner") or None, sent.get("note") or None
    by, at = page.actor, page.now
    return await page.act(
        lambda _, ledger: alerts.acknowledge(
            ledger, what, at, by, str(owner) if owner else None, str(note) if note else None
        ),
        sent.get("back"),
    )


async def _live(page: PageRequest) -> Response:
    """Server-sent events: `changed` whenever something was written, and `over` at the end of the session."""
    listener, changes = page.who.session or page.who.name, page.site.changes
    if not changes.has_room(listener):
        return Response(status_code=204)  # tells an EventSource not to ask again

    def is_welcome() -> bool:
        try:
            return visitor_of(page.http, page.site.accounts, page.site.settings) is not None
        except NodeError:  # asked again, and then the page says so
            return False

    events = changes.events(listener, page.asked("seen"), is_welcome)
    return StreamingResponse(events, media_type="text/event-stream")


ROUTES = [
    PageRoute("/", _now, Right.SEE_NODE),
    PageRoute("/live", _live, None),
    PageRoute("/alerts/acknowledge", _acknowledge, Right.ACT, ("POST",)),
]
