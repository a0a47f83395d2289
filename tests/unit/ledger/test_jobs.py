"""Jobs: identity, every transition, and what is ready."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from node.errors import NotFoundError, PermanentError
from node.ledger import (
    attempts,
    decisions,
    encoding_queue,
    events,
    gone_rules,
    jobs,
    pauses,
    rule_history,
    rule_versions,
    studies,
)
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.job import OPEN, JobOutcome, JobStatus, NewJob, digest_of
from node.ledger.pauses import Pausable, Pause
from node.ledger.rule_versions import Version
from tests.support import history
from tests.support.sites.outcomes import queue_job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)

Transition = Callable[[Database, str], Any]
TRANSITIONS: dict[str, tuple[Transition, set[JobStatus], JobStatus]] = {
    "started": (lambda d, j: jobs.started(d, NOW, j, {"name": "x"}), {JobStatus.QUEUED}, JobStatus.RUNNING),
    "ended": (
        lambda d, j: jobs.ended(d, NOW, j, JobOutcome.FINDINGS, "work/x"),
        {JobStatus.RUNNING},
        JobStatus.ENDED,
    ),
    "try_again": (lambda d, j: jobs.try_again(d, NOW, j, "why", LATER), {JobStatus.RUNNING}, JobStatus.QUEUED),
    "postponed": (lambda d, j: jobs.postponed(d, NOW, j, "why", LATER), {JobStatus.RUNNING}, JobStatus.QUEUED),
    "interrupted": (lambda d, j: jobs.interrupted(d, NOW, j, "why"), {JobStatus.RUNNING}, JobStatus.QUEUED),
    "reported": (lambda d, j: jobs.reported(d, NOW, j, 2), {JobStatus.ENDED}, JobStatus.REPORTED),
    "refused": (lambda d, j: jobs.refused(d, NOW, j, "why"), {JobStatus.ENDED}, JobStatus.ENDED),
    "unreportable": (lambda d, j: jobs.unreportable(d, NOW, j, "why"), {JobStatus.ENDED}, JobStatus.UNREPORTABLE),
    "cancel": (lambda d, j: jobs.cancel(d, NOW, j, "why"), set(OPEN), JobStatus.CANCELLED),
}


@pytest.mark.parametrize("status", list(JobStatus))
@pytest.mark.parametrize("name", list(TRANSITIONS))
def test_every_transition_from_every_status(ledger: Ledger, name: str, status: JobStatus) -> None:
    """Allowed: the new status and one event. Otherwise: PermanentError, the row as it was, no event."""
    transition, allowed, to = TRANSITIONS[name]
    job = queue_job(ledger, NOW, "1.2", ["r1"])
    if status is JobStatus.RUNNING:
        with ledger.transaction() as database:
            jobs.started(database, NOW, job.id, {})
    ledger.database.execute("UPDATE jobs SET status=? WHERE id=?", [status, job.id])
    before = len(events.of_study(ledger.database, "1.2"))
    if status in allowed:
        with ledger.transaction() as database:
            transition(database, job.id)
        assert jobs.get(ledger.database, job.id).status is to
        assert len(events.of_study(ledger.database, "1.2")) == before + 1
        assert bool(attempts.open_here(ledger.database)) is (to is JobStatus.RUNNING)
    else:
        with pytest.raises(PermanentError, match=f"is {status}"), ledger.transaction() as database:
            transition(database, job.id)
        assert jobs.get(ledger.database, job.id).status is status
        assert len(events.of_study(ledger.database, "1.2")) == before


def test_equal_inputs_are_not_run_twice(ledger: Ledger) -> None:
    """The same rule, step, subject and digest: no second job; other inputs: one that supersedes the first."""
    first = queue_job(ledger, NOW, "1.2", ["r1"])
    with ledger.transaction() as database:
        new = NewJob(**{name: getattr(first, name) for name in NewJob.__slots__})
        assert jobs.enqueue(database, NOW, first.decision, new) is None
    second = queue_job(ledger, LATER, "1.2", ["r1", "r2"], revision=2)
    assert second.supersedes == first.id


def test_finding_m1_what_a_job_supersedes_is_the_one_made_last_whatever_the_clock_said(ledger: Ledger) -> None:
    """The clock was set back between the first and the second: the third supersedes the second."""
    queue_job(ledger, LATER, "1.2", ["r1"])
    second = queue_job(ledger, NOW, "1.2", ["r1", "r2"], revision=2)
    third = queue_job(ledger, LATER, "1.2", ["r1", "r2", "r3"], revision=3)
    assert third.supersedes == second.id
    assert [job.id for job in jobs.ready(ledger.database, LATER)][-1] == third.id


def test_finding_m1_the_result_that_later_steps_go_by_is_the_last_jobs(ledger: Ledger) -> None:
    """The clock was set back before the second ended: a step after it is decided by the second result."""
    for at, outcome, receipts in ((LATER, JobOutcome.FINDINGS, ["r1"]), (NOW, JobOutcome.NO_FINDINGS, ["r1", "r2"])):
        job = queue_job(ledger, at, "1.2", receipts, revision=len(receipts))
        with ledger.transaction() as database:
            jobs.started(database, at, job.id, {"name": "x"})
            jobs.ended(database, at, job.id, outcome, None)  # type: ignore[arg-type]
    assert [outcome for outcome, _ in rule_history.results(ledger.database, "1.2").values()] == ["no_findings"]


def test_a_jobs_id_derives_from_its_identity(ledger: Ledger) -> None:
    """Deciding again after a crash gives the same id, so results get the same UIDs."""
    job = queue_job(ledger, NOW, "1.2", ["r1"])
    ledger.database.execute("DELETE FROM job_studies")
    ledger.database.execute("DELETE FROM jobs")
    assert queue_job(ledger, LATER, "1.2", ["r1"], revision=2).id == job.id


def test_digest_depends_on_inputs_and_parameters_and_not_on_order() -> None:
    """What a job works on: plugin, parameters, role, SOP instance and content of each input."""
    one, two = ("ct", "1.1", "aa"), ("ct", "1.2", "bb")
    base = digest_of("p", {"a": 1}, [one, two])
    assert digest_of("p", {"a": 1}, [two, one]) == base
    others = [("q", {"a": 1}, [one, two]), ("p", {"a": 2}, [one, two]), ("p", {"a": 1}, [one])]
    assert base not in {digest_of(*other) for other in others}
    assert digest_of("p", {"a": 1}, [one, ("ct", "1.2", "corrected")]) != base


def test_attempts_are_counted_when_they_begin(ledger: Ledger) -> None:
    """A job that kills the node has used up an attempt; one the node postponed has not."""
    job = queue_job(ledger, NOW, "1.2", ["r1"])
    with ledger.transaction() as database:
        assert jobs.started(database, NOW, job.id, {}).attempts == 1
        jobs.try_again(database, NOW, job.id, "crashed", NOW)
        assert jobs.started(database, NOW, job.id, {}).attempts == 2
        jobs.postponed(database, NOW, job.id, "disk full", NOW)
        assert jobs.get(database, job.id).attempts == 1
        assert attempts.postponements(database, job.id) == 1


def test_ready_is_what_is_due_most_urgent_first_and_not_held(ledger: Ledger) -> None:
    """Priority before age; nothing before its time; nothing of a held study."""
    routine = queue_job(ledger, NOW, "1.2", ["r1"], rule="a")
    urgent = queue_job(ledger, NOW, "1.2", ["r1"], rule="b", priority=10)
    waits = queue_job(ledger, NOW, "1.2", ["r1"], rule="c")
    with ledger.transaction() as database:
        jobs.started(database, NOW, waits.id, {})
        jobs.try_again(database, NOW, waits.id, "crashed", LATER)
    assert [job.id for job in jobs.ready(ledger.database, NOW)] == [urgent.id, routine.id]
    assert jobs.next_ready_at(ledger.database) == NOW
    assert waits.id in {job.id for job in jobs.ready(ledger.database, LATER)}
    with ledger.transaction() as database:
        studies.hold(database, NOW, "1.2", "why")
    assert jobs.ready(ledger.database, LATER) == []


def test_again_is_a_new_round_that_names_the_old(ledger: Ledger) -> None:
    """Only an ended job, only the newest round; its id is its own."""
    job = queue_job(ledger, NOW, "1.2", ["r1"])
    with pytest.raises(PermanentError, match="cancel it first"), ledger.transaction() as database:
        jobs.again(database, NOW, job.id, "admin")
    with ledger.transaction() as database:
        jobs.cancel(database, NOW, job.id, "why")
        second = jobs.again(database, LATER, job.id, "admin")
        assert (second.round, second.supersedes, second.status) == (2, job.id, JobStatus.QUEUED)
        assert second.inputs == job.inputs
    with pytest.raises(PermanentError, match=second.id), ledger.transaction() as database:
        jobs.again(database, LATER, job.id, "admin")


def test_lists_and_counts(ledger: Ledger) -> None:
    """Running, unreported, troubled, by prefix and counted: each job where it belongs."""
    made = {name: queue_job(ledger, NOW, "1.2", ["r1"], rule=name) for name in ("run", "ended", "failed", "queued")}
    with ledger.transaction() as database:
        for name in ("run", "ended", "failed"):
            jobs.started(database, NOW, made[name].id, {"name": "x"})
        jobs.ended(database, NOW, made["ended"].id, JobOutcome.FINDINGS, "work/e")
        jobs.ended(database, NOW, made["failed"].id, JobOutcome.FAILED, "work/f", "crashed")
    database = ledger.database
    assert [row.job for row in attempts.open_here(database)] == [made["run"].id]
    assert {job.rule for job in encoding_queue.unreported(database)} == {"ended", "failed"}
    assert [job.rule for job in jobs.troubled(database, 10)] == ["failed"]
    assert [job.rule for job in jobs.matching(database, made["run"].id[:10])] == ["run"]
    assert jobs.counts(database) == {JobStatus.RUNNING: 1, JobStatus.ENDED: 2, JobStatus.QUEUED: 1}
    with pytest.raises(NotFoundError):
        jobs.get(database, "none")


def test_decisions_keep_their_trace_and_rule_set(ledger: Ledger) -> None:
    """A rule decides once a revision; what it was asked and what it found is read back as it was."""
    with ledger.transaction() as database:
        for _ in range(2):
            decisions.keep_rule_set(database, NOW, "digest", "rules: []")
        number = decisions.record(
            database,
            NOW,
            study="1.2",
            revision=1,
            rule="lungs",
            rule_set="digest",
            outcome=decisions.DecisionOutcome.NOT_MATCHED,
            trace={"clause": "Modality is CT", "found": ["MR"]},
        )
        decisions.set_outcome(database, number, decisions.DecisionOutcome.UNCHANGED)
    (decision,) = decisions.of_study(ledger.database, "1.2")
    assert decision.trace == {"clause": "Modality is CT", "found": ["MR"]}
    assert decision.outcome is decisions.DecisionOutcome.UNCHANGED


@pytest.mark.parametrize("what", [Pausable.PLUGIN, Pausable.RULE])
def test_jobs_of_a_paused_plugin_or_rule_do_not_start(ledger: Ledger, what: Pausable) -> None:
    """They stay queued, and are ready as soon as it is resumed; what else has the same name is not concerned."""
    job = queue_job(ledger, NOW, "1.2", ["r1"])
    names = {Pausable.PLUGIN: job.plugin, Pausable.RULE: job.rule}
    others = {Pausable.PLUGIN: Pausable.RULE, Pausable.RULE: Pausable.PLUGIN}
    with ledger.transaction() as database:
        pauses.begin(database, NOW, Pause(others[what], names[what] + "x", "admin", NOW, "why"))
        pauses.begin(database, NOW, Pause(what, names[what], "admin", NOW, "why"))
        with pytest.raises(PermanentError, match="paused already, by admin: why"):
            pauses.begin(database, NOW, Pause(what, names[what], "admin", NOW, "again"))
    assert jobs.ready(ledger.database, NOW) == []
    assert jobs.get(ledger.database, job.id).status is JobStatus.QUEUED
    with ledger.transaction() as database:
        pauses.end(database, NOW, what, names[what], "admin")
        with pytest.raises(NotFoundError, match="is not paused"):
            pauses.end(database, NOW, what, names[what], "admin")
    assert [each.id for each in jobs.ready(ledger.database, NOW)] == [job.id]


def cancel_of_other_rules(database: Database, rules: list[str]) -> None:
    found = gone_rules.queued(database, rules)
    gone_rules.cancel(database, NOW, found, Counter(rule for _, rule in found))


def test_finding_o10_what_is_queued_of_a_rule_that_is_gone_is_cancelled(ledger: Ledger) -> None:
    """Not of the rules that are there, not what runs, and not what a person had done again."""
    gone, stays = (queue_job(ledger, NOW, "1.2", ["r1"], rule=rule) for rule in ("gone", "stays"))
    runs = queue_job(ledger, NOW, "1.2", ["r2"], rule="gone as well")
    with ledger.transaction() as database:
        jobs.started(database, NOW, runs.id, {})
        cancel_of_other_rules(database, ["stays"])
    found = [jobs.get(ledger.database, each.id) for each in (gone, stays, runs)]
    assert [each.status for each in found] == [JobStatus.CANCELLED, JobStatus.QUEUED, JobStatus.RUNNING]
    assert found[0].error == 'the rule "gone" was disabled or removed before its turn came'
    (alert,) = history.open_alerts(ledger.database)
    assert (alert.kind, alert.place, alert.detail["jobs"]) == ("rule.jobs-cancelled", "gone", 1)
    with ledger.transaction() as database:
        again = jobs.again(database, NOW, gone.id, "admin")
        cancel_of_other_rules(database, ["stays"])
    assert jobs.get(ledger.database, again.id).status is JobStatus.QUEUED
    assert history.open_alerts(ledger.database) == []


def test_an_alert_of_cancelled_jobs_closes_when_the_rules_change_again(ledger: Ledger) -> None:
    """Who changes them has been at the rules since; until then, or until all jobs were run, it is open."""
    for revision in (1, 2):
        queue_job(ledger, NOW, "1.2", [f"r{revision}"], rule="gone", revision=revision)
    with ledger.transaction() as database:
        cancel_of_other_rules(database, [])
        jobs.again(database, NOW, jobs.of_study(database, "1.2")[0].id, "os:alice")
    (alert,) = history.open_alerts(ledger.database)
    assert (alert.place, alert.detail["jobs"]) == ("gone", 2)
    with ledger.transaction() as database:
        later = Version("d", NOW + timedelta(hours=1), "alice", 0, (), (), ())
        rule_versions.came_into_force(database, NOW, later, None, "")
    assert history.open_alerts(ledger.database) == []
