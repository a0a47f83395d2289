"""The stage that lets old things go: a small step at a time, so that nobody waits for it.

The calendar, or a person, begins a run (`node.ledger.retention_runs`); a row of it outlives a restart. What a crash
left *purging* is finished first, whatever the configuration says by then. Space that is short (`retention.below`) is
watched all day. `node.ledger.needed` decides whether anything may go, in the transaction in which it begins to go.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, time, timedelta
from functools import partial
from typing import Protocol

import structlog

from node.config.models import Configuration
from node.config.retention import AGES, Retention
from node.config.values import duration_text
from node.items import Item, Items
from node.ledger import backups, job_files, needed, old_rows, outdated, positions, purges, retention_runs, strays
from node.ledger.purges import Purge, PurgeKind
from node.ledger.retention_runs import RetentionRun
from node.retain import holders, leftovers, removal
from node.stage import Node, NodeStage
from node.wake import Stage

log = structlog.get_logger(__name__)

_NAME = "retention"
"""In the calendar."""
_LOOK_SECONDS = 60.0
_BACKUP_SECONDS = 5.0
"""While a backup is being made nothing goes: it copies the files of a ledger that it has copied before."""
_FRUITLESS_SECONDS = 600.0
"""After space was short and nothing more could go: then it is tried again."""
_ROWS = {"facts": old_rows.FACTS, "delivered_objects": old_rows.DELIVERED_OBJECTS, "events": old_rows.HISTORY}
Free = Callable[[], int]
"""Bytes that are free on the disk of the data folder."""
Done = Counter[str]


class Calendar(Protocol):
    """Starts work at a time of day (`node.app.schedule.Schedule`)."""

    def daily(self, name: str, at: time, work: Callable[[], None], *, make_up_since: datetime | None = None) -> None:
        """Do this each day; one of this name that is there already is replaced."""

    def forget(self, name: str) -> None:
        """Do it no more, if it was there."""


def begin(node: Node) -> None:
    """It is time: begin a run, unless one is under way."""
    with node.ledger.transaction() as database:
        retention_runs.begin(database, node.clock.now())
    node.wakes.wake(Stage.RETAIN)


class RetainStage(NodeStage):
    """One thread calls `run_once`; each call is one step of a few milliseconds."""

    def __init__(
        self, node: Node, configuration: Configuration, calendar: Calendar | None = None, free: Free | None = None
    ) -> None:
        self._node = node
        self._items = Items("retain", node)
        self._calendar = calendar
        self._free: Free = free or (lambda: shutil.disk_usage(node.store.data).free)
        self._steps: Iterator[None] | None = None
        """Of the run that is under way."""
        self._space_steps: Iterator[None] | None = None
        """Of making space."""
        self._done: Done = Counter()
        self._fruitless_until = float("-inf")
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """What is under way is decided by the new ages from the next step on."""
        self._settings, self._zone = configuration.retention, configuration.node.zone
        self._steps = self._space_steps = None
        self._fruitless_until = float("-inf")
        if self._calendar is None:
            return
        if not self._settings.deletes:
            self._calendar.forget(_NAME)
            return
        last = retention_runs.last(self._node.ledger.database)
        work = partial(begin, self._node)
        self._calendar.daily(_NAME, self._settings.at, work, make_up_since=last.began_at if last else None)

    def run_once(self) -> float:
        """One step; 0 while there is more to do. None while a backup is being made."""
        if backups.under_way(self._node.ledger.database, self._node.clock.now()):
            return _BACKUP_SECONDS
        if self._finish_begun():
            return 0.0
        run = retention_runs.under_way(self._node.ledger.database)
        if run is not None:
            self._go_on(run)
            return 0.0
        return 0.0 if self._make_space() else _LOOK_SECONDS

    # --- what a crash left, or the step before ----------------------------------------------------

    def _finish_begun(self) -> bool:
        """Finish one that is *purging*; whether there was one that could be tried."""
        database = self._node.ledger.database
        for purge in purges.under_way(database):
            item = Item(f"study:{purge.study_instance_uid}", study=purge.study_instance_uid)
            if self._items.handle(item, partial(self._purge, purge), otherwise=False):
                return True
        for job in job_files.under_way(database):
            if self._items.handle(Item(f"job:{job}", job=job), partial(self._remove_files, job), otherwise=False):
                return True
        return False

    def _purge(self, purge: Purge) -> bool:
        missing = removal.received(self._node.store, purges.receipts(self._node.ledger.database, purge))
        purges.finish(self._node.ledger, self._node.clock.now(), purge.study_instance_uid, missing)
        log.info("retain.study-gone", study=purge.study_instance_uid, kind=purge.kind, missing=missing)
        return True

    def _remove_files(self, job: str) -> bool:
        gone = removal.tree(self._node.store.results / job)
        self._done["bytes"] += gone.bytes
        with self._node.ledger.transaction() as database:
            job_files.end(database, self._node.clock.now(), job, files=gone.files, octets=gone.bytes)
        log.info("retain.files-gone", job=job, files=gone.files)
        return True

    # --- a run ------------------------------------------------------------------------------------

    def _go_on(self, run: RetentionRun) -> None:
        """The next step of a run; ends it where there is none, or its time of day is over."""
        stopped = run.asked_by == "node" and not self._in_time()
        if self._steps is None:
            self._steps, self._done = self._by_age(self._settings), Counter()
        if not stopped:
            try:
                next(self._steps)
            except StopIteration:
                pass
            except BaseException:
                self._steps = None  # what it has done is done: it begins again with what is left
                raise
            else:
                return
        self._steps = None
        self._node.store.remove_empty_folders()
        done = dict(self._done) | ({"stopped": True} if stopped else {})
        with self._node.ledger.transaction() as database:
            retention_runs.end(database, self._node.clock.now(), run.id, done)
        log.info("retain.ran", **done)

    def _in_time(self) -> bool:
        """Whether the time of day is between `at` and `until`."""
        if self._settings.until is None:
            return True
        now = self._node.clock.now().astimezone(self._zone).time()
        start, end = self._settings.at, self._settings.until
        return start <= now < end if start < end else not end <= now < start

    def _by_age(self, settings: Retention) -> Iterator[None]:
        now = self._node.clock.now()
        for name in AGES:
            age: timedelta | None = getattr(settings, name)
            if age is not None:
                yield from self._class(name, now - age, f"older than {duration_text(age)}")

    def _class(self, name: str, before: datetime, why: str) -> Iterator[None]:
        """What of one class is older than that; a step at a time."""
        if name in _ROWS:
            yield from self._rows(name, before)
        elif name == "work":
            yield from self._leftovers(before)
        elif name == "results":
            yield from self._results(before)
        else:
            yield from self._images(PurgeKind(name), before, why)
            if name == PurgeKind.IMAGES:
                yield from self._strays(before)

    def _leftovers(self, before: datetime) -> Iterator[None]:
        for path in leftovers.found(self._node.ledger, self._node.store, before):
            try:
                self._done["bytes"] += removal.tree(path).bytes
            except PermissionError as error:  # of another user's, as a plugin's own files can be
                log.warning("retain.leftover-not-removed", path=str(path), reason=error.strerror)
                continue
            self._done["work"] += 1
            yield

    def _images(self, kind: PurgeKind, before: datetime, why: str) -> Iterator[None]:
        database = self._node.ledger.database
        for study in outdated.studies(database, kind, before):
            if not needed.why_needed(database, study, self._node.clock.now()) and self._begin(study, kind, before, why):
                self._done[kind] += 1
                self._done["bytes"] += outdated.amount(database, study).bytes
            yield

    def _strays(self, before: datetime) -> Iterator[None]:
        """Files of no study."""
        for receipts in strays.old(self._node.ledger.database, before, self._node.clock.now()):
            removal.received(self._node.store, receipts)
            with self._node.ledger.transaction() as database:
                self._done["bytes"] += strays.removed(database, self._node.clock.now(), receipts).bytes
            self._done["files"] += len(receipts)
            yield

    def _begin(self, study: str, kind: PurgeKind, before: datetime, why: str) -> bool:
        """Asked again in the transaction: what somebody, or a backup, has come to need meanwhile stays."""
        with self._node.ledger.transaction() as database:
            now = self._node.clock.now()
            if backups.under_way(database, now):
                return False
            if needed.why_needed(database, study, now) or not outdated.is_due(database, study, kind, before):
                return False
            purges.begin(database, now, study, kind, why)
        return True

    def _results(self, before: datetime) -> Iterator[None]:
        database = self._node.ledger.database
        for job in outdated.jobs(database, before):
            if not needed.why_needed_job(database, job, self._node.clock.now()) and self._begin_job(job):
                self._done["results"] += 1
            yield

    def _begin_job(self, job: str) -> bool:
        with self._node.ledger.transaction() as database:
            now = self._node.clock.now()
            if backups.under_way(database, now) or needed.why_needed_job(database, job, now):
                return False
            job_files.begin(database, job)
        return True

    def _rows(self, name: str, before: datetime) -> Iterator[None]:
        ledger, now = self._node.ledger, self._node.clock.now()
        for rule in _ROWS[name]:
            for number in old_rows.remove(ledger, rule, before, now):
                self._done[name] += number
                ledger.give_back()
                yield
        if name == "events":
            for number in positions.let_go(ledger, before, now):
                self._done[name] += number
                ledger.give_back()
                yield

    # --- space ------------------------------------------------------------------------------------

    def _make_space(self) -> bool:
        """Let one more thing go where space is short; false where it is not, or nothing may go."""
        below = self._settings.below
        if below is None or self._free() >= below:
            holders.enough(self._node.ledger)
            self._space_steps = None
            return False
        if self._node.clock.monotonic() < self._fruitless_until:
            return False
        if self._space_steps is None:
            self._space_steps = self._by_space(self._settings, below)
        try:
            next(self._space_steps)
        except StopIteration:
            self._space_steps, self._fruitless_until = None, self._node.clock.monotonic() + _FRUITLESS_SECONDS
            holders.alert(self._node.ledger, self._node.clock.now(), free=self._free(), below=below)
            return False
        except BaseException:
            self._space_steps = None
            raise
        return True

    def _by_space(self, settings: Retention, below: int) -> Iterator[None]:
        now = self._node.clock.now()
        for name in settings.first:
            before = now - timedelta(hours=1) if name == "work" else now
            yield from self._class(name, before, f"less than {below / 2**30:.1f} GiB were free")
