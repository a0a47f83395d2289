"""The node as requester: an archive's own commitment, before ours is reported; one thread an archive (case 70)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from node.commit.stage import requesters_of
from node.config.destinations import DicomDestination, dicom_destinations
from node.config.models import Configuration
from node.config.values import duration_text
from node.dimse.commitment import CommitmentReference, CommitmentRequest, CommitmentResult
from node.dimse.commitment_scu import ask
from node.dimse.scu import Peer
from node.dimse.status import ActionStatus, FailureReason, is_taken, status_text
from node.errors import NodeError, PermanentError
from node.items import Item, Items
from node.ledger import archive_requests, commitments
from node.ledger.clock_changes import DueTimes
from node.ledger.commitment import Commitment, CommitmentStatus
from node.ledger.database import Database
from node.stage import Node, NodeStage
from node.store.journal import Journal, JournalMessage
from node.wake import Stage

log = structlog.get_logger(__name__)

_IDLE = timedelta(minutes=1)
_LEAST_SECONDS = 0.5
"""Between two runs: what is due by then has become so while this one ran."""


PeerOf = Callable[[DicomDestination, str], Peer]
"""Whom to call for a destination; the text is the AE title of this node."""


class CommitmentRequester(NodeStage):
    """Asks one archive for its commitment to what others ask ours for, until it is given or its time is over."""

    def __init__(self, name: str, node: Node, journal: Journal, configuration: Configuration, peer_of: PeerOf) -> None:
        """`name` of the destination that is asked."""
        self._name = name
        self._ledger = node.ledger
        self._data_folder = node.store
        self._journal = journal
        self._clock = node.clock
        self._wakes = node.wakes
        self._peer_of = peer_of
        self._items = Items("commitment-of", node)
        self._due_times = DueTimes(node.ledger, node.clock, "commitments")
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """From the next run on: where the archive is, who commits through it, and how long each waits for it."""
        destination = dicom_destinations(configuration.destinations)[self._name]
        all_requesters = requesters_of(configuration).items()
        requesters = {title: each for title, each in all_requesters if each.commit_through == self._name}
        self._next = destination, self._peer_of(destination, configuration.node.ae_title), requesters

    def run_once(self) -> float:
        """Ask for what is due, give up what is late; seconds until there may be more."""
        self._destination, self._peer, self._requesters = self._next
        self._due_times.keep()
        for commitment in self._open():
            if self._left(commitment) <= timedelta():
                item = Item(f"commitment:{commitment.id} late")
                self._items.handle(item, partial(self._give_up, commitment), None)
        now = self._clock.now()
        for commitment in self._open():
            if commitment.not_before > now:
                continue
            if not self._items.handle(self._item(commitment), partial(self._ask, commitment), otherwise=True):
                break
        now = self._clock.now()
        pauses = [min(each.not_before - now, self._left(each)) for each in self._open()]
        return max(_LEAST_SECONDS, min([_IDLE, *pauses]).total_seconds())

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

    def _ask(self, commitment: Commitment) -> bool:
        """Ask for what is still open of one request; false where the archive was silent: that has taken time."""
        retry = self._destination.retry
        with self._ledger.transaction() as database:
            if commitments.get(database, commitment.id).status is not CommitmentStatus.AT_ARCHIVE:
                return True
            # It may take its time, and is asked again when it never reports.
            again = self._clock.now() + retry.longest
            transaction, items = archive_requests.begin(database, self._clock.now(), commitment.id, again)
        references = tuple(CommitmentReference(item.sop_class_uid, item.sop_instance_uid) for item in items)
        try:
            status = ask(
                self._peer,
                CommitmentRequest(transaction, references),
                self._keep,
                lambda: archive_requests.is_answered(self._ledger.database, transaction),
            )
        except NodeError as error:
            for each in self._open():
                self._wait(each, str(error), rejected=isinstance(error, PermanentError))
            return False
        if not is_taken(status):
            why = "it did not answer" if status is None else f"it answers {status_text(status)}"
            self._wait(commitment, f"{self._peer}, asked for its commitment: {why}")
        return status is not None

    def _keep(self, result: CommitmentResult) -> ActionStatus:
        """A report on the association of the request: into the journal, like one that comes to the receiver."""
        message = JournalMessage(result, self._destination.ae_title, self._peer.calling_ae_title, "", self._clock.now())
        try:
            self._journal.keep(self._data_folder.new_receipt(), message)
        except OSError as error:
            log.error("commit.not-written", reason=str(error))
            return ActionStatus.PROCESSING_FAILURE
        self._wakes.wake(Stage.COMMIT)
        return ActionStatus.SUCCESS

    def _wait(self, commitment: Commitment, error: str, *, rejected: bool = False) -> None:
        with self._ledger.transaction() as database:
            known = commitments.get(database, commitment.id)
            if known.status is not CommitmentStatus.AT_ARCHIVE:
                return
            now = self._clock.now()
            again = now + self._destination.retry.pause(known.tried_for(now))
            commitments.wait(database, now, commitment.id, again, error, rejected=self._name if rejected else None)
