"""Attempts: rows that begin and end with what happens to their job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from node.clock import from_text
from node.errors import LedgerError
from node.ledger import alerts, attempts, events, job_studies, jobs, studies
from node.ledger.attempts import AttemptCourse, AttemptFailureKind, AttemptState
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobInput, JobOutcome, JobStatus
from node.ledger.job_studies import StudyRole
from tests.support import history
from tests.support.sites.outcomes import queue_job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)
CRASH = AttemptCourse(AttemptFailureKind.CRASH, 12.5, 2**20, "results/x/log.txt")


@pytest.fixture
def job(ledger: Ledger) -> Job:
    return queue_job(ledger, NOW, "1.2", ["r1"])


def begin(ledger: Ledger, job: Job) -> attempts.Attempt:
    with ledger.transaction() as database:
        jobs.started(database, NOW, job.id, {"name": "lungs"}, "python")
        return attempts.open_of(database, job.id)


Step = Callable[[Database, str], Any]
ENDS: dict[str, tuple[AttemptCourse, Step, tuple[AttemptState, bool, str | None], JobStatus]] = {
    "answered": (
        AttemptCourse(None, 3.0, 5, "l"),
        lambda d, j: jobs.ended(d, LATER, j, JobOutcome.FINDINGS, "results/x"),
        (AttemptState.ANSWERED, True, None),
        JobStatus.ENDED,
    ),
    "given up": (
        CRASH,
        lambda d, j: jobs.ended(d, LATER, j, JobOutcome.FAILED, "results/x", "exit status 1"),
        (AttemptState.FAILED, True, "exit status 1"),
        JobStatus.ENDED,
    ),
    "tried again": (
        CRASH,
        lambda d, j: jobs.try_again(d, LATER, j, "exit status 1", LATER),
        (AttemptState.FAILED, True, "exit status 1"),
        JobStatus.QUEUED,
    ),
    "the node died": (
        AttemptCourse(AttemptFailureKind.NODE_DIED),
        lambda d, j: jobs.try_again(d, LATER, j, "the node ended while it ran", LATER),
        (AttemptState.LOST, True, "the node ended while it ran"),
        JobStatus.QUEUED,
    ),
    "postponed": (
        AttemptCourse(AttemptFailureKind.NODE),
        lambda d, j: jobs.postponed(d, LATER, j, "disk full", LATER),
        (AttemptState.FAILED, False, "disk full"),
        JobStatus.QUEUED,
    ),
    "interrupted": (
        AttemptCourse(),
        lambda d, j: jobs.interrupted(d, LATER, j, "the node was stopped"),
        (AttemptState.CANCELLED, False, "the node was stopped"),
        JobStatus.QUEUED,
    ),
    "cancelled": (
        AttemptCourse(),
        lambda d, j: jobs.cancel(d, LATER, j, "a person said so"),
        (AttemptState.CANCELLED, True, "a person said so"),
        JobStatus.CANCELLED,
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_attempt_ends_in_the_transition_of_its_job(ledger: Ledger, job: Job, name: str) -> None:
    """State, whether it counts, why, how long, how much memory, where its log is: all in the row; nothing is open."""
    course, step, expected, status = ENDS[name]
    begun = begin(ledger, job)
    assert (begun.state, begun.counted, begun.ended_at) == (AttemptState.STARTING, True, None)
    with ledger.transaction() as database:
        attempts.note(database, job.id, course)
        step(database, job.id)
    (ended,) = attempts.of_job(ledger.database, job.id)
    assert (ended.state, ended.counted, ended.detail) == expected
    assert AttemptCourse(ended.failure, ended.seconds, ended.peak_memory, ended.log) == course
    assert (ended.started_at, ended.ended_at, ended.kind, ended.place) == (NOW, LATER, "python", "local")
    assert attempts.all_open(ledger.database) == []
    after = jobs.get(ledger.database, job.id)
    assert (after.status, after.attempts) == (status, int(expected[1]))
    assert after.answered_by == (ended.id if name == "answered" else None)
    assert (after.algorithm, after.started_at) == ({"name": "lungs"}, NOW)


def test_what_is_not_committed_has_neither_begun_nor_ended(ledger: Ledger, job: Job) -> None:
    """Job, attempt and event are one transaction: after a crash in between all three are as before."""

    def state() -> tuple[JobStatus, int, int]:
        found = jobs.get(ledger.database, job.id).status
        return found, len(attempts.all_open(ledger.database)), len(events.of_study(ledger.database, "1.2"))

    def cut_short(step: Callable[[Database], Any]) -> None:
        with ledger.transaction() as database:
            step(database)
            raise LedgerError("the power fails")

    before = state()
    with pytest.raises(LedgerError):
        cut_short(lambda database: jobs.started(database, NOW, job.id, {}))
    assert state() == before
    begin(ledger, job)
    begun = state()
    assert begun == (JobStatus.RUNNING, 1, before[2] + 1)
    with pytest.raises(LedgerError):
        cut_short(lambda database: jobs.try_again(database, NOW, job.id, "crashed", LATER))
    assert state() == begun


def test_numbers_go_on_and_ids_are_known_beforehand(ledger: Ledger, job: Job) -> None:
    """Attempts that do not count have a number as well; the id of the next one does not depend on when it begins."""
    for number in (1, 2, 3):
        assert begin(ledger, job).id == attempts.id_of(job.id, number)
        with ledger.transaction() as database:
            attempts.note(database, job.id, AttemptCourse(AttemptFailureKind.NODE))
            jobs.postponed(database, LATER, job.id, "disk full", NOW)
    rows = attempts.of_job(ledger.database, job.id)
    assert [(row.number, row.counted) for row in rows] == [(1, False), (2, False), (3, False)]
    assert attempts.last_of(ledger.database, job.id) == rows[-1]
    assert attempts.postponements(ledger.database, job.id) == 3
    assert jobs.get(ledger.database, job.id).attempts == 0


def test_a_job_has_one_open_attempt_at_most(ledger: Ledger, job: Job) -> None:
    """The ledger itself refuses a second one, whoever asks for it."""
    begun = begin(ledger, job)
    with pytest.raises(Exception, match=r"UNIQUE constraint failed: attempts\.job"), ledger.transaction() as database:
        attempts.start(database, NOW, job.id, None)
    assert attempts.all_open(ledger.database) == [begun]


def test_an_attempt_whose_process_is_there_is_running(ledger: Ledger, job: Job) -> None:
    """One event says so; of one that was ended meanwhile nothing is said."""
    begun = begin(ledger, job)
    with ledger.transaction() as database:
        assert attempts.running(database, LATER, begun, "1.2")
    assert attempts.open_of(ledger.database, job.id).state is AttemptState.RUNNING
    (event,) = history.of_kind(ledger.database, EventKind.ATTEMPT_RUNNING)
    assert (event.at, event.detail) == (LATER, {"attempt": 1})
    with ledger.transaction() as database:
        jobs.cancel(database, LATER, job.id, "why")
        assert not attempts.running(database, LATER, begun, "1.2")
    assert len(history.of_kind(ledger.database, EventKind.ATTEMPT_RUNNING)) == 1


def test_the_average_time_of_a_plugin_is_that_of_its_last_attempts(ledger: Ledger, job: Job) -> None:
    """A first attempt that hung for hours says nothing about how long an analysis takes."""
    begin(ledger, job)
    with ledger.transaction() as database:
        jobs.try_again(database, from_text("2026-03-01T20:00:00.000000Z"), job.id, "deadline", NOW)
    begin(ledger, job)
    assert attempts.mean_seconds(ledger.database) == {}
    with ledger.transaction() as database:
        jobs.ended(database, LATER, job.id, JobOutcome.FINDINGS, "results/x")
    assert attempts.mean_seconds(ledger.database) == {job.plugin: pytest.approx(300, abs=0.1)}


def test_a_job_names_every_study_whose_images_it_needs(ledger: Ledger) -> None:
    """Its own, and the earlier ones of which it is given series; again for the job that repeats it."""
    receive(ledger, "1.2", "own")
    receive(ledger, "1.1", "old")
    receive(ledger, "1.0", "older")
    inputs = (
        JobInput("ct", "1.2.1", ("own-1", "own-2")),
        JobInput("prior", "1.1.1", ("old-1", "old-2")),
        JobInput("prior", "1.0.1", ("older-1",)),
    )
    job = queue_job(ledger, NOW, "1.2", ["own-1"], inputs=inputs)
    with ledger.transaction() as database:
        jobs.cancel(database, NOW, job.id, "why")
        again = jobs.again(database, NOW, job.id, "admin")
    for each in (job, again):
        assert job_studies.earlier(ledger.database, each.id) == ["1.0", "1.1"]
        rows = ledger.database.execute("SELECT study, role FROM job_studies WHERE job=?", [each.id]).fetchall()
        assert sorted(rows) == [("1.0", "earlier"), ("1.1", "earlier"), ("1.2", StudyRole.OWN)]
    alone = queue_job(ledger, NOW, "1.1", ["old-1"])
    assert job_studies.earlier(ledger.database, alone.id) == []


def receive(ledger: Ledger, study: str, receipt: str) -> None:
    """Two instances of one series of a study."""
    with ledger.transaction() as database:
        studies.received(
            database,
            NOW,
            study=study,
            patient_id="P",
            issuer_of_patient_id="",
            accession_number="A",
            association="a",
            received_at=NOW,
            due_at=NOW,
        )
        for number in (1, 2):
            database.execute(
                "INSERT INTO instances VALUES (?,?,'1',?,?,'1','current','d','{}','{}',1,1,'CT1','NODE','::1','a',"
                "'received','2026-03-01T00:00:00.000000Z')",
                [f"{receipt}-{number}", f"{study}.1.{number}", study, f"{study}.1"],
            )


def _identified(ledger: Ledger, number: int, key: str | None, at: datetime = NOW) -> attempts.Attempt:
    """An attempt at another job whose pseudonyms were made with this secret."""
    receive(ledger, f"1.2.{number}", f"r{number}")
    attempt = begin(ledger, queue_job(ledger, at, f"1.2.{number}", [f"r{number}"]))
    start = attempts.AttemptStart({"name": "lungs"}, "c" * 64, {"cpus": 1.0}, f"2.25.{number}", key)
    with ledger.transaction() as database:
        attempts.identified(database, at, attempt, start)
    return attempt


def test_an_attempt_is_found_by_the_study_that_was_sent(ledger: Ledger) -> None:
    """Under its pseudonym, which is what an answer from elsewhere names; and it says what ran."""
    attempt = _identified(ledger, 7, "k1")
    (found,) = attempts.of_sent_study(ledger.database, "2.25.7")
    assert (found.id, found.code_digest, found.algorithm) == (attempt.id, "c" * 64, {"name": "lungs"})
    assert attempts.of_sent_study(ledger.database, "1.2.7") == []


def test_a_lost_key_is_an_alert_once_until_it_is_back(ledger: Ledger) -> None:
    """Not the first secret of all, nor attempts without one; another one is, and the old one closes it."""

    def told() -> list[tuple[str, int]]:
        for number in alerts.over(ledger.database):
            with ledger.transaction() as database:
                alerts.close(database, NOW, number)
        return [(each.place, each.times) for each in alerts.open_ones(ledger.database, 9)]

    _identified(ledger, 1, None)
    _identified(ledger, 2, "old")
    _identified(ledger, 3, "old")
    assert told() == []
    _identified(ledger, 4, "new")
    _identified(ledger, 5, "new")
    _identified(ledger, 6, None)
    assert told() == [("old", 1)]
    _identified(ledger, 7, "old")
    assert told() == []
