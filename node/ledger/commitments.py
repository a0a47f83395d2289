"""Requests for storage commitment: one row an N-ACTION, from taken to reported, with an item for each SOP instance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlite_utils import Database

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.events import Severity
from node.ledger.rows import Table, moment, one, placeholders, query


class CommitmentStatus(StrEnum):
    """Where a request for storage commitment stands."""

    WAITING = "waiting"
    """What was received before it may not be indexed yet."""
    AT_ARCHIVE = "at_archive"
    """What is stored here has still to be committed by the archive that it goes through."""
    DECIDED = "decided"
    """To be reported at `not_before`, on a new association."""
    OFFERED = "offered"
    """The association of the request is still open: its receiver is to report on it."""
    REPORTED = "reported"
    """The requester has taken the report."""
    DEAD = "dead"
    """It could not be reported for too long, or was refused: kept, and reported again only by `retry`."""


OPEN = (CommitmentStatus.WAITING, CommitmentStatus.AT_ARCHIVE, CommitmentStatus.DECIDED, CommitmentStatus.OFFERED)


@dataclass(frozen=True, slots=True)
class Commitment:
    """One row of `commitments`."""

    id: int
    entry: str
    """Name of the message in the journal."""
    transaction_uid: str
    requester: str
    """Calling AE title of the N-ACTION."""
    called_ae_title: str
    """What it called us: what we call ourselves when we report."""
    association: str
    contents: str
    """Digest of the references."""
    status: CommitmentStatus
    through: str | None
    """The destination whose own commitment is needed."""
    attempts: int
    """Reports begun on associations of our own."""
    refusals: int
    not_before: datetime
    """When the archive is asked again, or the report tried."""
    error: str | None
    requested_at: datetime
    taken_at: datetime
    decided_at: datetime | None
    reported_at: datetime | None


@dataclass(frozen=True, slots=True)
class Item:
    """One row of `commitment_items`."""

    position: int
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str | None
    """Where it is known here."""
    failure: int | None
    """Failure reason (0008,1197); 0 where it is committed, None while that is open."""
    archive_said: int | None
    """The failure reason in the archive's last report on it."""


References = Sequence[tuple[str, str]]
"""SOP class UID and SOP instance UID of each."""


def digest_of(references: References) -> str:
    """Equal for equal sets of references."""
    return hashlib.sha256("\n".join(sorted(" ".join(pair) for pair in references)).encode()).hexdigest()


def take(
    database: Database,
    at: datetime,
    *,
    entry: str,
    transaction_uid: str,
    requester: str,
    called_ae_title: str,
    association: str,
    requested_at: datetime,
    references: References,
    through: str | None,
    duplicate: int,
) -> int | None:
    """A message of the journal becomes a row, once; its id, or None where it adds nothing.

    The same Transaction UID of the same AE again: with the same references, while the first waits, it is a repetition,
    and the report goes to the newest association. After the report it is decided again. With other references all of
    them fail with the reason `duplicate` (PS3.3 C.14.1.1).
    """
    if one(database, "SELECT id FROM commitments WHERE entry=?", [entry]):
        return None
    contents = digest_of(references)
    earlier = _of_transaction(database, requester, transaction_uid)
    misused = any(each.contents != contents for each in earlier)
    running = next((each for each in earlier if each.contents == contents and each.status in OPEN), None)
    if running is not None:
        if running.status is not CommitmentStatus.OFFERED:  # the file of an offer is named after its association
            database.execute("UPDATE commitments SET association=? WHERE id=?", [association, running.id])
        _record(database, at, running.id, "commitment.repeated", requester=requester)
        return None
    status = CommitmentStatus.DECIDED if misused else CommitmentStatus.WAITING
    cursor = database.execute(
        "INSERT INTO commitments (entry, transaction_uid, requester, called_ae_title, association, contents, status,"
        " through, attempts, refusals, not_before, requested_at, taken_at, decided_at)"
        " VALUES (?,?,?,?,?,?,?,?,0,0,?,?,?,?)",
        [
            entry,
            transaction_uid,
            requester,
            called_ae_title,
            association,
            contents,
            status,
            through,
            to_text(at),
            to_text(requested_at),
            to_text(at),
            to_text(at) if misused else None,
        ],
    )
    number = int(cursor.lastrowid or 0)
    database.conn.executemany(
        "INSERT INTO commitment_items (commitment, position, sop_class_uid, sop_instance_uid, failure)"
        " VALUES (?,?,?,?,?)",
        [(number, n, *pair, duplicate if misused else None) for n, pair in enumerate(references)],
    )
    _record(database, at, number, "commitment.requested", requester=requester, instances=len(references))
    if misused:
        _record(
            database,
            at,
            number,
            "commitment.duplicate-transaction",
            Severity.WARNING,
            requester=requester,
            transaction_uid=transaction_uid,
        )
    return number


def judged(
    database: Database, at: datetime, number: int, verdicts: Mapping[int, tuple[int | None, str | None]]
) -> None:
    """What is said of each item, by position: failure (None where the archive is asked first), and its study."""
    commitment = _TABLE.transition(database, number, (CommitmentStatus.WAITING,), CommitmentStatus.AT_ARCHIVE)
    database.conn.executemany(
        "UPDATE commitment_items SET failure=?, study_instance_uid=? WHERE commitment=? AND position=?",
        [(failure, study, number, position) for position, (failure, study) in verdicts.items()],
    )
    database.execute("UPDATE commitments SET not_before=? WHERE id=?", [to_text(at), number])
    if commitment.through is not None and any(failure is None for failure, _ in verdicts.values()):
        _record(database, at, number, "commitment.stored-here", through=commitment.through)
    decide_if_settled(database, at, number)


def decide_if_settled(database: Database, at: datetime, number: int) -> bool:
    """Once no item is open any more there is something to report."""
    if any(item.failure is None for item in items(database, number)):
        return False
    commitment = _TABLE.transition(database, number, (CommitmentStatus.AT_ARCHIVE,), CommitmentStatus.DECIDED)
    database.execute(
        "UPDATE commitments SET decided_at=?, not_before=?, error=NULL WHERE id=?", [to_text(at), to_text(at), number]
    )
    failures = [item.failure for item in items(database, number) if item.failure]
    _record(
        database,
        at,
        number,
        "commitment.decided",
        Severity.WARNING if failures else Severity.INFO,
        requester=commitment.requester,
        failed=len(failures),
        reasons=sorted({f"{each:04X}" for each in failures}),
        through=commitment.through,
    )
    return True


def offered(database: Database, at: datetime, number: int) -> None:
    """The report is left with the receiver that holds the association."""
    commitment = _TABLE.transition(database, number, (CommitmentStatus.DECIDED,), CommitmentStatus.OFFERED)
    _record(database, at, number, "commitment.offered", requester=commitment.requester)


def not_taken(database: Database, at: datetime, number: int) -> None:
    """It could not be reported on the association of the request: on one of our own, now."""
    commitment = _TABLE.transition(database, number, (CommitmentStatus.OFFERED,), CommitmentStatus.DECIDED)
    # No association has an empty name: it is not offered a second time.
    database.execute("UPDATE commitments SET not_before=?, association='' WHERE id=?", [to_text(at), number])
    _record(database, at, number, "commitment.association-ended", requester=commitment.requester)


def reported(database: Database, at: datetime, number: int, dimse_status: int, how: str) -> None:
    """The requester has taken the report; `how` says on which association."""
    allowed = (CommitmentStatus.OFFERED, CommitmentStatus.DECIDED)
    commitment = _TABLE.transition(database, number, allowed, CommitmentStatus.REPORTED)
    database.execute("UPDATE commitments SET reported_at=?, error=NULL WHERE id=?", [to_text(at), number])
    failed = sum(bool(item.failure) for item in items(database, number))
    _record(
        database,
        at,
        number,
        "commitment.reported",
        requester=commitment.requester,
        failed=failed,
        how=how,
        dimse_status=f"{dimse_status:04X}",
    )


def association_over(database: Database, number: int) -> None:
    """The association of the request has ended before there was anything to report: one of our own is needed."""
    database.execute("UPDATE commitments SET association='' WHERE id=?", [number])


def trying(database: Database, number: int) -> None:
    """A report on an association of our own begins."""
    database.execute("UPDATE commitments SET attempts=attempts+1 WHERE id=?", [number])


def wait(
    database: Database,
    at: datetime,
    number: int,
    not_before: datetime,
    error: str,
    *,
    refused: bool = False,
    severity: Severity = Severity.WARNING,
) -> None:
    """Not now: again at `not_before`. The same reason a second time is recorded, but alerts nobody again."""
    commitment = get(database, number)
    database.execute(
        "UPDATE commitments SET not_before=?, error=?, refusals=refusals+? WHERE id=?",
        [to_text(not_before), error, int(refused), number],
    )
    known = Severity.INFO if commitment.error == error else severity
    _record(database, at, number, "commitment.waits", known, error=error, not_before=to_text(not_before))


def dead(database: Database, at: datetime, number: int, error: str) -> None:
    """It cannot be reported: a dead letter, and an alert."""
    allowed = (CommitmentStatus.DECIDED, CommitmentStatus.OFFERED)
    commitment = _TABLE.transition(database, number, allowed, CommitmentStatus.DEAD)
    database.execute("UPDATE commitments SET error=? WHERE id=?", [error, number])
    _record(database, at, number, "commitment.dead", Severity.ALERT, requester=commitment.requester, error=error)


def again(database: Database, at: datetime, number: int, by: str, keep: int) -> Commitment:
    """A person says: decide it again and report it; but what failed with `keep` still fails."""
    allowed = (CommitmentStatus.DEAD, CommitmentStatus.REPORTED, CommitmentStatus.DECIDED)
    _TABLE.transition(database, number, allowed, CommitmentStatus.WAITING)
    database.execute(
        "UPDATE commitment_items SET failure=NULL, archive_said=NULL WHERE commitment=? AND failure<>?", [number, keep]
    )
    database.execute(
        "UPDATE commitments SET attempts=0, refusals=0, error=NULL, taken_at=?, decided_at=NULL, reported_at=NULL,"
        " association='' WHERE id=?",
        [to_text(at), number],
    )
    _record(database, at, number, "commitment.again", by=by)
    return get(database, number)


def get(database: Database, number: int) -> Commitment:
    """The request of this number; NotFoundError where there is none."""
    return _TABLE.get(database, number)


def items(database: Database, number: int) -> list[Item]:
    """What a request names, in its order."""
    sql = (
        "SELECT position, sop_class_uid, sop_instance_uid, study_instance_uid, failure, archive_said"
        " FROM commitment_items WHERE commitment=? ORDER BY position"
    )
    return [Item(**row) for row in query(database, sql, [number])]


def with_status(database: Database, statuses: Sequence[CommitmentStatus], limit: int | None = None) -> list[Commitment]:
    """Requests in this state, oldest first."""
    sql = f"SELECT * FROM commitments WHERE status IN ({placeholders(statuses)}) ORDER BY id LIMIT ?"  # noqa: S608 - only question marks
    return [_commitment(row) for row in query(database, sql, [*statuses, -1 if limit is None else limit])]


def due(
    database: Database, status: CommitmentStatus, at: datetime, *, requester: str = "", through: str = ""
) -> list[Commitment]:
    """Requests in this state and whose time has come, of this requester or through this archive.

    Oldest first, but what was tried in vain after the rest: it may get no answer again, and that takes time.
    """
    sql = (
        "SELECT * FROM commitments WHERE status=? AND not_before<=? AND (requester=? OR through=?)"
        " ORDER BY error IS NOT NULL, id"
    )
    return [_commitment(row) for row in query(database, sql, [status, to_text(at), requester, through])]


def next_due_at(
    database: Database, status: CommitmentStatus, *, requester: str = "", through: str = ""
) -> datetime | None:
    """When the next of these becomes due."""
    sql = "SELECT min(not_before) AS t FROM commitments WHERE status=? AND (requester=? OR through=?)"
    row = one(database, sql, [status, requester, through])
    return moment(row["t"]) if row else None


def counts(database: Database) -> dict[CommitmentStatus, int]:
    """How many requests are in each state."""
    return _TABLE.counts(database)


def of_study(database: Database, study: str) -> list[tuple[Commitment, list[Item]]]:
    """Requests that name instances of a study, with those items, in order of arrival."""
    sql = "SELECT DISTINCT commitment FROM commitment_items WHERE study_instance_uid=? ORDER BY commitment"
    numbers = [int(row["commitment"]) for row in query(database, sql, [study])]
    return [
        (get(database, number), [item for item in items(database, number) if item.study_instance_uid == study])
        for number in numbers
    ]


def record_for(
    database: Database, at: datetime, number: int, kind: str, severity: Severity = Severity.INFO, **detail: Any
) -> None:
    """An event about a request that is not a transition of its own row."""
    _record(database, at, number, kind, severity, **detail)


def _record(
    database: Database, at: datetime, number: int, kind: str, severity: Severity = Severity.INFO, **detail: Any
) -> None:
    """One event for each study that the request names; one without a study where none is known."""
    sql = "SELECT DISTINCT study_instance_uid AS s FROM commitment_items WHERE commitment=? AND s IS NOT NULL"
    studies: Iterable[str | None] = [row["s"] for row in query(database, sql, [number])] or [None]
    for study in studies:
        events.record(database, at, kind, study=study, severity=severity, commitment=number, **detail)


def _of_transaction(database: Database, requester: str, transaction_uid: str) -> list[Commitment]:
    sql = "SELECT * FROM commitments WHERE requester=? AND transaction_uid=? ORDER BY id"
    return [_commitment(row) for row in query(database, sql, [requester, transaction_uid])]


def _commitment(row: dict[str, Any]) -> Commitment:
    return Commitment(
        **{
            **row,
            "status": CommitmentStatus(row["status"]),
            "not_before": from_text(row["not_before"]),
            "requested_at": from_text(row["requested_at"]),
            "taken_at": from_text(row["taken_at"]),
            "decided_at": moment(row["decided_at"]),
            "reported_at": moment(row["reported_at"]),
        }
    )


_TABLE = Table("commitments", "request for storage commitment", CommitmentStatus, _commitment)
