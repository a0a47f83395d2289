"""Corrections: the same images under another patient or order (case 33b)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from node.cli import main
from node.index import corrections
from node.ledger import deliveries, facts, instances, jobs, studies, withdrawals
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobStatus
from node.ledger.studies import StudyStatus
from node.ledger.withdrawals import WithdrawalStatus
from node.wake import Stage as Rooms
from tests.support import history
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.sites.index_room import Room
from tests.support.sites.outcomes import deliver, queue_job

CORRECTED: dict[str, Any] = {"PatientID": "P2", "PatientName": "Kim^Cheolsu"}


def _study_with_results(room: Room, on_correction: str = "hold") -> dict[str, Any]:
    receipts = [arrive(room.data_folder, ct(number)) for number in (1, 2)]
    room.quiet()
    now = room.clock.now()
    job = queue_job(room.ledger, now, STUDY, receipts, on_correction=on_correction)
    other = queue_job(room.ledger, now, STUDY, receipts, rule="second", on_correction=on_correction)
    with room.ledger.transaction() as database:
        jobs.started(database, now, other.id, {})
    sent = {
        status: deliver(room.ledger, now, STUDY, job.id, f"9.{index}", status)
        for index, status in enumerate((DeliveryStatus.WAITING, DeliveryStatus.SENDING, DeliveryStatus.DELIVERED))
    }
    return {"receipts": receipts, "jobs": (job.id, other.id), "sent": sent}


def test_fault_33b_correction_stops_holds_lists_and_alerts(room: Room) -> None:
    """Queued and running jobs are cancelled, undelivered results held, delivered ones listed, the study held."""
    made = _study_with_results(room)
    bell = room.signal.subscribe(Rooms.RUN)
    for number in (1, 2):
        arrive(room.data_folder, ct(number, **CORRECTED))
    room.index.run_once()
    database = room.ledger.database
    assert room.statuses() == ["current", "current", "correction", "correction"]
    assert {jobs.get(database, one).status for one in made["jobs"]} == {JobStatus.CANCELLED}
    waiting = deliveries.get(database, made["sent"][DeliveryStatus.WAITING].id)
    assert waiting.status is DeliveryStatus.HELD
    (event,) = room.events("study.to-withdraw")
    found = {alert.kind for alert in history.open_alerts(room.ledger.database)}
    assert found == {"study.to-withdraw", "study.held", "instance.correction", "delivery.held"}
    assert event.detail["objects"] == [{"sop_instance_uid": "9.2", "destination": "pacs"}]
    (withdrawal,) = withdrawals.of_study(database, STUDY)
    assert (withdrawal.destination, withdrawal.status, withdrawal.results, withdrawal.images) == (
        "pacs",
        WithdrawalStatus.LISTED,
        1,
        0,
    )
    (correction,) = room.events("instance.correction")
    assert correction.detail["differences"] == ["PatientID", "PatientName"]
    assert studies.get(database, STUDY).hold is not None
    assert bell.is_set(), "the running job has to be told"


def test_result_that_was_being_sent_is_held_if_that_attempt_fails(room: Room) -> None:
    """A C-STORE under way cannot be called back: if it fails it is not tried again, if it succeeds that is an alert."""
    made = _study_with_results(room)
    arrive(room.data_folder, ct(1, **CORRECTED))
    room.index.run_once()
    sending = made["sent"][DeliveryStatus.SENDING].id
    with room.ledger.transaction() as database:
        assert deliveries.get(database, sending).status is DeliveryStatus.SENDING
        deliveries.wait(database, room.clock.now(), sending, room.clock.now(), "no answer")
    assert deliveries.get(room.ledger.database, sending).status is DeliveryStatus.HELD


def test_no_event_names_the_patient(room: Room) -> None:
    """Differences are keywords; neither name nor ID of either patient stands in any event."""
    _study_with_results(room)
    arrive(room.data_folder, ct(1, **CORRECTED))
    room.quiet()
    for row in room.ledger.database.query("SELECT detail FROM events"):
        assert not any(text in row["detail"] for text in ("Hong", "Kim", "Gildong", "P2"))


def test_one_alert_for_a_study_that_is_corrected_in_many_batches(room: Room) -> None:
    """The study is held once, whatever number of batches its slices come in."""
    _study_with_results(room)
    for number in (1, 2):
        arrive(room.data_folder, ct(number, **CORRECTED))
        room.index.run_once()
    assert len(room.events("study.held")) == 1


def test_correction_sent_twice_is_recorded_once(room: Room) -> None:
    """The corrected instance again, also differently encoded, is a duplicate of the correction."""
    arrive(room.data_folder, ct())
    arrive(room.data_folder, ct(**CORRECTED))
    arrive(room.data_folder, ct(**CORRECTED))
    arrive(room.data_folder, ct(**CORRECTED), syntax="1.2.840.10008.1.2")
    room.index.run_once()
    assert room.statuses() == ["current", "correction", "duplicate", "duplicate"]


@pytest.mark.parametrize("changes", [{"AccessionNumber": "A2"}, {"StudyID": "S2"}, {"PatientSex": "F"}])
def test_another_order_is_a_correction_too(room: Room, changes: dict[str, Any]) -> None:
    """Accession number, study ID, sex: what an order or a patient record says, on the same pixels."""
    arrive(room.data_folder, ct())
    arrive(room.data_folder, ct(**changes))
    room.index.run_once()
    assert room.statuses() == ["current", "correction"]


def test_hold_keeps_the_first_instances_current(room: Room) -> None:
    """Without a word of the rules nothing is replaced; the study is complete, and held."""
    receipts = [arrive(room.data_folder, ct(number)) for number in (1, 2)]
    for number in (1, 2):
        arrive(room.data_folder, ct(number, **CORRECTED))
    room.quiet()
    study = studies.get(room.ledger.database, STUDY)
    assert (study.status, study.revision, study.patient_id) == (StudyStatus.COMPLETE, 1, "P1")
    assert study.hold is not None
    (record,) = facts.of_study(room.ledger.database, STUDY, 1)
    assert [one.receipt for one in record.instances] == receipts


def test_take_newest_replaces_all_in_a_new_revision(room: Room) -> None:
    """Where every job says so: corrected instances become current together, nothing is held, unsent is cancelled."""
    made = _study_with_results(room, "take_newest")
    for number in (1, 2):
        arrive(room.data_folder, ct(number, **CORRECTED))
    room.quiet()
    database = room.ledger.database
    assert room.statuses() == ["corrected", "corrected", "current", "current"]
    study = studies.get(database, STUDY)
    assert (study.revision, study.patient_id, study.hold) == (2, "P2", None)
    (record,) = facts.of_study(database, STUDY, 2)
    assert {one.header["PatientID"][1][0] for one in record.instances} == {"P2"}
    assert facts.headers_of(database, STUDY) == {}
    waiting = deliveries.get(database, made["sent"][DeliveryStatus.WAITING].id)
    assert waiting.status is DeliveryStatus.CANCELLED
    assert room.events("study.to-withdraw")


def test_take_newest_waits_for_the_whole_study(room: Room) -> None:
    """While the corrected slices come in, the first ones stay current: no revision mixes two patients."""
    _study_with_results(room, "take_newest")
    arrive(room.data_folder, ct(1, **CORRECTED))
    room.index.run_once()
    room.clock.pass_(seconds=30)
    arrive(room.data_folder, ct(2, **CORRECTED))
    room.index.run_once()
    room.clock.pass_(seconds=40)
    room.index.run_once()
    assert room.statuses() == ["current", "current", "correction", "correction"]
    assert studies.get(room.ledger.database, STUDY).status is StudyStatus.RECEIVING


def test_take_newest_holds_a_study_corrected_in_part(room: Room) -> None:
    """One of two slices corrected: two patients in one study, so a person decides."""
    _study_with_results(room, "take_newest")
    arrive(room.data_folder, ct(1, **CORRECTED))
    room.quiet()
    assert room.statuses() == ["current", "current", "correction"]
    study = studies.get(room.ledger.database, STUDY)
    assert study.hold is not None
    assert study.patient_id == "P1"


def test_one_job_that_says_hold_is_enough_to_hold(room: Room) -> None:
    """A study has one patient: the newest is taken only where all its jobs agree."""
    made = _study_with_results(room, "take_newest")
    queue_job(room.ledger, room.clock.now(), STUDY, made["receipts"], rule="third", on_correction="hold")
    for number in (1, 2):
        arrive(room.data_folder, ct(number, **CORRECTED))
    room.quiet()
    assert studies.get(room.ledger.database, STUDY).hold is not None
    assert room.statuses() == ["current", "current", "correction", "correction"]


def test_new_slices_under_the_corrected_patient_wait_with_the_correction(room: Room) -> None:
    """A slice that came only with the correction is no second patient: it belongs to it, and counts after it."""
    _study_with_results(room, "take_newest")
    for number in (1, 2):
        arrive(room.data_folder, ct(number, **CORRECTED))
    room.index.run_once()
    arrive(room.data_folder, ct(3, **CORRECTED))
    room.quiet()
    assert room.statuses() == ["corrected", "corrected", "current", "current", "current"]


def test_a_person_may_take_the_corrected_instances(room: Room) -> None:
    """After a hold: taken, reopened and released, the study gets a revision with the corrected patient."""
    for number in (1, 2):
        arrive(room.data_folder, ct(number))
        arrive(room.data_folder, ct(number, **CORRECTED))
    room.quiet()
    now = room.clock.now()
    assert corrections.take_newest(room.ledger, now, STUDY, "os:admin", releases="taken by a person")
    room.quiet()
    current = instances.of_study(room.ledger.database, STUDY, [InstanceStatus.CURRENT])
    assert len(current) == 2
    study = studies.get(room.ledger.database, STUDY)
    assert (study.revision, study.patient_id, study.hold) == (2, "P2", None)


@pytest.mark.parametrize("whole", [True, False])
def test_a_person_takes_the_newer_of_a_held_study(room: Room, capsys: pytest.CaptureFixture[str], whole: bool) -> None:
    """`retry STUDY --take-newest`: the corrected patient counts, in a new revision; half a correction is refused."""
    _study_with_results(room)
    for number in (1, 2) if whole else (1,):
        arrive(room.data_folder, ct(number, **CORRECTED))
    room.quiet()
    config = room.data / "config.yaml"
    config.write_text("node: {time_zone: Asia/Seoul, data: .}\n")
    with pytest.raises(SystemExit) as ended:
        main(["retry", STUDY, "--take-newest", "--config", str(config)])
    room.quiet()
    study = studies.get(room.ledger.database, STUDY)
    assert study is not None
    if whole:
        assert ended.value.code in (0, None)
        assert (study.hold, study.patient_id, study.revision) == (None, "P2", 2)
        assert sorted(room.statuses()) == ["corrected", "corrected", "current", "current"]
    else:
        assert ended.value.code == 1
        assert "would mix two patients" in capsys.readouterr().err
        assert (study.hold is not None, study.patient_id) == (True, "P1")


def test_finding_m1_the_correction_that_came_last_counts_after_the_clock_was_set_back(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Corrected twice, the clock set back between: the patient of the second correction is the study's."""
    for changes in ({}, CORRECTED, {"PatientID": "P3", "PatientName": "Lee^Younghee"}):
        arrive(room.data_folder, ct(1, **changes))
        room.index.run_once()
        now = time.time_ns()
        monkeypatch.setattr("time.time_ns", lambda now=now: now - 3600 * 10**9)
    assert corrections.take_newest(room.ledger, room.clock.now(), STUDY)
    row = studies.get(room.ledger.database, STUDY)
    assert row is not None
    assert row.patient_id == "P3"
