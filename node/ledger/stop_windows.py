"""Windows of jobs that stop rules watch: one after the other for each stop rule, rule and scanner.

A job is in one window of each stop rule that watches it. A window ends with its last job, or as soon as no later job
could change what it says: with a stop rule of 200 jobs of which 20 may fail, the 21st failure ends it. So each window
errs as seldom as its limits say, however often it is looked at. Other code of the plugin, other terms of the stop
rule and a resume begin a new window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import to_text
from node.ledger import alerts
from node.ledger.alert_kinds import AlertKind
from node.ledger.attempts import AttemptFailureKind
from node.ledger.connection import Database
from node.ledger.job import COLUMNS, Job, from_row
from node.ledger.rows import one, query
from node.ledger.unreadable import readable

_NOT_ITS_DOING = (
    AttemptFailureKind.STOPPED,
    AttemptFailureKind.GONE,
    AttemptFailureKind.DAMAGED,
    AttemptFailureKind.INPUT,
    AttemptFailureKind.NODE,
)
"""Failures that say nothing of a plugin: its job was not run."""


class WindowVerdict(StrEnum):
    """What came of a window."""

    KEPT = "kept"
    """Within the limits."""
    MET = "met"
    """Beyond a limit."""
    DROPPED = "dropped"
    """Cut short: other code, other terms, or a resume."""
    CLEARED = "cleared"
    """Beyond a limit, and a person resumed what it had suspended."""


@dataclass(frozen=True, slots=True)
class WatchedPlace:
    """What a window is of."""

    stop_rule: str
    terms: str
    plugin: str
    """In the form of `plugin_names.key_of`."""
    rule: str
    scanner: str
    digest: str
    """SHA-256 of what the vendor gave; empty where nothing of the plugin ran."""


@dataclass(frozen=True, slots=True)
class StopWindow:
    """One row of `stop_windows`."""

    id: int
    stop_rule: str
    terms: str
    plugin: str
    rule: str
    scanner: str
    digest: str
    jobs: int
    hits: int
    verdict: WindowVerdict | None
    """None while it is open."""


@dataclass(frozen=True, slots=True)
class WatchedJob:
    """A job that has ended, and what stop rules count of it."""

    job: Job
    digest: str
    """See `WatchedPlace`."""
    counts: bool
    """Whether it says anything of its plugin."""


def to_watch(database: Database, limit: int) -> list[WatchedJob]:
    """Jobs that no stop rule has counted, in the order in which they ended."""
    rows = query(
        database,
        f"SELECT {COLUMNS}, (SELECT failure FROM attempts WHERE job=jobs.id ORDER BY number DESC LIMIT 1) AS failure"  # noqa: S608 - our own columns
        " FROM jobs WHERE watched=0 AND outcome IS NOT NULL ORDER BY finished_at LIMIT ?",
        [limit],
    )
    return readable(database, "jobs", rows, _watched)


def watched(database: Database, job: str) -> bool:
    """It is counted; false where it was before."""
    return bool(database.execute("UPDATE jobs SET watched=1 WHERE id=? AND watched=0", [job]).rowcount)


def count(database: Database, at: datetime, place: WatchedPlace, job: str, *, hit: bool) -> StopWindow:
    """The window as it is with one more job; a new one where there was none that this job belongs to."""
    window = _open_of(database, place)
    if window is not None and not _is_of(window, place):
        end(database, at, window, WindowVerdict.DROPPED)
        window = None
    if window is None:
        values = [place.stop_rule, place.terms, place.plugin, place.rule, place.scanner, place.digest]
        database.execute(
            "INSERT INTO stop_windows (stop_rule, terms, plugin, rule, scanner, digest, jobs, hits, begun_at,"
            " first_job, last_job) VALUES (?,?,?,?,?,?,0,0,?,?,?)",
            [*values, to_text(at), job, job],
        )
        window = _open_of(database, place)
    assert window is not None, "it was just made"
    database.execute(
        "UPDATE stop_windows SET jobs=jobs+1, hits=hits+?, last_job=?,"
        " digest=CASE digest WHEN '' THEN ? ELSE digest END WHERE id=?",
        [int(hit), job, place.digest, window.id],
    )
    return get(database, window.id)


def end(database: Database, at: datetime, window: StopWindow, verdict: WindowVerdict) -> None:
    """No job is added to it any more."""
    sql = "UPDATE stop_windows SET ended_at=coalesce(ended_at, ?), verdict=? WHERE id=?"
    database.execute(sql, [to_text(at), verdict, window.id])


def met(database: Database, at: datetime, window: StopWindow, why: str) -> None:
    """It is beyond a limit: an alert, once for these jobs."""
    end(database, at, window, WindowVerdict.MET)
    alerts.raised(
        database,
        at,
        AlertKind.STOP_RULE_MET,
        str(window.id),
        stop_rule=window.stop_rule,
        plugin=window.plugin,
        rule=window.rule,
        scanner=window.scanner,
        reason=why,
    )


def begin_anew(database: Database, at: datetime, rule: str, scanner: str) -> None:
    """What was counted of this rule and scanner so far is not counted with what comes."""
    rows = query(
        database, "SELECT * FROM stop_windows WHERE rule=? AND scanner=? AND ended_at IS NULL", [rule, scanner]
    )
    for row in rows:
        end(database, at, _window(row), WindowVerdict.DROPPED)


def get(database: Database, number: int) -> StopWindow:
    """The window of this number."""
    row = one(database, "SELECT * FROM stop_windows WHERE id=?", [number])
    assert row is not None, number
    return _window(row)


def open_ones(database: Database) -> Sequence[StopWindow]:
    """Those that are not full, by stop rule, rule and scanner."""
    sql = "SELECT * FROM stop_windows WHERE ended_at IS NULL ORDER BY stop_rule, rule, scanner"
    return [_window(row) for row in query(database, sql)]


def _open_of(database: Database, place: WatchedPlace) -> StopWindow | None:
    sql = "SELECT * FROM stop_windows WHERE stop_rule=? AND rule=? AND scanner=? AND ended_at IS NULL"
    row = one(database, sql, [place.stop_rule, place.rule, place.scanner])
    return _window(row) if row else None


def _is_of(window: StopWindow, place: WatchedPlace) -> bool:
    same_code = not place.digest or not window.digest or window.digest == place.digest
    return same_code and (window.terms, window.plugin) == (place.terms, place.plugin)


def _watched(row: dict[str, Any]) -> WatchedJob:
    job = from_row(row)
    digest = str((job.algorithm or {}).get("software_digest") or "")
    return WatchedJob(job, digest, job.round == 1 and row["failure"] not in _NOT_ITS_DOING)


def _window(row: dict[str, Any]) -> StopWindow:
    values = {name: row[name] for name in StopWindow.__slots__}
    return StopWindow(**{**values, "verdict": WindowVerdict(row["verdict"]) if row["verdict"] else None})
