"""What was delivered and turned out wrong: listed for withdrawal at each destination until a person has seen to it.

Corrections, rejection notes and adopted identities list what they concern; nothing is withdrawn by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from node.clock import from_text, to_text
from node.ledger import alerts, events, withdrawal_parts
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.delivery import Delivery
from node.ledger.due_times import MANY
from node.ledger.event_kinds import EventKind
from node.ledger.rows import query


class WithdrawalStatus(StrEnum):
    """How far it is."""

    LISTED = "listed"
    """A person has to see that it is taken out at the destination."""
    SENT = "sent"
    """A rejection note that names it is on its way to the destination."""
    REFUSED = "refused"
    """The destination did not take the rejection note: a person has to see to it."""
    DONE = "done"
    """A person has taken it out at the destination, or the destination has a rejection note that names it."""
    DISMISSED = "dismissed"
    """A person says that it may stay."""


_ENDED = {
    WithdrawalStatus.DONE: EventKind.STUDY_WITHDRAWAL_DONE,
    WithdrawalStatus.DISMISSED: EventKind.STUDY_WITHDRAWAL_DISMISSED,
}


_TO_SEE_TO = "('listed', 'refused')"
"""A person has to."""


@dataclass(frozen=True, slots=True)
class Withdrawals:
    """What of a study has to be withdrawn, or had, at one destination for the same reason."""

    study_instance_uid: str
    destination: str
    reason: str
    by: str
    """Who listed it, as an actor: the node, for a correction or a rejection note that came."""
    status: WithdrawalStatus
    listed_at: datetime
    """The first of them."""
    results: int
    images: int


class DeliveredObject(Protocol):
    """What is known of something that was delivered; a `Delivery` is one."""

    @property
    def id(self) -> int:
        """The delivery's."""

    @property
    def item(self) -> str:
        """Its SOP Instance UID."""

    @property
    def destination(self) -> str:
        """Where it is."""

    @property
    def is_image(self) -> bool:
        """Whether it is a received image, not an object of a result."""


def enter(database: Database, at: datetime, study: str, those: Sequence[DeliveredObject], reason: str) -> int:
    """List these for withdrawal, each once while it is listed; how many that adds.

    The first part is listed at once, the others after it (`node.ledger.withdrawal_parts`). An alert where it adds any:
    corrected images come one by one, and a person is notified once.
    """
    known, to_come = _open_of(database, study), withdrawal_parts.to_come(database, study)
    new = [each.id for each in those if (each.item, each.destination) not in known and each.id not in to_come]
    if not new:
        return 0
    withdrawal_parts.keep(database, study, reason, to_text(at), new)
    if not to_come:
        withdrawal_parts.enter(database, withdrawal_parts.waiting(database, study)[0])
    named = _named(those)
    alerts.raised(database, at, AlertKind.STUDY_TO_WITHDRAW, study, study=study, reason=reason, objects=named)
    return len(new)


def _named(those: Sequence[DeliveredObject]) -> list[dict[str, object]]:
    """Results by their UIDs; of images, which may be thousands, how many went where."""
    images = Counter(each.destination for each in those if each.is_image)
    results: list[dict[str, object]] = [
        {"sop_instance_uid": each.item, "destination": each.destination} for each in those if not each.is_image
    ]
    return results + [{"images": count, "destination": name} for name, count in sorted(images.items())]


def end(database: Database, at: datetime, study: str, status: WithdrawalStatus, by: str) -> int:
    """A person, `by` as an actor, has seen to what is listed of the study, at every destination; how many that are.

    `status`: `DONE` or `DISMISSED`. What is still to be listed was listed before (`withdrawal_parts`). The first `MANY`
    of them are ended. The others need `end_some`, each time in a transaction of its own.
    """
    which = f"study_instance_uid=? AND status IN {_TO_SEE_TO}"
    ((count,),) = database.execute(f"SELECT count(*) FROM withdrawals WHERE {which}", [study]).fetchall()  # noqa: S608 - our own text
    if count:
        end_some(database, at, study, status, by, min(MANY, count))
        events.record(database, at, _ENDED[status], study=study, actor=by, objects=count)
    return int(count)


def end_some(database: Database, at: datetime, study: str, status: WithdrawalStatus, by: str, limit: int) -> None:
    """As `end`, with as many of those that are left, `MANY` at most: what was listed first."""
    which = f"SELECT id FROM withdrawals WHERE study_instance_uid=? AND status IN {_TO_SEE_TO} ORDER BY id LIMIT ?"  # noqa: S608 - our own text
    database.execute(
        f"UPDATE withdrawals SET status=?, ended_at=?, ended_by=? WHERE id IN ({which})",  # noqa: S608 - our own text
        [status, to_text(at), by, study, limit],
    )


def listed(database: Database) -> list[Withdrawals]:
    """What waits for a person, the newest first; without what a withdrawn version has left (`counts_of_recall`)."""
    return _grouped(database, f"withdrawals.status IN {_TO_SEE_TO} AND recall IS NULL", [])


def of_study(database: Database, study: str) -> list[Withdrawals]:
    """All of one study, the newest first."""
    return _grouped(database, "withdrawals.study_instance_uid=?", [study])


def wrong_deliveries(database: Database, study: str) -> frozenset[int]:
    """Deliveries of a study that should not be used: those that are listed, or were taken out; not what may stay."""
    sql = (
        "SELECT delivery FROM withdrawals JOIN deliveries ON deliveries.id=delivery"
        " WHERE deliveries.study_instance_uid=? AND withdrawals.status<>'dismissed'"
    )
    entered = {row["delivery"] for row in query(database, sql, [study])}
    return frozenset(entered | withdrawal_parts.to_come(database, study))


def recall(database: Database, at: datetime, those: Sequence[Delivery], recall_id: int, reason: str, by: str) -> int:
    """A person withdrew the version that these results are of; how many of them that adds to its list.

    No alert for each study: the withdrawal is one. What a person has taken out already stays so.
    """
    added = 0
    for each in those:
        known = "SELECT 1 FROM withdrawals WHERE delivery=? AND (recall=? OR status='done')"
        if database.execute(known, [each.id, recall_id]).fetchone():
            continue
        taken = "UPDATE withdrawals SET recall=? WHERE delivery=? AND status='listed'"
        added += 1
        if database.execute(taken, [recall_id, each.id]).rowcount:
            continue
        values = [each.item, each.destination, each.study_instance_uid, each.id, reason, by, to_text(at), recall_id]
        database.execute(
            "INSERT OR IGNORE INTO withdrawals (item, destination, study_instance_uid, delivery, reason, by, status,"
            " listed_at, recall) VALUES (?,?,?,?,?,?,'listed',?,?)",
            values,
        )
    return added


def end_recalled(database: Database, at: datetime, recall_id: int, status: WithdrawalStatus, by: str) -> int:
    """A person, `by` as an actor, has seen to all that is left of a withdrawn version; how many objects that were."""
    ended = database.execute(
        "UPDATE withdrawals SET status=?, ended_at=?, ended_by=? WHERE recall=?"  # noqa: S608 - our own text
        f" AND status IN {_TO_SEE_TO}",
        [status, to_text(at), by, recall_id],
    ).rowcount
    if ended:
        events.record(database, at, _ENDED[status], actor=by, withdrawal=recall_id, objects=ended)
    return int(ended)


def counts_of_recall(database: Database, recall_id: int) -> dict[WithdrawalStatus, int]:
    """How many objects of a withdrawn version are how far."""
    sql = "SELECT status, count(*) AS n FROM withdrawals WHERE recall=? GROUP BY status"
    return {WithdrawalStatus(row["status"]): row["n"] for row in query(database, sql, [recall_id])}


def _open_of(database: Database, study: str) -> set[tuple[str, str]]:
    """What is listed of the study, or on its way to be, and where it is."""
    sql = "SELECT item, destination FROM withdrawals WHERE study_instance_uid=? AND status IN ('listed', 'sent')"
    return {(item, destination) for item, destination in database.execute(sql, [study]).fetchall()}


def _grouped(database: Database, where: str, values: Sequence[Any]) -> list[Withdrawals]:
    rows = query(
        database,
        "SELECT withdrawals.study_instance_uid, withdrawals.destination, reason, by, withdrawals.status,"  # noqa: S608 - our own text
        " min(listed_at) AS listed_at, sum(kind<>'image') AS results, sum(kind='image') AS images"
        f" FROM withdrawals JOIN deliveries ON deliveries.id=withdrawals.delivery WHERE {where}"
        " GROUP BY 1, 2, 3, 4, 5 ORDER BY max(withdrawals.id) DESC",
        values,
    )
    return [
        Withdrawals(**{**row, "status": WithdrawalStatus(row["status"]), "listed_at": from_text(row["listed_at"])})
        for row in rows
    ]
