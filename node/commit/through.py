"""What other AEs ask us about and an archive has to commit itself to first (`commit_through`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from node.commit.stage import requesters_of
from node.config.destinations import dicom_destinations
from node.config.models import Configuration
from node.config.retrying import Retry
from node.config.values import duration_text
from node.dimse.status import FailureReason
from node.items import Item, Items
from node.ledger import archive_requests, commitments
from node.ledger.clock_changes import DueTimes
from node.ledger.commitment import Commitment, CommitmentStatus
from node.ledger.database import Database
from node.stage import Node
from node.wake import Stage, Wakes

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RequesterQuestion:
    """What is still open of one request of another AE; see `node.commit.questions.ArchiveQuestion`."""

    commitment: Commitment
    archive: str
    retry: Retry
    wakes: Wakes

    @property
    def item(self) -> Item:
        """After an unexpected exception: asked again later, and reported as not committed in the end."""
        number = self.commitment.id

        def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
            if self._is_open(database):
                commitments.wait(database, now, number, again, why)

        def give_up(database: Database, now: datetime, why: str) -> None:
            if self._is_open(database):
                archive_requests.give_up(database, now, number, FailureReason.PROCESSING_FAILURE, why)
            self.wakes.wake(Stage.COMMIT)

        return Item(f"commitment:{number}", put_off=put_off, give_up=give_up)

    def begin(self, database: Database, now: datetime, again_at: datetime) -> tuple[str, list[tuple[str, str]]]:
        """A new Transaction UID for what is open."""
        if not self._is_open(database):
            return "", []
        transaction, items = archive_requests.begin(database, now, self.commitment.id, again_at)
        return transaction, [(item.sop_class_uid, item.sop_instance_uid) for item in items]

    def taken(self, database: Database) -> None:
        """Nothing changes: it waits for the report."""

    def wait(self, database: Database, now: datetime, error: str, *, rejected: bool = False) -> None:
        """Again with the back-off of the archive."""
        if not self._is_open(database):
            return
        known = commitments.get(database, self.commitment.id)
        again = now + self.retry.pause(known.tried_for(now))
        commitments.wait(database, now, known.id, again, error, rejected=self.archive if rejected else None)

    def _is_open(self, database: Database) -> bool:
        return commitments.get(database, self.commitment.id).status is CommitmentStatus.AT_ARCHIVE


class RequestersDocket:
    """Requests of other AEs that wait for one archive; see `node.commit.questions.Docket`."""

    def __init__(self, archive: str, node: Node, items: Items) -> None:
        self._archive = archive
        self._ledger = node.ledger
        self._clock = node.clock
        self._wakes = node.wakes
        self._items = items
        self._due_times = DueTimes(node.ledger, node.clock, "commitments")

    def use(self, configuration: Configuration) -> None:
        """Who commits through the archive, and how long each waits for it."""
        all_requesters = requesters_of(configuration).items()
        self._requesters = {title: each for title, each in all_requesters if each.commit_through == self._archive}
        self._retry = dicom_destinations(configuration.destinations)[self._archive].retry

    def prepare(self) -> timedelta | None:
        """Give up what is late; when the next one will be."""
        self._due_times.keep()
        for commitment in self._waiting():
            if self._left(commitment) <= timedelta():
                item = Item(f"commitment:{commitment.id} late")
                self._items.handle(item, partial(self._give_up, commitment), None)
        return min((self._left(each) for each in self._waiting()), default=None)

    def due(self) -> list[RequesterQuestion]:
        """Oldest first, but what was asked for in vain after the rest."""
        now = self._clock.now()
        waiting = [each for each in self._waiting() if each.not_before <= now]
        waiting.sort(key=lambda each: each.error is not None)
        return [RequesterQuestion(each, self._archive, self._retry, self._wakes) for each in waiting]

    def next_at(self) -> datetime | None:
        """When the next one is due."""
        return min((each.not_before for each in self._waiting()), default=None)

    def accepted(self) -> None:
        """Nothing to note: an alert of `commitment.waits` closes by itself."""

    def refused(self, error: str) -> bool:
        """Nothing is noted: the questions wait, with an alert."""
        log.warning("commit.not-supported", destination=self._archive, error=error)
        return False

    def _waiting(self) -> list[Commitment]:
        found = commitments.with_status(self._ledger.database, [CommitmentStatus.AT_ARCHIVE])
        return [each for each in found if each.through == self._archive and each.requester in self._requesters]

    def _left(self, commitment: Commitment) -> timedelta:
        """For how much longer the archive is asked: what counts is how long it was, not what the clock says."""
        return self._requesters[commitment.requester].wait_for_archive - commitment.tried_for(self._clock.now())

    def _give_up(self, commitment: Commitment) -> None:
        after = duration_text(self._requesters[commitment.requester].wait_for_archive)
        with self._ledger.transaction() as database:
            if commitments.get(database, commitment.id).status is CommitmentStatus.AT_ARCHIVE:
                now = self._clock.now()
                archive_requests.give_up(database, now, commitment.id, FailureReason.PROCESSING_FAILURE, after)
        self._wakes.wake(Stage.COMMIT)
