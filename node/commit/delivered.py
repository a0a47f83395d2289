"""What we have sent to a destination ourselves, and it should commit itself to (`commitment` of the destination)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from node.config.destinations import DicomDestination, dicom_destinations
from node.config.models import Configuration
from node.config.retrying import Retry
from node.config.values import duration_text
from node.items import Item, Items
from node.ledger import archive_requests, commit_batches, commitment_refusers
from node.ledger.clock_changes import DueTimes
from node.ledger.commit_batches import CommitBatch
from node.ledger.commitment_refusers import CommitmentRefuser
from node.ledger.database import Database
from node.stage import Node

log = structlog.get_logger(__name__)

SLOW = timedelta(hours=6)
"""Longest pause between two requests for one batch: what is late, or was given up, is asked for no more often."""
LOOK_AGAIN = timedelta(hours=1)
"""Until a destination that does not accept the SOP class is tried again."""


def pause(retry: Retry, tried_for: timedelta, in_vain: bool) -> timedelta:
    """After a request without success: with the destination's back-off; seldom where a person has to act first."""
    return SLOW if in_vain else retry.pause(tried_for)


def patience(retry: Retry, tried_for: timedelta, *, in_vain: bool) -> timedelta:
    """After a request that was taken, until it is made again: many archives report at night, none is hurried."""
    return SLOW if in_vain else min(SLOW, max(retry.longest, tried_for))


@dataclass(frozen=True, slots=True)
class BatchQuestion:
    """What is left of one batch; see `node.commit.questions.ArchiveQuestion`."""

    batch: CommitBatch
    retry: Retry
    within: timedelta

    @property
    def item(self) -> Item:
        """After an unexpected exception: asked again later, and refused or overdue in the end."""
        number = self.batch.id

        def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
            if self._is_open(database):
                commit_batches.wait(database, now, number, again, why)

        def give_up(database: Database, now: datetime, why: str) -> None:
            if self._is_open(database):
                commit_batches.wait(database, now, number, now + SLOW, why)
                commit_batches.late(database, now, number, duration_text(self.within))

        return Item(f"commit-batch:{number}", self.batch.study_instance_uid, put_off=put_off, give_up=give_up)

    def begin(self, database: Database, now: datetime, again_at: datetime) -> tuple[str, list[tuple[str, str]]]:
        """A new Transaction UID for what is left in the batch."""
        again = now + patience(self.retry, self.batch.tried_for(now), in_vain=self.batch.late_at is not None)
        return archive_requests.begin_for_batch(database, now, self.batch.id, max(again, again_at))

    def taken(self, database: Database) -> None:
        """What is left in it is asked for."""
        commit_batches.asked(database, self.batch.id)

    def wait(self, database: Database, now: datetime, error: str, *, rejected: bool = False) -> None:
        """Again with the back-off of the destination."""
        known = commit_batches.get(database, self.batch.id)
        if known.ended_at is None:
            again = now + pause(self.retry, known.tried_for(now), known.late_at is not None)
            commit_batches.wait(database, now, known.id, again, error, rejected=rejected)

    def _is_open(self, database: Database) -> bool:
        return commit_batches.get(database, self.batch.id).ended_at is None


class DeliveriesDocket:
    """What one destination has to commit itself to; see `node.commit.questions.Docket`."""

    def __init__(self, name: str, node: Node, items: Items) -> None:
        self._name = name
        self._ledger = node.ledger
        self._clock = node.clock
        self._items = items
        self._due_times = DueTimes(node.ledger, node.clock, "commit_batches", name)
        self._destination: DicomDestination | None = None

    def use(self, configuration: Configuration) -> None:
        """Whether it is asked, and how; one that refused is tried at once where that has changed, or at the start."""
        destination = dicom_destinations(configuration.destinations)[self._name]
        if destination == self._destination:
            return
        self._destination = destination
        refuser = self._refuser()
        if refuser is not None and destination.commitment != "off":
            self._note_refusal(refuser.reason, look_at=self._clock.now())

    def prepare(self) -> timedelta | None:
        """Make batches of what was delivered, and settle what is late; when the next one will be."""
        if not self._is_asked:
            return None
        self._due_times.keep()
        refuser = self._refuser()
        if refuser is not None:
            if not refuser.required and self._look_at(refuser) > self._clock.now():
                self._drop()
            elif not self._open():
                self._make(at_once=True)
            return None
        while self._make():
            pass
        for batch in self._in_time():
            if self._left(batch) <= timedelta():
                item = Item(f"commit-batch:{batch.id} late", batch.study_instance_uid)
                self._items.handle(item, partial(self._settle_late, batch), None)
        return min((self._left(each) for each in self._in_time()), default=None)

    def due(self) -> list[BatchQuestion]:
        """Oldest first, but what was asked for in vain after the rest; one alone where the destination refuses all."""
        destination, now = self._destination, self._clock.now()
        if destination is None or not self._is_asked:
            return []
        refuser = self._refuser()
        if refuser is None:
            found = commit_batches.due(self._ledger.database, self._name, now)
        else:
            found = [each for at, each in self._next_look(refuser) if at <= now]
        return [BatchQuestion(each, destination.retry, destination.commit_within) for each in found]

    def next_at(self) -> datetime | None:
        """When the next one is due."""
        if not self._is_asked:
            return None
        refuser = self._refuser()
        if refuser is None:
            return commit_batches.next_due_at(self._ledger.database, self._name)
        return next((at for at, _ in self._next_look(refuser)), None)

    def _refuser(self) -> CommitmentRefuser | None:
        return commitment_refusers.get(self._ledger.database, self._name)

    def _next_look(self, refuser: CommitmentRefuser) -> list[tuple[datetime, CommitBatch]]:
        """The one batch by which it is found out whether the destination accepts requests now, and when that is due.

        A batch that could not be asked for has a back-off of its own.
        """
        look_at, first = self._look_at(refuser), self._open()[:1]
        return [(look_at if each.error is None else max(look_at, each.not_before), each) for each in first]

    def _look_at(self, refuser: CommitmentRefuser) -> datetime:
        """A time that is further off than the pause was written by a clock that was wrong."""
        now = self._clock.now()
        return refuser.look_at if refuser.look_at - now <= LOOK_AGAIN else now

    def _drop(self) -> None:
        """Where it is only tried, a destination that refuses is one that is not asked: what it has is delivered."""
        left = True
        while left and self._name in commit_batches.destinations(self._ledger.database):
            with self._ledger.transaction() as database:
                left = commit_batches.drop_some(database, self._clock.now(), self._name)

    def accepted(self) -> None:
        """The destination accepts the SOP class; what waited for that is asked for."""
        if self._refuser() is not None:
            with self._ledger.transaction() as database:
                commitment_refusers.accepted(database, self._clock.now(), self._name)

    def refused(self, error: str) -> bool:
        """It does not: nothing is asked until it does, and where it is required, a person has to know."""
        log.warning("commit.not-supported", destination=self._name, error=error)
        self._note_refusal(error, look_at=self._clock.now() + LOOK_AGAIN)
        return True

    @property
    def _is_asked(self) -> bool:
        return self._destination is not None and self._destination.commitment != "off"

    def _note_refusal(self, error: str, look_at: datetime) -> None:
        assert self._destination is not None, "it is used first"
        required = self._destination.commitment == "require"
        with self._ledger.transaction() as database:
            now = self._clock.now()
            commitment_refusers.refused(database, now, self._name, error, look_at, required=required)

    def _make(self, *, at_once: bool = False) -> bool:
        """The next batch; whether there was one to make."""
        now, name = self._clock.now(), self._name
        study = commit_batches.next_study(self._ledger.database, now, name, at_once=at_once)
        if study is None:
            return False
        with self._ledger.transaction() as database:
            commit_batches.make(database, now, name, study)
        return True

    def _open(self) -> list[CommitBatch]:
        return commit_batches.open_ones(self._ledger.database, self._name)

    def _in_time(self) -> list[CommitBatch]:
        return commit_batches.in_time(self._ledger.database, self._name)

    def _left(self, batch: CommitBatch) -> timedelta:
        """Until it is late: what counts is for how long the destination was asked, not what the clock says."""
        assert self._destination is not None, "it is used first"
        return self._destination.commit_within - batch.tried_for(self._clock.now())

    def _settle_late(self, batch: CommitBatch) -> None:
        assert self._destination is not None, "it is used first"
        after = duration_text(self._destination.commit_within)
        with self._ledger.transaction() as database:
            if commit_batches.get(database, batch.id).ended_at is None:
                commit_batches.late(database, self._clock.now(), batch.id, after)
