"""`plugin withdraw`, `plugin reinstate` and `plugin list --inventory`: what a person sees and can decide."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from node.ledger import attempts, deliveries, jobs, plugin_versions, recalls, withdrawals
from node.ledger.attempts import AttemptCourse, AttemptFailureKind
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import JobOutcome, JobStatus
from node.ledger.plugin_versions import PluginVersion
from node.ledger.schema import m0041_recalls
from plugins import manifest
from tests.support import history
from tests.support.sites.calls import Run
from tests.support.sites.outcomes import deliver, queue_job
from tests.support.sites.past import ARRIVING, GOOD, NOW

HERE = manifest.load(Path(manifest.__file__).parent / "lung_density")
VERSION = HERE.identity.version
OLD = "0.9.0"
WITHDRAW = ("plugin", "withdraw", "lung_density", OLD, "--reason", "quality")


@pytest.fixture
def answered(ledger: Ledger) -> dict[str, str]:
    """A job that the old version answered: one object is at the PACS, one waits; and a queued one. Name → id."""
    job = queue_job(ledger, NOW, GOOD, ["r1"], plugin="lung-density")
    queued = queue_job(ledger, NOW, GOOD, ["r2"], plugin="lung-density", rule="other")
    found = {"findings": [{"code": ["LUNG_DENSITY", "99PACSNODE", "Lung density"], "present": True}]}
    algorithm = {"name": "Lung density", "version": OLD, "manufacturer": "pacsnode", "software_digest": "ab" * 32}
    with ledger.transaction() as database:
        jobs.started(database, NOW, job.id, algorithm)
        plugin_versions.ran(
            database, NOW, PluginVersion("lung_density", OLD, algorithm, {"clearance": "MFDS 24-1"}, "Dr Kim")
        )
        jobs.ended(database, NOW, job.id, JobOutcome.FINDINGS, "results/x", found=found)
        jobs.reported(database, NOW, job.id, 2)
    deliver(ledger, NOW, GOOD, job.id, "1.2.3.100", DeliveryStatus.DELIVERED)
    deliver(ledger, NOW, GOOD, job.id, "1.2.3.101")
    return {"job": job.id, "queued": queued.id}


def test_a_dry_run_lists_what_is_delivered_and_changes_nothing(
    run: Run, ledger: Ledger, answered: dict[str, str]
) -> None:
    """Accession, study, UID, destination and finding; as table, JSON and CSV."""
    shown = run(*WITHDRAW, "--dry-run")
    assert shown.code == 0, shown.err
    assert f"lung-density {OLD} would be withdrawn (quality); nothing was changed" in shown.out
    said = run(*WITHDRAW, "--dry-run", "--json").json
    (row,) = [each for each in said["delivered"] if each["job"] == answered["job"]]
    assert (row["accession_number"], row["study_instance_uid"], row["sop_instance_uid"]) == (
        "20260302-0017",
        GOOD,
        "1.2.3.100",
    )
    assert (row["destination"], row["finding"], row["status"]) == ("pacs", "Lung density: present", "")
    (cells,) = csv.DictReader(io.StringIO(run(*WITHDRAW, "--dry-run", "--csv").out))
    assert (cells["sop_instance_uid"], cells["finding"]) == ("1.2.3.100", "Lung density: present")
    assert recalls.in_force(ledger.database) == []
    assert withdrawals.of_study(ledger.database, GOOD) == []


def test_it_is_stopped_held_listed_and_asked_about_until_a_person_has_seen_to_it(
    run: Run, ledger: Ledger, answered: dict[str, str]
) -> None:
    """The record names who and why; `status`, `review` and `done` go on from there."""
    done = run(*WITHDRAW, "--why", "too many")
    assert done.code == 0, done.err
    (recall,) = recalls.in_force(ledger.database)
    assert (recall.by[:3], recall.why) == ("os:", "too many")
    waiting = deliveries.of_item(ledger.database, "1.2.3.101", "pacs")
    assert waiting is not None
    assert (waiting.status, waiting.hold) == (
        DeliveryStatus.HELD,
        f"lung-density {OLD} was withdrawn (quality): too many",
    )
    assert jobs.get(ledger.database, answered["queued"]).status is JobStatus.QUEUED, "another version would run it"
    refused = run("retry", waiting.id)
    assert refused.code == 1
    assert "is not sent" in refused.err
    assert f"lung-density {OLD} was withdrawn (quality): too many" in " ".join(run("status").out.split())
    (state,) = run("status", "--json").json["withdrawn_versions"]
    assert state["objects"] == {"listed": 1}
    assert "are they taken out there?" in " ".join(run("review").out.split())
    assert run("done", f"recall:{recall.id}").code == 0
    assert {each.status for each in withdrawals.of_study(ledger.database, GOOD)} == {"done"}
    assert "plugin.withdrawn" not in {each.kind for each in history.open_alerts(ledger.database)}
    assert run("done", f"recall:{recall.id}").code == 1


def test_jobs_that_wait_for_the_installed_version_are_counted_and_left_to_the_node(
    run: Run, ledger: Ledger, answered: dict[str, str]
) -> None:
    """It ends them as not analysed: to cancel them would be silence."""
    arguments = ("plugin", "withdraw", "lung-density", VERSION, "--reason", "safety")
    assert run(*arguments, "--dry-run", "--json").json["to_stop"] == 1
    assert "1 wait to end as not analysed" in run(*arguments).out
    assert jobs.get(ledger.database, answered["queued"]).status is JobStatus.QUEUED
    assert jobs.get(ledger.database, answered["job"]).status is JobStatus.REPORTED


def test_the_same_command_goes_on_and_another_reason_is_refused(
    run: Run, ledger: Ledger, answered: dict[str, str]
) -> None:
    """What has been sent since is listed by it."""
    assert answered
    run(*WITHDRAW)
    with ledger.transaction() as database:
        database.execute("UPDATE deliveries SET status='delivered', hold=NULL WHERE item='1.2.3.101'")
    assert run(*WITHDRAW, "--per-minute", "7").code == 0
    assert recalls.in_force(ledger.database)[0].per_minute == 7
    rows = withdrawals.of_study(ledger.database, GOOD)
    assert sum(each.results for each in rows) == 2
    other = run("plugin", "withdraw", "lung_density", OLD, "--reason", "safety")
    assert other.code == 1
    assert "for another reason: quality" in other.err


def test_taking_it_back_names_person_and_reason(run: Run, ledger: Ledger, answered: dict[str, str]) -> None:
    """What is listed may stay, what is held stays held."""
    assert answered
    run(*WITHDRAW)
    assert run("plugin", "reinstate", "lung-density", OLD, "--why", " ").code == 2
    back = run("plugin", "reinstate", "lung-density", OLD, "--why", "the vendor was wrong")
    assert back.code == 0
    assert "retry --status held --plugin lung-density" in back.out
    (event,) = history.of_kind(ledger.database, "plugin.reinstated")
    assert (event.actor[:3], event.detail["why"]) == ("os:", "the vendor was wrong")
    assert {each.status for each in withdrawals.of_study(ledger.database, GOOD)} == {"dismissed"}
    assert run("plugin", "reinstate", "lung-density", OLD, "--why", "x").code == 1


def test_the_nodes_own_answer_is_no_result_of_the_version(run: Run, ledger: Ledger, answered: dict[str, str]) -> None:
    """What ended as not analysed is neither listed nor held, and taking it back says how it is analysed after all."""
    with ledger.transaction() as database:
        jobs.started(database, NOW, answered["queued"], {"name": "Lung density", "version": OLD})
        attempts.note(database, answered["queued"], AttemptCourse(AttemptFailureKind.STOPPED))
        error = f"not analysed: lung-density {OLD} was withdrawn"
        jobs.ended(database, NOW, answered["queued"], JobOutcome.FAILED, "results/z", error)
        jobs.reported(database, NOW, answered["queued"], 1)
    deliver(ledger, NOW, GOOD, answered["queued"], "1.2.3.300", DeliveryStatus.DELIVERED)
    said = run(*WITHDRAW, "--json").json
    assert [each["sop_instance_uid"] for each in said["delivered"]] == ["1.2.3.100"]
    back = run("plugin", "reinstate", "lung-density", OLD, "--why", "the vendor was wrong")
    assert "1 jobs were not analysed because of it: pacsnode retry --status failed --plugin lung-density" in back.out


def test_what_a_later_step_made_of_it_is_stopped_too_and_left_to_a_person(
    run: Run, ledger: Ledger, answered: dict[str, str]
) -> None:
    """Listed with the mark that it rests on the withdrawn result."""
    first = jobs.get(ledger.database, answered["job"])
    later = queue_job(ledger, NOW, ARRIVING, ["r3"], plugin="lung-density", step="second")
    with ledger.transaction() as database:
        database.execute(
            "UPDATE jobs SET decision=?, study_instance_uid=?, plugin='other' WHERE id=?",
            [first.decision, GOOD, later.id],
        )
        jobs.started(database, NOW, later.id, {"name": "other", "version": "1"})
        jobs.ended(database, NOW, later.id, JobOutcome.NO_FINDINGS, "results/y")
        jobs.reported(database, NOW, later.id, 1)
    deliver(ledger, NOW, GOOD, later.id, "1.2.3.200", DeliveryStatus.DELIVERED)
    said = run(*WITHDRAW, "--json").json
    assert {each["sop_instance_uid"]: each["rests"] for each in said["delivered"]} == {
        "1.2.3.100": False,
        "1.2.3.200": True,
    }


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lung_density", "9.9", "--reason", "quality"), f"never ran here; there is {VERSION}"),
        (("lung-densty", "1", "--reason", "quality"), "did you mean lung-density?"),
        (("lung_density", VERSION, "--reason", "bad"), "expected one of quality, safety, wrong-patient"),
        (("lung_density", VERSION), "--reason"),
    ],
)
def test_a_slip_withdraws_nothing(run: Run, ledger: Ledger, arguments: tuple[str, ...], said: str) -> None:
    """It would look like a withdrawal."""
    answer = run("plugin", "withdraw", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert recalls.in_force(ledger.database) == []


def test_the_inventory_has_what_is_installed_and_what_ran_before(
    run: Run, ledger: Ledger, answered: dict[str, str]
) -> None:
    """With what each says of itself, who allowed it, and its jobs; `not stated` where it says nothing."""
    assert answered
    run(*WITHDRAW)
    rows = run("plugin", "list", "--inventory", "--json").json["inventory"]
    (here,) = [each for each in rows if each["name"] == "lung-density" and each["installed"]]
    (old,) = [each for each in rows if each["version"] == OLD]
    assert (here["version"], here["clearance"]) == (VERSION, HERE.about.clearance)
    assert here["intended_use"] == HERE.identity.intended_use
    assert here["digest"]
    assert (old["installed"], old["clearance"], old["allowed_by"]) == (False, "MFDS 24-1", "Dr Kim")
    assert (old["jobs"], old["failures"], old["digest"]) == (1, 0, "ab" * 32)
    assert "was withdrawn (quality)" in old["withdrawn"]
    shown = run("plugin", "list", "--inventory").out
    assert "known limits   not stated" in shown
    assert f"lung-density {OLD}" in shown


def test_versions_of_before_the_record_are_known_by_their_attempts(ledger: Ledger, answered: dict[str, str]) -> None:
    """As the migration makes it of a ledger in which they ran."""
    assert answered
    with ledger.transaction() as database:
        database.execute("DELETE FROM plugin_versions")
        for statement in m0041_recalls._VERSIONS_OF_BEFORE:
            database.execute(statement)
    assert ("lung-density", OLD) in plugin_versions.names(ledger.database)


def test_explain_says_that_it_is_withdrawn(run: Run, config: Path, ledger: Ledger, answered: dict[str, str]) -> None:
    """Why nothing comes, beside why the rule matches."""
    assert answered
    plain = "{name: lungs, when: {Modality: CT}, choose: {take: one}, run: lung-density, send: pacs, mode: pilot}"
    config.write_text(f"{config.read_text()}rules:\n  - {plain}\n")
    run(*WITHDRAW)
    assert f"lung-density {OLD} was withdrawn (quality)." in run("explain", GOOD).out
