"""Earlier studies that rules want: asked for at an archive, on their way, here; one row a decision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlite_utils import Database

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.events import Severity
from node.ledger.rows import moment, one, query, to_json

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
    events.record(database, at, "fetch.asked", study=study, rule=rule, source=source, deadline=to_text(deadline))


def due(database: Database, at: datetime) -> list[Fetch]:
    """What there is to do now, oldest first, but what failed before after the rest; nothing of a held study."""
    rows = query(
        database,
        "SELECT fetches.* FROM fetches JOIN studies USING (study_instance_uid)"
        " WHERE fetches.status IN (?,?) AND not_before<=? AND studies.hold IS NULL"
        " ORDER BY fetches.error IS NOT NULL, fetches.id",
        [*OPEN, to_text(at)],
    )
    return [_fetch(row) for row in rows]


def requested(database: Database, at: datetime, fetch: Fetch, prior: str) -> None:
    """The archive is about to be asked to send it: what comes from there now was not sent by itself."""
    database.execute(
        "UPDATE fetches SET status=?, prior_study=?, requested_at=?, expected=NULL, attempts=attempts+1 WHERE id=?",
        [FetchStatus.ARRIVING, prior, to_text(at), fetch.id],
    )
    events.record(database, at, "fetch.requested", study=fetch.study_instance_uid, source=fetch.source, prior=prior)


def sent(database: Database, at: datetime, fetch: Fetch, expected: int) -> None:
    """The archive says that it has sent this many images."""
    database.execute("UPDATE fetches SET expected=?, error=NULL WHERE id=?", [expected, fetch.id])
    events.record(database, at, "fetch.sent", study=fetch.study_instance_uid, source=fetch.source, images=expected)


def wait(
    database: Database, at: datetime, fetch: Fetch, not_before: datetime, error: str | None, again: bool = False
) -> None:
    """Not now; `again`: the archive has to be asked once more."""
    status = FetchStatus.SEEKING if again else fetch.status
    database.execute(
        "UPDATE fetches SET status=?, not_before=?, error=? WHERE id=?",
        [status, to_text(not_before), error, fetch.id],
    )
    if error and error != fetch.error:
        events.record(
            database,
            at,
            "fetch.waits",
            study=fetch.study_instance_uid,
            severity=Severity.WARNING,
            source=fetch.source,
            error=error,
        )


def ended(database: Database, at: datetime, fetch: Fetch, status: FetchStatus, why: str | None = None) -> None:
    """It is here, or will not be; the jobs that waited for it can be made."""
    database.execute(
        "UPDATE fetches SET status=?, error=?, ended_at=? WHERE id=?", [status, why, to_text(at), fetch.id]
    )
    events.record(
        database,
        at,
        f"fetch.{status}",
        study=fetch.study_instance_uid,
        severity=Severity.ALERT if status is FetchStatus.FAILED else Severity.INFO,
        source=fetch.source,
        prior=fetch.prior_study,
        reason=why,
    )


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
    """Those that have ended and whose jobs are not made; none of a study that grows or is held."""
    rows = query(
        database,
        "SELECT fetches.* FROM fetches JOIN studies USING (study_instance_uid)"
        " WHERE fetches.ended_at IS NOT NULL AND followed_up=0 AND studies.hold IS NULL AND studies.status='complete'"
        " ORDER BY fetches.id",
    )
    return [_fetch(row) for row in rows]


def followed_up(database: Database, fetch: int) -> None:
    """The jobs that waited for it are made, or never will be."""
    database.execute("UPDATE fetches SET followed_up=1 WHERE id=?", [fetch])


def overtaken(database: Database, at: datetime, study: str, rule: str) -> None:
    """The rule decides again on a newer revision: what it wanted for the older one is not waited for."""
    database.execute(
        "UPDATE fetches SET status=?, error=?, ended_at=?, followed_up=1"
        " WHERE study_instance_uid=? AND rule=? AND ended_at IS NULL",
        [FetchStatus.NONE, "the study has grown: the rule asks again", to_text(at), study, rule],
    )


def of_study(database: Database, study: str) -> list[Fetch]:
    """The fetches for a study, oldest first."""
    return [
        _fetch(row) for row in query(database, "SELECT * FROM fetches WHERE study_instance_uid=? ORDER BY id", [study])
    ]


def waiting(database: Database) -> int:
    """How many are under way."""
    row = one(database, "SELECT count(*) AS n FROM fetches WHERE status IN (?,?)", list(OPEN))
    return int(row["n"]) if row else 0


def next_due_at(database: Database) -> datetime | None:
    """When the next one's time comes."""
    row = one(database, "SELECT min(not_before) AS t FROM fetches WHERE status IN (?,?)", list(OPEN))
    return moment(row["t"]) if row else None


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
