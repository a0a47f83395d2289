"""Storage commitment of what was delivered: batches of a study's deliveries, for which one destination is asked.

A batch is asked for as a whole, under a new Transaction UID each time (`node.ledger.archive_requests`), until each of
its deliveries is committed. None joins it later. One leaves it when it is committed, or waits to be sent again: so a
report on any of the batch's requests, however late, is only ever about what was stored before it was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, deliveries, due_times, events, said
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.delivery import DeliveryCommitment
from node.ledger.due_times import NEXT, PUT_OFF, at_next, until
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.rows import moment, one, query
from node.ledger.unreadable import readable, soonest

MOST = 200
"""Deliveries in one batch: what is written about them at once takes a few milliseconds."""
QUIET = timedelta(seconds=5)
"""For this long nothing of a study was delivered: then the destination is asked for what was."""
LONGEST = timedelta(minutes=5)
"""After this long it is asked for what was delivered, although more of the study still arrives there."""


@dataclass(frozen=True, slots=True)
class CommitBatch:
    """One row of `commit_batches`."""

    id: int
    destination: str
    study_instance_uid: str
    not_before: datetime
    """When the destination is asked (again)."""
    put_off_at: datetime
    waited: timedelta
    """For how long the destination is asked, by `not_before`: the sum of the pauses."""
    error: str | None
    made_at: datetime
    late_at: datetime | None
    """Since when it has not been committed in time."""
    ended_at: datetime | None
    """When the last of its deliveries was settled."""

    def tried_for(self, now: datetime) -> timedelta:
        """For how long the destination was asked until now."""
        return due_times.tried_for(self.waited, self.not_before, self.put_off_at, now)


_TO_COMMIT = "destination=? AND commitment='wanted' AND commit_batch IS NULL"


def next_study(database: Database, at: datetime, destination: str, *, at_once: bool = False) -> str | None:
    """A study with deliveries that the destination should be asked for now; None where there is none.

    Enough of it was delivered, or nothing more; a delivery in the future is that of a clock that was set. `at_once`:
    any study, without waiting for that.
    """
    if at_once:
        any_study = f"SELECT study_instance_uid AS study FROM deliveries WHERE {_TO_COMMIT} LIMIT 1"  # noqa: S608 - our own text
        row = one(database, any_study, [destination])
    else:
        row = one(
            database,
            f"SELECT study_instance_uid AS study FROM deliveries WHERE {_TO_COMMIT} GROUP BY study_instance_uid"  # noqa: S608 - our own text
            f" HAVING count(*)>={MOST} OR max(sent_at)<=? OR min(sent_at)<=? OR max(sent_at)>? LIMIT 1",
            [destination, to_text(at - QUIET), to_text(at - LONGEST), to_text(at)],
        )
    return row["study"] if row else None


def make(database: Database, at: datetime, destination: str, study: str) -> int:
    """Put the first deliveries of a study together that the destination was not asked for; the batch's number."""
    number = database.execute(
        "INSERT INTO commit_batches (destination, study_instance_uid, not_before, put_off_at, made_at)"
        " VALUES (?,?,?,?,?)",
        [destination, study, *at_next(at, at), to_text(at)],
    ).lastrowid
    database.execute(
        f"UPDATE deliveries SET commit_batch=? WHERE id IN (SELECT id FROM deliveries WHERE {_TO_COMMIT}"  # noqa: S608 - our own text
        f" AND study_instance_uid=? ORDER BY id LIMIT {MOST})",
        [number, destination, study],
    )
    return int(number or 0)


def get(database: Database, number: int) -> CommitBatch:
    """The batch of this number."""
    row = one(database, "SELECT * FROM commit_batches WHERE id=?", [number])
    assert row is not None, number
    return _of_row(row)


def open_ones(database: Database, destination: str) -> list[CommitBatch]:
    """Those that the destination has not committed itself to as a whole, oldest first."""
    sql = "SELECT * FROM commit_batches WHERE destination=? AND ended_at IS NULL ORDER BY id"
    return readable(database, "commit_batches", query(database, sql, [destination]), _of_row)


def in_time(database: Database, destination: str) -> list[CommitBatch]:
    """The same without those that are late."""
    sql = "SELECT * FROM commit_batches WHERE destination=? AND ended_at IS NULL AND late_at IS NULL ORDER BY id"
    return readable(database, "commit_batches", query(database, sql, [destination]), _of_row)


def due(database: Database, destination: str, at: datetime) -> list[CommitBatch]:
    """Those that the destination is to be asked for now, oldest first, but those asked for in vain after the rest."""
    sql = (
        "SELECT * FROM commit_batches WHERE destination=? AND ended_at IS NULL AND not_before<=?"
        " ORDER BY error IS NOT NULL, id"
    )
    return readable(database, "commit_batches", query(database, sql, [destination, to_text(at)]), _of_row)


def in_trouble(database: Database, study: str) -> list[CommitBatch]:
    """Those of a study, at every destination, of which something is refused or overdue."""
    sql = (
        "SELECT * FROM commit_batches WHERE study_instance_uid=? AND ended_at IS NULL AND EXISTS (SELECT 1"
        " FROM deliveries WHERE commit_batch=commit_batches.id AND commitment IN ('refused', 'overdue')) ORDER BY id"
    )
    return readable(database, "commit_batches", query(database, sql, [study]), _of_row)


def references(database: Database, number: int) -> list[tuple[str, str]]:
    """SOP class and SOP instance UID of each delivery that is left in the batch."""
    sql = "SELECT sop_class_uid, item FROM deliveries WHERE commit_batch=? ORDER BY id"
    return [(row["sop_class_uid"], row["item"]) for row in query(database, sql, [number])]


def put_off(database: Database, at: datetime, number: int, not_before: datetime) -> None:
    """The destination is asked for it then; a pause that this one ends counts as far as it went."""
    waited = get(database, number).tried_for(at).total_seconds()
    database.execute("UPDATE commit_batches SET waited=? WHERE id=?", [waited, number])
    sql = f"UPDATE commit_batches SET {PUT_OFF} WHERE id=?"  # noqa: S608 - our own text
    database.execute(sql, [*until(at, not_before), number])


def asked(database: Database, number: int) -> None:
    """The destination has taken the request for what is left in the batch."""
    sql = "UPDATE deliveries SET commitment=? WHERE commit_batch=? AND commitment=?"
    database.execute(sql, [DeliveryCommitment.ASKED, number, DeliveryCommitment.WANTED])
    database.execute("UPDATE commit_batches SET error=NULL WHERE id=?", [number])


def wait(
    database: Database, at: datetime, number: int, not_before: datetime, error: str, *, rejected: bool = False
) -> None:
    """It could not be asked for, or not all was committed: again at `not_before`; recorded once for each reason.

    `rejected`: the destination does not accept associations from us, which is an alert.
    """
    batch = get(database, number)
    put_off(database, at, number, not_before)
    database.execute("UPDATE commit_batches SET error=? WHERE id=?", [error, number])
    if rejected:
        alerts.met(database, at, AlertKind.COMMITMENT_WAITS, batch.destination, error=error)
    if said.once(database, EventKind.COMMITMENT_WAITS, f"commit-batch:{number}", error):
        _record(database, at, batch, EventKind.COMMITMENT_WAITS, error=error, not_before=to_text(not_before))


def late(database: Database, at: datetime, number: int, after: str) -> None:
    """Its time is over: what the destination has failed is refused, the rest is overdue. It is still asked for."""
    batch = get(database, number)
    still = "commit_batch=? AND commitment IN ('wanted', 'asked')"
    for to, which in ((DeliveryCommitment.REFUSED, "NOT NULL"), (DeliveryCommitment.OVERDUE, "NULL")):
        database.execute(
            f"UPDATE deliveries SET commitment=? WHERE {still} AND commit_failure IS {which}",  # noqa: S608 - our own text
            [to, number],
        )
    database.execute("UPDATE commit_batches SET late_at=? WHERE id=?", [to_text(at), number])
    raise_alerts(database, at, batch, after=after)


def raise_alerts(database: Database, at: datetime, batch: CommitBatch, *, after: str | None = None) -> None:
    """Let a person know of what in the batch is refused or overdue."""
    rows = query(
        database,
        "SELECT commitment, count(*) AS n, group_concat(DISTINCT printf('%04X', commit_failure)) AS reasons"
        " FROM deliveries WHERE commit_batch=? GROUP BY commitment",
        [batch.id],
    )
    found = {row["commitment"]: row for row in rows}
    about: dict[str, Any] = {"destination": batch.destination, "error": batch.error}
    if refused := found.get(DeliveryCommitment.REFUSED):
        place = deliveries.study_at(batch.destination, batch.study_instance_uid)
        about |= {"instances": refused["n"], "reasons": refused["reasons"]}
        _raise(database, at, AlertKind.COMMITMENT_REFUSED, place, batch, **about)
    if overdue := found.get(DeliveryCommitment.OVERDUE):
        about = {"destination": batch.destination, "instances": overdue["n"], "after": after, "error": batch.error}
        _raise(database, at, AlertKind.COMMITMENT_OVERDUE, batch.destination, batch, **about)


def _raise(database: Database, at: datetime, kind: AlertKind, place: str, batch: CommitBatch, **about: Any) -> None:
    """An alert; its event once for each batch, which may be asked for many times after that."""
    study = batch.study_instance_uid
    if said.once(database, EventKind(kind), f"commit-batch:{batch.id}", str(about.get("reasons"))):
        events.record(database, at, EventKind(kind), study=study, batch=batch.id, **about)
    at_study = {"study": study} if kind is AlertKind.COMMITMENT_REFUSED else {}
    alerts.met(database, at, kind, place, **at_study, **about)


def is_refused(database: Database, number: int) -> bool:
    """Whether the destination refuses whatever is left in the batch."""
    sql = "SELECT 1 FROM deliveries WHERE commit_batch=? AND commitment<>'refused' LIMIT 1"
    return one(database, sql, [number]) is None


def end_if_settled(database: Database, at: datetime, number: int) -> bool:
    """It has ended where no delivery is left in it: all are committed, wait to be sent again, or are gone."""
    if one(database, "SELECT 1 FROM deliveries WHERE commit_batch=? LIMIT 1", [number]):
        return False
    database.execute("UPDATE commit_batches SET ended_at=? WHERE id=? AND ended_at IS NULL", [to_text(at), number])
    said.forget(database, f"commit-batch:{number}")
    return True


def ask_again(database: Database, at: datetime, number: int, by: str) -> int:
    """A person says: ask for it now, with all its time; how many deliveries are left in it."""
    batch = get(database, number)
    left = len(references(database, number))
    database.execute("UPDATE deliveries SET resends=0 WHERE commit_batch=? AND resends>0", [number])
    database.execute(
        f"UPDATE commit_batches SET {NEXT}, waited=0, late_at=NULL, error=NULL WHERE id=?",  # noqa: S608 - our own text
        [*at_next(at, at), number],
    )
    said.forget(database, f"commit-batch:{number}")
    _record(database, at, batch, EventKind.COMMITMENT_ASK_AGAIN, actor=by, instances=left)
    return left


def batch_of(database: Database, delivery: int) -> int | None:
    """The open batch that a delivery is in."""
    row = one(database, "SELECT commit_batch AS number FROM deliveries WHERE id=?", [delivery])
    return row["number"] if row else None


def destinations(database: Database) -> set[str]:
    """Those that are to be asked, or were asked, for something that they have not committed themselves to."""
    found: set[str] = set()
    for sql in (
        "SELECT min(destination) AS name FROM commit_batches WHERE ended_at IS NULL AND destination>?",
        "SELECT min(destination) AS name FROM deliveries WHERE commitment='wanted' AND commit_batch IS NULL"
        " AND destination>?",
    ):
        name: str | None = ""
        while name is not None:
            row = one(database, sql, [name])
            name = row["name"] if row else None
            found |= {name} if name is not None else set()
    return found


def drop_some(database: Database, at: datetime, destination: str) -> bool:
    """The configuration does not want this destination's commitment any more; whether some are left for another call.

    One batch, or as many deliveries as one has.
    """
    batch = next(iter(open_ones(database, destination)), None)
    if batch is not None:
        drop(database, at, batch.id, events.NODE)
        return True
    unasked = f"id IN (SELECT id FROM deliveries WHERE {_TO_COMMIT} LIMIT {MOST})"  # noqa: S608 - our own text
    return _drop(database, unasked, destination) == MOST


def drop(database: Database, at: datetime, number: int, by: str) -> int:
    """Nobody waits for the destination's commitment to what is left in the batch; how many deliveries that is.

    `by`: the node, where the configuration does not want it any more, or a person.
    """
    dropped = _drop(database, "commit_batch=?", number)
    end_if_settled(database, at, number)
    _record(database, at, get(database, number), EventKind.COMMITMENT_NOT_WANTED, actor=by, instances=dropped)
    return dropped


def _drop(database: Database, which: str, value: object) -> int:
    sql = f"UPDATE deliveries SET commitment='none', commit_by=NULL, commit_batch=NULL WHERE {which}"  # noqa: S608 - our own text
    return int(database.execute(sql, [value]).rowcount)


def next_due_at(database: Database, destination: str) -> datetime | None:
    """When the next open batch becomes due."""
    sql = "SELECT min(not_before) AS t FROM commit_batches WHERE destination=? AND ended_at IS NULL"
    row = one(database, sql, [destination])
    return soonest(row["t"]) if row else None


def _record(
    database: Database,
    at: datetime,
    batch: CommitBatch,
    kind: EventKind,
    severity: Severity | None = None,
    actor: str = events.NODE,
    **detail: Any,
) -> None:
    events.record(
        database,
        at,
        kind,
        study=batch.study_instance_uid,
        severity=severity,
        actor=actor,
        destination=batch.destination,
        batch=batch.id,
        **detail,
    )


def _of_row(row: dict[str, Any]) -> CommitBatch:
    return CommitBatch(
        id=row["id"],
        destination=row["destination"],
        study_instance_uid=row["study_instance_uid"],
        not_before=from_text(row["not_before"]),
        put_off_at=from_text(row["put_off_at"]),
        waited=timedelta(seconds=row["waited"]),
        error=row["error"],
        made_at=from_text(row["made_at"]),
        late_at=moment(row["late_at"]),
        ended_at=moment(row["ended_at"]),
    )
