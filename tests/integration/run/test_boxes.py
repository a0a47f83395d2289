"""A vendor's box: what it is sent, whose its answers are, and what becomes of silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom import dcmread

from node.clock import to_text
from node.ledger import boxes, contacts, jobs, studies
from node.ledger.attempts import AttemptState
from node.ledger.contacts import ContactKind
from node.ledger.job import Job, JobOutcome, JobStatus
from tests.support.dimse.vendor_box import VendorBox
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.shared_data import shared_data
from tests.support.sites.box_room import BoxRoom

Make = Callable[..., BoxRoom]


def answered(room: BoxRoom, job: Job) -> dict[str, Any]:
    """The kept result of a job that has ended with what its box sent."""
    now = room.get(job)
    assert (now.status, now.outcome) == (JobStatus.ENDED, JobOutcome.FINDINGS), now.error
    return room.kept(job)


def test_the_box_gets_the_chosen_images_under_pseudonyms(make: Make, box: VendorBox) -> None:
    """As any plugin does; the attempt then waits elsewhere, and leaves no copy behind."""
    room = make()
    job = room.study_with_job(4, chosen=3)
    room.send()
    assert [each.InstanceNumber for each in box.received] == [1, 2, 3]
    assert {each.PatientID for each in box.received}.isdisjoint({"P1"})
    assert all(str(each.StudyInstanceUID) != STUDY for each in box.received)
    attempt = room.attempt(job)
    assert (attempt.state, attempt.place, attempt.kind) == (AttemptState.RUNNING, "box:cad", "dicom")
    assert attempt.sent_study_uid == str(box.received[0].StudyInstanceUID)
    assert list((room.data_folder.data / "boxes").rglob("*.dcm")) == []


def test_all_images_of_the_study_go_where_the_box_chooses(make: Make, box: VendorBox) -> None:
    """`send = "study"`; with `identity = "full"` it gets them as received."""
    room = make(runtime='send = "study"', identity="full")
    room.study_with_job(4, chosen=1)
    room.send()
    assert sorted(each.InstanceNumber for each in box.received) == [1, 2, 3, 4]
    assert {(each.PatientID, str(each.StudyInstanceUID)) for each in box.received} == {("P1", STUDY)}


def test_an_answer_is_taken_when_it_has_been_quiet(make: Make, box: VendorBox) -> None:
    """Its objects are those of the result, byte for byte; the study has no further image and no further revision."""
    room = make()
    job = room.study_with_job()
    room.send()
    report, page = box.report(), box.dumb_capture()
    room.arrives([report])
    room.passes(seconds=29)
    room.arrives([page], association="another")
    room.passes(seconds=29)
    assert room.get(job).status is JobStatus.RUNNING
    room.passes(seconds=6)
    assert answered(room, job)["summary"] == "cad returned 2 objects: 1 SC, 1 SR."
    assert room.attempt(job).state is AttemptState.ANSWERED
    assert room.statuses() == ["current"] * 3
    assert room.statuses(str(report.StudyInstanceUID)) == ["answer"] * 2
    room.clock.pass_(minutes=10)  # type: ignore[attr-defined]
    room.index.run_once()
    study = studies.get(room.ledger.database, STUDY)
    assert study is not None
    assert study.revision == 1


def test_an_answer_is_complete_when_the_expected_kinds_are_there(make: Make, box: VendorBox) -> None:
    """However long it takes from the first to the last."""
    room = make(runtime='expects = ["sr", "sc"]')
    job = room.study_with_job()
    room.send()
    room.arrives([box.report()])
    room.passes(minutes=40)
    assert room.get(job).status is JobStatus.RUNNING
    room.arrives([box.dumb_capture()])
    room.passes(seconds=6)
    assert len(answered(room, job)["objects"]) == 2


def test_nothing_came_by_the_deadline(make: Make) -> None:
    """The job has failed, its text names the box and the time, the attempt is not repeated, and there is an alert."""
    room = make(use={"deadline": "20m"})
    job = room.study_with_job()
    room.send()
    room.passes(minutes=19)
    assert room.get(job).status is JobStatus.RUNNING
    room.passes(minutes=2)
    now = room.get(job)
    assert (now.status, now.outcome, now.error) == (
        JobStatus.ENDED,
        JobOutcome.FAILED,
        "nothing came from cad by 2026-03-01 12:30",
    )
    assert room.kept(job)["summary"] == (
        "No answer came from cad by 2026-03-01 12:30. Nothing can be concluded from this about the images."
    )
    assert room.alerts() == ["box.silent"]


def test_what_came_by_the_deadline_is_taken_and_the_rest_is_named(make: Make, box: VendorBox) -> None:
    """An incomplete answer is no silence, and no complete one either."""
    room = make(runtime='expects = ["sr", "seg"]', use={"deadline": "20m"})
    job = room.study_with_job()
    room.send()
    room.arrives([box.report()])
    room.passes(minutes=21)
    kept = answered(room, job)
    assert kept["quality"] == ["cad did not send SEG by 2026-03-01 12:30."]
    assert room.alerts() == ["box.silent"]


def test_images_that_could_not_be_sent_by_the_deadline(make: Make, box: VendorBox) -> None:
    """The reader is told that the images did not get there; the admin how many, and why."""
    room = make(use={"deadline": "20m"})
    box.statuses = [0, 0xA700, 0xA700, 0xA700]
    job = room.study_with_job()
    room.send()
    room.passes(minutes=21)
    assert room.kept(job)["summary"].startswith("The images could not be sent to cad by 2026-03-01 12:30.")
    assert "took 1 of 3 images" in str(room.get(job).error)


@pytest.mark.parametrize("status", [0xA700, -1])
def test_sending_goes_on_where_it_broke_off(make: Make, box: VendorBox, status: int) -> None:
    """What was answered with 0000 never leaves again, whatever the box does in between."""
    room = make(charged=True)
    box.statuses = [0, status]
    job = room.study_with_job()
    room.send()
    assert len(box.received) == 1
    room.passes(seconds=6)
    assert [each.InstanceNumber for each in box.received] == [1, 2, 3]
    assert (room.attempt(job).number, room.attempt(job).state) == (1, AttemptState.RUNNING)


def test_a_node_that_died_while_it_sent_sends_the_rest(make: Make, box: VendorBox) -> None:
    """The same attempt, the same pseudonyms, nothing twice."""
    room = make(charged=True)
    box.statuses = [0, 0xA700]
    job = room.study_with_job()
    room.send()
    room.restart()
    room.passes(seconds=6)
    assert [each.InstanceNumber for each in box.received] == [1, 2, 3]
    assert len({str(each.StudyInstanceUID) for each in box.received}) == 1
    assert room.attempt(job).number == 1


def test_a_node_that_died_while_the_box_worked_takes_the_answer(make: Make, box: VendorBox) -> None:
    """By the same attempt: it outlives the node, and the run stage does not count it as lost."""
    room = make()
    job = room.study_with_job()
    room.send()
    room.restart()
    room.run.run_once()
    room.arrives([box.report()])
    room.passes(seconds=31)
    room.run.run_once()
    assert len(answered(room, job)["objects"]) == 1
    assert room.attempt(job).number == 1
    assert len(box.received) == 3


def test_the_node_calls_itself_as_the_plugin_says(make: Make, box: VendorBox) -> None:
    """Licences go by it: the plugin's own title, before that of the box."""
    room = make(calling_ae_title="BOXTITLE", use={"calling_ae_title": "LICENSED"})
    room.study_with_job()
    room.send()
    assert set(box.callers) == {"LICENSED"}


def test_a_box_that_refuses_an_image_ends_the_attempt(make: Make, box: VendorBox) -> None:
    """It would analyse a part of the series, and nobody would know."""
    room = make()
    box.statuses = [0, 0x0122]
    job = room.study_with_job()
    room.send()
    now = room.get(job)
    assert (now.status, now.outcome) == (JobStatus.ENDED, JobOutcome.FAILED)
    assert "cad refuses 1 of 3 images" in str(now.error)
    assert room.kept(job)["summary"].startswith("The analysis system did not accept the images.")


def test_a_cancelled_job_is_not_sent_further_and_its_answer_is_nobodys(make: Make, box: VendorBox) -> None:
    """Without an alert: somebody did not want it."""
    room = make()
    job = room.study_with_job()
    room.send()
    with room.ledger.transaction() as database:
        jobs.cancel(database, room.clock.now(), job.id, "not wanted")
    room.arrives([box.report()])
    assert (room.get(job).status, room.unmatched(), room.alerts()) == (JobStatus.CANCELLED, [], [])


def test_an_answer_before_the_last_image_was_sent_counts(make: Make, box: VendorBox) -> None:
    """A box begins as soon as it can; its answer is complete only after all images are there."""
    room = make(runtime="quiet_seconds = 1")
    box.statuses = [0, 0xA700]
    job = room.study_with_job()
    room.send()
    room.arrives([box.report()])
    room.box.run_once()
    assert room.get(job).status is JobStatus.RUNNING
    room.passes(seconds=6)
    room.passes(seconds=6)
    assert len(answered(room, job)["objects"]) == 1


def test_real_objects_of_others_find_their_attempt(make: Make, box: VendorBox) -> None:
    """A TID 1500 report and a segmentation that refer to what the box got."""
    room = make(runtime='expects = ["sr", "seg"]')
    job = room.study_with_job()
    room.send()
    report = box.play(shared_data("ImagingDataCommons_highdicom/data/test_files/sr_document.dcm"))
    mask = box.play(shared_data("ImagingDataCommons_highdicom/data/test_files/seg_image_ct_binary.dcm"))
    room.arrives([report, mask])
    assert room.unmatched() == []
    room.passes(seconds=6)
    assert len(answered(room, job)["objects"]) == 2


def test_an_image_that_the_box_sends_back_is_no_answer(make: Make, box: VendorBox) -> None:
    """Many forward what they get."""
    room = make()
    job = room.study_with_job()
    room.send()
    room.arrives(box.received[:2])
    room.passes(seconds=60)
    assert (room.get(job).status, room.unmatched()) == (JobStatus.RUNNING, [])


def _wrong(which: str, box: VendorBox) -> Any:
    others = [ct(1, StudyInstanceUID="1.9", SeriesInstanceUID="1.9.1", SOPInstanceUID="1.9.1.1")]
    return {
        "another study": lambda: box.report(others),
        "images of one study, UID of another": lambda: box.report(StudyInstanceUID="1.9"),
        "another patient": lambda: box.report(PatientID="SOMEBODY"),
    }[which]()


@pytest.mark.parametrize(
    ("which", "why"),
    [
        ("another study", "the box was sent nothing of this study"),
        ("images of one study, UID of another", "states another study"),
        ("another patient", "states another patient"),
    ],
)
def test_an_object_that_contradicts_what_was_sent_waits_for_a_person(
    make: Make, box: VendorBox, which: str, why: str
) -> None:
    """It is part of no result and of no study; there is an alert."""
    room = make(use={"deadline": "20m"})
    job = room.study_with_job()
    room.send()
    room.arrives([_wrong(which, box)])
    (waiting,) = room.unmatched()
    assert why in str(waiting.why)
    assert room.alerts() == ["box.answer-unmatched"]
    room.passes(minutes=21)
    assert room.get(job).outcome is JobOutcome.FAILED
    assert room.statuses() == ["current"] * 3


def test_what_comes_too_late_waits_for_a_person(make: Make, box: VendorBox) -> None:
    """The job has ended, with an answer or without; a report that readers have is not changed behind their back."""
    room = make(use={"deadline": "20m"})
    job = room.study_with_job()
    room.send()
    room.passes(minutes=21)
    room.arrives([box.report()])
    (waiting,) = room.unmatched()
    assert (waiting.why, waiting.attempt) == ("it came too late: its job had ended", room.attempt(job).id)
    assert room.alerts() == ["box.answer-unmatched", "box.silent"]


def test_a_second_answer_after_the_first_was_taken_is_late(make: Make, box: VendorBox) -> None:
    """The box was asked once; which of two answers counts is for a person to say."""
    room = make()
    job = room.study_with_job()
    room.send()
    room.arrives([box.report()])
    room.passes(seconds=31)
    answered(room, job)
    room.arrives([box.report()])
    assert [each.why for each in room.unmatched()] == ["it came too late: its job had ended"]
    assert len(room.kept(job)["objects"]) == 1


def test_one_object_that_is_sent_twice_counts_once(make: Make, box: VendorBox) -> None:
    """The same content is a duplicate; other content under the same UID is for a person."""
    room = make()
    job = room.study_with_job()
    room.send()
    report = box.report()
    room.arrives([report, report])
    changed = box.report(SOPInstanceUID=report.SOPInstanceUID, InstanceNumber=2)
    room.arrives([changed])
    room.passes(seconds=31)
    assert len(answered(room, job)["objects"]) == 1
    assert [each.why for each in room.unmatched()] == [
        "another object of the box has the same SOP Instance UID and other content"
    ]


def test_two_open_jobs_on_the_same_images_are_not_guessed_at(make: Make, box: VendorBox) -> None:
    """Nothing in the object says which of them it answers."""
    room = make(use={"at_once": 2})
    job = room.study_with_job()
    room.job("cad", job.inputs[0].receipts, study=STUDY, rule="another", parameters={})
    room.send()
    room.arrives([box.report()])
    assert [each.why for each in room.unmatched()] == ["2 open jobs at this box fit it, and nothing tells them apart"]


def test_at_most_as_many_jobs_are_at_the_box_as_its_plugin_may_have(make: Make, box: VendorBox) -> None:
    """They keep no slot of this machine; the next one begins when one has ended."""
    room = make(use={"at_once": 1})
    first, second = room.study_with_job(2), room.study_with_job(2, study="1.2.3.7")
    room.send()
    assert (room.get(first).status, room.get(second).status) == (JobStatus.RUNNING, JobStatus.QUEUED)
    room.arrives([box.report()])
    room.passes(seconds=31)
    room.send()
    assert room.get(second).status is JobStatus.RUNNING
    assert len(box.received) == 4


def test_what_a_pacs_sends_back_is_known_as_the_answer_of_the_box(make: Make, box: VendorBox) -> None:
    """By its SOP Instance UID, whoever sends it: it opens no study."""
    room = make(identity="full")
    room.study_with_job()
    room.send()
    report = box.report()
    room.arrives([report])
    changed = box.report(SOPInstanceUID=report.SOPInstanceUID, InstanceNumber=9)
    arrive(room.data_folder, changed, calling="CT1")
    room.index.run_once()
    assert room.statuses() == ["current"] * 3 + ["answer"] * 2
    assert room.unmatched() == []


def test_turnaround_and_contact_are_kept(make: Make, box: VendorBox) -> None:
    """For `status`: median and last, and that it answers C-ECHO."""
    room = make()
    room.study_with_job()
    room.send()
    room.passes(seconds=90)
    room.arrives([box.report()])
    room.passes(seconds=31)
    took = boxes.turnaround(room.ledger.database, "cad")
    assert took is not None
    assert (took.answered, round(took.last)) == (1, 90)
    contact = contacts.get(room.ledger.database, ContactKind.BOX, "cad")
    assert contact is not None
    assert (contact.down_since, contact.answered_at is not None) == (None, True)


def test_a_box_that_is_down_is_an_alert_while_it_lasts(make: Make, box: VendorBox) -> None:
    """After ten minutes; nothing is lost meanwhile."""
    room = make(port=1)
    room.study_with_job()
    room.send()
    assert room.alerts() == []
    room.passes(minutes=5)
    room.passes(minutes=6)
    assert room.alerts() == ["box.down"]


def test_a_clock_that_is_set_ahead_ends_nothing(make: Make, box: VendorBox) -> None:
    """An attempt has as long as it had before."""
    room = make(use={"deadline": "20m"})
    job = room.study_with_job()
    room.send()
    room.clock.jump(days=3)  # type: ignore[attr-defined]
    room.box.run_once()
    assert room.get(job).status is JobStatus.RUNNING
    room.passes(minutes=21)
    assert room.get(job).outcome is JobOutcome.FAILED


def test_a_box_that_was_taken_out_of_the_configuration_ends_its_jobs(make: Make, box: VendorBox) -> None:
    """Visibly: nobody would take its answer any more."""
    room = make()
    job = room.study_with_job()
    room.send()
    room.run.use(room.configuration.model_copy(update={"boxes": {}}))
    room.run.run_once()
    assert "there is no box cad in the configuration any more" in str(room.get(job).error)


def test_the_objects_are_those_that_the_box_sent(make: Make, box: VendorBox) -> None:
    """Nothing is added to their data sets on the way to the result."""
    room = make(identity="full")
    job = room.study_with_job()
    room.send()
    report = box.report()
    room.arrives([report])
    room.passes(seconds=31)
    name = answered(room, job)["objects"][0]["file"]
    kept = dcmread(room.data_folder.results / job.id / "plugin" / "out" / name)
    assert (str(kept.SOPInstanceUID), kept.PatientID) == (str(report.SOPInstanceUID), "P1")


def test_an_answer_that_waits_to_be_indexed_at_the_deadline_counts(make: Make, box: VendorBox) -> None:
    """The receivers took it while the node was down: nobody says that nothing came."""
    room = make(use={"deadline": "20m"})
    job = room.study_with_job()
    room.send()
    room.passes(minutes=19)
    arrive(room.data_folder, box.report(), calling="CADBOX", received_at=to_text(room.clock.now()))
    room.restart()
    room.passes(minutes=30)
    assert room.get(job).status is JobStatus.RUNNING
    room.index.run_once()
    room.passes(seconds=1)
    assert len(answered(room, job)["objects"]) == 1


def test_what_can_never_be_indexed_does_not_keep_silence_from_being_told(make: Make, box: VendorBox) -> None:
    """Some minutes later the report says that nothing came."""
    room = make(use={"deadline": "20m"})
    job = room.study_with_job()
    room.send()
    (room.data_folder.data / "incoming" / "20260301T120000000000Z-foreign.dcm").write_bytes(b"not ours")
    room.passes(minutes=21)
    room.passes(minutes=3)
    assert room.get(job).outcome is JobOutcome.FAILED
