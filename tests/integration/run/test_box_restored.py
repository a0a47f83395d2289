"""A vendor's box after a restore: what it may have is not sent again before a person has said so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from node.desk import earlier_results as desk
from node.desk.actor import Actor, ActorKind
from node.desk.earlier_results import EarlierResultsAnswer
from node.ledger import alerts, restorations
from node.ledger.alert_conditions import still_true
from node.ledger.attempts import AttemptState
from node.ledger.job import JobOutcome, JobStatus
from tests.support.dimse.vendor_box import VendorBox
from tests.support.sites.box_room import BoxRoom

Make = Callable[..., BoxRoom]
HONG = Actor(ActorKind.OS, "hong")
LATER = {"StudyDate": "20260303"}
"""Of a study that was not there on the day of the restore, 2026-03-01."""


def restore(room: BoxRoom, hours: float = 2.0) -> None:
    """The backup was made now; some hours later the machine burns down, and another goes on with the backup."""
    made_at = room.clock.now()
    room.clock.pass_(hours=hours)  # type: ignore[attr-defined]
    with room.ledger.transaction() as database:
        restorations.begin(database, room.clock.now(), by="os:kim", backup="b", made_at=made_at)
    room.restart()


def _is_open(room: BoxRoom, kind: str) -> bool:
    """Whether a person is still alerted: the node closes an alert when its condition is over."""
    return any(
        still_true(room.ledger.database, each.kind, each.place, detail="{}", last="")
        for each in alerts.every(room.ledger.database, closed=False)
        if each.kind == kind
    )


def answer(room: BoxRoom, study: str, said: EarlierResultsAnswer) -> None:
    """A person says what the box has."""
    desk.answer(room.ledger, study, "cad", said, room.clock.now(), HONG)


def test_a_box_that_has_all_images_is_waited_for(make: Make, box: VendorBox) -> None:
    """As long as it had left; nothing goes out, nobody is asked, and its answer is known by the pseudonyms."""
    room = make(charged=True, use={"deadline": "60m"})
    job = room.study_with_job()
    room.send()
    restore(room)
    room.send()
    room.passes(minutes=30)
    assert (len(box.received), room.alerts(), desk.questions(room.ledger)) == (3, [], [])
    room.arrives([box.report()])
    room.passes(seconds=31)
    assert (room.get(job).outcome, room.attempt(job).number) == (JobOutcome.FINDINGS, 1)


@pytest.mark.parametrize(
    ("said", "sent"), [(EarlierResultsAnswer.SEND, [1, 2, 3]), (EarlierResultsAnswer.AS_SENT, [1])]
)
def test_a_box_that_had_a_part_is_sent_the_rest_when_a_person_says_so(
    make: Make, box: VendorBox, said: EarlierResultsAnswer, sent: list[int]
) -> None:
    """What it answered with 0000 never goes again; where a person says that it has the rest, nothing goes."""
    room = make(charged=True)
    box.statuses = [0, 0xA700]
    job = room.study_with_job()
    room.send()
    restore(room)
    room.send()
    room.passes(minutes=10)
    assert [each.InstanceNumber for each in box.received] == [1]
    assert room.alerts() == ["box.perhaps-sent"]
    answer(room, job.study_instance_uid, said)
    room.box.run_once()
    assert [each.InstanceNumber for each in box.received] == sent
    assert (desk.questions(room.ledger), room.attempt(job).state) == ([], AttemptState.RUNNING)
    assert not _is_open(room, "box.perhaps-sent")
    room.arrives([box.report()])
    room.passes(seconds=31)
    assert room.get(job).outcome is JobOutcome.FINDINGS


@pytest.mark.parametrize("charged", [True, False])
def test_a_job_that_waited_at_the_backup_waits_for_a_person(make: Make, box: VendorBox, charged: bool) -> None:
    """It may have been sent between backup and loss: whether the box charges or not."""
    room = make(charged=charged)
    job = room.study_with_job()
    restore(room)
    room.send()
    room.passes(hours=5)
    assert (box.received, room.get(job).status, room.alerts()) == ([], JobStatus.QUEUED, ["box.perhaps-sent"])
    (question,) = desk.questions(room.ledger)
    assert "cad" in question.question
    assert desk.plain(question)["answers"]["send"].endswith("--send --destination cad")
    answer(room, job.study_instance_uid, EarlierResultsAnswer.SEND)
    room.send()
    assert len(box.received) == 3


def test_a_box_that_a_person_says_has_the_images_is_sent_nothing(make: Make, box: VendorBox) -> None:
    """And its silence is reported at the deadline, as always."""
    room = make(charged=True, use={"deadline": "20m"})
    job = room.study_with_job()
    restore(room)
    room.send()
    answer(room, job.study_instance_uid, EarlierResultsAnswer.AS_SENT)
    room.send()
    assert (box.received, room.attempt(job).state) == ([], AttemptState.RUNNING)
    room.passes(minutes=21)
    assert room.kept(job)["summary"].startswith("No answer came from cad by")


@pytest.mark.parametrize(("charged", "changes", "asked"), [(True, {}, True), (False, {}, False), (True, LATER, False)])
def test_studies_that_come_after_the_restore(
    make: Make, box: VendorBox, charged: bool, changes: dict[str, str], asked: bool
) -> None:
    """A modality sends one again that the node had after the backup: only a box that charges is not sent it unasked."""
    room = make(charged=charged)
    restore(room)
    room.clock.pass_(hours=1)  # type: ignore[attr-defined]
    job = room.study_with_job(changes=changes)
    room.send()
    assert (len(box.received), room.get(job).status) == ((0, JobStatus.QUEUED) if asked else (3, JobStatus.RUNNING))


def test_two_restores_leave_what_was_answered_answered(make: Make, box: VendorBox) -> None:
    """A person is asked once about a job."""
    room = make(charged=True)
    job = room.study_with_job()
    restore(room)
    room.send()
    answer(room, job.study_instance_uid, EarlierResultsAnswer.SEND)
    room.send()
    restore(room, hours=timedelta(minutes=30) / timedelta(hours=1))
    room.send()
    assert (len(box.received), desk.questions(room.ledger)) == (3, [])
