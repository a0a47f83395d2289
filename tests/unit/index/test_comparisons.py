"""Images of an earlier study that turn out wrong stop what other studies have from a comparison with them."""

from __future__ import annotations

import pytest

from node.ledger import deliveries, jobs, notifications, studies, withdrawals
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import Job, JobInput, JobOutcome, JobStatus
from node.ledger.notifications import NotificationStatus, Occasion
from node.ledger.studies import StudyStatus
from tests.support.images.receipts import STUDY, arrive, ct, rejection_note
from tests.support.sites.index_room import Room
from tests.support.sites.outcomes import deliver, queue_job

EARLIER = "1.2.3.7"
SERIES = "1.2.3.7.1"
PRIOR = {"StudyInstanceUID": EARLIER, "SeriesInstanceUID": SERIES}
COMPARED = "an earlier study that it was compared with: "


def compare(room: Room, rule: str, own: list[str], prior: list[str]) -> Job:
    """A job of STUDY that is given these receipts of the earlier study, too."""
    inputs = (JobInput("ct", f"{STUDY}.1", tuple(own)), JobInput("prior", SERIES, tuple(prior)))
    return queue_job(room.ledger, room.clock.now(), STUDY, own, rule=rule, inputs=inputs)


@pytest.fixture
def receipts(room: Room) -> tuple[list[str], list[str]]:
    """Of a study, and of the patient's earlier one: both are complete."""
    own = [arrive(room.data_folder, ct(1))]
    prior = [arrive(room.data_folder, ct(number, **PRIOR)) for number in (11, 12)]
    room.quiet()
    return own, prior


@pytest.mark.parametrize("what", ["rejection note", "correction"])
def test_what_was_compared_with_a_wrong_study_stops_and_is_decided_again(
    room: Room, receipts: tuple[list[str], list[str]], what: str
) -> None:
    """The open job is cancelled, its results held, what was delivered is listed; what used other images goes on."""
    own, prior = receipts
    now = room.clock.now()
    runs, sends = compare(room, "runs", own, prior), compare(room, "sends", own, prior)
    alone = queue_job(room.ledger, now, STUDY, own, rule="alone")
    with room.ledger.transaction() as database:
        for job in (runs, sends):
            jobs.started(database, now, job.id, {})
        jobs.ended(database, now, sends.id, JobOutcome.FINDINGS, "results/x")
        jobs.reported(database, now, sends.id, 2)
        notifications.enqueue(database, now, jobs.get(database, sends.id), Occasion.LATE, ["duty"])
    waits = deliver(room.ledger, now, STUDY, sends.id, "9.1")
    sent = deliver(room.ledger, now, STUDY, sends.id, "9.2", DeliveryStatus.DELIVERED)
    others = deliver(room.ledger, now, STUDY, alone.id, "9.3")
    if what == "correction":
        arrive(room.data_folder, ct(11, **PRIOR, PatientID="P2", PatientName="Kim^Cheolsu"))
        reason = "the study was sent again with another patient or order"
    else:
        arrive(room.data_folder, rejection_note([ct(12, **PRIOR)], **PRIOR | {"SeriesInstanceUID": f"{EARLIER}.2"}))
        reason = "images were rejected for quality reasons"
    room.index.run_once()
    database = room.ledger.database
    assert [jobs.get(database, job.id).status for job in (runs, alone)] == [JobStatus.CANCELLED, JobStatus.QUEUED]
    assert jobs.get(database, runs.id).error == COMPARED + reason
    held = deliveries.get(database, waits.id)
    assert (held.status, held.hold) == (DeliveryStatus.HELD, COMPARED + reason)
    assert deliveries.get(database, others.id).status is DeliveryStatus.WAITING
    (told,) = notifications.of_study(database, STUDY)
    assert told.status is NotificationStatus.CANCELLED
    (listed,) = withdrawals.of_study(database, STUDY)
    assert (listed.results, listed.reason) == (1, COMPARED + reason)
    ((item,),) = database.execute("SELECT item FROM withdrawals").fetchall()
    assert item == sent.item
    study = studies.get(database, STUDY)
    assert study is not None
    assert (study.status, study.hold) == (StudyStatus.RECEIVING, None)
    room.quiet()
    assert studies.get(database, STUDY).revision == 2


def test_rejected_images_that_were_not_given_stop_nothing(room: Room, receipts: tuple[list[str], list[str]]) -> None:
    """The job compares with another image of that study: it goes on, and its study is not decided again."""
    job = compare(room, "runs", receipts[0], receipts[1][:1])
    arrive(room.data_folder, rejection_note([ct(12, **PRIOR)], **PRIOR | {"SeriesInstanceUID": f"{EARLIER}.2"}))
    room.index.run_once()
    assert jobs.get(room.ledger.database, job.id).status is JobStatus.QUEUED
    study = studies.get(room.ledger.database, STUDY)
    assert study is not None
    assert study.status is StudyStatus.COMPLETE


def test_each_further_correction_of_an_earlier_study_is_no_news(
    room: Room, receipts: tuple[list[str], list[str]]
) -> None:
    """They come one by one; the study that was compared is decided again once."""
    compare(room, "runs", *receipts)
    for number in (11, 12):
        arrive(room.data_folder, ct(number, **PRIOR, PatientID="P2"))
        room.quiet()
    study = studies.get(room.ledger.database, STUDY)
    assert study is not None
    assert (study.revision, study.status) == (2, StudyStatus.COMPLETE)
