"""Why nothing goes to a destination now, in words: what `status` says of it, and `study` of what waits there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from node.config.models import Configuration
from node.desk.words import clock_text
from node.ledger import outages, pauses
from node.ledger.connection import Database
from node.ledger.outages import Outage, OutageScope
from node.ledger.pauses import Pausable

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HoldUp:
    """What keeps things from being sent to a destination."""

    sentence: str
    """Goes on after the name of the destination: `has not been reached since 18:02:11 (…); …`."""
    until: datetime | None
    """The earliest moment at which something may be sent; None where that is not known."""


def hold_ups(database: Database, configuration: Configuration, now: datetime) -> dict[str, list[HoldUp]]:
    """By the names of destinations; those that may be sent to are left out."""
    zone = configuration.node.zone
    found: dict[str, list[HoldUp]] = {}
    for outage in outages.every(database):
        if outage.destination in configuration.destinations:
            found.setdefault(outage.destination, []).append(_of_outage(outage, configuration, now))
    for name, destination in configuration.destinations.items():
        pause = pauses.get(database, Pausable.DESTINATION, name)
        if pause is not None:
            since = clock_text(pause.since, zone, now)
            found.setdefault(name, []).append(HoldUp(f"is paused since {since} by {pause.by}: {pause.why}", None))
        opens = destination.hours.opens_at(now, zone) if destination.hours is not None else None
        if opens is not None and destination.hours is not None:
            begins = "and these never begin again" if opens == _NEVER else f"which begin {clock_text(opens, zone, now)}"
            urgent = "; what is urgent is sent anyway" if destination.hours.urgent == "at once" else ""
            found.setdefault(name, []).append(
                HoldUp(f"is outside of its hours, {begins}{urgent}", None if opens == _NEVER else opens)
            )
    return found


def sentences(found: Mapping[str, Sequence[HoldUp]], names: Collection[str]) -> list[str]:
    """`pacs is outside of its hours, …`, for these destinations."""
    return [f"{name} {each.sentence}" for name in sorted(names) for each in found.get(name, ())]


def next_try(due: datetime | None, held_up: Sequence[HoldUp]) -> datetime | None:
    """When what is due then may be sent at the earliest."""
    return None if due is None else max([due, *(each.until for each in held_up if each.until is not None)])


def _of_outage(outage: Outage, configuration: Configuration, now: datetime) -> HoldUp:
    zone, asked = configuration.node.zone, configuration.destinations[outage.destination].asks_by
    since = clock_text(outage.since, zone, now)
    tries = "1 try" if outage.tries == 1 else f"{outage.tries} tries"
    again = "tried again now" if outage.is_due(now) else f"tried again {clock_text(outage.not_before, zone, now)}"
    if outage.scope is OutageScope.QUERY:
        sentence = (
            f"has not answered {asked} since {since} ({tries}: {outage.why}); {again}; results wait, images go on"
        )
    elif outage.stores_nothing:
        sentence = f"has stored nothing since {since} ({tries}: {outage.why}); {again}"
    else:
        sentence = f"has not been reached since {since} ({tries}: {outage.why}); {again}"
    return HoldUp(sentence, outage.not_before)
