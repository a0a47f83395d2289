"""The outbox against a destination that a test plays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian

from node.config.models import Destination
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer
from node.deliver.ways.archive import Kind
from node.dimse.scu import RejectedError, UnreachableError
from node.dimse.status import Reading
from node.errors import PermanentError, TransientError
from node.items import TRIES
from node.ledger import deliveries, events, identities, late, objects
from node.ledger.database import Ledger
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import Severity
from node.ledger.identities import IdentityStatus
from node.store.durable import sha256_of
from node.store.layout import Spool
from node.wake import Wakes
from tests.support.clocks import HandClock

STUDY = "1.2.3"
IDENTITY = {"StudyInstanceUID": STUDY, "PatientID": "P1", "IssuerOfPatientID": "", "AccessionNumber": "A1"}
STORED = Answer(Reading.STORED, "0000", 0)


class PlayedArchive:
    """Answers as it is told; remembers what reached it."""

    def __init__(self) -> None:
        self.studies: list[Mapping[str, str]] = [IDENTITY]
        self.answers: list[Answer | BaseException] = []
        self.unreachable: Exception | None = None
        self.received: list[str] = []
        self.refused_studies: set[str] = set()
        self.silent = False

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        if self.unreachable:
            raise self.unreachable
        if self.silent:
            raise TransientError("broke off without an answer")
        if study_instance_uid in self.refused_studies:
            raise PermanentError("refuses the C-FIND: A900")
        return [study for study in self.studies if study["StudyInstanceUID"] == study_instance_uid]

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        return sop_instance_uid in self.received

    @contextmanager
    def connect(self, kinds: Iterable[Kind]) -> Iterator[PlayedArchive]:
        if self.unreachable:
            raise self.unreachable
        yield self

    is_open = True

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        return True

    def store(self, file: Path) -> Answer:
        answer = self.answers.pop(0) if self.answers else STORED
        if isinstance(answer, BaseException):
            raise answer
        if answer.reading in (Reading.STORED, Reading.STORED_WITH_WARNING):
            self.received.append(file.stem)
        return answer


class Site:
    """One outbox with everything around it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.clock = HandClock()
        self.ledger = Ledger(data / "ledger.db")
        self.archive = PlayedArchive()
        self.outbox = self.restart()

    def restart(self, **settings: object) -> Outbox:
        base = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}
        self.destination = Destination.model_validate(base | settings)
        spool, signal = Spool(self.data), Wakes()
        self.outbox = Outbox("pacs", self.destination, self.archive, self.ledger, spool, self.clock, signal)
        return self.outbox

    def enqueue(self, uid: str, study: str = STUDY) -> int:
        """Put an object into the outbox; returns the delivery's id."""
        dataset = Dataset()
        for keyword, value in {**IDENTITY, "StudyInstanceUID": study}.items():
            setattr(dataset, keyword, value)
        dataset.SOPClassUID, dataset.SOPInstanceUID = EnhancedSRStorage, uid
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = self.data / f"{uid}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        with self.ledger.transaction() as database:
            deliveries.enqueue(
                database,
                self.clock.now(),
                sop_instance_uid=uid,
                sop_class_uid=EnhancedSRStorage,
                study=study,
                job=None,
                file=path.name,
                destination="pacs",
            )
            found = deliveries.of_study(database, study)
        return found[-1].id

    def all(self) -> list[Delivery]:
        return deliveries.of_study(self.ledger.database, STUDY)

    def statuses(self) -> list[DeliveryStatus]:
        return [delivery.status for delivery in self.all()]

    def alerts(self) -> list[str]:
        return [event.kind for event in events.latest(self.ledger.database, 100, (Severity.ALERT,))]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_objects_arrive_in_order_and_once(site: Site) -> None:
    """What is enqueued arrives, in that order, and a second look sends nothing."""
    site.enqueue("2.1")
    site.enqueue("2.2")
    site.outbox.run_once()
    site.outbox.run_once()
    assert site.archive.received == ["2.1", "2.2"]
    assert site.statuses() == [DeliveryStatus.DELIVERED] * 2


def test_enqueueing_twice_sends_once(site: Site) -> None:
    """An instance goes to a destination once."""
    site.enqueue("2.1")
    site.enqueue("2.1")
    site.outbox.run_once()
    assert site.archive.received == ["2.1"]


def test_fault_61_destination_down_then_up(site: Site) -> None:
    """While it is down nothing is lost or hammered; once it is up everything arrives."""
    site.enqueue("2.1")
    site.archive.unreachable = UnreachableError("connection refused")
    for _ in range(40):
        seconds = site.outbox.run_once()
        site.clock.pass_(seconds=max(seconds, 1))
    assert site.statuses() == [DeliveryStatus.WAITING]
    assert "refused" in (site.all()[0].error or "")
    site.archive.unreachable = None
    site.clock.pass_(minutes=16)
    site.outbox.run_once()
    assert site.archive.received == ["2.1"]


def test_the_same_reason_is_a_warning_once(site: Site) -> None:
    """A long outage does not bury the operator in warnings."""
    site.enqueue("2.1")
    site.archive.unreachable = UnreachableError("connection refused")
    for _ in range(5):
        site.outbox.run_once()
        site.clock.pass_(minutes=20)
    assert len(events.latest(site.ledger.database, 100, (Severity.WARNING,))) == 1


def test_fault_64_warning_means_stored(site: Site) -> None:
    """B000: delivered, and the warning is kept."""
    site.enqueue("2.1")
    site.archive.answers = [Answer(Reading.STORED_WITH_WARNING, "B000 coercion of data elements", 0xB000)]
    site.outbox.run_once()
    delivery = site.all()[0]
    assert (delivery.status, delivery.dimse_status, delivery.error) == (
        DeliveryStatus.DELIVERED,
        0xB000,
        "B000 coercion of data elements",
    )


def test_fault_63_one_object_refused_for_good_does_not_stop_the_others(site: Site) -> None:
    """Only the refused object becomes a dead letter, with an alert."""
    site.enqueue("2.1")
    site.enqueue("2.2")
    site.archive.answers = [Answer(Reading.DEAD_LETTER, "0122 SOP class not supported", 0x0122)]
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.DEAD, DeliveryStatus.DELIVERED]
    assert site.alerts() == ["delivery.dead"]


def test_fault_66_duplicate_is_accepted_only_where_it_is_there(site: Site) -> None:
    """0111: asked for, found, delivered; not found, tried again."""
    site.enqueue("2.1")
    site.archive.answers = [Answer(Reading.ASK, "0111 duplicate SOP instance", 0x0111)]
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.WAITING]
    site.archive.received.append("2.1")
    site.archive.answers = [Answer(Reading.ASK, "0111 duplicate SOP instance", 0x0111)]
    site.clock.pass_(minutes=11)
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.DELIVERED]


def test_fault_67_calling_ae_title_rejected_alerts_and_slows_down(site: Site) -> None:
    """A person has to act at the PACS: one alert, then a try every half an hour."""
    site.enqueue("2.1")
    site.archive.unreachable = RejectedError("calling AE title not recognised")
    for _ in range(4):
        site.outbox.run_once()
        site.clock.pass_(minutes=31)
    assert site.alerts() == ["delivery.waits"]
    assert site.statuses() == [DeliveryStatus.WAITING]


def test_fault_68_answer_lost_sends_the_same_again(site: Site) -> None:
    """No answer: the same object is sent again."""
    site.enqueue("2.1")
    site.archive.answers = [Answer(Reading.UNKNOWN, "no answer")]
    site.outbox.run_once()
    site.clock.pass_(seconds=11)
    site.outbox.run_once()
    assert site.archive.received == ["2.1"]
    assert site.all()[0].attempts == 2


def test_fault_55_killed_while_sending_sends_the_same_again(site: Site) -> None:
    """The node dies between the C-STORE and its mark: after the restart the same UID goes out again."""
    site.enqueue("2.1")
    site.archive.answers = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.SENDING]
    site.restart().run_once()
    assert site.archive.received == ["2.1"]
    assert site.statuses() == [DeliveryStatus.DELIVERED]


def test_fault_70b_another_patient_holds_and_alerts(site: Site) -> None:
    """The PACS has the study under another patient: nothing is sent, a person is told which attribute."""
    delivery = site.enqueue("2.1")
    site.archive.studies = [{**IDENTITY, "PatientID": "P2"}]
    site.outbox.run_once()
    held = site.all()[0]
    assert (held.status, held.hold) == (DeliveryStatus.HELD, "pacs has this study under another PatientID")
    assert site.archive.received == []
    assert set(site.alerts()) == {"identity.differs", "delivery.held"}
    site.archive.studies = [IDENTITY]
    with site.ledger.transaction() as database:
        deliveries.again(database, site.clock.now(), delivery, by="admin")
    site.outbox.run_once()
    assert site.archive.received == ["2.1"], "a person's retry asks again and then sends"


def test_fault_70c_study_not_there_yet_waits_and_alerts_once(site: Site) -> None:
    """Nothing is sent before the study is there; after `wait_for_study` one alert; then it goes out."""
    site.restart(wait_for_study="30m")
    site.enqueue("2.1")
    site.archive.studies = []
    for _ in range(60):
        site.outbox.run_once()
        site.clock.pass_(minutes=1)
    assert site.archive.received == []
    assert site.alerts() == ["identity.overdue"]
    identity = identities.get(site.ledger.database, STUDY, "pacs")
    assert identity is not None
    assert identity.status is IdentityStatus.ABSENT
    site.archive.studies = [IDENTITY]
    site.clock.pass_(minutes=16)
    site.outbox.run_once()
    assert site.archive.received == ["2.1"]


def test_without_identity_check_the_destination_is_not_asked(site: Site) -> None:
    """`identity_check: none` sends although the study is unknown there."""
    site.restart(identity_check="none")
    site.archive.studies = []
    site.enqueue("2.1")
    site.outbox.run_once()
    assert site.archive.received == ["2.1"]


def test_a_damaged_file_is_never_sent(site: Site) -> None:
    """A file that is not the one that was made is a dead letter with an alert."""
    site.enqueue("2.1")
    delivery = site.all()[0]
    made = objects.ResultObject(
        sop_instance_uid="2.1",
        sop_class_uid=delivery.sop_class_uid,
        series_instance_uid="2",
        study_instance_uid=STUDY,
        job="",
        kind="sr",
        profile="",
        file=delivery.file,
        digest=sha256_of(site.data / delivery.file),
        made_at=site.clock.now(),
    )
    site.ledger.database.execute("PRAGMA foreign_keys=OFF")  # the job it came from is not what this test is about
    with site.ledger.transaction() as database:
        objects.insert(database, made)
    with (site.data / delivery.file).open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"\xff")
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.DEAD]
    assert site.archive.received == []


def test_a_cancelled_delivery_is_not_sent(site: Site) -> None:
    """What a person cancelled stays unsent."""
    delivery = site.enqueue("2.1")
    with site.ledger.transaction() as database:
        deliveries.stop(database, site.clock.now(), delivery, DeliveryStatus.CANCELLED, "not wanted")
    site.outbox.run_once()
    assert site.archive.received == []


def test_a_study_that_is_refused_does_not_hold_up_the_others(site: Site) -> None:
    """An answer about one study is about that study: the next one is sent at once."""
    site.enqueue("2.1")
    site.enqueue("2.2", study="1.2.4")
    site.archive.studies = [IDENTITY, {**IDENTITY, "StudyInstanceUID": "1.2.4"}]
    site.archive.refused_studies = {STUDY}
    site.outbox.run_once()
    assert site.archive.received == ["2.2"]
    assert site.statuses() == [DeliveryStatus.WAITING]


def test_fault_69_one_destination_down_the_others_get_theirs(site: Site) -> None:
    """What waits for a PACS that is down holds up nothing that goes elsewhere."""
    site.enqueue("2.1")
    site.archive.unreachable = UnreachableError("connection refused")
    other = PlayedArchive()
    outbox = Outbox("research", site.destination, other, site.ledger, Spool(site.data), site.clock, Wakes())
    with site.ledger.transaction() as database:
        deliveries.enqueue(
            database,
            site.clock.now(),
            sop_instance_uid="2.1",
            sop_class_uid=EnhancedSRStorage,
            study=STUDY,
            job=None,
            file="2.1.dcm",
            destination="research",
        )
    site.outbox.run_once()
    outbox.run_once()
    assert other.received == ["2.1"]
    assert site.statuses() == [DeliveryStatus.WAITING, DeliveryStatus.DELIVERED]


def test_a_destination_that_never_says_whose_study_it_is_alerts(site: Site) -> None:
    """It takes associations and breaks off every C-FIND: nothing is sent, and a person is told once."""
    site.restart(wait_for_study="30m")
    site.enqueue("2.1")
    site.archive.silent = True
    for _ in range(60):
        site.outbox.run_once()
        site.clock.pass_(minutes=1)
    assert site.archive.received == []
    assert site.alerts() == ["identity.overdue"]
    assert "broke off" in (site.all()[0].error or "")


def test_finding_d3_what_raises_before_the_association_costs_its_study(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question whose study it is, the association itself: other studies go on; dead letters in the end."""
    for uid, study in (("2.1", STUDY), ("2.2", STUDY), ("2.3", "1.2.4")):
        site.enqueue(uid, study)
    site.archive.studies = [IDENTITY, {**IDENTITY, "StudyInstanceUID": "1.2.4"}]
    ask = PlayedArchive.find_study
    asked = []

    def ask_or_raise(self: PlayedArchive, study: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        if study == STUDY:
            asked.append(study)
            raise TypeError("Hong^Gildong")
        return ask(self, study, keywords)

    monkeypatch.setattr(PlayedArchive, "find_study", ask_or_raise)
    site.outbox.run_once()
    assert site.archive.received == ["2.3"]
    assert site.statuses() == [DeliveryStatus.WAITING] * 2
    assert site.outbox.run_once() > 0
    assert len(asked) == 1
    for _ in range(9):
        site.clock.pass_(seconds=3601)
        site.restart().run_once()
    assert site.statuses() == [DeliveryStatus.DEAD] * 2
    assert len(asked) == TRIES
    assert site.alerts() == ["delivery.dead", "delivery.dead", "item.failed"]
    assert "Hong" not in str(site.all())
    monkeypatch.undo()
    with site.ledger.transaction() as database:
        for each in site.all():
            deliveries.again(database, site.clock.now(), each.id, "a test")
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.DELIVERED] * 2


def test_finding_d3_what_may_be_too_late_and_cannot_be_judged_is_held(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not sent meanwhile, the others are, and a person decides in the end."""
    doubtful, _ = site.enqueue("2.1"), site.enqueue("2.2")
    found = late.Expired(doubtful, "a job", STUDY)
    monkeypatch.setattr(late, "expired", lambda *_: [found] if site.statuses()[0] is DeliveryStatus.WAITING else [])
    monkeypatch.setattr(late, "settle", lambda *_: {}["job"])  # type: ignore[index]
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.WAITING, DeliveryStatus.DELIVERED]
    for _ in range(9):
        site.clock.pass_(seconds=3601)
        site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.HELD, DeliveryStatus.DELIVERED]
