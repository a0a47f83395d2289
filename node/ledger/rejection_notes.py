"""Rejection notes of our own (IHE IOCM): which are to be made for a withdrawn version, and what became of them.

A note is an object like any other, delivered as others are; `withdrawals.note` names its delivery.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from node.clock import to_text
from node.ledger import deliveries, events
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.recalls import Recall
from node.ledger.rows import one, placeholders, query

_UNSENT = (DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.DEAD, DeliveryStatus.REFUSED)
_MINUTE = timedelta(minutes=1)
_OPEN = (
    "FROM withdrawals JOIN deliveries ON deliveries.id=withdrawals.delivery"
    " JOIN recalled_jobs ON recalled_jobs.job=deliveries.job AND recalled_jobs.recall=withdrawals.recall"
    " WHERE withdrawals.recall=? AND withdrawals.status='listed' AND withdrawals.note IS NULL AND rests=0"
    " AND refused_why IS NULL"
)
"""What is listed, is of the version itself, and no note was tried in vain for."""


@dataclass(frozen=True, slots=True)
class NoteToMake:
    """What one note is to name: the objects of one study at one destination."""

    study_instance_uid: str
    destination: str
    rejected: tuple[Delivery, ...]
    """Oldest first."""


def due(database: Database, at: datetime, recall: Recall, destinations: Collection[str]) -> list[NoteToMake]:
    """The notes that may be made now: as many as the rate of the withdrawal leaves in the minute before `at`."""
    room = recall.per_minute - _made_since(database, recall, at - _MINUTE, at)
    if room <= 0 or not destinations:
        return []
    rows = query(
        database,
        f"SELECT withdrawals.study_instance_uid AS study, withdrawals.destination AS destination {_OPEN}"
        f" AND withdrawals.destination IN ({placeholders(destinations)})"
        " GROUP BY 1, 2 ORDER BY min(withdrawals.id) LIMIT ?",
        [recall.id, *destinations, room],
    )
    return [_to_make(database, recall, row["study"], row["destination"]) for row in rows]


def how_many(database: Database, recall: Recall, destinations: Collection[str]) -> int:
    """How many notes are still to be made."""
    if not destinations:
        return 0
    row = one(
        database,
        f"SELECT count(*) AS n FROM (SELECT 1 {_OPEN} AND withdrawals.destination IN ({placeholders(destinations)})"  # noqa: S608 - our own text
        " GROUP BY withdrawals.study_instance_uid, withdrawals.destination)",
        [recall.id, *destinations],
    )
    assert row is not None, "a count is one row"
    return int(row["n"])


def rejected_there(database: Database, those: Sequence[Delivery], ae_title: str) -> list[Delivery]:
    """Those that a rejection note from this AE title named already."""
    sql = (
        "SELECT 1 FROM rejections JOIN instances ON instances.receipt=rejections.note"
        " WHERE rejections.study_instance_uid=? AND rejections.sop_instance_uid=? AND instances.calling_ae_title=?"
    )
    return [each for each in those if one(database, sql, [each.study_instance_uid, each.item, ae_title]) is not None]


def known_there(database: Database, at: datetime, recall: Recall, those: Sequence[Delivery]) -> None:
    """The destination has rejected these itself: nothing is left to be done there."""
    _set(database, recall, those, "status='done', ended_at=?, ended_by='node'", [to_text(at)])


def made(database: Database, at: datetime, recall: Recall, those: Sequence[Delivery], note: int) -> None:
    """A note that names these is in the outbox as the delivery `note`."""
    _set(database, recall, those, "status='sent', note=?, noted_at=?", [note, to_text(at)])
    found = deliveries.get(database, note)
    events.record(
        database,
        at,
        EventKind.REJECTION_NOTE_MADE,
        study=found.study_instance_uid,
        delivery=note,
        actor=recall.by,
        plugin=recall.plugin,
        version=recall.version,
        title=recall.reason.note_title,
        destination=found.destination,
        objects=len(those),
    )


def impossible(database: Database, at: datetime, recall: Recall, to_make: NoteToMake, why: str) -> None:
    """No note can be made for these: they stay listed, for a person."""
    _set(database, recall, to_make.rejected, "refused_why=?", [why])
    events.record(
        database,
        at,
        EventKind.REJECTION_NOTE_FAILED,
        study=to_make.study_instance_uid,
        actor=recall.by,
        destination=to_make.destination,
        plugin=recall.plugin,
        version=recall.version,
        reason=why,
    )


def stop(database: Database, at: datetime, recall: Recall, by: str) -> int:
    """The withdrawal was taken back: notes that have not been sent never are; how many that were."""
    sql = "SELECT DISTINCT note FROM withdrawals WHERE recall=? AND status='sent' AND note IS NOT NULL"
    stopped = 0
    for row in query(database, sql, [recall.id]):
        if deliveries.get(database, row["note"]).status in _UNSENT:
            deliveries.stop(database, at, row["note"], DeliveryStatus.CANCELLED, f"{recall.name} may run again", by)
            database.execute(
                "UPDATE withdrawals SET status='dismissed', ended_at=?, ended_by=? WHERE note=?",
                [to_text(at), by, row["note"]],
            )
            stopped += 1
    return stopped


def settle(database: Database, at: datetime) -> int:
    """Take up what became of notes that were sent; how many objects that moved."""
    moved = 0
    for status, became in (("delivered", "done"), ("dead", "refused"), ("cancelled", "refused")):
        moved += database.execute(
            "UPDATE withdrawals SET status=?, ended_at=?, ended_by=? WHERE status IN ('sent', 'refused') AND status<>?"
            " AND note IN (SELECT id FROM deliveries WHERE id=withdrawals.note AND deliveries.status=?)",
            [became, *((to_text(at), events.NODE) if became == "done" else (None, None)), became, status],
        ).rowcount
    waits = "('waiting', 'sending', 'held', 'refused', 'withheld')"
    moved += database.execute(
        "UPDATE withdrawals SET status='sent' WHERE status='refused' AND note IN"  # noqa: S608 - our own text
        f" (SELECT id FROM deliveries WHERE id=withdrawals.note AND deliveries.status IN {waits})",
    ).rowcount
    return moved


def has_moved(database: Database) -> bool:
    """Whether `settle` has something to do."""
    sql = (
        "SELECT 1 FROM withdrawals JOIN deliveries ON deliveries.id=note WHERE withdrawals.status"
        " IN ('sent', 'refused') AND note IS NOT NULL AND (deliveries.status='delivered'"
        " OR (withdrawals.status='sent')=(deliveries.status IN ('dead', 'cancelled'))) LIMIT 1"
    )
    return one(database, sql) is not None


def _to_make(database: Database, recall: Recall, study: str, destination: str) -> NoteToMake:
    sql = (
        f"SELECT deliveries.id {_OPEN} AND withdrawals.study_instance_uid=? AND withdrawals.destination=?"
        " ORDER BY deliveries.id"
    )
    rows = query(database, sql, [recall.id, study, destination])
    return NoteToMake(study, destination, tuple(deliveries.get(database, row["id"]) for row in rows))


def _made_since(database: Database, recall: Recall, start: datetime, end: datetime) -> int:
    row = one(
        database,
        "SELECT count(DISTINCT note) AS n FROM withdrawals WHERE recall=? AND noted_at>? AND noted_at<=?",
        [recall.id, to_text(start), to_text(end)],
    )
    assert row is not None, "a count is one row"
    return int(row["n"])


def _set(database: Database, recall: Recall, those: Sequence[Delivery], what: str, values: Sequence[object]) -> None:
    for each in those:
        database.execute(
            f"UPDATE withdrawals SET {what} WHERE recall=? AND delivery=? AND status='listed'",  # noqa: S608 - our own text
            [*values, recall.id, each.id],
        )
