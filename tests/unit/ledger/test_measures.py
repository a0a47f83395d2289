"""What /metrics reads: histograms and tallies that triggers keep, and ages that an index gives."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from node.clock import to_text
from node.desk import figures
from node.ledger import alerts, attempts, durations, jobs, queue_ages, tallies
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.durations import BOUNDS, TimedStep
from tests.support.sites.outcomes import enqueue_job
from tests.support.sites.past import tell

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IMAGE = (
    "INSERT INTO deliveries (item, sop_class_uid, study_instance_uid, file, destination, status, attempts, refusals,"
    " not_before, enqueued_at, kind, priority) VALUES (?,'1','1.2','f',?,'waiting',0,0,?,?,?,?)"
)


def waiting(
    database: Database, item: str, at: datetime, kind: str = "image", priority: int = 0, destination: str = "pacs"
) -> None:
    """Something waits for a destination since then."""
    database.execute(IMAGE, [item, destination, to_text(at), to_text(at), kind, priority])


def test_a_job_is_timed_from_its_making_to_its_outcome(ledger: Ledger) -> None:
    """Its wait, its attempt and the whole, each in the bucket that holds it, by plugin; the study's completion, too."""
    with ledger.transaction() as database:
        job = enqueue_job(database, NOW, "1.2", ["r1"])
        jobs.started(database, NOW + timedelta(seconds=7), job.id, {})
        (attempt,) = attempts.all_open(database)
        end = to_text(NOW + timedelta(seconds=50))
        database.execute("UPDATE attempts SET ended_at=? WHERE id=?", [end, attempt.id])
        database.execute("UPDATE jobs SET outcome='findings', finished_at=? WHERE id=?", [end, job.id])
    found = {
        step: [(each.place, each.outcome, each.counts.index(1), round(each.seconds)) for each in histograms]
        for step, histograms in figures.of_ledger(ledger.database).steps.items()
        if histograms
    }
    plugin = job.plugin
    assert found == {
        TimedStep.COMPLETE: [("", "", 0, 0)],
        TimedStep.WAIT: [(plugin, "", BOUNDS.index(10.0), 7)],
        TimedStep.RUN: [(plugin, "", BOUNDS.index(60.0), 43)],
        TimedStep.JOB: [(plugin, "findings", BOUNDS.index(60.0), 50)],
    }


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(-5.0, 0), (0.4, 0), (0.6, 1), (86300.0, len(BOUNDS) - 1), (86500.0, len(BOUNDS))]
)
def test_a_duration_is_in_one_bucket(ledger: Ledger, seconds: float, bucket: int) -> None:
    """The one with the next bound above; a clock that was set back counts as no time at all."""
    with ledger.transaction() as database:
        database.execute("UPDATE studies SET completed_at=NULL, last_received_at=?", [to_text(NOW)])
        database.execute("DELETE FROM durations")
        end = NOW + timedelta(seconds=seconds)
        database.execute("UPDATE studies SET completed_at=?", [to_text(end)])
    (found,) = durations.of(ledger.database, TimedStep.COMPLETE)
    assert (found.counts[bucket], found.count) == (1, 1)
    assert found.seconds == pytest.approx(max(0.0, seconds), abs=0.001)


def test_what_is_removed_stays_counted(ledger: Ledger) -> None:
    """Retention takes rows away; a counter never goes down."""
    with ledger.transaction() as database:
        tell(database)
        before = {step: [each.count for each in durations.of(database, step)] for step in TimedStep}
        assert sum(map(sum, before.values())) > 5
        database.execute("PRAGMA defer_foreign_keys=ON")
        for table in ("deliveries", "attempts"):
            database.execute(f"DELETE FROM {table}")
        after = {step: [each.count for each in durations.of(database, step)] for step in TimedStep}
        assert before == after
        database.execute("ROLLBACK")
        database.execute("BEGIN")


def test_jobs_are_counted_by_plugin(ledger: Ledger) -> None:
    """And all together as before."""
    with ledger.transaction() as database:
        enqueue_job(database, NOW, "1.2", ["r1"])
        enqueue_job(database, NOW, "1.2", ["r2"], plugin="other", rule="second")
    assert tallies.by_place(ledger.database, "jobs") == {"lung_density": {"queued": 1}, "other": {"queued": 1}}
    assert jobs.counts(ledger.database) == {"queued": 2}


def test_alerts_are_counted_by_kind_whatever_is_done_to_them(ledger: Ledger) -> None:
    """Opened, met again, gone, back, acknowledged, closed and removed, in any order."""
    chance = random.Random(1)
    kinds = [AlertKind.STUDY_HELD, AlertKind.FETCH_FAILED]
    with ledger.transaction() as database:
        for turn in range(300):
            numbers = [number for (number,) in database.execute("SELECT id FROM alerts").fetchall()] or [0]
            number, at = chance.choice(numbers), to_text(NOW)
            match chance.randrange(6):
                case 0 | 1:
                    alerts.met(database, NOW, chance.choice(kinds), f"place {chance.randrange(5)}")
                case 2:
                    alerts.gone(database, NOW, number)
                case 3:
                    database.execute("UPDATE alerts SET acknowledged_at=? WHERE id=?", [at, number])
                case 4:
                    database.execute("UPDATE alerts SET closed_at=? WHERE id=? AND closed_at IS NULL", [at, number])
                case 5:
                    database.execute("DELETE FROM alerts WHERE id=? AND closed_at IS NOT NULL", [number])
            assert tallies.wrong(database) == [], turn
    assert set(tallies.by_place(ledger.database, "alerts")) == set(map(str, kinds))


def test_the_oldest_of_each_queue_is_found(ledger: Ledger) -> None:
    """Whatever its priority, and of its own destination."""
    hour = timedelta(hours=1)
    with ledger.transaction() as database:
        assert queue_ages.oldest_job(database) is None
        enqueue_job(database, NOW + hour, "1.2", ["r2"], priority=20, rule="urgent")
        enqueue_job(database, NOW, "1.2", ["r1"])
        waiting(database, "1", NOW + 2 * hour, priority=20)
        waiting(database, "2", NOW + hour, priority=10)
        waiting(database, "3", NOW + 3 * hour)
        waiting(database, "4", NOW + 4 * hour, "object")
        waiting(database, "5", NOW + 5 * hour, "object", destination="other")
        assert queue_ages.oldest_job(database) == NOW
        assert queue_ages.oldest_images(database) == {"pacs": NOW + hour}
        assert queue_ages.oldest_results(database) == {"pacs": NOW + 4 * hour, "other": NOW + 5 * hour}


def test_no_figure_takes_longer_with_more_rows(ledger: Ledger) -> None:
    """SQLite's own count of instructions is nearly the same with thousands of rows in every queue."""
    database = ledger.database

    def instructions() -> int:
        counted = [0]

        def one() -> int:
            counted[0] += 1
            return 0

        database.conn.set_progress_handler(one, 1)
        try:
            figures.of_ledger(database)
        finally:
            database.conn.set_progress_handler(None, 0)
        return counted[0]

    with ledger.transaction():
        job = enqueue_job(database, NOW, "1.2", ["r1"])
        for kind in ("image", "object"):
            waiting(database, kind, NOW, kind)
        few = instructions()
        for number in range(300):
            at = NOW + timedelta(seconds=number)
            waiting(database, f"i{number}", at, priority=number % 3)
            waiting(database, f"o{number}", at, "object")
            alerts.met(database, at, AlertKind.STUDY_HELD, str(number))
            copy = {**_row(database, job.id), "id": f"j{number}", "round": number + 10}
            sql = f"INSERT INTO jobs ({','.join(copy)}) VALUES ({','.join('?' * len(copy))})"
            database.execute(sql, list(copy.values()))
        many = instructions()
    assert many < few + 150, (few, many)


def _row(database: Database, job: str) -> dict[str, object]:
    (row,) = database.query("SELECT * FROM jobs WHERE id=?", [job])
    return row
