"""What a person decides of a box's objects that nobody knows the job of; and two plugins at one box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from node.desk import boxes as desk
from node.desk import review
from node.desk.actor import Actor, ActorKind
from node.errors import NotFoundError, PermanentError
from node.ledger import jobs
from node.ledger.job import JobOutcome, JobStatus
from tests.support.dimse.vendor_box import VendorBox
from tests.support.images.receipts import ct
from tests.support.sites.box_room import BoxRoom

BY = Actor(ActorKind.OS, "hong")


def _late(room: BoxRoom, box: VendorBox) -> Any:
    """A job whose box was silent, and answers too late."""
    job = room.study_with_job()
    room.send()
    room.passes(minutes=21)
    assert room.get(job).outcome is JobOutcome.FAILED
    with room.ledger.transaction() as database:
        jobs.reported(database, room.clock.now(), job.id, 1)
    room.arrives([box.report(), box.dumb_capture()])
    return job


def test_a_late_answer_can_be_given_to_its_job(make: Callable[..., BoxRoom], box: VendorBox) -> None:
    """Another round takes it as its answer: what readers have is replaced, and the box is not sent anything again."""
    room = make(use={"deadline": "20m"}, charged=True)
    job = _late(room, box)
    (waiting,) = desk.unmatched(room.ledger)
    assert (waiting.kinds, waiting.job) == (["sr", "sc"], job.id)
    done = desk.give(room.ledger, waiting.name, job.id[:8], room.clock.now(), BY)
    assert done.value["objects"] == 2
    room.run.run_once()
    room.box.run_once()
    again = room.get_by_id(done.value["job"])
    assert (again.outcome, again.round, again.supersedes) == (JobOutcome.FINDINGS, 2, job.id)
    assert len(room.kept(again)["objects"]) == 2
    assert len(box.received) == 3
    assert (room.unmatched(), room.alerts()) == ([], ["box.answer-unmatched", "box.silent"])


def test_an_answer_can_be_given_to_a_job_that_still_waits(make: Callable[..., BoxRoom], box: VendorBox) -> None:
    """Of several that it may be for, a person says which."""
    room = make()
    job = room.study_with_job()
    room.send()
    room.arrives([box.report(PatientID="", StudyInstanceUID="1.9.9")])
    (waiting,) = desk.unmatched(room.ledger)
    desk.give(room.ledger, waiting.name, job.id, room.clock.now(), BY)
    room.passes(seconds=31)
    assert room.get(job).status is JobStatus.ENDED


def test_an_answer_that_nobody_wants_is_dismissed(make: Callable[..., BoxRoom], box: VendorBox) -> None:
    """It is off the list, and the alert ends with it."""
    room = make(use={"deadline": "20m"})
    _late(room, box)
    (waiting,) = desk.unmatched(room.ledger)
    desk.dismiss(room.ledger, waiting.name, room.clock.now(), BY)
    assert desk.unmatched(room.ledger) == []
    with pytest.raises(NotFoundError, match="pacsnode answers lists them"):
        desk.dismiss(room.ledger, waiting.name, room.clock.now(), BY)


def test_an_answer_is_not_given_to_a_job_of_another_box(make: Callable[..., BoxRoom], box: VendorBox) -> None:
    """It was never sent there, so it cannot have been answered."""
    room = make(use={"deadline": "20m"})
    _late(room, box)
    other = room.study_with_job(2, study="1.2.3.8")
    (waiting,) = desk.unmatched(room.ledger)
    with pytest.raises(PermanentError, match="was never sent to cad"):
        desk.give(room.ledger, waiting.name, other.id, room.clock.now(), BY)


def test_review_asks_whose_it_is(make: Callable[..., BoxRoom], box: VendorBox) -> None:
    """With the commands that answer it."""
    room = make(use={"deadline": "20m"})
    job = _late(room, box)
    items = {each.kind.value: each for each in review.look(room.ledger, room.configuration).items}
    asked = items["box.answer-unmatched"]
    assert asked.question == (
        "2 objects came from the box cad (it came too late: its job had ended): which job do they answer?"
    )
    (name,) = {each.command[1] for each in asked.answers}
    assert [each.command for each in asked.answers] == [
        ("answers", name, "--give", job.id[:8]),
        ("answers", name, "--dismiss"),
    ]


def test_no_patient_is_named_in_the_list(make: Callable[..., BoxRoom], box: VendorBox) -> None:
    """It is for whoever looks after the node."""
    room = make(identity="full")
    room.study_with_job()
    room.send()
    room.arrives([box.report([ct(1, StudyInstanceUID="1.9", PatientName="Kim^Cheolsu", PatientID="P77")])])
    (waiting,) = desk.unmatched(room.ledger)
    text = desk.line(waiting, room.configuration.node.zone, room.clock.now())
    assert "Kim" not in text
    assert "P77" not in text
    assert text.startswith(f"{waiting.name}  1 SR from cad, ")
