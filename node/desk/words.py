"""Moments, identifiers and events as people read them, the same in every face."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

from node.clock import from_text
from node.dimse.status import DIMSE
from node.ledger.event_kinds import EventKind
from node.ledger.events import NODE, Event

_UID = re.compile(r"[0-9.]{20,64}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_FOR_MACHINES = ("content", "in_force", "shown", "file", "count", "associations")
"""Details that nobody looks up by hand, and those of `rules.refused` that repeat its `problems` in another way."""
_LISTED = 3
"""Entries of a list that a line names; `--json` has them all."""


def clock_text(moment: datetime | None, zone: tzinfo, now: datetime) -> str:
    """A moment in the site's time zone, as short as possible on the day of `now`."""
    if moment is None:
        return ""
    local, today = moment.astimezone(zone), now.astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d}"


def ago(period: timedelta) -> str:
    """A period in its largest fitting unit: `42 s`, `7 min`, `3 h`, `5 d`."""
    seconds = max(0, int(period.total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def tail(uid: str, length: int = 14) -> str:
    """The end of a UID, which tells it from its neighbours; `desk.find` takes it."""
    return uid if len(uid) <= length else f"…{uid[-length + 1 :]}"


def short(job: str) -> str:
    """The beginning of a job's id, enough to name it."""
    return job[:8]


def answer_text(answer: str | None) -> str:
    """What a destination answered, short: `A700` of `dimse:A700`; by another way than DIMSE, with its name."""
    return (answer or "").removeprefix(DIMSE)


def dimse_status(answer: str | None) -> str | None:
    """The DIMSE status that a destination answered, four hexadecimal digits; None where it answered no such."""
    return answer.removeprefix(DIMSE) if answer and answer.startswith(DIMSE) else None


def words(event: Event, zone: tzinfo, now: datetime) -> str:
    """An event in one line: its kind, its details as key=value, and who did it where that was not the node."""
    detail = details(event.detail, zone, now)
    by = "" if event.actor == NODE else f"by={event.actor}"
    return " ".join(part for part in (str(event.kind), detail, by) if part)


def sentence(event: Event) -> str:
    """What kind of thing an event tells, in a sentence; empty for a kind of an earlier release."""
    try:
        return EventKind(event.kind).sentence
    except ValueError:
        return ""


def counted(number: int, what: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def details(detail: Mapping[str, Any], zone: tzinfo, now: datetime) -> str:
    """Details of an event or an alert as key=value: moments in the site's time zone, of long lists the beginning."""
    told = {key: value for key, value in detail.items() if value not in (None, "", []) and key not in _FOR_MACHINES}
    return " ".join(f"{key}={_shown(value, zone, now)}" for key, value in told.items())


def local(text: str | None, zone: tzinfo, now: datetime) -> str:
    """A text with the moments in it, which the ledger has in UTC, in the site's time zone; empty for None."""
    return _MOMENT.sub(lambda found: clock_text(from_text(found[0]), zone, now), text or "")


def _shown(value: object, zone: tzinfo, now: datetime) -> str:
    if isinstance(value, list):
        more = [f"and {len(value) - _LISTED} more"] if len(value) > _LISTED else []
        value = ", ".join([*map(_plain, value[:_LISTED]), *more])
    text = local(_plain(value), zone, now)
    return json.dumps(text, ensure_ascii=False) if " " in text else text


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return tail(text) if _UID.fullmatch(text) else text
