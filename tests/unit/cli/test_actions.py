"""`retry`, `complete` and `cancel`: what changes, and who is recorded."""

from __future__ import annotations

import pytest

from node.deliver.ways.dimse import dimse
from node.dicom.report_classes import SOP_CLASSES
from node.ledger import defects, deliveries, fallbacks, identities, jobs, studies, study_ends, withdrawals
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.events import Event
from node.ledger.job import JobStatus
from node.store.health import Trouble, note_failing
from tests.support import history
from tests.support.sites import past
from tests.support.sites.calls import Run
from tests.support.sites.outcomes import deliver
from tests.support.sites.past import ARRIVING, FAILED, GOOD, HELD, NOW


@pytest.fixture(autouse=True)
def _alice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice sits at the console, behind sudo."""
    monkeypatch.setenv("SUDO_USER", "alice")


def last(ledger: Ledger, kind: str) -> Event:
    """The newest event of a kind."""
    return next(event for event in history.latest(ledger.database, 50) if event.kind == kind)


def only_job(ledger: Ledger, study: str) -> str:
    """The id of a study's first job."""
    return jobs.of_study(ledger.database, study)[0].id


@pytest.mark.parametrize("number", [2, 3])
def test_a_dead_or_held_delivery_is_sent_again(run: Run, ledger: Ledger, number: int) -> None:
    """It waits, the destination will be asked again whose study it is, and the record names Alice."""
    answer = run("retry", number, "--json")
    assert answer.json["status"] == "waiting"
    found = deliveries.get(ledger.database, number)
    assert (found.status, found.attempts, found.hold) == (DeliveryStatus.WAITING, 0, None)
    assert identities.get(ledger.database, GOOD, found.destination) is None
    assert last(ledger, "delivery.again").actor == "os:alice"


def test_a_delivered_object_is_not_sent_again(run: Run, ledger: Ledger) -> None:
    """Exit code 1, the reason, and nothing changed, not even the answer about the patient."""
    answer = run("retry", 1)
    assert answer.code == 1
    assert "delivery 1 is delivered" in answer.err
    assert identities.get(ledger.database, GOOD, "pacs") is not None


def test_a_job_is_done_again_as_a_new_one(run: Run, ledger: Ledger) -> None:
    """Named by the eight characters that tables show; the new one names the old one."""
    old = only_job(ledger, GOOD)
    answer = run("retry", old[:8], "--json").json
    new = jobs.get(ledger.database, answer["job"])
    assert (new.supersedes, new.round, new.status) == (old, 2, JobStatus.QUEUED)
    assert last(ledger, "job.again").actor == "os:alice"


def test_a_job_is_cancelled(run: Run, ledger: Ledger) -> None:
    """The reason names who did it; a second time it is over."""
    job = only_job(ledger, FAILED)
    assert run("cancel", job).code == 0
    assert jobs.get(ledger.database, job).status is JobStatus.CANCELLED
    assert last(ledger, "job.cancelled").detail["reason"] == "cancelled by alice"
    assert run("cancel", job).code == 1


def test_a_delivery_is_cancelled(run: Run, ledger: Ledger) -> None:
    """By its number."""
    assert run("cancel", "3", "--json").json == {"delivery": 3, "status": "cancelled"}
    assert deliveries.get(ledger.database, 3).status is DeliveryStatus.CANCELLED


def replaced(ledger: Ledger) -> tuple[int, int]:
    """A report that was refused, and the one in another SOP class that took its place and waits."""
    job = only_job(ledger, GOOD)
    old = deliver(ledger, NOW, GOOD, job, "2.25.81", DeliveryStatus.SENDING)
    with ledger.transaction() as database:
        fallbacks.refused(database, NOW, old.id, SOP_CLASSES["enhanced"], "why")
        new = deliveries.enqueue(
            database,
            NOW,
            sop_instance_uid="2.25.82",
            sop_class_uid=SOP_CLASSES["enhanced"],
            study=GOOD,
            job=job,
            file="results/2.25.82.dcm",
            destination="pacs",
        )
        fallbacks.replaced(database, NOW, old.id, new)
    return old.id, new


def test_who_names_a_replaced_report_means_what_took_its_place(run: Run, ledger: Ledger) -> None:
    """`retry` and `cancel` say so; once that one has arrived there is nothing to send, and what to do is said."""
    old, new = replaced(ledger)
    answer = run("cancel", old)
    assert f"delivery {old} was replaced by delivery {new}: delivery {new} is cancelled" in answer.out
    answer = run("retry", old, "--json")
    assert (answer.json["delivery"], answer.json["status"]) == (new, "waiting")
    assert deliveries.get(ledger.database, old).status is DeliveryStatus.REPLACED
    with ledger.transaction() as database:
        deliveries.sending(database, NOW, new)
        deliveries.delivered(database, NOW, new, dimse(0))
    answer = run("retry", old)
    assert answer.code == 1
    assert f"pacsnode retry {only_job(ledger, GOOD)[:8]} makes the result again" in answer.err


def test_status_and_study_tell_of_a_refused_class_and_not_of_trouble(run: Run, ledger: Ledger) -> None:
    """A warning says what was refused, what was sent and what to set; the refused delivery is in no list of trouble."""
    before = run("status", "--json").json
    old, new = replaced(ledger)
    said = run("status", "--json").json
    (warning,) = set(said["health"]["warnings"]) - set(before["health"]["warnings"])
    assert warning == (
        "pacs refuses Comprehensive SR (sr_class: comprehensive): a report was re-encoded as Enhanced SR; "
        "set sr_class: enhanced for pacs, or have it accept Comprehensive SR"
    )
    assert warning in " ".join(run("status").out.split())
    for trouble in ("dead_letters", "held_deliveries", "failures", "alerts"):
        assert said[trouble] == before[trouble]
    assert said["queues"]["deliveries"]["pacs"]["replaced"] == 1
    shown = run("study", GOOD).out
    assert "delivery.replaced" in shown
    (row,) = [each for each in run("study", GOOD, "--json").json["deliveries"] if each["id"] == old]
    assert (row["status"], row["replaced_by"]) == ("replaced", new)


def test_a_held_study_is_released_by_a_person(run: Run, ledger: Ledger) -> None:
    """Why it was held is said once more; the record names Alice."""
    answer = run("retry", HELD)
    assert "a correction arrived: PatientID differs" in answer.out
    found = studies.get(ledger.database, HELD)
    assert found is not None
    assert found.hold is None
    assert last(ledger, "study.released").actor == "os:alice"


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("what", ["99", "abcdef99", "zz", "x" * 200, "9" * 40, GOOD])
def test_what_is_not_there_is_exit_code_1(run: Run, what: str) -> None:
    """A number without a delivery, a prefix without a job, a study that is not held, nonsense."""
    answer = run("retry", what)
    assert (answer.code, answer.out) == (1, "")


def test_a_short_prefix_names_no_job(run: Run, ledger: Ledger) -> None:
    """Five characters are a slip, not a choice (fewer could be a delivery's number)."""
    answer = run("cancel", only_job(ledger, FAILED)[:5])
    assert answer.code == 1
    assert "at least 6 characters" in answer.err


def test_a_number_that_also_begins_a_job_asks_for_more(run: Run, ledger: Ledger) -> None:
    """Nothing is guessed: both are named as they can be written."""
    with ledger.transaction() as database:
        job = only_job(ledger, FAILED)
        database.execute("PRAGMA defer_foreign_keys=ON")
        for table, column in (("jobs", "id"), ("attempts", "job"), ("job_studies", "job")):
            sql = f"UPDATE {table} SET {column}='12345678-0000-5000-8000-000000000000' WHERE {column}=?"
            database.execute(sql, [job])
        database.execute("UPDATE deliveries SET id=123456 WHERE id=3")
    answer = run("cancel", "123456")
    assert answer.code == 2
    assert "delivery:123456, job 12345678-0000-5000-8000-000000000000" in answer.err
    assert run("cancel", "delivery:123456").code == 0
    assert last(ledger, "delivery.cancelled").at > NOW


def test_images_of_a_study_are_sent_on_again_or_not_at_all(run: Run, ledger: Ledger) -> None:
    """By the study: those that are held or dead go again; those that have not been sent are cancelled; else exit 1."""
    past.images(ledger)
    assert run("retry", FAILED, "--json").json == {"study_instance_uid": FAILED, "images": 1}
    assert run("retry", FAILED).code == 1
    assert last(ledger, "forward.again").actor == "os:alice"
    assert run("cancel", FAILED, "--json").json == {"study_instance_uid": FAILED, "status": "cancelled", "images": 2}
    assert past.statuses(ledger, FAILED) == [DeliveryStatus.CANCELLED] * 2
    assert run("cancel", FAILED).code == 1


def test_finding_d3_status_shows_what_could_not_be_handled_and_retry_has_it_tried_again(
    run: Run, ledger: Ledger
) -> None:
    """Its number, stage, place of the defect and study; named by that number it is tried again; the record says who."""
    with ledger.transaction() as database:
        found = defects.failed(database, NOW, "route", f"study:{GOOD}", "KeyError in stage.py, line 1", study=GOOD)
        defects.park(database, found)
    text = run("status").out
    assert "pacsnode retry defect:NUMBER" in text
    assert "given up" in text
    (plain,) = run("status", "--json").json["defects"]
    assert (plain["defect"], plain["stage"], plain["given_up"]) == (found.id, "route", True)
    assert run("retry", f"defect:{found.id}", "--json").json["item"] == f"study:{GOOD}"
    (again,) = defects.of_stage(ledger.database, "route")
    assert (again.parked, again.times) == (False, 0)
    assert last(ledger, "item.again").actor == "os:alice"
    assert run("retry", "defect:99").code == 1
    assert run("retry", "defect:x").code == 2


def test_finding_d3_retry_of_a_delivery_forgets_why_it_waited(run: Run, ledger: Ledger) -> None:
    """Its tries start over."""
    with ledger.transaction() as database:
        defects.failed(database, NOW, "deliver", "delivery:2", "KeyError", delivery=2)
    run("retry", 2)
    assert defects.of_stage(ledger.database, "deliver") == []


def test_finding_d3_status_names_stages_that_fail_as_a_whole(run: Run, ledger: Ledger) -> None:
    """Also where the ledger is what fails: the node leaves a file."""
    note_failing(ledger.path.parent, {"deliver-pacs": Trouble(NOW, "the ledger is locked")})
    assert run("status", "--json").json["failing_stages"]["deliver-pacs"]["why"] == "the ledger is locked"


def test_what_is_to_be_withdrawn_is_shown_until_a_person_has_seen_to_it(run: Run, ledger: Ledger) -> None:
    """In `status` and `study`; a second time there is nothing to see to."""
    with ledger.transaction() as database:
        sent = [each for each in deliveries.of_study(database, GOOD) if each.status is DeliveryStatus.DELIVERED]
        withdrawals.enter(database, NOW, GOOD, sent, "images were rejected for quality reasons")
    (listed,) = run("status", "--json").json["to_withdraw"]
    assert (listed["destination"], listed["results"], listed["status"]) == ("pacs", 1, "listed")
    assert "rejected for quality reasons" in run("status").out
    assert "Withdrawals" in run("study", GOOD).out
    answer = run("cancel", f"withdrawal:{GOOD}")
    assert answer.out.strip() == f"1 objects of study {GOOD} are no longer listed for withdrawal"
    assert run("status", "--json").json["to_withdraw"] == []
    assert [each["status"] for each in run("study", GOOD, "--json").json["withdrawals"]] == ["dismissed"]
    again = run("cancel", f"withdrawal:{GOOD}")
    assert again.code == 1
    assert "nothing of study" in again.err


def test_finding_o4_a_study_is_completed_because_a_person_says_so(run: Run, ledger: Ledger) -> None:
    """By accession number; the node is to do it, the record names Alice, and both pages say that it is under way."""
    assert run("complete", "20260302-0020", "--json").json == {
        "study_instance_uid": ARRIVING,
        "status": "to be completed",
        "instances": 3,
    }
    assert study_ends.asked(ledger.database) == {ARRIVING: "os:alice"}
    assert last(ledger, "study.ended").actor == "os:alice"
    assert "receiving, to be completed now; revision 0" in run("study", ARRIVING).out
    assert "to be completed now" in " ".join(run("status").out.split())


def test_finding_o4_a_complete_study_is_not_completed_again(run: Run, ledger: Ledger) -> None:
    """Exit code 1, with the reason; neither is one that is not there."""
    answer = run("complete", GOOD)
    assert (answer.code, answer.out) == (1, "")
    assert f"study {GOOD} is complete (revision 1)" in answer.err
    assert run("complete", "1.2.840.99999").code == 1
    assert study_ends.asked(ledger.database) == {}
