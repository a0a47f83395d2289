"""The outbox against a destination that a test plays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian

from node.config.destinations import DicomDestination
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer
from node.deliver.ways.archive import Kind, NotAdmittedError, NotReachedError
from node.deliver.ways.dimse import dimse
from node.errors import PermanentError, TransientError
from node.items import TRIES
from node.ledger import deliveries, identities, late, objects, outages, pauses
from node.ledger.database import Ledger
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import Severity
from node.ledger.identities import IdentityStatus
from node.ledger.job import URGENT
from node.ledger.pauses import Pausable, Pause
from node.outcome import AnswerReading
from node.stage import Node
from node.store.durable import sha256_of
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.sites.configurations import with_destinations

STUDY = "1.2.3"
IDENTITY = {"StudyInstanceUID": STUDY, "PatientID": "P1", "IssuerOfPatientID": "", "AccessionNumber": "A1"}
STORED = Answer(AnswerReading.STORED, "0000", dimse(0))


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

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return []

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        return []

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
        if answer.reading in (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING):
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
        self.destination = DicomDestination.model_validate(base | settings)
        self.node = Node(self.ledger, DataFolder(self.data), self.clock, Wakes())
        self.outbox = Outbox("pacs", self.node, with_destinations(pacs=self.destination), lambda *_: self.archive)
        return self.outbox

    def enqueue(self, uid: str, study: str = STUDY, **identifiers: str) -> int:
        """Put an object into the outbox; returns the delivery's id."""
        dataset = Dataset()
        for keyword, value in {**IDENTITY, "StudyInstanceUID": study, **identifiers}.items():
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
        return [event.kind for event in history.open_alerts(self.ledger.database)]


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
    site.archive.unreachable = NotReachedError("connection refused")
    for _ in range(40):
        seconds = site.outbox.run_once()
        site.clock.pass_(seconds=max(seconds, 1))
    assert site.statuses() == [DeliveryStatus.WAITING]
    outage = outages.get(site.ledger.database, "pacs")
    assert outage is not None
    assert "refused" in outage.why
    assert outage.tries < 12
    site.archive.unreachable = None
    site.clock.pass_(minutes=16)
    site.outbox.run_once()
    assert site.archive.received == ["2.1"]


def test_the_same_reason_is_a_warning_once(site: Site) -> None:
    """A long outage does not bury the operator in warnings: that it began, and that it lasts."""
    site.enqueue("2.1")
    site.archive.unreachable = NotReachedError("connection refused")
    for _ in range(5):
        site.outbox.run_once()
        site.clock.pass_(minutes=20)
    warnings = [each for each in history.latest(site.ledger.database, 100) if each.severity is Severity.WARNING]
    assert sorted(each.kind for each in warnings) == ["destination.down", "destination.unreached"]


def test_fault_64_warning_means_stored(site: Site) -> None:
    """B000: delivered, and the warning is kept."""
    site.enqueue("2.1")
    site.archive.answers = [Answer(AnswerReading.STORED_WITH_WARNING, "B000 coercion of data elements", dimse(0xB000))]
    site.outbox.run_once()
    delivery = site.all()[0]
    assert (delivery.status, delivery.answer, delivery.error) == (
        DeliveryStatus.DELIVERED,
        "dimse:B000",
        "B000 coercion of data elements",
    )


def test_fault_63_one_object_refused_for_good_does_not_stop_the_others(site: Site) -> None:
    """Only the refused object becomes a dead letter, with an alert."""
    site.enqueue("2.1")
    site.enqueue("2.2")
    site.archive.answers = [Answer(AnswerReading.DEAD_LETTER, "0122 SOP class not supported", dimse(0x0122))]
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.DEAD, DeliveryStatus.DELIVERED]
    assert site.alerts() == ["delivery.dead"]


def test_fault_66_duplicate_is_accepted_only_where_it_is_there(site: Site) -> None:
    """0111: asked for, found, delivered; not found, tried again."""
    site.enqueue("2.1")
    site.archive.answers = [Answer(AnswerReading.ASK, "0111 duplicate SOP instance", dimse(0x0111))]
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.WAITING]
    site.archive.received.append("2.1")
    site.archive.answers = [Answer(AnswerReading.ASK, "0111 duplicate SOP instance", dimse(0x0111))]
    site.clock.pass_(minutes=11)
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.DELIVERED]


def test_fault_67_calling_ae_title_rejected_alerts_and_slows_down(site: Site) -> None:
    """A person has to act at the PACS: one alert, then a try every half an hour."""
    site.enqueue("2.1")
    site.archive.unreachable = NotAdmittedError("calling AE title not recognised")
    for _ in range(4):
        site.outbox.run_once()
        site.clock.pass_(minutes=31)
    assert site.alerts() == ["delivery.waits"]
    assert site.statuses() == [DeliveryStatus.WAITING]


def test_fault_68_answer_lost_sends_the_same_again(site: Site) -> None:
    """No answer: the same object is sent again."""
    site.enqueue("2.1")
    site.archive.answers = [Answer(AnswerReading.UNKNOWN, "no answer")]
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
    site.archive.unreachable = NotReachedError("connection refused")
    other = PlayedArchive()
    outbox = Outbox("research", site.node, with_destinations(research=site.destination), lambda *_: other)
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
    assert site.alerts() == ["delivery.dead"]
    assert set(history.raised(site.ledger.database)) == {"item.failed", "delivery.dead"}
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
    found = late.ExpiredDelivery(doubtful, "a job", STUDY)
    monkeypatch.setattr(late, "expired", lambda *_: [found] if site.statuses()[0] is DeliveryStatus.WAITING else [])
    monkeypatch.setattr(late, "settle", lambda *_: {}["job"])  # type: ignore[index]
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.WAITING, DeliveryStatus.DELIVERED]
    for _ in range(9):
        site.clock.pass_(seconds=3601)
        site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.HELD, DeliveryStatus.DELIVERED]


# --- whose turn it is, and what the clock has to do with it -------------------------------------------


def _urgent(site: Site, study: str) -> None:
    site.archive.studies.append({**IDENTITY, "StudyInstanceUID": study})
    delivery = site.enqueue(f"{study}.1", study)
    with site.ledger.transaction() as database:
        database.execute("UPDATE deliveries SET priority=? WHERE id=?", [URGENT, delivery])


def _routine(site: Site, number: int) -> None:
    for each in range(number):
        site.archive.studies.append({**IDENTITY, "StudyInstanceUID": f"7.{each}"})
        site.enqueue(f"7.{each}.1", f"7.{each}")


def test_finding_m9_an_urgent_result_goes_before_all_that_is_routine(site: Site) -> None:
    """It was made last, and is sent first; the others in the order in which they have been due."""
    _routine(site, 30)
    _urgent(site, "8.1")
    site.outbox.run_once()
    assert site.archive.received == ["8.1.1", *(f"7.{each}.1" for each in range(30))]


def test_finding_m9_an_urgent_result_that_is_made_meanwhile_waits_for_few(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a long queue is sent: it is seen after a few studies, not after the last."""
    _routine(site, 60)
    store = site.archive.store

    def while_sending(file: Path) -> Answer:
        if len(site.archive.received) == 15:
            _urgent(site, "8.1")
        return store(file)

    monkeypatch.setattr(site.archive, "store", while_sending)
    site.outbox.run_once()
    assert site.archive.received.index("8.1.1") <= 25
    assert len(site.archive.received) == 61


def test_a_queue_whose_first_studies_cannot_be_tried_now_does_not_stop_there(site: Site) -> None:
    """What an unexpected error put off keeps its place in the order; all behind it goes out in the same run."""
    _routine(site, 25)
    for each in range(12):
        (site.data / f"7.{each}.1.dcm").write_bytes(b"not DICOM")
    site.outbox.run_once()
    assert site.archive.received == [f"7.{each}.1" for each in range(12, 25)]


@pytest.mark.parametrize("restarted", [False, True])
def test_finding_m8_a_clock_that_was_ahead_delays_nothing(site: Site, restarted: bool) -> None:
    """Not reached while it was 23 hours ahead, corrected: it is tried after the pause that was meant at the latest."""
    site.enqueue("2.1")
    site.archive.unreachable = NotReachedError("connection refused")
    site.outbox.run_once()
    site.clock.jump(hours=23)
    site.enqueue("2.2")
    site.clock.pass_(seconds=20)
    site.outbox.run_once()
    site.clock.jump(hours=-23)
    site.archive.unreachable = None
    if restarted:
        site.restart()
    site.clock.pass_(seconds=site.destination.retry.first.total_seconds())
    site.outbox.run_once()
    assert sorted(site.archive.received) == ["2.1", "2.2"]


def test_finding_m8_a_clock_that_is_ten_days_ahead_for_a_moment_kills_nothing(site: Site) -> None:
    """Age is for how long it was tried, not what two readings of the wall clock differ by."""
    site.enqueue("2.1")
    site.archive.unreachable = NotReachedError("connection refused")
    site.outbox.run_once()
    site.clock.jump(days=10)
    for _ in range(3):
        site.clock.pass_(seconds=25)
        site.outbox.run_once()
    site.clock.jump(days=-10)
    site.outbox.run_once()
    (delivery,) = site.all()
    assert delivery.status is DeliveryStatus.WAITING
    assert delivery.waited < timedelta(minutes=5)
    assert delivery.not_before - site.clock.now() <= delivery.waited


def test_finding_m8_what_is_tried_for_a_week_is_given_up(site: Site) -> None:
    """The limit still holds, and counts the pauses."""
    site.restart(retry={"give_up_after": "2h"})
    site.enqueue("2.1")
    site.archive.unreachable = NotReachedError("connection refused")
    started = site.clock.now()
    while site.statuses() == [DeliveryStatus.WAITING]:
        site.clock.pass_(seconds=max(1, site.outbox.run_once()))
        assert site.clock.now() - started < timedelta(hours=3)
    assert site.statuses() == [DeliveryStatus.DEAD]
    assert site.clock.now() - started >= timedelta(hours=2)


def test_finding_d1_an_accession_number_with_a_backslash_is_sent(site: Site) -> None:
    """The destination returns the same two values: nothing is held."""
    identifiers = {"AccessionNumber": "A1\\B2", "PatientID": "P\\1"}
    site.archive.studies = [{**IDENTITY, **identifiers}]
    site.enqueue("2.1", **identifiers)
    site.outbox.run_once()
    assert site.statuses() == [DeliveryStatus.DELIVERED]


def test_finding_d1_why_it_is_held_says_what_the_destination_does_not_state(site: Site) -> None:
    """A person is not sent to look for another accession number where there is none."""
    site.archive.studies = [{**IDENTITY, "AccessionNumber": ""}]
    site.enqueue("2.1")
    site.outbox.run_once()
    assert site.all()[0].hold == "pacs states no AccessionNumber for this study, which cannot be compared"


def test_nothing_is_sent_to_a_paused_destination(site: Site) -> None:
    """It waits where it is, unasked and uncounted, and goes when it is resumed. Only that destination is concerned."""
    pause = Pause(Pausable.DESTINATION, "pacs", "admin", site.clock.now(), "an upgrade")
    site.enqueue("2.1")
    with site.ledger.transaction() as database:
        pauses.begin(database, site.clock.now(), pause)
    site.outbox.run_once()
    (delivery,) = site.all()
    assert (delivery.status, delivery.attempts, delivery.waited) == (DeliveryStatus.WAITING, 0, timedelta())
    with site.ledger.transaction() as database:
        pauses.end(database, site.clock.now(), Pausable.DESTINATION, "pacs", "admin")
        pauses.begin(database, site.clock.now(), replace(pause, name="research"))
    site.outbox.run_once()
    assert site.archive.received == ["2.1"]
