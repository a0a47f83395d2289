"""One outbox that delivers to a real peer on loopback: images that a rule sends on, and results."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.config.destinations import DicomDestination
from node.deliver.outbox import Outbox
from node.deliver.ways import registry
from node.deliver.ways.registry import ArchiveOf
from node.ledger import decisions, deliveries, forward_parts, forwards, instances, studies
from node.ledger.database import Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import Event
from node.ledger.forwards import ForwardTerms
from node.ledger.instances import Instance, InstanceStatus
from node.stage import Node
from node.store.arrival import read_arrival
from node.store.durable import sha256_of
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.images.receipts import arrive, ct
from tests.support.sites.configurations import with_destinations


class OutboxRoom:
    """An outbox on a data folder of its own; its clock stands still, its peer's time-out is a second."""

    def __init__(self, data: Path, port: int, identity_check: str = "study") -> None:
        self.data_folder = DataFolder(data)
        self.clock = HandClock()
        self.ledger = Ledger(data / "ledger.db")
        settings = {"ae_title": "PACS", "host": "127.0.0.1", "port": port, "timeout": "1s"}
        self.destination = DicomDestination.model_validate(settings | {"identity_check": identity_check})
        self.archive_of: ArchiveOf = registry.archive_of
        self._decisions: dict[str, int] = {}
        self.outbox = self.restart()

    def restart(self) -> Outbox:
        """A new one on the same rows, as after the node died."""
        node = Node(self.ledger, self.data_folder, self.clock, Wakes())
        self.outbox = Outbox("pacs", node, with_destinations(pacs=self.destination), self.archive_of)
        return self.outbox

    def forward(self, study: str, count: int) -> list[str]:
        """Receive so many images of a study, to be sent on; their SOP Instance UIDs."""
        now = self.clock.now()
        rows = []
        with self.ledger.transaction() as database:
            decision = self._decision(study)
            known = len(instances.of_study(database, study))
            for number in range(known + 1, known + count + 1):
                dataset = self._ct(study, f"{study}.1.{number}")
                receipt = arrive(self.data_folder, dataset, syntax=ExplicitVRLittleEndian)
                path = self.data_folder.arrived(receipt)
                row = Instance(
                    receipt,
                    dataset.SOPInstanceUID,
                    dataset.SOPClassUID,
                    study,
                    dataset.SeriesInstanceUID,
                    ExplicitVRLittleEndian,
                    InstanceStatus.CURRENT,
                    sha256_of(path, read_arrival(path)[1]),
                    {},
                    {},
                    1,
                    10,
                    "CT1",
                    "PACSNODE",
                    "127.0.0.1",
                    "a",
                    "received",
                    now,
                )
                instances.insert(database, row)
                rows.append(row)
            forwards.enqueue(database, now, study, ForwardTerms("pacs", decision, "on"), rows)
        for number, _ in forward_parts.waiting(self.ledger.database):
            with self.ledger.transaction() as database:
                forwards.enqueue_part(database, now, number)
        return [row.sop_instance_uid for row in rows]

    def result(self, study: str, uid: str) -> str:
        """Put a result into the outbox; its SOP Instance UID."""
        dataset = self._ct(study, uid)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(self.data_folder.data / f"{uid}.dcm", enforce_file_format=True)
        self.put(self.data_folder.data / f"{uid}.dcm", uid, CTImageStorage, study)
        return uid

    def put(self, file: Path, uid: str, sop_class: str, study: str) -> None:
        """Put a file that holds a result into the outbox."""
        with self.ledger.transaction() as database:
            self._decision(study)
            deliveries.enqueue(
                database,
                self.clock.now(),
                sop_instance_uid=uid,
                sop_class_uid=sop_class,
                study=study,
                job=None,
                file=str(file),
                destination="pacs",
            )

    def _ct(self, study: str, uid: str) -> Dataset:
        return ct(1, SOPInstanceUID=uid, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1")

    def _decision(self, study: str) -> int:
        if study not in self._decisions:
            now, database = self.clock.now(), self.ledger.database
            studies.received(
                database,
                now,
                study=study,
                patient_id="P1",
                issuer_of_patient_id="",
                accession_number="A1",
                association="a",
                received_at=now,
                due_at=now,
            )
            studies.complete(database, now, study)
            decisions.keep_rule_set(database, now, "rules", "[]")
            self._decisions[study] = decisions.record(
                database,
                now,
                study=study,
                revision=1,
                rule="on",
                rule_set="rules",
                outcome=DecisionOutcome.MATCHED,
                trace={},
            )
        return self._decisions[study]

    def run(self) -> None:
        """As the outbox's thread does, until nothing is due."""
        for _ in range(50):
            if self.outbox.run_once() > 0:
                return
        raise AssertionError("it never comes to rest")

    def of(self, uid: str) -> Delivery:
        """The delivery of a SOP instance."""
        (row,) = self.ledger.database.query("SELECT * FROM deliveries WHERE item=?", [uid])
        return deliveries.of_row(row)

    def status(self, uid: str) -> DeliveryStatus:
        """How its delivery stands."""
        return self.of(uid).status

    def events(self, study: str, kind: str) -> list[Event]:
        """Those of a kind about a study."""
        return [e for e in history.of_kind(self.ledger.database, kind) if e.study_instance_uid == study]
