"""When a web service wants to be asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST = timedelta(hours=1)


def retry_after(text: str | None, now: datetime) -> timedelta | None:
    """What Retry-After says (RFC 9110 10.2.3), an hour at most; None where it says nothing that can be read.

    >>> retry_after("120", datetime.now(UTC))
    datetime.timedelta(seconds=120)
    """
    text = (text or "").strip()
    if text.isdecimal() and text.isascii():
        return min(timedelta(seconds=min(int(text[:9]), 10**6)), LONGEST)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(at - now, timedelta(0)), LONGEST)
