"""Requests for storage commitment: one row an N-ACTION, from taken to reported, with an item for each SOP instance."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from node.clock import from_text, to_text
from node.errors import PermanentError
from node.ledger import alerts, events, said
from node.ledger.alert_kinds import AlertKind
from node.ledger.commitment import OPEN, Commitment, CommitmentItem, CommitmentStatus, NewCommitment, digest_of
from node.ledger.connection import Database
from node.ledger.due_times import NEXT, PUT_OFF, at_next, until
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.rows import Table, moment, one, placeholders, query
from node.ledger.unreadable import readable, soonest


def take(database: Database, at: datetime, new: NewCommitment, duplicate: int) -> int | None:
    """A message of the journal becomes a row, once; its id, or None where it adds nothing.

    The same Transaction UID of the same AE again: with the same references, while the first waits, it is a repetition,
    and the report goes to the newest association. After the report it is decided again. With other references all of
    them fail with the reason `duplicate` (PS3.3 C.14.1.1).
    """
    if one(database, "SELECT id FROM commitments WHERE entry=?", [new.entry]):
        return None
    contents, actor = digest_of(new.references), events.ae(new.requester)
    earlier = _of_transaction(database, new.requester, new.transaction_uid)
    misused = any(each.contents != contents for each in earlier)
    running = next((each for each in earlier if each.contents == contents and each.status in OPEN), None)
    if running is not None:
        if running.status is not CommitmentStatus.OFFERED:  # the file of an offer is named after its association
            database.execute("UPDATE commitments SET association=? WHERE id=?", [new.association, running.id])
        _record(database, at, running.id, EventKind.COMMITMENT_REPEATED, actor=actor, requester=new.requester)
        return None
    number = _insert(database, at, new, contents, duplicate if misused else None)
    told: dict[str, Any] = {"actor": actor, "requester": new.requester}
    _record(database, at, number, EventKind.COMMITMENT_REQUESTED, instances=len(new.references), **told)
    if misused:
        kind = EventKind.COMMITMENT_DUPLICATE_TRANSACTION
        _record(database, at, number, kind, transaction_uid=new.transaction_uid, **told)
    return number


def _insert(database: Database, at: datetime, new: NewCommitment, contents: str, failure: int | None) -> int:
    """The request and its items; decided at once where all of them have failed."""
    now = to_text(at)
    values = {
        "entry": new.entry,
        "transaction_uid": new.transaction_uid,
        "requester": new.requester,
        "called_ae_title": new.called_ae_title,
        "association": new.association,
        "contents": contents,
        "status": CommitmentStatus.WAITING if failure is None else CommitmentStatus.DECIDED,
        "through": new.through,
        "keep_seconds": None if new.keep is None else int(new.keep.total_seconds()),
        "attempts": 0,
        "refusals": 0,
        "not_before": now,
        "put_off_at": now,
        "requested_at": to_text(new.requested_at),
        "taken_at": now,
        "decided_at": None if failure is None else now,
    }
    sql = f"INSERT INTO commitments ({','.join(values)}) VALUES ({placeholders(values)})"  # noqa: S608 - our own columns
    number = int(database.execute(sql, list(values.values())).lastrowid or 0)
    database.conn.executemany(
        "INSERT INTO commitment_items (commitment, position, sop_class_uid, sop_instance_uid, failure)"
        " VALUES (?,?,?,?,?)",
        [(number, position, *pair, failure) for position, pair in enumerate(new.references)],
    )
    return number


def judged(
    database: Database, at: datetime, number: int, verdicts: Mapping[int, tuple[int | None, str | None]], gone: int
) -> None:
    """What is said of each item, by position: failure (None where the archive is asked first), and its study.

    Of a study whose images retention began to remove meanwhile nothing is promised: `gone` is said instead.
    """
    going = _going(database, {study for _, study in verdicts.values() if study})
    verdicts = {
        position: (failure or gone if study in going else failure, study)
        for position, (failure, study) in verdicts.items()
    }
    commitment = _TABLE.transition(database, number, (CommitmentStatus.WAITING,), CommitmentStatus.AT_ARCHIVE)
    database.conn.executemany(
        "UPDATE commitment_items SET failure=?, study_instance_uid=? WHERE commitment=? AND position=?",
        [(failure, study, number, position) for position, (failure, study) in verdicts.items()],
    )
    database.execute(f"UPDATE commitments SET {NEXT} WHERE id=?", [*at_next(at, at), number])  # noqa: S608 - our own text
    if commitment.through is not None and any(failure is None for failure, _ in verdicts.values()):
        _record(database, at, number, EventKind.COMMITMENT_STORED_HERE, through=commitment.through)
    decide_if_settled(database, at, number)


def _going(database: Database, those: Collection[str]) -> set[str]:
    """Studies whose images are not here any more, or are just being removed."""
    sql = "SELECT 1 FROM studies WHERE study_instance_uid=? AND images<>'here'"
    return {study for study in those if one(database, sql, [study])}


def decide_if_settled(database: Database, at: datetime, number: int) -> bool:
    """Once no item is open any more there is something to report."""
    if any(item.failure is None for item in items(database, number)):
        return False
    commitment = _TABLE.transition(database, number, (CommitmentStatus.AT_ARCHIVE,), CommitmentStatus.DECIDED)
    database.execute(
        f"UPDATE commitments SET {NEXT}, waited=0, decided_at=?, error=NULL WHERE id=?",  # noqa: S608 - our own text
        [*at_next(at, at), to_text(at), number],
    )
    failures = [item.failure for item in items(database, number) if item.failure]
    _record(
        database,
        at,
        number,
        EventKind.COMMITMENT_DECIDED,
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
    _record(database, at, number, EventKind.COMMITMENT_OFFERED, requester=commitment.requester)


def not_taken(database: Database, at: datetime, number: int) -> None:
    """It could not be reported on the association of the request: on one of our own, now."""
    commitment = _TABLE.transition(database, number, (CommitmentStatus.OFFERED,), CommitmentStatus.DECIDED)
    # No association has an empty name: it is not offered a second time.
    sql = f"UPDATE commitments SET {NEXT}, association='' WHERE id=?"  # noqa: S608 - our own text
    database.execute(sql, [*at_next(at, at), number])
    _record(database, at, number, EventKind.COMMITMENT_ASSOCIATION_ENDED, requester=commitment.requester)


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
        EventKind.COMMITMENT_REPORTED,
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


def put_off(database: Database, at: datetime, number: int, not_before: datetime) -> None:
    """Its turn comes again then; a pause that this one ends counts as far as it went."""
    sql = "UPDATE commitments SET waited=? WHERE id=?"
    database.execute(sql, [get(database, number).tried_for(at).total_seconds(), number])
    sql = f"UPDATE commitments SET {PUT_OFF} WHERE id=?"  # noqa: S608 - our own text
    database.execute(sql, [*until(at, not_before), number])


def wait(
    database: Database,
    at: datetime,
    number: int,
    not_before: datetime,
    error: str,
    *,
    refused: bool = False,
    rejected: str | None = None,
) -> None:
    """Not now: again at `not_before`; recorded once for each reason, however often it waits for that.

    `rejected`: the requester or the archive that does not accept associations from us, which is an alert.
    """
    put_off(database, at, number, not_before)
    database.execute(
        "UPDATE commitments SET error=?, refusals=refusals+? WHERE id=?",
        [error, int(refused), number],
    )
    if rejected is not None:
        alerts.met(database, at, AlertKind.COMMITMENT_WAITS, rejected, error=error)
    if said.once(database, EventKind.COMMITMENT_WAITS, f"commitment:{number}", error):
        _record(database, at, number, EventKind.COMMITMENT_WAITS, error=error, not_before=to_text(not_before))


def dead(database: Database, at: datetime, number: int, error: str) -> None:
    """It cannot be reported: a dead letter, and an alert."""
    allowed = (CommitmentStatus.DECIDED, CommitmentStatus.OFFERED)
    commitment = _TABLE.transition(database, number, allowed, CommitmentStatus.DEAD)
    database.execute("UPDATE commitments SET error=? WHERE id=?", [error, number])
    _record(database, at, number, EventKind.COMMITMENT_DEAD, requester=commitment.requester, error=error)
    alerts.met(database, at, AlertKind.COMMITMENT_DEAD, str(number), requester=commitment.requester, error=error)


def again(database: Database, at: datetime, number: int, by: str, keep: int) -> Commitment:
    """A person says: decide it again and report it; but what failed with `keep` still fails.

    PermanentError where retention has removed what it names (`node.ledger.purges`).
    """
    allowed = (CommitmentStatus.DEAD, CommitmentStatus.REPORTED, CommitmentStatus.DECIDED)
    named = [(item.sop_class_uid, item.sop_instance_uid) for item in items(database, number)]
    if digest_of(named) != get(database, number).contents:
        raise PermanentError(
            f"storage commitment {number} cannot be decided again: images that it names were deleted by retention, and"
            " a report on the others would not be an answer. The requester can ask again"
        )
    _TABLE.transition(database, number, allowed, CommitmentStatus.WAITING)
    database.execute(
        "UPDATE commitment_items SET failure=NULL, archive_said=NULL WHERE commitment=? AND failure<>?", [number, keep]
    )
    database.execute(
        "UPDATE commitments SET attempts=0, refusals=0, error=NULL, waited=0, taken_at=?, decided_at=NULL,"
        " reported_at=NULL, association='' WHERE id=?",
        [to_text(at), number],
    )
    said.forget(database, f"commitment:{number}")
    _record(database, at, number, EventKind.COMMITMENT_AGAIN, actor=by)
    return get(database, number)


def get(database: Database, number: int) -> Commitment:
    """The request of this number; NotFoundError where there is none."""
    return _TABLE.get(database, number)


def items(database: Database, number: int) -> list[CommitmentItem]:
    """What a request names, in its order."""
    sql = (
        "SELECT position, sop_class_uid, sop_instance_uid, study_instance_uid, failure, archive_said"
        " FROM commitment_items WHERE commitment=? ORDER BY position"
    )
    return [CommitmentItem(**row) for row in query(database, sql, [number])]


def with_status(database: Database, statuses: Sequence[CommitmentStatus], limit: int | None = None) -> list[Commitment]:
    """Requests in this state, oldest first."""
    sql = f"SELECT * FROM commitments WHERE status IN ({placeholders(statuses)}) ORDER BY id LIMIT ?"  # noqa: S608 - only question marks
    return readable(
        database, "commitments", query(database, sql, [*statuses, -1 if limit is None else limit]), _commitment
    )


def due(database: Database, status: CommitmentStatus, at: datetime, requester: str) -> list[Commitment]:
    """Requests of this requester that are in this state and whose time has come.

    Oldest first, but what was tried in vain after the rest: it may get no answer again, and that takes time.
    """
    sql = "SELECT * FROM commitments WHERE status=? AND not_before<=? AND requester=? ORDER BY error IS NOT NULL, id"
    return readable(database, "commitments", query(database, sql, [status, to_text(at), requester]), _commitment)


def next_due_at(database: Database, status: CommitmentStatus, requester: str) -> datetime | None:
    """When the next of these becomes due."""
    sql = "SELECT min(not_before) AS t FROM commitments WHERE status=? AND requester=?"
    row = one(database, sql, [status, requester])
    return soonest(row["t"]) if row else None


def counts(database: Database) -> dict[CommitmentStatus, int]:
    """How many requests are in each state."""
    return _TABLE.counts(database)


def of_study(database: Database, study: str) -> list[tuple[Commitment, list[CommitmentItem]]]:
    """Requests that name instances of a study, with those items, in order of arrival."""
    sql = "SELECT DISTINCT commitment FROM commitment_items WHERE study_instance_uid=? ORDER BY commitment"
    numbers = [int(row["commitment"]) for row in query(database, sql, [study])]
    return [
        (get(database, number), [item for item in items(database, number) if item.study_instance_uid == study])
        for number in numbers
    ]


def record_for(
    database: Database, at: datetime, number: int, kind: EventKind, severity: Severity | None = None, **detail: Any
) -> None:
    """An event about a request that is not a transition of its own row."""
    _record(database, at, number, kind, severity, **detail)


def _record(
    database: Database, at: datetime, number: int, kind: EventKind, severity: Severity | None = None, **detail: Any
) -> None:
    """One event for each study that the request names; one without a study where none is known."""
    sql = "SELECT DISTINCT study_instance_uid AS s FROM commitment_items WHERE commitment=? AND s IS NOT NULL"
    studies: Iterable[str | None] = [row["s"] for row in query(database, sql, [number])] or [None]
    for study in studies:
        events.record(database, at, kind, study=study, severity=severity, commitment=number, **detail)


def _of_transaction(database: Database, requester: str, transaction_uid: str) -> list[Commitment]:
    sql = "SELECT * FROM commitments WHERE requester=? AND transaction_uid=? ORDER BY id"
    return readable(database, "commitments", query(database, sql, [requester, transaction_uid]), _commitment)


def _commitment(row: dict[str, Any]) -> Commitment:
    return Commitment(
        **{
            **{name: row[name] for name in Commitment.__slots__},
            "put_off_at": moment(row["put_off_at"] or None),
            "waited": timedelta(seconds=row["waited"]),
            "status": CommitmentStatus(row["status"]),
            "not_before": from_text(row["not_before"]),
            "requested_at": from_text(row["requested_at"]),
            "taken_at": from_text(row["taken_at"]),
            "decided_at": moment(row["decided_at"]),
            "reported_at": moment(row["reported_at"]),
        }
    )


_TABLE = Table("commitments", "request for storage commitment", CommitmentStatus, _commitment)
