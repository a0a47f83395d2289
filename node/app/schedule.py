"""What happens by the calendar: jobs at a time of day in the site's own time zone.

APScheduler only wakes; what is due is in the ledger. So nothing is stored here, and a job says itself when it ran last.
It sleeps until the next job is due, and does not notice that the clock was set meanwhile: `look` makes it look again.

When clocks change, a job runs as APScheduler has it. A time of day that is skipped is made up for an hour later; at
one that comes twice the job runs twice, and must bear that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, time
from functools import partial
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from node.errors import NodeError
from node.items import place_of

log = structlog.get_logger(__name__)

_LATE_SECONDS = 3600
"""A job that is not made up is left out where its time was longer ago than this, as after a machine slept."""


class Schedule:
    """Starts work by the calendar, each piece in a thread of its own and never twice at a time."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self.closing = threading.Event()
        """Set once nothing more is to be started: what takes long and can be done another time looks at it."""
        self._scheduler = BackgroundScheduler(timezone=zone)

    def daily(self, name: str, at: time, work: Callable[[], None], *, make_up_since: datetime | None = None) -> None:
        """Do this each day at a time of day of the site; what it raises is logged, and it is tried again the next day.

        A job of the same name is replaced; one that is under way is finished.

        `make_up_since`: when it ran last. Where its time has come since then, it runs once at the start. None for a job
        whose missed runs are not made up.
        """
        self.forget(name)
        trigger = daily_trigger(at, self._zone)
        grace = _LATE_SECONDS if make_up_since is None else None
        job = self._scheduler.add_job(
            partial(_run, name, work),
            trigger,
            id=name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=grace,
        )
        if make_up_since is not None and trigger.get_next_fire_time(None, make_up_since) <= datetime.now(self._zone):
            job.modify(next_run_time=datetime.now(self._zone))

    def forget(self, name: str) -> None:
        """No more of this job, if it was in the calendar; one that is under way is finished."""
        if self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def look(self) -> None:
        """Start what is due by the clock as it is now."""
        if self._scheduler.running:
            self._scheduler.wakeup()

    def close(self) -> None:
        """Start nothing more; what is under way is not waited for."""
        self.closing.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)


def daily_trigger(at: time, zone: ZoneInfo) -> CronTrigger:
    """Every day at this time of this zone."""
    return CronTrigger(hour=at.hour, minute=at.minute, second=at.second, timezone=zone)


def _run(name: str, work: Callable[[], None]) -> None:
    """The text of an error that is not ours may hold a patient's data."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the next day is another try, and other jobs go on
        log.error(
            "app.calendar-job-failed", job=name, why=str(error) if isinstance(error, NodeError) else place_of(error)
        )
