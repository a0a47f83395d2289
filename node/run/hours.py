"""The hours in which jobs of a rule may start: what counts is the moment of the start, not how long a job queued."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from node.ledger.job import Job
from rules.timing import Hours, opening


def waits_until(job: Job, now: datetime) -> datetime | None:
    """When it may start; None where it may now, or where its hours never come again."""
    kept = job.terms.hours
    if kept is None:
        return None
    local = now.astimezone(ZoneInfo(kept["zone"]))
    starts = opening(Hours.model_validate(kept["hours"]), local)
    return starts if starts is not None and starts > local else None
