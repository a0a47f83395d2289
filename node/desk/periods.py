"""Moments as people write them: a period that is over, or a date with or without a time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from node.errors import UsageError

_PERIOD = re.compile(r"(\d{1,5})\s*(m|min|h|d|w)")
_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime, zone: tzinfo) -> datetime:
    """`2d` is two days before `now`; `2026-03-02` and `2026-03-02 14:00` are in the site's time zone. UsageError."""
    found = _PERIOD.fullmatch(text.strip())
    if found:
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f'"{text}" is no period and no moment: write it as in 2d, 3h, 30m, 2026-03-02, "2026-03-02 14:00"'
        ) from None
    return read if read.tzinfo is not None else read.replace(tzinfo=zone)
