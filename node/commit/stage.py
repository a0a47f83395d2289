"""Requests for storage commitment: from the journal into the ledger, decided, and handed to who reports.

Nothing here talks to anybody: what is decided is offered to the receiver while the association of the request lives
(`store.journal`), and left to `node.commit.reporting` afterwards. Each step is a transaction of its own; a file of the
journal is removed only when its row is there. So kill -9 between any two costs a repetition, never a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import structlog

from node.commit.backlog import Backlog
from node.commit.delivered import pause
from node.commit.judging import CommitmentVerdict, is_damaged, judge
from node.config.destinations import DicomDestination, dicom_destinations
from node.config.models import Configuration, StorageCommitment
from node.dimse.commitment import CommitmentReference, CommitmentRequest, CommitmentResult, result_of
from node.dimse.status import FailureReading, FailureReason, is_taken, read_failure_reason
from node.items import Item, Items
from node.ledger import (
    alerts,
    archive_requests,
    batch_reports,
    commit_batches,
    commitment_refusers,
    commitments,
    resends,
)
from node.ledger.alert_kinds import AlertKind
from node.ledger.archive_requests import ArchiveReport
from node.ledger.commitment import Commitment, CommitmentStatus, NewCommitment
from node.ledger.database import Database
from node.stage import Node, NodeStage
from node.store.journal import Journal, JournalMessage
from node.wake import Stage

log = structlog.get_logger(__name__)

_IDLE = 60.0
_POLL = 0.3
"""Seconds between two looks at what gives no signal: the index, associations that end."""
_LONGEST_BACKLOG = 600.0
"""Seconds after which an object that can still not be indexed is no longer waited for: it fails."""


def requesters_of(configuration: Configuration) -> dict[str, StorageCommitment]:
    """The AE titles that may ask for storage commitment, and what the configuration says of it."""
    return {
        each.ae_title: each.storage_commitment
        for each in configuration.modalities.values()
        if each.storage_commitment is not None
    }


def settings_of(configuration: Configuration, requester: str) -> StorageCommitment | None:
    """What the configuration says of this AE's storage commitment; None where it may not ask for it (any more)."""
    return requesters_of(configuration).get(requester)


def report_of(database: Database, commitment: Commitment) -> CommitmentResult:
    """What is to be reported on a decided request."""
    outcomes = (
        (CommitmentReference(item.sop_class_uid, item.sop_instance_uid), int(item.failure or 0))
        for item in commitments.items(database, commitment.id)
    )
    return result_of(commitment.transaction_uid, outcomes)


def is_asked(destination: DicomDestination) -> bool:
    """Whether the destination is asked for its commitment to what we send to it."""
    return destination.commitment != "off"


def _report_of(
    calling_ae_title: str, result: CommitmentResult, destinations: Mapping[str, DicomDestination]
) -> ArchiveReport:
    readings = {each.sop_instance_uid: read_failure_reason(reason) for each, reason in result.failed}
    return ArchiveReport(
        transaction_uid=result.transaction_uid,
        calling_ae_title=calling_ae_title,
        archives=frozenset(name for name, each in destinations.items() if each.ae_title == calling_ae_title),
        committed=frozenset(each.sop_instance_uid for each in result.committed),
        failed={each.sop_instance_uid: reason for each, reason in result.failed},
        absent=frozenset(uid for uid, reading in readings.items() if reading is FailureReading.SEND_AGAIN),
        unchanging=frozenset(uid for uid, reading in readings.items() if reading is FailureReading.TELL),
    )


class CommitStage(NodeStage):
    """The stage; one thread calls `run_once`."""

    def __init__(self, node: Node, journal: Journal, configuration: Configuration) -> None:
        self._ledger = node.ledger
        self._data_folder = node.store
        self._journal = journal
        self._clock = node.clock
        self._wakes = node.wakes
        self._items = Items(Stage.COMMIT, node)
        self._backlogs: dict[int, Backlog] = {}
        journal.sweep([(each.association, each.id) for each in self._of(CommitmentStatus.OFFERED)])
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Who may ask, and through which archives, from the next request on."""
        self._configuration = configuration

    def run_once(self) -> float:
        """Do what can be done; seconds until there may be more."""
        self._take_messages()
        self._settle_offers()
        waiting = self._of(CommitmentStatus.WAITING)
        for commitment in waiting:
            self._items.handle(self._item(commitment), partial(self._decide, commitment), None)
        self._leave_to_nobody()
        offered = self._hand_over()
        return _POLL if offered or waiting else _IDLE

    def _item(self, commitment: Commitment) -> Item:
        """After an unexpected exception: again later, and answered as failed in the end."""
        return Item(f"commitment:{commitment.id}", give_up=partial(self._fail, commitment.id))

    def _fail(self, number: int, database: Database, now: datetime, why: str) -> None:
        """Who asked keeps what it has: nothing is committed that could not be judged."""
        status = commitments.get(database, number).status
        if status is CommitmentStatus.WAITING:
            said = {
                item.position: (int(item.failure or FailureReason.PROCESSING_FAILURE), item.study_instance_uid)
                for item in commitments.items(database, number)
            }
            commitments.judged(database, now, number, said, FailureReason.PROCESSING_FAILURE)
        elif status is CommitmentStatus.AT_ARCHIVE:
            archive_requests.give_up(database, now, number, FailureReason.PROCESSING_FAILURE, why)
        elif status in (CommitmentStatus.DECIDED, CommitmentStatus.OFFERED):
            commitments.dead(database, now, number, why)
        self._wakes.wake(Stage.COMMIT)

    def _of(self, status: CommitmentStatus) -> list[Commitment]:
        return commitments.with_status(self._ledger.database, [status])

    # --- the journal ------------------------------------------------------------------------------

    def _take_messages(self) -> None:
        for name in self._journal.waiting():
            self._items.handle(Item(f"message:{name}"), partial(self._take_message, name), None)

    def _take_message(self, name: str) -> None:
        try:
            message = self._journal.read(name)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self._set_aside(name, error)
            return
        with self._ledger.transaction() as database:
            number = self._take(database, name, message)
        if number is not None:
            self._backlogs[number] = Backlog(self._data_folder, self._clock.monotonic())
        self._journal.taken(name)

    def _set_aside(self, name: str, error: Exception) -> None:
        """Whoever sent it was promised an answer that nobody can give: a person has to know."""
        log.error("commit.message-unreadable", message=name, reason=str(error))
        with self._ledger.transaction() as database:
            now = self._clock.now()
            alerts.raised(
                database, now, AlertKind.COMMITMENT_UNREADABLE, f"journal/{name}.unreadable", message=f"journal/{name}"
            )
        self._journal.set_aside(name)

    def _take(self, database: Database, name: str, message: JournalMessage) -> int | None:
        if not isinstance(message.content, CommitmentRequest):
            self._take_result(database, message, message.content)
            return None
        settings = settings_of(self._configuration, message.calling_ae_title)
        new = NewCommitment(
            entry=name,
            transaction_uid=message.content.transaction_uid,
            requester=message.calling_ae_title,
            called_ae_title=message.called_ae_title,
            association=message.association,
            requested_at=message.received_at,
            references=[(each.sop_class_uid, each.sop_instance_uid) for each in message.content.references],
            through=settings.commit_through if settings else None,
            keep=settings.keep if settings else None,
        )
        return commitments.take(database, self._clock.now(), new, FailureReason.DUPLICATE_TRANSACTION)

    def _take_result(self, database: Database, message: JournalMessage, result: CommitmentResult) -> None:
        """What an archive says of a request of ours; what it lacks is sent again, where we had sent it."""
        now, destinations = self._clock.now(), dicom_destinations(self._configuration.destinations)
        report = _report_of(message.calling_ae_title, result, destinations)
        request = archive_requests.take(database, now, report)
        if request is None:
            return
        retry = destinations[request.destination].retry
        if request.batch is not None:
            again = batch_reports.answered(database, now, request.batch, report, partial(pause, retry))
        else:
            assert request.commitment is not None, "a request is about one or the other"
            missing = archive_requests.answered(database, now, request.commitment, report, retry.pause)
            again = len(resends.not_kept(database, now, request.destination, missing).sent_again)
        if again:
            self._wakes.wake(Stage.DELIVER)

    # --- deciding ---------------------------------------------------------------------------------

    def _decide(self, commitment: Commitment) -> None:
        """Say of each SOP instance what is so, once everything that came before is indexed."""
        database = self._ledger.database
        items = commitments.items(database, commitment.id)
        if commitment.id not in self._backlogs:
            self._backlogs[commitment.id] = Backlog(self._data_folder, self._clock.monotonic())
        backlog = self._backlogs[commitment.id]
        left = backlog.left({item.sop_instance_uid for item in items})
        if left and (backlog.is_long or self._clock.monotonic() - backlog.since < _LONGEST_BACKLOG):
            return
        unindexed = frozenset(left.values())
        sync = self._configuration.node.durability != "fsync"
        verdicts: dict[int, CommitmentVerdict] = {}
        for item in items:
            if item.failure is not None:
                verdicts[item.position] = CommitmentVerdict(item.failure, item.study_instance_uid)
            elif item.sop_instance_uid in unindexed or "" in unindexed:
                verdicts[item.position] = CommitmentVerdict(FailureReason.PROCESSING_FAILURE)
            else:
                verdicts[item.position] = judge(
                    database,
                    self._data_folder,
                    commitment.requester,
                    item.sop_class_uid,
                    item.sop_instance_uid,
                    sync=sync,
                )
        self._record(commitment, verdicts)
        self._backlogs.pop(commitment.id, None)

    def _record(self, commitment: Commitment, verdicts: dict[int, CommitmentVerdict]) -> None:
        now, through = self._clock.now(), commitment.through
        said = {
            position: (None if through and not verdict.failure else verdict.failure, verdict.study_instance_uid)
            for position, verdict in verdicts.items()
        }
        with self._ledger.transaction() as database:
            commitments.judged(database, now, commitment.id, said, FailureReason.PROCESSING_FAILURE)
            for verdict in (each for each in verdicts.values() if is_damaged(database, each)):
                alerts.raised(
                    database,
                    now,
                    AlertKind.INSTANCE_DAMAGED,
                    verdict.study_instance_uid or "",
                    study=verdict.study_instance_uid,
                    reason=verdict.damaged,
                )
        self._wakes.wake(Stage.COMMIT)

    def _leave_to_nobody(self) -> None:
        """An archive or a requester that the configuration no longer has cannot be waited for."""
        for commitment in self._of(CommitmentStatus.AT_ARCHIVE):
            item = Item(f"commitment:{commitment.id} left by its archive")
            self._items.handle(item, partial(self._leave_archive, commitment), None)
        for commitment in self._of(CommitmentStatus.DECIDED):
            item = Item(f"commitment:{commitment.id} left by its requester")
            self._items.handle(item, partial(self._leave_requester, commitment), None)
        asked = {name for name, each in dicom_destinations(self._configuration.destinations).items() if is_asked(each)}
        refusing = {each.destination for each in commitment_refusers.every(self._ledger.database)}
        for name in (commit_batches.destinations(self._ledger.database) | refusing) - asked:
            self._items.handle(Item(f"commitment-of:{name} not wanted"), partial(self._leave_deliveries, name), None)

    def _leave_archive(self, commitment: Commitment) -> None:
        settings = settings_of(self._configuration, commitment.requester)
        if settings is None or settings.commit_through != commitment.through:
            why = "the configuration no longer says that it is asked"
            failure, now = FailureReason.PROCESSING_FAILURE, self._clock.now()
            with self._ledger.transaction() as database:
                archive_requests.give_up(database, now, commitment.id, failure, why)

    def _leave_deliveries(self, destination: str) -> None:
        """Nobody asks that destination for its commitment any more: what was delivered there is just delivered."""
        left = True
        while left:
            with self._ledger.transaction() as database:
                left = commit_batches.drop_some(database, self._clock.now(), destination)
        with self._ledger.transaction() as database:
            commitment_refusers.forget(database, destination)

    def _leave_requester(self, commitment: Commitment) -> None:
        if settings_of(self._configuration, commitment.requester) is None:
            why = f"the configuration no longer says where {commitment.requester} gets its report"
            with self._ledger.transaction() as database:
                commitments.dead(database, self._clock.now(), commitment.id, why)

    # --- the association of the request -----------------------------------------------------------

    def _hand_over(self) -> bool:
        """Offer reports to associations that are still open; whether any is on offer."""
        decided = [each for each in self._of(CommitmentStatus.DECIDED) if each.association]
        alive = self._data_folder.open_associations() if decided else frozenset()
        for commitment in decided:
            work = partial(self._offer, commitment, alive=commitment.association in alive)
            self._items.handle(self._item(commitment), work, None)
        return bool(self._of(CommitmentStatus.OFFERED))

    def _offer(self, commitment: Commitment, *, alive: bool) -> None:
        with self._ledger.transaction() as database:
            if alive:
                commitments.offered(database, self._clock.now(), commitment.id)
            else:
                commitments.association_over(database, commitment.id)
        if alive:
            result = report_of(self._ledger.database, commitment)
            self._journal.offer(commitment.association, commitment.id, result)
        else:
            self._wakes.wake(Stage.COMMIT)

    def _settle_offers(self) -> None:
        for commitment in self._of(CommitmentStatus.OFFERED):
            self._items.handle(self._item(commitment), partial(self._settle_offer, commitment), None)

    def _settle_offer(self, commitment: Commitment) -> None:
        alive = commitment.association in self._data_folder.open_associations()  # before its files: see `outcome`
        outcome = self._journal.outcome(commitment.association, commitment.id, alive)
        if not outcome.answered:
            return
        now = self._clock.now()
        with self._ledger.transaction() as database:
            if outcome.status is not None and is_taken(outcome.status):
                commitments.reported(database, now, commitment.id, outcome.status, "on its association")
            else:
                commitments.not_taken(database, now, commitment.id)
        self._journal.forget(commitment.association, commitment.id)
        self._wakes.wake(Stage.COMMIT)
