"""Attempts: each try of a job is a row, written before anything is started.

A job is running exactly while it has an open attempt, and it has one open attempt at most. So attempts begin and end in
the transitions of their jobs (`node.ledger.jobs`), in the same transaction, and the job's event tells of both. The id
of an attempt derives from job and number: it is known before the attempt is submitted, and the same after a crash. UIDs
of results never depend on it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.errors import NotFoundError
from node.ledger import alerts, events
from node.ledger import identity as identity_of_ledger
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import moment, one, query, to_json
from node.ledger.unreadable import readable

LOCAL = "local"
"""The place of an attempt that is a process of this machine: it ends when the node does."""
_NAMESPACE = uuid.UUID("0d5a3c7e-54f1-5c0b-8f0e-1c9a4be0a7d3")


class AttemptState(StrEnum):
    """Where an attempt stands."""

    STARTING = "starting"
    """Its row is written; whether it was started is not known yet."""
    RUNNING = "running"
    """Its process is there."""
    ANSWERED = "answered"
    """The plugin returned a result that was taken, be it one that reports a failure."""
    FAILED = "failed"
    """It ended without a result that could be taken; `failure` says how."""
    LOST = "lost"
    """The node ended, not on purpose, while it was open: nobody knows how far it came."""
    CANCELLED = "cancelled"
    """It was stopped: by a person, because its images changed, or because the node was stopped on purpose."""


class AttemptFailureKind(StrEnum):
    """Why an attempt failed."""

    CRASH = "crash"
    """The process ended by a signal."""
    RETRYABLE = "retryable"
    """It asked to be tried again later."""
    ERROR = "error"
    """It ended by itself, with a status that means an error."""
    DEADLINE = "deadline"
    LOADING = "loading"
    """Its code was not loaded in time."""
    MEMORY = "memory"
    RESOURCES = "resources"
    """Too many processes, too much on disk."""
    NODE_DIED = "node_died"
    """The node ended, not on purpose, while it ran: perhaps because of it."""
    CONTRACT = "contract"
    """What it returned cannot be accepted."""
    CHANGED = "changed"
    """Its program or weights were replaced while it ran."""
    INPUT = "input"
    """What it should be given is not there (any more), or the plugin is not."""
    SILENT = "silent"
    """A vendor's box or a web service did not answer by the deadline."""
    REFUSED = "refused"
    """A vendor's box or a web service does not take the images."""
    GONE = "gone"
    """Retention removed images that it should be given, and no archive sent them again."""
    STOPPED = "stopped"
    """Its version was withdrawn, or a stop rule suspended its rule for the scanner: it was not run."""
    DAMAGED = "damaged"
    """An image that it should be given is not what was received."""
    NODE = "node"
    """The node or the machine could not do its part."""


@dataclass(frozen=True, slots=True)
class AttemptCourse:
    """What is known of how an attempt went when it ends."""

    failure: AttemptFailureKind | None = None
    """None where the plugin answered, or the attempt was stopped."""
    seconds: float | None = None
    """How long its process ran; None where there was none."""
    peak_memory: int | None = None
    """Bytes, of all its processes together."""
    log: str | None = None
    """The file with what it printed, relative to the data folder."""


@dataclass(frozen=True, slots=True)
class AttemptStart:
    """What is known of an attempt when its process is about to start."""

    algorithm: Mapping[str, Any]
    """Identity of the algorithm, with the digests of its files as they are then."""
    code_digest: str
    """See `Attempt`."""
    resources: Mapping[str, Any]
    """What it keeps busy (`plugins.resources.Resources`), and the GPU that was `assigned`."""
    sent_study_uid: str
    """The Study Instance UID that it gets, a pseudonym or the true one."""
    pseudonym_key: str | None
    """Name of the secret that its pseudonyms were made with; None where it got the images as received."""


@dataclass(frozen=True, slots=True)
class AttemptElsewhere:
    """Of an attempt that is no process of this machine, and outlives the node."""

    place: str
    deadline_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of `attempts`."""

    id: str
    job: str
    number: int
    """1 for the first of its job, whether it counted or not."""
    kind: str | None
    """How its plugin runs (`plugins.runtime.RuntimeKind`); None where there was no plugin to run."""
    place: str
    """`LOCAL`, or where else it runs."""
    handle: str | None
    """What it is reached by: the name of the worker that does it; None for a process of its own."""
    state: AttemptState
    counted: bool
    """Whether it is one of the attempts that the site allows the plugin."""
    failure: AttemptFailureKind | None
    detail: str | None
    """How it ended, for the admin."""
    algorithm: Mapping[str, Any] | None
    """Identity of the algorithm, as its manifest stated it then, and with the digests of what ran."""
    code_digest: str | None
    """SHA-256 of what ran (`node.run.digests`); None where nothing did, and for attempts of before."""
    identity: str | None
    """What it learns of who the patient is (`plugins.runtime.PatientIdentity`); None where nothing was sent to it."""
    sent_study_uid: str | None
    """The Study Instance UID under which its images left, a pseudonym or the true one."""
    started_at: datetime
    deadline_at: datetime | None
    """Of one elsewhere: when it has failed unless it has answered."""
    look_at: datetime | None
    """Of one elsewhere: when it is to be looked at next; None: at once."""
    ended_at: datetime | None
    """None while it is open."""
    seconds: float | None
    peak_memory: int | None
    log: str | None
    """See `AttemptCourse`."""


def id_of(job: str, number: int, salt: str = "") -> str:
    """The id of the attempt of this number, whether it is there already or not; `salt`: see `node.ledger.identity`."""
    return str(uuid.uuid5(_NAMESPACE, to_json([job, number, *([salt] if salt else [])])))


def start(
    database: Database,
    at: datetime,
    job: str,
    algorithm: Mapping[str, Any] | None,
    kind: str | None = None,
    identity: str | None = None,
    elsewhere: AttemptElsewhere | None = None,
) -> Attempt:
    """The next attempt at a job: open, counted until it turns out otherwise, its process still to be started."""
    row = one(database, "SELECT coalesce(max(number), 0) + 1 AS next FROM attempts WHERE job=?", [job])
    assert row is not None, "an aggregate has a row"
    number = int(row["next"])
    database.execute(
        "INSERT INTO attempts (id, job, number, kind, place, state, counted, algorithm, identity, started_at,"
        " deadline_at) VALUES (?,?,?,?,?,?,1,?,?,?,?)",
        [
            id_of(job, number, identity_of_ledger.of(database).salt),
            job,
            number,
            kind,
            elsewhere.place if elsewhere else LOCAL,
            AttemptState.STARTING,
            None if algorithm is None else to_json(dict(algorithm)),
            identity,
            to_text(at),
            to_text(elsewhere.deadline_at) if elsewhere else None,
        ],
    )
    return open_of(database, job)


def identified(database: Database, at: datetime, attempt: Attempt, start: AttemptStart) -> None:
    """What is about to run in an open attempt. Another secret for pseudonyms than before is an alert, once."""
    if start.pseudonym_key is not None:
        _look_for_lost_key(database, at, start.pseudonym_key)
    values = [start.code_digest, to_json(dict(start.resources)), start.sent_study_uid, start.pseudonym_key]
    database.execute(
        "UPDATE attempts SET algorithm=?, code_digest=?, resources=?, sent_study_uid=?, pseudonym_key=?"
        " WHERE id=? AND ended_at IS NULL",
        [to_json(dict(start.algorithm)), *values, attempt.id],
    )


def _look_for_lost_key(database: Database, at: datetime, key: str) -> None:
    if one(database, "SELECT 1 FROM attempts WHERE pseudonym_key=? LIMIT 1", [key]):
        return
    before = one(
        database,
        "SELECT pseudonym_key AS lost FROM attempts WHERE pseudonym_key IS NOT NULL ORDER BY rowid DESC LIMIT 1",
    )
    if before:
        alerts.raised(database, at, AlertKind.PSEUDONYMS_KEY_LOST, before["lost"], new=key)


def of_sent_study(database: Database, uid: str) -> list[Attempt]:
    """Attempts that got this Study Instance UID, oldest first."""
    return _select(database, "sent_study_uid=? ORDER BY started_at", uid)


def running(database: Database, at: datetime, attempt: Attempt, study: str, handle: str = "") -> bool:
    """Its process is there, `handle` its name or ""; false, and nothing changes, where it was ended meanwhile."""
    changed = database.execute(
        "UPDATE attempts SET state=?, handle=? WHERE id=? AND state=?",
        [AttemptState.RUNNING, handle or None, attempt.id, AttemptState.STARTING],
    ).rowcount
    if changed:
        events.record(database, at, EventKind.ATTEMPT_RUNNING, study=study, job=attempt.job, attempt=attempt.number)
    return bool(changed)


def note(database: Database, job: str, course: AttemptCourse) -> None:
    """Put down how the open attempt at a job went, in the transaction that ends it."""
    values = [course.failure, course.seconds, course.peak_memory, course.log]
    database.execute(
        "UPDATE attempts SET failure=?, seconds=?, peak_memory=?, log=? WHERE id=?",
        [*values, open_of(database, job).id],
    )


def settle(database: Database, at: datetime, job: str, detail: str | None) -> str | None:
    """The open attempt at a job is over: failed or lost where `note` put down a failure, else answered.

    Returns its id where it answered.
    """
    state = _state_after(open_of(database, job).failure)
    ended = _end(database, at, job, state, detail, counted=True)
    return ended.id if state is AttemptState.ANSWERED else None


def fail(database: Database, at: datetime, job: str, detail: str, *, counted: bool) -> Attempt:
    """The open attempt at a job came to nothing."""
    failure = open_of(database, job).failure
    state = AttemptState.FAILED if failure is None else _state_after(failure)
    return _end(database, at, job, state, detail, counted=counted)


def cancel(database: Database, at: datetime, job: str, reason: str, *, counted: bool) -> None:
    """The open attempt at a job was stopped."""
    _end(database, at, job, AttemptState.CANCELLED, reason, counted=counted)


def _state_after(failure: AttemptFailureKind | None) -> AttemptState:
    if failure is None:
        return AttemptState.ANSWERED
    return AttemptState.LOST if failure is AttemptFailureKind.NODE_DIED else AttemptState.FAILED


def _end(
    database: Database, at: datetime, job: str, state: AttemptState, detail: str | None, *, counted: bool
) -> Attempt:
    ended = open_of(database, job)
    database.execute(
        "UPDATE attempts SET state=?, detail=?, counted=?, ended_at=? WHERE id=?",
        [state, detail, counted, to_text(at), ended.id],
    )
    return ended


def open_of(database: Database, job: str) -> Attempt:
    """The open attempt at a job; NotFoundError where there is none."""
    found = _select(database, "job=? AND ended_at IS NULL", job)
    if not found:
        raise NotFoundError(f"job {job} has no open attempt")
    return found[0]


def all_open(database: Database) -> list[Attempt]:
    """All open attempts, wherever they run, the one that began first at the top."""
    return _select(database, "ended_at IS NULL ORDER BY started_at")


def open_here(database: Database) -> list[Attempt]:
    """Open attempts that are processes of this machine: one that no thread of this node has is lost.

    An attempt elsewhere outlives the node, and is not among these.
    """
    return _select(database, "ended_at IS NULL AND place=? ORDER BY started_at", LOCAL)


def open_at(database: Database, place: str) -> list[Attempt]:
    """Open attempts at a place that is not this machine, the one that began first at the top."""
    return _select(database, "ended_at IS NULL AND place=? AND place<>'local' ORDER BY started_at", place)


def open_elsewhere(database: Database) -> list[Attempt]:
    """Open attempts that are no processes of this machine, the one that began first at the top."""
    return _select(database, "ended_at IS NULL AND place<>'local' ORDER BY started_at")


def get(database: Database, attempt: str) -> Attempt | None:
    """The attempt of this id."""
    return next(iter(_select(database, "id=?", attempt)), None)


def look_again(database: Database, attempt: str, at: datetime) -> None:
    """When an attempt elsewhere is to be looked at next."""
    database.execute("UPDATE attempts SET look_at=? WHERE id=?", [to_text(at), attempt])


def clock_was_set(database: Database, place: str, by: timedelta) -> None:
    """The wall clock was set: attempts at a place have as long as they had before."""
    for each in open_at(database, place):
        if each.deadline_at is not None:
            values = [to_text(each.deadline_at + by), each.id]
            database.execute("UPDATE attempts SET deadline_at=?, look_at=NULL WHERE id=?", values)


def of_job(database: Database, job: str) -> list[Attempt]:
    """All attempts at a job, oldest first."""
    return _select(database, "job=? ORDER BY number", job)


def last_of(database: Database, job: str) -> Attempt | None:
    """The newest attempt at a job; None where it has never begun."""
    return next(iter(_select(database, "job=? ORDER BY number DESC LIMIT 1", job)), None)


def postponements(database: Database, job: str) -> int:
    """How often the node or the machine, not the plugin, was the reason that an attempt at a job came to nothing."""
    sql = "SELECT count(*) AS n FROM attempts WHERE job=? AND counted=0 AND state<>?"
    row = one(database, sql, [job, AttemptState.CANCELLED])
    return int(row["n"]) if row else 0


def mean_seconds(database: Database) -> dict[str, float]:
    """Plugin → how long the last attempts at its jobs took on average; nothing for one none of whose jobs is over."""
    rows = query(
        database,
        "SELECT plugin, avg(julianday(ended_at)-julianday(started_at))*86400 AS seconds"
        " FROM jobs JOIN attempts ON attempts.job=jobs.id WHERE finished_at IS NOT NULL AND ended_at IS NOT NULL"
        " AND number=(SELECT max(number) FROM attempts AS tried WHERE tried.job=jobs.id) GROUP BY plugin",
    )
    return {row["plugin"]: float(row["seconds"]) for row in rows}


def _select(database: Database, which: str, *values: str) -> list[Attempt]:
    """Attempts; `which` is their condition, with a question mark for each value."""
    sql = f"SELECT {_COLUMNS} FROM attempts WHERE {which}"  # noqa: S608 - our own columns
    return readable(database, "attempts", query(database, sql, values), _from_row)


def _from_row(row: Mapping[str, Any]) -> Attempt:
    values = dict(row)
    values["state"] = AttemptState(row["state"])
    values["counted"] = bool(row["counted"])
    values["failure"] = AttemptFailureKind(row["failure"]) if row["failure"] else None
    values["algorithm"] = json.loads(row["algorithm"]) if row["algorithm"] else None
    values["started_at"] = from_text(row["started_at"])
    for field in ("deadline_at", "look_at", "ended_at"):
        values[field] = moment(row[field])
    return Attempt(**values)


_COLUMNS = ",".join(field.name for field in fields(Attempt))


def was_under_pseudonyms(database: Database, attempt: str | None) -> bool:
    """Whether the plugin got pseudonyms in this attempt; false of a result that the node made itself."""
    row = one(database, "SELECT identity FROM attempts WHERE id=?", [attempt]) if attempt else None
    return row is not None and row["identity"] == "pseudonym"
