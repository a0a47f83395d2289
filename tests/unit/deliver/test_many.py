"""Hundreds of objects that wait for one destination: others can write while they are settled."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian

from node.clock import to_text
from node.config.destinations import DicomDestination
from node.deliver.outbox import Outbox
from node.deliver.results import ResultSender
from node.deliver.ways.archive import NotReachedError
from node.items import TRIES, pause
from node.ledger import defects, deliveries, studies
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support import history, transactions
from tests.support.clocks import HandClock
from tests.support.sites.configurations import with_destinations

MANY = 600
STUDY = "1.2"
COLUMNS = (
    "kind, item, sop_class_uid, study_instance_uid, receipt, file, destination, status, attempts, refusals, not_before,"
    " put_off_at, enqueued_at"
)


class UnreachableArchive:
    """Nobody listens."""

    def find_study(self, *_: object) -> list[dict[str, str]]:
        raise NotReachedError("connection refused")

    def connect(self, *_: object) -> None:
        raise NotReachedError("connection refused")


class MistakenArchive(UnreachableArchive):
    """The way to it has a mistake of the program."""

    def connect(self, *_: object) -> None:
        raise KeyError


def many_wait(ledger: Ledger, clock: HandClock, kind: str) -> None:
    """Objects or images of one study, for one destination."""
    now = to_text(clock.now())
    with ledger.transaction() as database:
        studies.received(
            database,
            clock.now(),
            study=STUDY,
            patient_id="P",
            issuer_of_patient_id="",
            accession_number="",
            association="a",
            received_at=clock.now(),
            due_at=clock.now(),
        )
        for number in range(MANY):
            receipt = f"r{number}" if kind == "image" else None
            if receipt:
                database.execute(
                    "INSERT INTO instances VALUES (?,?,'1','1.2','1.2.1','1','current','d','{}','{}',1,1,'CT1','NODE',"
                    "'::1','a','received',?)",
                    [receipt, f"9.{number}", now],
                )
            database.execute(
                f"INSERT INTO deliveries ({COLUMNS}) VALUES (?,?,'1','1.2',?,'f.dcm','pacs','waiting',0,0,?,?,?)",
                [kind, f"9.{number}", receipt, now, now, now],
            )


def outbox_of(ledger: Ledger, clock: HandClock, archive: UnreachableArchive, retry: dict[str, str]) -> Outbox:
    """Of the destination that they go to; the file of each object is there."""
    folder = ledger.path.parent
    base = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "retry": retry, "identity_check": "none"}
    destination = DicomDestination.model_validate(base)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = EnhancedSRStorage, "9.0"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(folder / "f.dcm", enforce_file_format=True)
    node = Node(ledger, DataFolder(folder), clock, Wakes())
    return Outbox("pacs", node, with_destinations(pacs=destination), lambda *_: archive)  # type: ignore[arg-type] # all that it needs here


@pytest.mark.parametrize("kind", ["object", "image"])
@pytest.mark.parametrize("how", ["wait", "are given up"])
def test_an_unreachable_destination_settles_many_in_short_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, how: str
) -> None:
    """None is touched while it is tried, and no transaction that gives them up changes more than a part of them."""
    ledger, clock = Ledger(tmp_path / "ledger.db"), HandClock()
    many_wait(ledger, clock, kind)
    monkeypatch.setattr(ResultSender, "_is_sound", lambda *_: True)  # to read as many files would say nothing more
    retry = {"give_up_after": "1s", "first": "1s"} if how == "are given up" else {}
    outbox = outbox_of(ledger, clock, UnreachableArchive(), retry)
    with transactions.counted(ledger) as rows:
        outbox.run_once()
        if how == "are given up":
            clock.pass_(seconds=10)
            outbox.run_once()
    assert (sum(rows) >= MANY) == (how == "are given up")
    assert max(rows) <= transactions.MOST
    found = {each.status for each in deliveries.of_study(ledger.database, STUDY)}
    assert found == {DeliveryStatus.DEAD if how == "are given up" else DeliveryStatus.WAITING}


def test_a_mistake_of_the_program_settles_many_images_in_short_transactions(tmp_path: Path) -> None:
    """All images of the study wait, by the defect's pauses; after the last try all are dead letters, and it is over."""
    ledger, clock = Ledger(tmp_path / "ledger.db"), HandClock()
    many_wait(ledger, clock, "image")
    outbox = outbox_of(ledger, clock, MistakenArchive(), {})
    for times in range(1, TRIES + 1):
        with transactions.counted(ledger) as rows:
            outbox.run_once()
        assert sum(rows) >= MANY
        assert max(rows) <= transactions.MOST
        found = deliveries.of_study(ledger.database, STUDY)
        ended = times == TRIES
        assert {each.status for each in found} == {DeliveryStatus.DEAD if ended else DeliveryStatus.WAITING}
        assert len({each.not_before for each in found}) == 1
        assert [each.times for each in defects.of_stage(ledger.database, "deliver")] == ([] if ended else [times])
        clock.pass_(seconds=pause(times).total_seconds())
    (alert,) = (each for each in history.open_alerts(ledger.database) if each.kind == "delivery.dead")
    assert alert.times >= 1
