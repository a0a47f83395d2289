"""Moments, identifiers and events as people read them, the same in every face."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, tzinfo

from node.ledger.events import Event

_UID = re.compile(r"[0-9.]{20,64}")
_FOR_MACHINES = ("content", "in_force", "shown", "file", "count", "encoding", "parts")
"""Details of `rules.refused` that say in another way what its `problems` say, and of `job.objects-missing`."""


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


def words(event: Event) -> str:
    """An event in one line: its kind, and its details as key=value."""
    told = {key: value for key, value in event.detail.items() if value not in (None, "") and key not in _FOR_MACHINES}
    detail = " ".join(f"{key}={_shown(value)}" for key, value in told.items())
    return f"{event.kind} {detail}".strip()


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if _UID.fullmatch(text):
        return tail(text)
    return json.dumps(text, ensure_ascii=False) if " " in text else text
