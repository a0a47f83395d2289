"""The node as requester of storage commitment: one thread an archive, whatever it is asked about (case 70).

An archive is asked for two things: for what others ask us about (`commit_through`: `node.commit.through`), and for
what we have sent to it ourselves (`commitment`: `node.commit.delivered`). Each is a docket of questions. How the
archive is called, and what becomes of a question that it does not take, is the same for both, and here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import structlog

from node.commit.delivered import DeliveriesDocket
from node.commit.questions import ArchiveQuestion, Docket
from node.commit.through import RequestersDocket
from node.config.destinations import DicomDestination, dicom_destinations
from node.config.models import Configuration
from node.dimse.commitment import CommitmentReference, CommitmentRequest, CommitmentResult
from node.dimse.commitment_scu import ask
from node.dimse.scu import ContextRefusedError, Peer
from node.dimse.status import ActionStatus, is_taken, status_text
from node.errors import NodeError, PermanentError
from node.items import Items
from node.ledger import archive_requests
from node.ledger.database import Database
from node.stage import Node, NodeStage
from node.store.journal import Journal, JournalMessage
from node.wake import Stage

log = structlog.get_logger(__name__)

_IDLE = timedelta(minutes=1)
_LEAST_SECONDS = 0.5
"""Between two runs: what is due by then has become so while this one ran."""
_CLASS_NOT_SUPPORTED = 0x0122
"""An answer to the N-ACTION that says the same as a refused presentation context (PS3.7 C.5.14)."""


PeerOf = Callable[[DicomDestination, str], Peer]
"""Whom to call for a destination; the text is the AE title of this node."""


class CommitmentRequester(NodeStage):
    """Asks one archive for its commitment, until it is given or its time is over."""

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
        self._dockets: Sequence[Docket] = (
            RequestersDocket(name, node, self._items),
            DeliveriesDocket(name, node, self._items),
        )
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """From the next run on: where the archive is, who commits through it, and how long each waits for it."""
        destination = dicom_destinations(configuration.destinations)[self._name]
        self._next = destination, self._peer_of(destination, configuration.node.ae_title), configuration

    def run_once(self) -> float:
        """Ask for what is due, give up what is late; seconds until there may be more."""
        self._destination, self._peer, configuration = self._next
        pauses = [_IDLE]
        for docket in self._dockets:
            docket.use(configuration)
            again = docket.prepare()
            pauses += [again] if again is not None else []
        self._ask_what_is_due()
        now = self._clock.now()
        pauses += [at - now for docket in self._dockets if (at := docket.next_at()) is not None]
        return max(_LEAST_SECONDS, min(pauses).total_seconds())

    def _ask_what_is_due(self) -> None:
        """Until the archive is silent about one of them: the others have their turn in the next run."""
        for docket in self._dockets:
            for question in docket.due():
                work = partial(self._ask, docket, question)
                if not self._items.handle(question.item, work, otherwise=True):
                    return

    def _ask(self, docket: Docket, question: ArchiveQuestion) -> bool:
        """Ask for what is still open of one question; false where the archive was silent: that has taken time."""
        with self._ledger.transaction() as database:
            # It may take its time, and is asked again when it never reports.
            again = self._clock.now() + self._destination.retry.longest
            transaction, pairs = question.begin(database, self._clock.now(), again)
        if not pairs:
            return True
        references = tuple(CommitmentReference(*pair) for pair in pairs)
        try:
            status = ask(
                self._peer,
                CommitmentRequest(transaction, references),
                self._keep,
                lambda: archive_requests.is_answered(self._ledger.database, transaction),
            )
        except NodeError as error:
            self._not_asked(docket, question, error)
            return False
        why = f"{self._peer} answers {status_text(status)}: it does not support storage commitment"
        if status == _CLASS_NOT_SUPPORTED and docket.refused(why):
            return False
        docket.accepted()
        self._settle(question, transaction, status)
        return status is not None

    def _not_asked(self, docket: Docket, question: ArchiveQuestion, error: NodeError) -> None:
        """No association, or none for this: whatever is due has to wait."""
        noted = isinstance(error, ContextRefusedError) and docket.refused(str(error))
        rejected = isinstance(error, PermanentError)

        def wait(database: Database, each: ArchiveQuestion) -> None:
            each.wait(database, self._clock.now(), str(error), rejected=rejected)

        self._ledger.settle_each(
            [*([] if noted else [question]), *(each for every in self._dockets for each in every.due())], wait
        )

    def _settle(self, question: ArchiveQuestion, transaction: str, status: int | None) -> None:
        """The answer to the request; where the report came sooner, that counts."""
        with self._ledger.transaction() as database:
            if archive_requests.is_answered(database, transaction):
                return
            if is_taken(status):
                question.taken(database)
                return
            why = "it did not answer" if status is None else f"it answers {status_text(status)}"
            question.wait(database, self._clock.now(), f"{self._peer}, asked for its commitment: {why}")

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
