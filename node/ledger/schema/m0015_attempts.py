"""Schema 0015: each attempt is a row, and so is each study whose images a job needs.

Until now a job had a number of attempts, and when the last of them began; the events have the rest. Rows are made from
both, so that counts stay what they were: of an attempt that no event tells of it is known only that there was one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from node.ledger.attempts import id_of


def migrate(database: Database) -> None:
    """Make the tables and their rows; remove the columns of `jobs` that say the same."""
    for statement in _TABLES:
        database.execute(statement)
    for (name,) in database.execute(_TRIED).fetchall():
        (job,) = database.query(_JOB, [name])
        events = list(database.query(_EVENTS, [job["study_instance_uid"], name]))
        _insert(database, job, _attempts_of(job, events))
    for statement in _STATEMENTS:
        database.execute(statement)


@dataclass
class _Try:
    started_at: str
    state: str = "lost"
    counted: bool = True
    failure: str | None = None
    detail: str | None = None
    ended_at: str | None = None


def _attempts_of(job: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> list[_Try]:
    """The attempts at a job, oldest first: as many of them count as were counted, and one is open while it runs."""
    tries = _from_events(events)
    missing = job["attempts"] - sum(each.counted for each in tries)
    began = job["started_at"] or job["created_at"]
    unknown = [_Try(began, "failed", ended_at=began) for _ in range(missing)]
    if not tries and not unknown:
        unknown = [_Try(began, "cancelled", counted=False, ended_at=began)]
    if not tries:
        unknown[-1] = _as_it_is(job, unknown[-1])
    tries = unknown + tries
    for each in tries:
        each.ended_at = each.ended_at or each.started_at
    if job["status"] == "running":
        tries[-1].state, tries[-1].ended_at = "running", None
    return tries


def _from_events(events: Iterable[Mapping[str, Any]]) -> list[_Try]:
    tries: list[_Try] = []
    for event in events:
        if event["kind"] == "job.started":
            tries.append(_Try(event["at"]))
        elif tries and tries[-1].ended_at is None:
            _end(tries[-1], event["kind"], event["at"], json.loads(event["detail"]))
    return tries


def _end(attempt: _Try, kind: str, at: str, detail: Mapping[str, Any]) -> None:
    attempt.ended_at = at
    attempt.detail = detail.get("error") or detail.get("reason")
    attempt.counted = kind not in ("job.postponed", "job.interrupted")
    if kind in ("job.interrupted", "job.cancelled"):
        attempt.state = "cancelled"
    elif kind == "job.ended":
        attempt.state = _state_of(detail["outcome"], attempt.detail)
    else:
        attempt.state = "lost" if attempt.detail == _NODE_DIED else "failed"
    if attempt.state == "lost":
        attempt.failure = "node_died"
    elif kind == "job.postponed":
        attempt.failure = "node"


def _as_it_is(job: Mapping[str, Any], attempt: _Try) -> _Try:
    """The last attempt of a job by what the job says itself."""
    if job["status"] == "cancelled" and job["outcome"] is None:
        attempt.state = "cancelled"
    elif job["outcome"] is not None:
        attempt.state = _state_of(job["outcome"], job["error"])
    attempt.detail, attempt.ended_at = job["error"], job["finished_at"] or attempt.ended_at
    return attempt


def _state_of(outcome: str, error: str | None) -> str:
    if error == _NODE_DIED:
        return "lost"
    return "answered" if outcome != "failed" or error in (None, _SAID_FAILED) else "failed"


def _insert(database: Database, job: Mapping[str, Any], tries: Sequence[_Try]) -> None:
    for number, each in enumerate(tries, start=1):
        key = id_of(job["id"], number)
        algorithm = job["algorithm"] if each is tries[-1] else None
        values = (each.state, each.counted, each.failure, each.detail, algorithm, each.started_at, each.ended_at)
        database.execute(_ATTEMPT, [key, job["id"], number, *values])
        if each is tries[-1] and each.state == "answered":
            database.execute("UPDATE jobs SET answered_by=? WHERE id=?", [key, job["id"]])


_NODE_DIED = "the node ended while it ran"
_SAID_FAILED = "the plugin reports the failure itself: see the result's summary and log.txt"
_JOB = (
    "SELECT id, study_instance_uid, status, outcome, attempts, algorithm, error, created_at, started_at, finished_at"
    " FROM jobs WHERE id=?"
)
_TRIED = "SELECT id FROM jobs WHERE attempts>0 OR started_at IS NOT NULL OR status='running'"
_EVENTS = (
    "SELECT kind, at, detail FROM events WHERE study_instance_uid=? AND job=? AND kind IN ('job.started',"
    " 'job.attempt-failed', 'job.postponed', 'job.interrupted', 'job.ended', 'job.cancelled') ORDER BY id"
)
_ATTEMPT = (
    "INSERT INTO attempts (id, job, number, place, state, counted, failure, detail, algorithm, started_at, ended_at)"
    " VALUES (?,?,?,'local',?,?,?,?,?,?,?)"
)
_TABLES = (
    """
    CREATE TABLE attempts (
        id TEXT PRIMARY KEY,
        job TEXT NOT NULL REFERENCES jobs,
        number INTEGER NOT NULL,
        kind TEXT,
        place TEXT NOT NULL,
        handle TEXT,
        state TEXT NOT NULL,
        counted INTEGER NOT NULL,
        failure TEXT,
        detail TEXT,
        algorithm TEXT,
        code_digest TEXT,
        sent_study_uid TEXT,
        resources TEXT,
        started_at TEXT NOT NULL,
        deadline_at TEXT,
        look_at TEXT,
        ended_at TEXT,
        seconds REAL,
        cpu_seconds REAL,
        peak_memory INTEGER,
        log TEXT,
        UNIQUE (job, number)
    ) STRICT
    """,
    "CREATE UNIQUE INDEX attempts_open ON attempts (job) WHERE ended_at IS NULL",
    "CREATE INDEX attempts_by_sent_study ON attempts (sent_study_uid) WHERE sent_study_uid IS NOT NULL",
    "ALTER TABLE jobs ADD COLUMN answered_by TEXT REFERENCES attempts",
    "CREATE INDEX jobs_by_answer ON jobs (answered_by) WHERE answered_by IS NOT NULL",
    """
    CREATE TABLE job_studies (
        job TEXT NOT NULL REFERENCES jobs,
        study TEXT NOT NULL REFERENCES studies,
        role TEXT NOT NULL,
        PRIMARY KEY (job, study)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX job_studies_by_study ON job_studies (study)",
)
_STATEMENTS = (
    "INSERT INTO job_studies SELECT id, study_instance_uid, 'own' FROM jobs",
    # a series is of one study: its first instance says of which
    "INSERT OR IGNORE INTO job_studies SELECT DISTINCT jobs.id, instances.study_instance_uid, 'earlier'"
    " FROM jobs, json_each(jobs.inputs) AS chosen"
    " JOIN instances ON instances.receipt=json_extract(chosen.value, '$[2][0]')"
    " JOIN studies ON studies.study_instance_uid=instances.study_instance_uid",
    "ALTER TABLE jobs DROP COLUMN attempts",
    "ALTER TABLE jobs DROP COLUMN algorithm",
    "ALTER TABLE jobs DROP COLUMN started_at",
)
