"""Received images on their way to a destination that a test plays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

from node.config.destinations import DicomDestination
from node.deliver import turn_queue
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer
from node.deliver.ways.archive import Kind, NotReachedError
from node.deliver.ways.dimse import dimse
from node.ledger import decisions, deliveries, events, forwards, instances, studies, turns
from node.ledger.database import Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import Severity
from node.ledger.events import Event
from node.ledger.instances import Instance, InstanceStatus
from node.outcome import AnswerReading
from node.stage import Node
from node.store.arrival import read_arrival
from node.store.durable import sha256_of
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.images.receipts import STUDY, arrive, compressed, ct
from tests.support.sites.configurations import with_destinations

STORED = Answer(AnswerReading.STORED, "0000", dimse(0))


class PlayedArchive:
    """Answers as it is told; keeps what reached it."""

    is_open = True

    def __init__(self) -> None:
        self.answers: list[Answer | BaseException] = []
        self.refused: set[str] = set()
        """Transfer syntaxes."""
        self.unreachable = False
        self.received: list[bytes] = []
        self.associations: list[set[Kind]] = []

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        identity = {"StudyInstanceUID": STUDY, "PatientID": "P1", "AccessionNumber": "A1"}
        return [identity] if self.received else []

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        return True

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return []

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        return []

    @contextmanager
    def connect(self, kinds: Iterable[Kind]) -> Iterator[PlayedArchive]:
        if self.unreachable:
            raise NotReachedError("nobody there")
        self.is_open = True
        self.associations.append(set(kinds))
        yield self

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        return transfer_syntax not in self.refused and (sop_class, transfer_syntax) in self.associations[-1]

    def store(self, file: Path) -> Answer:
        answer = self.answers.pop(0) if self.answers else STORED
        if isinstance(answer, BaseException):
            raise answer
        if answer.reading is AnswerReading.UNKNOWN:
            self.is_open = False
        if answer.reading in (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING):
            self.received.append(file.read_bytes())
        return answer

    def uids(self) -> list[str]:
        return [str(dcmread(BytesIO(each)).SOPInstanceUID) for each in self.received]


class Room:
    """One outbox with received images to send."""

    def __init__(self, data: Path) -> None:
        self.data_folder = DataFolder(data)
        self.clock = HandClock()
        self.ledger = Ledger(data / "ledger.db")
        self.archive = PlayedArchive()
        self.outbox = self.restart()
        now = self.clock.now()
        with self.ledger.transaction() as database:
            studies.received(
                database,
                now,
                study=STUDY,
                patient_id="P1",
                issuer_of_patient_id="",
                accession_number="A1",
                association="a",
                received_at=now,
                due_at=now,
            )
            studies.complete(database, now, STUDY)
            decisions.keep_rule_set(database, now, "rules", "[]")
            self.decision = decisions.record(
                database,
                now,
                study=STUDY,
                revision=1,
                rule="on",
                rule_set="rules",
                outcome=DecisionOutcome.MATCHED,
                trace={},
            )

    def restart(self) -> Outbox:
        destination = DicomDestination.model_validate({"ae_title": "PACS", "host": "127.0.0.1", "port": 104})
        node = Node(self.ledger, self.data_folder, self.clock, Wakes())
        self.outbox = Outbox("pacs", node, with_destinations(pacs=destination), lambda *_: self.archive)
        return self.outbox

    def forward(
        self, *datasets: Dataset, syntax: str = ExplicitVRLittleEndian, coerce: Mapping[str, str] | None = None
    ) -> list[str]:
        """Receive these and put them into the outbox; their receipts."""
        rows = []
        with self.ledger.transaction() as database:
            for dataset in datasets:
                receipt = arrive(self.data_folder, dataset, syntax=syntax)
                path = self.data_folder.arrived(receipt)
                row = Instance(
                    receipt,
                    dataset.SOPInstanceUID,
                    dataset.SOPClassUID,
                    STUDY,
                    dataset.SeriesInstanceUID,
                    syntax,
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
                    self.clock.now(),
                )
                instances.insert(database, row)
                rows.append(row)
            terms = forwards.ForwardTerms("pacs", self.decision, "on", coerce=coerce or {})
            forwards.enqueue(database, self.clock.now(), STUDY, terms, rows)
        return [row.receipt for row in rows]

    def result(self, uid: str) -> None:
        """Put a result of this node into the outbox."""
        dataset = ct(7, SOPInstanceUID=uid)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(self.data_folder.data / f"{uid}.dcm", enforce_file_format=True)
        with self.ledger.transaction() as database:
            deliveries.enqueue(
                database,
                self.clock.now(),
                sop_instance_uid=uid,
                sop_class_uid=CTImageStorage,
                study=STUDY,
                job=None,
                file=f"{uid}.dcm",
                destination="pacs",
            )

    def file(self, receipt: str) -> bytes:
        return self.data_folder.find(receipt).read_bytes()

    def all(self) -> list[Delivery]:
        return deliveries.of_study(self.ledger.database, STUDY)

    def statuses(self) -> list[DeliveryStatus]:
        return [each.status for each in self.all()]

    def events(self, *kinds: str) -> list[Event]:
        return [each for each in events.of_study(self.ledger.database, STUDY) if each.kind in kinds]

    def run(self) -> None:
        """As the outbox's thread does, until nothing is due."""
        for _ in range(20):
            if self.outbox.run_once() > 0:
                return


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_the_files_leave_as_they_were_received_in_one_association(room: Room) -> None:
    """In their order, once; one line of history for all of them, none for each."""
    receipts = room.forward(*(ct(number) for number in range(1, 6)))
    room.run()
    room.run()
    assert room.archive.received == [room.file(each) for each in receipts]
    assert len(room.archive.associations) == 1
    assert room.statuses() == [DeliveryStatus.DELIVERED] * 5
    (done,) = room.events("forward.done")
    assert (done.detail["instances"], done.severity) == (5, Severity.INFO)
    assert not room.events("delivery.sending", "delivery.delivered")


def test_whose_study_it_is_is_not_asked_of_images_and_results_wait_for_them(room: Room) -> None:
    """The study is not there before the images are: these go, and then the result that waited finds it."""
    room.forward(ct(1), ct(2))
    room.result("9.9")
    room.archive.unreachable = True
    room.run()
    assert turns.due(room.ledger.database, "pacs", room.clock.now() + timedelta(days=1), STUDY) == []
    room.archive.unreachable = False
    room.clock.pass_(minutes=1)
    room.run()
    assert room.archive.uids() == [ct(1).SOPInstanceUID, ct(2).SOPInstanceUID, "9.9"]


def test_results_do_not_wait_for_an_image_that_the_destination_cannot_process(room: Room) -> None:
    """C000 is tried for a day: that long no radiologist waits."""
    room.archive.answers = [Answer(AnswerReading.RETRY_FEW, "C000", dimse(0xC000))]
    room.forward(ct(1))
    room.result("9.9")
    assert turns.due(room.ledger.database, "pacs", room.clock.now(), STUDY) == []
    room.run()
    room.archive.received.append(room.file(room.all()[0].receipt or ""))  # another image has brought the study there
    room.clock.pass_(minutes=1)
    room.run()
    assert [each.status for each in room.all()] == [DeliveryStatus.WAITING, DeliveryStatus.DELIVERED]
    assert room.all()[0].refusals == 1


def test_a_destination_that_is_down_gets_all_of_it_later(room: Room) -> None:
    """One line of history for each reason, and a warning; nothing is attempted, and no row is touched."""
    room.forward(ct(1), ct(2), ct(3))
    room.archive.unreachable = True
    for _ in range(3):
        room.run()
        room.clock.pass_(hours=1)
    (unreached,) = (each for each in history.latest(room.ledger.database, 100) if each.kind == "destination.unreached")
    assert (unreached.detail["name"], unreached.severity) == ("pacs", Severity.WARNING)
    rows = {(each.status, each.attempts, each.waited, each.error) for each in room.all()}
    assert rows == {(DeliveryStatus.WAITING, 0, timedelta(), None)}
    room.archive.unreachable = False
    room.run()
    assert len(room.archive.received) == 3
    room.forward(ct(4))
    room.archive.unreachable = True
    with room.ledger.transaction() as database:  # that is how long its pauses came to
        database.execute("UPDATE deliveries SET waited=? WHERE status='waiting'", [timedelta(days=8).total_seconds()])
    room.run()
    assert room.statuses()[3] is DeliveryStatus.DEAD
    assert len(room.events("forward.dead")) == 1
    assert {each.kind for each in history.open_alerts(room.ledger.database)} == {"delivery.dead"}  # nothing waits there


@pytest.mark.parametrize("reading", [AnswerReading.UNKNOWN, AnswerReading.RETRY])
def test_two_that_are_not_taken_in_a_row_stop_the_rest(room: Room, reading: AnswerReading) -> None:
    """The archive is full, or hangs: what was not tried waits with them, and goes before them later."""
    room.forward(*(ct(number) for number in range(1, 5)))
    room.archive.answers = [STORED, Answer(reading, "no"), Answer(reading, "no")]
    room.run()
    assert room.statuses() == [DeliveryStatus.DELIVERED] + [DeliveryStatus.WAITING] * 3
    assert [each.attempts for each in room.all()] == [1, 1, 1, 0]
    room.clock.pass_(minutes=1)
    room.run()
    assert set(room.statuses()) == {DeliveryStatus.DELIVERED}
    if reading is AnswerReading.UNKNOWN:
        assert room.archive.uids() == [ct(number).SOPInstanceUID for number in (1, 4, 2, 3)]


def test_killed_in_the_midst_nothing_is_lost_and_one_image_at_most_is_sent_again(room: Room) -> None:
    """The outcome of the one under way is unknown: it is sent again, under the same UID."""
    room.forward(*(ct(number) for number in range(1, 5)))
    room.archive.answers = [STORED, KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        room.outbox.run_once()
    waiting, sending = DeliveryStatus.WAITING, DeliveryStatus.SENDING
    assert room.statuses() == [DeliveryStatus.DELIVERED, sending, waiting, waiting]
    room.restart()
    room.run()
    assert room.archive.uids() == [ct(number).SOPInstanceUID for number in range(1, 5)]
    assert [each.attempts for each in room.all()] == [1, 2, 1, 1]


def test_many_refusals_are_one_alert(room: Room) -> None:
    """Each image is a dead letter with its reason, and a person reads it once."""
    room.archive.answers = [Answer(AnswerReading.DEAD_LETTER, "A900", dimse(0xA900))] * 3
    room.forward(ct(1), ct(2), ct(3))
    room.run()
    assert room.statuses() == [DeliveryStatus.DEAD] * 3
    (dead,) = room.events("delivery.dead")
    assert dead.severity is Severity.WARNING
    assert [each.kind for each in history.open_alerts(room.ledger.database)] == ["delivery.dead"]
    (done,) = room.events("forward.done")
    assert (done.detail["instances"], done.detail["not_sent"]) == (0, 3)
    (stuck,) = forwards.stuck(room.ledger.database)
    assert (stuck.instances, stuck.why) == (3, "A900")


def test_a_file_that_is_not_what_was_received_is_not_sent(room: Room) -> None:
    """A damaged disk is no reason for a wrong image: the others go."""
    damaged, gone, _ = room.forward(ct(1), ct(2), ct(3))
    path = room.data_folder.find(damaged)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    room.data_folder.find(gone).unlink()
    room.run()
    assert room.archive.uids() == [ct(3).SOPInstanceUID]
    assert [("SHA-256" in (each.error or ""), "cannot be read" in (each.error or "")) for each in room.all()] == [
        (True, False),
        (False, True),
        (False, False),
    ]


def test_held_or_replaced_meanwhile_is_not_sent(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A correction that comes while the association is open stops what has not left."""
    room.forward(ct(1), ct(2), ct(3))
    store = room.archive.store

    def correct(file: Path) -> Answer:
        with room.ledger.transaction() as database:
            deliveries.hold(database, room.clock.now(), room.all()[1].id, "corrected")
        monkeypatch.setattr(room.archive, "store", store)
        return store(file)

    monkeypatch.setattr(room.archive, "store", correct)
    room.run()
    assert room.archive.uids() == [ct(1).SOPInstanceUID, ct(3).SOPInstanceUID]
    with room.ledger.transaction() as database:
        studies.hold(database, room.clock.now(), STUDY, "why")
    room.forward(ct(4))
    room.run()
    assert len(room.archive.received) == 2


def test_a_refused_syntax_is_brought_into_one_that_is_taken_and_coerced_first(room: Room) -> None:
    """In the child process: JPEG-LS to a destination of implicit VR alone; the copy is gone afterwards."""
    room.archive.refused = {JPEGLSLossless, ExplicitVRLittleEndian}
    room.forward(compressed(ct(1), JPEGLSLossless), syntax=JPEGLSLossless, coerce={"InstitutionName": "Site A"})
    try:
        room.run()
    finally:
        room.outbox.close()
    (path,) = [room.data_folder.data / "got.dcm"]
    path.write_bytes(room.archive.received[0])
    found = dcmread(path)
    assert found.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert found["PixelData"].value == ct(1).PixelData
    (item,) = found.OriginalAttributesSequence
    assert (item.SourceOfPreviousValues, item.ModifyingSystem) == ("CT1", "PACSNODE")
    assert not list((room.data_folder.outgoing / "pacs").iterdir())


def test_many_kinds_take_more_than_one_association(room: Room) -> None:
    """No more presentation contexts than an association holds; every image goes."""
    images = [ct(number, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{number}") for number in range(1, 131)]
    kinds = {(each.SOPClassUID, ExplicitVRLittleEndian) for each in images}
    room.forward(*images)
    room.run()
    assert len(room.archive.received) == 130
    assert all(len(each) <= 128 for each in room.archive.associations)
    assert kinds <= set().union(*room.archive.associations)


def test_one_study_after_another(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """An association is one study's, and has a bound: results that are due come in between."""
    monkeypatch.setattr(turn_queue, "BATCH", 2)
    room.forward(ct(1), ct(2), ct(3))
    room.run()
    assert len(room.archive.received) == 3
    assert len(room.archive.associations) == 2


def test_an_outbox_that_follows_another_leaves_its_copy_alone_until_it_runs(room: Room) -> None:
    """At a reload the new one is made while the old one may be sending; what a dead node left is swept then."""
    copy = room.data_folder.outgoing / "pacs" / "1.dcm"
    copy.parent.mkdir(parents=True)
    copy.touch()
    room.restart()
    assert copy.exists()
    room.run()
    assert not copy.exists()


def test_finding_m8_images_that_were_put_off_by_a_clock_that_was_ahead_go_when_they_were_meant_to(room: Room) -> None:
    """Ten days ahead for a moment: none is given up, and none waits ten days."""
    room.forward(ct(1), ct(2))
    room.archive.unreachable = True
    room.run()
    room.clock.jump(days=10)
    room.clock.pass_(seconds=25)
    room.run()
    room.clock.jump(days=-10)
    room.archive.unreachable = False
    room.run()
    room.clock.pass_(minutes=1)
    room.run()
    assert {each.status for each in room.all()} == {DeliveryStatus.DELIVERED}
