"""Rejection notes (IHE IOCM): what they name leaves every job's input (case 47b)."""

from __future__ import annotations

import pytest

from node.ledger import deliveries, facts, jobs, studies
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import JobStatus
from tests.support import history
from tests.support.images.receipts import STUDY, arrive, ct, rejection_note
from tests.support.sites.index_room import Room
from tests.support.sites.outcomes import deliver, queue_job


@pytest.mark.parametrize("title", ["113001", "113037", "113038", "113039"])
def test_fault_47b_rejected_instances_leave_the_next_revision(room: Room, title: str) -> None:
    """Each of the four titles takes the named slice out of the facts of a new revision."""
    for number in (1, 2, 3):
        arrive(room.data_folder, ct(number))
    room.quiet()
    arrive(room.data_folder, rejection_note([ct(2)], title))
    room.quiet()
    assert room.statuses() == ["current", "rejected", "current", "current"]
    database = room.ledger.database
    assert studies.get(database, STUDY).revision == 2
    records = {one.series_instance_uid: one for one in facts.of_study(database, STUDY, 2)}
    assert [one.sop_instance_uid[-1] for one in records[ct().SeriesInstanceUID].instances] == ["1", "3"]


def test_key_objects_of_interest_reject_nothing(room: Room) -> None:
    """(113000, DCM, "Of Interest") is not a rejection."""
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, rejection_note([ct(1)], "113000"))
    room.index.run_once()
    assert room.statuses() == ["current", "current"]


def test_jobs_that_use_rejected_instances_stop(room: Room) -> None:
    """Cancelled, held or reported is what used the rejected slice, and nothing else."""
    receipts = [arrive(room.data_folder, ct(number)) for number in (1, 2)]
    room.quiet()
    now = room.clock.now()
    user = queue_job(room.ledger, now, STUDY, receipts)
    other = queue_job(room.ledger, now, STUDY, receipts[:1], rule="second")
    with room.ledger.transaction() as database:
        jobs.started(database, now, user.id, {})
    unsent = deliver(room.ledger, now, STUDY, user.id, "9.1")
    sent = deliver(room.ledger, now, STUDY, user.id, "9.2", DeliveryStatus.DELIVERED)
    untouched = deliver(room.ledger, now, STUDY, other.id, "9.3")
    arrive(room.data_folder, rejection_note([ct(2)]))
    room.index.run_once()
    database = room.ledger.database
    assert jobs.get(database, user.id).status is JobStatus.CANCELLED
    assert jobs.get(database, other.id).status is JobStatus.QUEUED
    assert deliveries.get(database, unsent.id).status is DeliveryStatus.HELD
    assert deliveries.get(database, untouched.id).status is DeliveryStatus.WAITING
    (event,) = room.events("study.to-withdraw")
    assert event.kind in {alert.kind for alert in history.open_alerts(room.ledger.database)}
    assert [one["sop_instance_uid"] for one in event.detail["objects"]] == [sent.item]
    assert studies.get(database, STUDY).hold is None


def test_instance_that_comes_after_its_rejection_is_rejected(room: Room) -> None:
    """The note was first: the slice is stored, and counts for nothing."""
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, rejection_note([ct(2)]))
    room.quiet()
    arrive(room.data_folder, ct(2))
    room.quiet()
    assert room.statuses() == ["current", "current", "rejected"]
    assert studies.get(room.ledger.database, STUDY).revision == 1


def test_note_and_instances_in_one_batch(room: Room) -> None:
    """Order of arrival within a batch makes no difference."""
    arrive(room.data_folder, rejection_note([ct(1), ct(2)]))
    for number in (1, 2, 3):
        arrive(room.data_folder, ct(number))
    room.index.run_once()
    assert room.statuses() == ["current", "rejected", "rejected", "current"]


def test_note_of_another_patient_rejects_nothing(room: Room) -> None:
    """A note has no say about a study or a patient that it does not state: ignored, and an alert."""
    arrive(room.data_folder, ct(1))
    room.index.run_once()
    stranger = {"PatientID": "P9", "PatientName": "Lee^Younghee", "StudyInstanceUID": "1.2.3.8"}
    arrive(room.data_folder, rejection_note([ct(1)], **stranger))
    room.index.run_once()
    assert room.statuses() == ["current"]
    assert "rejection.ignored" in {alert.kind for alert in history.open_alerts(room.ledger.database)}


def test_rejected_instance_sent_again_stays_rejected(room: Room) -> None:
    """A resend of a rejected slice is a duplicate, not a way back in."""
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, rejection_note([ct(1)]))
    room.index.run_once()
    arrive(room.data_folder, ct(1))
    room.quiet()
    assert room.statuses() == ["rejected", "current", "duplicate"]
