"""How jobs ended in a period, how long results took, and studies by day: by indexes, a bounded number of rows each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from node.clock import from_text, to_text
from node.ledger import tallies
from node.ledger.connection import Database
from node.ledger.rows import query

MOST = 2_000
"""Rows of one plugin, or of failures, that are read: the last ones."""


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that gave no result that could be reported."""

    job: str
    study_instance_uid: str
    rule: str
    plugin: str
    finished_at: datetime
    reason: str
    """How its last attempt ended (`attempts.AttemptFailureKind`); empty where the plugin itself reported it."""
    error: str


@dataclass(frozen=True, slots=True)
class JobDuration:
    """How long one result took, in seconds since the last image of its job."""

    rule: str
    made: float
    """Until the plugin had answered."""
    delivered: float | None
    """Until the last of its objects was accepted by a destination; None where none was yet."""


def plugins(database: Database) -> list[str]:
    """Plugins that there are jobs of, as rules call them."""
    return sorted(tallies.by_place(database, "jobs"))


def ended(database: Database, plugin: str, since: datetime, until: datetime) -> int:
    """How many jobs of a plugin ended in the period, whatever the outcome; by the index alone."""
    sql = "SELECT count(*) FROM jobs WHERE plugin=? AND finished_at>=? AND finished_at<?"
    ((number,),) = database.execute(sql, [plugin, to_text(since), to_text(until)]).fetchall()
    return int(number)


def outcomes(database: Database, plugin: str, since: datetime) -> dict[str, int]:
    """What came of the plugin's last jobs since then: outcome, or `cancelled` → how many."""
    sql = (
        "SELECT coalesce(outcome, status) AS word, count(*) FROM (SELECT outcome, status FROM jobs WHERE plugin=?"
        " AND finished_at>=? ORDER BY finished_at DESC LIMIT ?) GROUP BY word"
    )
    return {word: int(n) for word, n in database.execute(sql, [plugin, to_text(since), MOST]).fetchall()}


def failures(database: Database, since: datetime) -> list[FailedJob]:
    """The last jobs that failed or could not be reported since then, the newest first."""
    rows = query(
        database,
        "SELECT id AS job, study_instance_uid, rule, plugin, finished_at, coalesce(error, '') AS error,"
        " coalesce((SELECT failure FROM attempts WHERE job=jobs.id ORDER BY number DESC LIMIT 1), '') AS reason"
        " FROM jobs WHERE (status='unreportable' OR outcome='failed') AND finished_at>=?"
        " ORDER BY finished_at DESC LIMIT ?",
        [to_text(since), MOST],
    )
    return [FailedJob(**{**row, "finished_at": from_text(row["finished_at"])}) for row in rows]


def durations(database: Database, plugin: str, since: datetime) -> list[JobDuration]:
    """Of the plugin's last jobs that gave a result since then."""
    seconds = "max(0.0, (julianday({})-julianday(images_complete_at))*86400.0)"
    rows = query(
        database,
        f"SELECT rule, {seconds.format('finished_at')} AS made,"  # noqa: S608 - our own text
        f" {seconds.format('sent_at')} AS delivered FROM (SELECT rule, finished_at, images_complete_at,"
        " (SELECT max(sent_at) FROM deliveries WHERE job=jobs.id AND kind<>'image') AS sent_at FROM jobs"
        " WHERE plugin=? AND finished_at>=? AND outcome IS NOT NULL ORDER BY finished_at DESC LIMIT ?)",
        [plugin, to_text(since), MOST],
    )
    return [JobDuration(**row) for row in rows]


def answer_seconds(database: Database, plugin: str, since: datetime) -> list[float]:
    """How long after the last image the plugin had answered, of its last jobs since then."""
    sql = (
        "SELECT max(0.0, (julianday(finished_at)-julianday(images_complete_at))*86400.0) FROM jobs WHERE plugin=?"
        " AND finished_at>=? AND outcome IS NOT NULL ORDER BY finished_at DESC LIMIT ?"
    )
    return [float(seconds) for (seconds,) in database.execute(sql, [plugin, to_text(since), MOST]).fetchall()]


def studies(database: Database, since: datetime, until: datetime) -> int:
    """How many studies got their last image in the period; by the index alone."""
    sql = "SELECT count(*) FROM studies WHERE last_received_at>=? AND last_received_at<?"
    ((number,),) = database.execute(sql, [to_text(since), to_text(until)]).fetchall()
    return int(number)
