"""The stages of storage commitment over a data folder of a test's own, each run by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from node.commit import asking, reporting
from node.commit.asking import CommitmentRequester
from node.commit.reporting import CommitmentReporter
from node.commit.stage import CommitStage
from node.deliver.ways.dimse import dimse, peer_of
from node.dimse.commitment import CommitmentReference, CommitmentRequest, CommitmentResult
from node.dimse.scu import Peer
from node.ledger import commitments, deliveries, forwards, instances
from node.ledger.commitment import Commitment, CommitmentItem, CommitmentStatus
from node.ledger.database import Ledger
from node.ledger.events import Event
from node.ledger.forwards import ForwardTerms
from node.stage import Node
from node.store.journal import Journal, JournalMessage
from tests.support import history
from tests.support.images.receipts import SERIES, STUDY, arrive, ct
from tests.support.sites.index_room import Room, configuration
from tests.support.sites.outcomes import match

CT = "1.2.840.10008.5.1.4.1.1.2"
RETRY = {"first": "10s", "factor": 2, "longest": "15m"}
Pairs = Sequence[tuple[str, str]]


def images(*numbers: int) -> list[tuple[str, str]]:
    """References to slices of `receipts.ct`."""
    return [(CT, f"{SERIES}.{number}") for number in numbers]


class CommitRoom:
    """CT1 and CT2 may ask; CT2 only through the archive `pacs`."""

    def __init__(self, index: Room, pacs: Mapping[str, Any] | None = None, **sections: Any) -> None:
        """`pacs`: further keys of the destination."""
        told = {"host": "127.0.0.1", "port": 11199, "retry": RETRY}
        through = {"commit_through": "pacs", "wait_for_archive": "6h"}
        self.index = index
        self.settings = configuration(
            modalities={
                "ct1": {"ae_title": "CT1", "storage_commitment": told},
                "ct2": {"ae_title": "CT2", "storage_commitment": told | through},
            },
            destinations={
                "pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 11198, "retry": RETRY, **(pacs or {})},
            },
            **sections,
        )
        self.data_folder, self.clock, self.ledger = index.data_folder, index.clock, index.ledger
        self.restart()

    def restart(self) -> None:
        """A new process: nothing in memory is left."""
        self.ledger = Ledger(self.index.data / "ledger.db")
        self.journal = Journal(self.index.data)
        self.commit = CommitStage(self.node, self.journal, self.settings)

    @property
    def node(self) -> Node:
        """What the stages share."""
        return Node(self.ledger, self.data_folder, self.clock, self.index.signal)

    def ask(
        self, references: Pairs, transaction: str = "1.2.3.77", requester: str = "CT1", association: str = "gone"
    ) -> None:
        """Leave an N-ACTION in the journal, as the receiver does."""
        request = CommitmentRequest(transaction, tuple(CommitmentReference(*each) for each in references))
        message = JournalMessage(request, requester, "PACSNODE", association, self.clock.now())
        self.journal.keep(self.data_folder.new_receipt(), message)

    def archive_reports(
        self,
        transaction: str,
        committed: Pairs = (),
        failed: Pairs = (),
        calling: str = "PACS",
        reason: int = 0x0112,
    ) -> None:
        """Leave an archive's N-EVENT-REPORT in the journal; what fails, fails for this reason."""
        result = CommitmentResult(
            transaction,
            tuple(CommitmentReference(*each) for each in committed),
            tuple((CommitmentReference(*each), reason) for each in failed),
        )
        self.journal.keep(
            self.data_folder.new_receipt(), JournalMessage(result, calling, "PACSNODE", "", self.clock.now())
        )

    def use(self, **pacs: Any) -> None:
        """Another configuration of the destination, as a reload brings it."""
        before = self.settings.destinations["pacs"]
        after = before.model_copy(update=pacs)
        self.settings = self.settings.model_copy(update={"destinations": {"pacs": after}})
        self.commit.use(self.settings)

    def sent(self, *numbers: int) -> None:
        """Results 1 and so on were delivered to `pacs` just now, for the first time or again."""
        now, within = self.clock.now(), self.settings.destinations["pacs"].time_to_commit
        with self.ledger.transaction() as database:
            for sop_class, uid in images(*numbers):
                about: Any = {"sop_instance_uid": uid, "sop_class_uid": sop_class, "study": STUDY, "job": None}
                number = deliveries.enqueue(database, now, **about, file="f", destination="pacs")
                deliveries.sending(database, now, number)
                deliveries.delivered(database, now, number, dimse(0), commit_by=now + within if within else None)

    def to_forward(self, *numbers: int) -> None:
        """Received images, which are indexed, wait to be forwarded to `pacs`."""
        for number in numbers:
            arrive(self.data_folder, ct(number))
        self.index.quiet()
        uids, now = [uid for _, uid in images(*numbers)], self.clock.now()
        with self.ledger.transaction() as database:
            terms = ForwardTerms("pacs", match(database, now, STUDY).id, "r")
            rows = [each for each in instances.of_study(database, STUDY) if each.sop_instance_uid in uids]
            forwards.enqueue(database, now, STUDY, terms, rows)

    def forwarded(self, *numbers: int) -> None:
        """The same, and they were delivered just now."""
        self.to_forward(*numbers)
        now, within = self.clock.now(), self.settings.destinations["pacs"].time_to_commit
        uids = [uid for _, uid in images(*numbers)]
        with self.ledger.transaction() as database:
            for each in (each for each in deliveries.of_study(database, STUDY) if each.item in uids):
                deliveries.sending(database, now, each.id)
                deliveries.delivered(database, now, each.id, dimse(0), commit_by=now + within if within else None)

    def kept(self) -> dict[str, str]:
        """End of the SOP instance UID → the commitment of its delivery."""
        found = deliveries.of_study(self.ledger.database, STUDY)
        return {each.item.rpartition(".")[2]: str(each.commitment) for each in found}

    def run(self) -> None:
        """Index what is there, and let the stage go as far as it can."""
        self.index.index.run_once()
        for _ in range(2):
            self.commit.run_once()

    @property
    def rows(self) -> list[Commitment]:
        """Every request, oldest first."""
        return commitments.with_status(self.ledger.database, list(CommitmentStatus))

    def outcomes(self, number: int) -> dict[str, int | None]:
        """End of the SOP instance UID → what is said of it."""
        items = commitments.items(self.ledger.database, number)
        return {item.sop_instance_uid.rpartition(".")[2]: item.failure for item in items}

    def commit_items(self, number: int) -> list[CommitmentItem]:
        """What one request names."""
        return commitments.items(self.ledger.database, number)

    def events(self, kind: str) -> list[Event]:
        """Of this kind, oldest first."""
        found = history.latest(self.ledger.database, 10_000)
        return [event for event in reversed(found) if event.kind == kind]


class Told:
    """In place of the requester: takes reports, or does not."""

    def __init__(self, monkeypatch: Any, *answers: int | Exception | None) -> None:
        self.reports: list[CommitmentResult] = []
        self.called_as: list[str] = []
        self._answers = list(answers)
        monkeypatch.setattr(reporting, "report", self._report)

    def _report(self, peer: Peer, result: CommitmentResult) -> int | None:
        answer = self._answers.pop(0) if self._answers else 0x0000
        if isinstance(answer, Exception):
            raise answer
        self.reports.append(result)
        self.called_as.append(peer.calling_ae_title)
        return answer

    def reporting(self, room: CommitRoom, requester: str = "CT1") -> CommitmentReporter:
        return CommitmentReporter(requester, room.node, room.settings)


class Archive:
    """In place of the archive that is asked."""

    def __init__(self, monkeypatch: Any) -> None:
        self.asked: list[CommitmentRequest] = []
        self.answers: list[int | Exception | None] = []
        monkeypatch.setattr(asking, "ask", self._ask)

    def _ask(self, peer: Peer, request: CommitmentRequest, *_: Callable[..., Any]) -> int | None:
        answer = self.answers.pop(0) if self.answers else 0x0000
        if isinstance(answer, Exception):
            raise answer
        self.asked.append(request)
        return answer

    def asking(self, room: CommitRoom) -> CommitmentRequester:
        return CommitmentRequester("pacs", room.node, room.journal, room.settings, peer_of)
