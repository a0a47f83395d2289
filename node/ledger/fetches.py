"""Studies that an archive is asked for, on their way, here: earlier ones that rules want, one row a decision.

And those whose images retention removed and that a job needs: one row a job, study and archive.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.job import Job
from node.ledger.rows import moment, one, placeholders, query, to_json
from node.ledger.unreadable import readable, soonest

LATE_ARRIVALS = timedelta(days=1)
"""So long after the request, images of the study from the archive count as fetched."""


class FetchStatus(StrEnum):
    """Where a fetch stands."""

    SEEKING = "seeking"
    """The archive is to be asked which earlier studies it has, and to send the one that is wanted."""
    ARRIVING = "arriving"
    """The archive was asked to send it (C-MOVE): the study is complete here as soon as nothing more comes."""
    FETCHED = "fetched"
    """It is here."""
    NONE = "none"
    """The archive has none that will do."""
    FAILED = "failed"
    """It did not arrive in time, or is another patient's: a person is notified."""


OPEN = (FetchStatus.SEEKING, FetchStatus.ARRIVING)
_ENDS = {
    FetchStatus.FETCHED: EventKind.FETCH_FETCHED,
    FetchStatus.NONE: EventKind.FETCH_NONE,
    FetchStatus.FAILED: EventKind.FETCH_FAILED,
}


@dataclass(frozen=True, slots=True)
class Fetch:
    """One row of `fetches`."""

    id: int
    decision: int
    study_instance_uid: str
    rule: str
    source: str
    """The destination that is asked."""
    wanted: Mapping[str, Any]
    """What will do: modalities, dates and so on (`node.fetch.seeking`)."""
    status: FetchStatus
    prior_study: str | None
    attempts: int
    not_before: datetime
    deadline: datetime
    error: str | None
    asked_at: datetime
    requested_at: datetime | None
    """When the archive was last asked to send it."""
    expected: int | None
    """How many images it says that it has sent; None before it has said so."""
    ended_at: datetime | None
    followed_up: bool
    """The jobs that waited for it are made."""
    job: str | None = None
    """The job that waits for `prior_study`, whose images were removed; None: a rule wants an earlier study."""


def ask(
    database: Database,
    at: datetime,
    *,
    decision: int,
    study: str,
    rule: str,
    source: str,
    wanted: Mapping[str, Any],
    deadline: datetime,
) -> None:
    """A rule wants an earlier study before its jobs are made."""
    row = {
        "decision": decision,
        "study_instance_uid": study,
        "rule": rule,
        "source": source,
        "wanted": to_json(wanted),
        "status": FetchStatus.SEEKING,
        "attempts": 0,
        "not_before": to_text(at),
        "deadline": to_text(deadline),
        "asked_at": to_text(at),
    }
    sql = f"INSERT INTO fetches ({','.join(row)}) VALUES ({','.join('?' for _ in row)})"  # noqa: S608 - our own columns
    database.execute(sql, list(row.values()))
    events.record(
        database, at, EventKind.FETCH_ASKED, study=study, rule=rule, source=source, deadline=to_text(deadline)
    )


def ask_again(
    database: Database,
    at: datetime,
    job: Job,
    study: str,
    *,
    source: str,
    wanted: Mapping[str, Any],
    deadline: datetime,
) -> None:
    """A job needs images of a study that were removed: it waits until this archive has sent them, or will not."""
    row = {
        "decision": job.decision,
        "study_instance_uid": job.study_instance_uid,
        "rule": job.rule,
        "source": source,
        "wanted": to_json(wanted),
        "status": FetchStatus.SEEKING,
        "prior_study": study,
        "attempts": 0,
        "not_before": to_text(at),
        "deadline": to_text(deadline),
        "asked_at": to_text(at),
        "followed_up": 1,  # no decision waits for it: the job does
        "job": job.id,
    }
    sql = f"INSERT INTO fetches ({','.join(row)}) VALUES ({placeholders(row)})"  # noqa: S608 - our own columns
    database.execute(sql, list(row.values()))
    events.record(
        database,
        at,
        EventKind.FETCH_IMAGES_ASKED,
        study=job.study_instance_uid,
        job=job.id,
        source=source,
        images_of=study,
        deadline=to_text(deadline),
    )


def of_job(database: Database, job: str) -> list[Fetch]:
    """Those of removed images that a job needs, oldest first."""
    return readable(
        database, "fetches", query(database, "SELECT * FROM fetches WHERE job=? ORDER BY id", [job]), _fetch
    )


def is_sent_for_another(database: Database, fetch: Fetch) -> bool:
    """Whether the study of a fetch is on its way here already, because another one asked for it."""
    sql = "SELECT 1 FROM fetches WHERE prior_study=? AND status=? AND id<>?"
    return one(database, sql, [fetch.prior_study, FetchStatus.ARRIVING, fetch.id]) is not None


def source_of(database: Database, study: str) -> str | None:
    """The archive that sent a study here last; None where none did."""
    row = one(
        database,
        "SELECT source FROM fetches WHERE prior_study=? AND status=? ORDER BY id DESC LIMIT 1",
        [study, FetchStatus.FETCHED],
    )
    return row["source"] if row else None


def due(database: Database, at: datetime) -> list[Fetch]:
    """What there is to do now, oldest first, but what failed before after the rest; nothing of a held study."""
    rows = query(
        database,
        "SELECT fetches.* FROM fetches JOIN studies USING (study_instance_uid)"
        " WHERE fetches.status IN (?,?) AND not_before<=? AND studies.hold IS NULL"
        " ORDER BY fetches.error IS NOT NULL, fetches.id",
        [*OPEN, to_text(at)],
    )
    return readable(database, "fetches", rows, _fetch)


def overdue(database: Database, at: datetime) -> list[Fetch]:
    """Open ones whose deadline has passed, of studies that are not held."""
    rows = query(
        database,
        "SELECT fetches.* FROM fetches JOIN studies USING (study_instance_uid)"
        " WHERE fetches.status IN (?,?) AND deadline<=? AND studies.hold IS NULL ORDER BY fetches.id",
        [*OPEN, to_text(at)],
    )
    return readable(database, "fetches", rows, _fetch)


def clock_was_set(database: Database, at: datetime, by: timedelta) -> None:
    """The open ones have as long as they had before, and no longer than they were meant to have.

    `by`: how much was added to the clock. What was asked for before it was ahead keeps its times when it is put back;
    what was asked for meanwhile is moved with it, and is never taken as asked for later than now.
    """
    for fetch in readable(database, "fetches", query(database, "SELECT * FROM fetches WHERE ended_at IS NULL"), _fetch):
        moved = by if by > timedelta() or fetch.asked_at > at else timedelta()
        asked = min(fetch.asked_at + moved, at)
        deadline = asked + (fetch.deadline - fetch.asked_at)
        times = [to_text(asked), to_text(deadline), to_text(min(fetch.not_before, at))]
        _update(database, fetch, "asked_at=?, deadline=?, not_before=?", times)


def _update(database: Database, fetch: Fetch, columns: str, values: list[Any]) -> bool:
    """Change an open one; false where it has ended meanwhile: another thread looks after deadlines."""
    sql = f"UPDATE fetches SET {columns} WHERE id=? AND ended_at IS NULL"  # noqa: S608 - our own columns
    return bool(database.execute(sql, [*values, fetch.id]).rowcount)


def requested(database: Database, at: datetime, fetch: Fetch, prior: str) -> bool:
    """The archive is about to be asked to send it: what comes from there now was not sent by itself.

    False where it has ended meanwhile: nothing is to be asked for.
    """
    columns = "status=?, prior_study=?, requested_at=?, expected=NULL, attempts=attempts+1"
    if not _update(database, fetch, columns, [FetchStatus.ARRIVING, prior, to_text(at)]):
        return False
    events.record(
        database, at, EventKind.FETCH_REQUESTED, study=fetch.study_instance_uid, source=fetch.source, prior=prior
    )
    return True


def sent(database: Database, at: datetime, fetch: Fetch, expected: int) -> None:
    """The archive says that it has sent this many images, or at least this many."""
    if _update(database, fetch, "expected=?, error=NULL", [expected]):
        events.record(
            database, at, EventKind.FETCH_SENT, study=fetch.study_instance_uid, source=fetch.source, images=expected
        )


def wait(
    database: Database, at: datetime, fetch: Fetch, not_before: datetime, error: str | None, again: bool = False
) -> None:
    """Not now; `again`: the archive has to be asked once more."""
    status = FetchStatus.SEEKING if again else fetch.status
    changed = _update(database, fetch, "status=?, not_before=?, error=?", [status, to_text(not_before), error])
    if changed and error and error != fetch.error:
        events.record(
            database,
            at,
            EventKind.FETCH_WAITS,
            study=fetch.study_instance_uid,
            severity=Severity.WARNING,
            source=fetch.source,
            error=error,
        )


def ended(database: Database, at: datetime, fetch: Fetch, status: FetchStatus, why: str | None = None) -> None:
    """It is here, or will not be; the jobs that waited for it can be made. Nothing where it has ended before."""
    if not _update(database, fetch, "status=?, error=?, ended_at=?", [status, why, to_text(at)]):
        return
    events.record(
        database,
        at,
        _ENDS[status],
        study=fetch.study_instance_uid,
        source=fetch.source,
        prior=fetch.prior_study,
        reason=why,
    )
    if status is FetchStatus.FAILED:  # it is about the archive: other studies will miss theirs, too
        alerts.met(database, at, AlertKind.FETCH_FAILED, fetch.source, study=fetch.study_instance_uid, reason=why)


def was_requested(database: Database, study: str, ae_title: str, sources: Mapping[str, str], at: datetime) -> bool:
    """Whether this node has asked the archive of this AE title to send this study; `sources`: name → AE title."""
    rows = query(
        database,
        "SELECT DISTINCT source FROM fetches WHERE prior_study=? AND requested_at>=?",
        [study, to_text(at - LATE_ARRIVALS)],
    )
    return any(sources.get(row["source"]) == ae_title for row in rows)


def any_requested(database: Database, at: datetime) -> bool:
    """Whether anything was asked for of late: where not, nothing that comes has to be looked up."""
    return (
        one(database, "SELECT 1 FROM fetches WHERE requested_at>=? LIMIT 1", [to_text(at - LATE_ARRIVALS)]) is not None
    )


def to_follow_up(database: Database) -> list[Fetch]:
    """Those of earlier studies that have ended and whose jobs are not made; none of a study that grows or is held."""
    rows = query(
        database,
        "SELECT fetches.* FROM fetches JOIN studies USING (study_instance_uid)"
        " WHERE fetches.ended_at IS NOT NULL AND followed_up=0 AND studies.hold IS NULL AND studies.status='complete'"
        " ORDER BY fetches.id",
    )
    return readable(database, "fetches", rows, _fetch)


def followed_up(database: Database, fetch: int) -> None:
    """The jobs that waited for it are made, or never will be."""
    database.execute("UPDATE fetches SET followed_up=1 WHERE id=?", [fetch])


def overtaken(database: Database, at: datetime, study: str, rule: str) -> None:
    """The rule decides again on a newer revision: what it wanted for the older one is not waited for."""
    database.execute(
        "UPDATE fetches SET status=?, error=?, ended_at=?, followed_up=1"
        " WHERE study_instance_uid=? AND rule=? AND ended_at IS NULL AND job IS NULL",
        [FetchStatus.NONE, "the study has grown: the rule asks again", to_text(at), study, rule],
    )


def of_study(database: Database, study: str) -> list[Fetch]:
    """The fetches for a study, oldest first."""
    rows = query(database, "SELECT * FROM fetches WHERE study_instance_uid=? ORDER BY id", [study])
    return readable(database, "fetches", rows, _fetch)


def waiting(database: Database) -> int:
    """How many are under way."""
    row = one(database, "SELECT count(*) AS n FROM fetches WHERE status IN (?,?)", list(OPEN))
    return int(row["n"]) if row else 0


def next_due_at(database: Database, sources: Collection[str]) -> datetime | None:
    """When the time of the next one comes that one of these archives is asked for."""
    which = f"fetches.status IN (?,?) AND source IN ({placeholders(sources)}) AND studies.hold IS NULL"
    sql = f"SELECT min(not_before) AS t FROM fetches JOIN studies USING (study_instance_uid) WHERE {which}"  # noqa: S608 - question marks
    row = one(database, sql, [*OPEN, *sources])
    return soonest(row["t"]) if row else None


def _fetch(row: Mapping[str, Any]) -> Fetch:
    return Fetch(
        **{
            **row,
            "wanted": json.loads(row["wanted"]),
            "status": FetchStatus(row["status"]),
            "not_before": from_text(row["not_before"]),
            "deadline": from_text(row["deadline"]),
            "asked_at": from_text(row["asked_at"]),
            "requested_at": moment(row["requested_at"]),
            "ended_at": moment(row["ended_at"]),
            "followed_up": bool(row["followed_up"]),
        }
    )
