"""The node as requester: an archive's own commitment, before ours is reported; one thread an archive (case 70)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

import structlog

from node.clock import Clock
from node.config.models import Destination, StorageCommitment
from node.config.values import duration_text
from node.dimse.commitment import CommitmentRequest, CommitmentResult, Reference
from node.dimse.commitment_scu import ask
from node.dimse.scu import Peer
from node.dimse.status import ActionStatus, FailureReason, is_taken, status_text
from node.errors import NodeError, PermanentError
from node.items import Item, Items
from node.ledger import archive_requests, commitments
from node.ledger.commitments import Commitment, CommitmentStatus
from node.ledger.database import Database, Ledger
from node.ledger.events import Severity
from node.store.journal import Journal, Message
from node.store.layout import Spool
from node.wake import Stage, Wakes

log = structlog.get_logger(__name__)

_IDLE = timedelta(minutes=1)
_LEAST_SECONDS = 0.5
"""Between two runs: what is due by then has become so while this one ran."""


class Asking:
    """Asks one archive for its commitment to what others ask ours for, until it is given or its time is over."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        peer: Peer,
        requesters: Mapping[str, StorageCommitment],
        ledger: Ledger,
        spool: Spool,
        journal: Journal,
        clock: Clock,
        wakes: Wakes,
    ) -> None:
        """`requesters`: the AE titles that commit through this archive, and how long each waits for it."""
        self._name = name
        self._destination = destination
        self._peer = peer
        self._requesters = requesters
        self._ledger = ledger
        self._spool = spool
        self._journal = journal
        self._clock = clock
        self._wakes = wakes
        self._items = Items("commitment-of", ledger, clock)

    def run_once(self) -> float:
        """Ask for what is due, give up what is late; seconds until there may be more."""
        for commitment in self._open():
            if self._deadline(commitment) <= self._clock.now():
                item = Item(f"commitment:{commitment.id} late")
                self._items.handle(item, partial(self._give_up, commitment), None)
        now = self._clock.now()
        for commitment in self._open():
            if commitment.not_before > now:
                continue
            if not self._items.handle(self._item(commitment), partial(self._ask, commitment), otherwise=True):
                break
        times = [min(each.not_before, self._deadline(each)) for each in self._open()]
        return max(_LEAST_SECONDS, min([_IDLE, *(each - self._clock.now() for each in times)]).total_seconds())

    def _item(self, commitment: Commitment) -> Item:
        """After an unexpected exception: asked again later, and reported as not committed in the end."""

        def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
            if commitments.get(database, commitment.id).status is CommitmentStatus.AT_ARCHIVE:
                commitments.wait(database, now, commitment.id, again, why)

        def give_up(database: Database, now: datetime, why: str) -> None:
            if commitments.get(database, commitment.id).status is CommitmentStatus.AT_ARCHIVE:
                archive_requests.give_up(database, now, commitment.id, FailureReason.PROCESSING_FAILURE, why)
            self._wakes.wake(Stage.COMMIT)

        return Item(f"commitment:{commitment.id}", put_off=put_off, give_up=give_up)

    def _open(self) -> list[Commitment]:
        """Oldest first, but what was asked for in vain after the rest."""
        found = commitments.with_status(self._ledger.database, [CommitmentStatus.AT_ARCHIVE])
        ours = [each for each in found if each.through == self._name and each.requester in self._requesters]
        return sorted(ours, key=lambda each: each.error is not None)

    def _deadline(self, commitment: Commitment) -> datetime:
        return commitment.taken_at + self._requesters[commitment.requester].wait_for_archive

    def _give_up(self, commitment: Commitment) -> None:
        after = duration_text(self._requesters[commitment.requester].wait_for_archive)
        with self._ledger.transaction() as database:
            if commitments.get(database, commitment.id).status is CommitmentStatus.AT_ARCHIVE:
                now = self._clock.now()
                archive_requests.give_up(database, now, commitment.id, FailureReason.PROCESSING_FAILURE, after)
        self._wakes.wake(Stage.COMMIT)

    def _ask(self, commitment: Commitment) -> bool:
        """Ask for what is still open of one request; false where the archive was silent: that has taken time."""
        retry = self._destination.retry
        with self._ledger.transaction() as database:
            if commitments.get(database, commitment.id).status is not CommitmentStatus.AT_ARCHIVE:
                return True
            # It may take its time, and is asked again when it never reports.
            again = self._clock.now() + retry.longest
            transaction, items = archive_requests.begin(database, self._clock.now(), commitment.id, again)
        references = tuple(Reference(item.sop_class_uid, item.sop_instance_uid) for item in items)
        try:
            status = ask(
                self._peer,
                CommitmentRequest(transaction, references),
                self._keep,
                lambda: archive_requests.is_answered(self._ledger.database, transaction),
            )
        except NodeError as error:
            severity = Severity.ALERT if isinstance(error, PermanentError) else Severity.WARNING
            for each in self._open():
                self._wait(each, str(error), severity)
            return False
        if not is_taken(status):
            why = "it did not answer" if status is None else f"it answers {status_text(status)}"
            self._wait(commitment, f"{self._peer}, asked for its commitment: {why}", Severity.WARNING)
        return status is not None

    def _keep(self, result: CommitmentResult) -> ActionStatus:
        """A report on the association of the request: into the journal, like one that comes to the receiver."""
        message = Message(result, self._destination.ae_title, self._peer.calling_ae_title, "", self._clock.now())
        try:
            self._journal.keep(self._spool.new_receipt(), message)
        except OSError as error:
            log.error("commit.not-written", reason=str(error))
            return ActionStatus.PROCESSING_FAILURE
        self._wakes.wake(Stage.COMMIT)
        return ActionStatus.SUCCESS

    def _wait(self, commitment: Commitment, error: str, severity: Severity) -> None:
        with self._ledger.transaction() as database:
            known = commitments.get(database, commitment.id)
            if known.status is not CommitmentStatus.AT_ARCHIVE:
                return
            now = self._clock.now()
            again = now + self._destination.retry.pause(now - known.taken_at)
            commitments.wait(database, now, commitment.id, again, error, severity=severity)
