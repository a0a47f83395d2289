"""Received images in the outbox, many at a time: what a rule forwards, how far it is, and putting it off together.

The rows are deliveries of kind `image`, and each one's own transitions are in `node.ledger.deliveries`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from node.clock import to_text
from node.errors import TransientError
from node.ledger import alerts, deliveries, events, said
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryKind, DeliveryStatus
from node.ledger.due_times import MANY
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.instances import Instance
from node.ledger.rows import one, placeholders, query, to_json
from node.ledger.unreadable import readable

_MOST_NAMED = 20
_STUCK = (DeliveryStatus.HELD, DeliveryStatus.DEAD)


@dataclass(frozen=True, slots=True)
class ImageCount:
    """Images of a study that go to one destination and are in the same state for the same reason."""

    study_instance_uid: str
    destination: str
    status: DeliveryStatus
    why: str | None
    instances: int


@dataclass(frozen=True, slots=True)
class ForwardTerms:
    """What a rule says of images that it forwards."""

    destination: str
    decision: int
    rule: str
    priority: int = 0
    coerce: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that are overwritten on the way."""
    not_before: datetime | None = None
    """Where the rule's hours begin later."""


def enqueue(database: Database, at: datetime, study: str, forward: ForwardTerms, images: Sequence[Instance]) -> int:
    """Send these images there, each once; returns how many that puts into the outbox.

    Not one that went there or waits to, but the corrected one that took its place, and one that was held
    and counts again. Raises TransientError where the image that was corrected is being sent just now.
    """
    known = {each.item: each for each in _going(database, study, forward.destination)}
    new = [each for each in images if each.sop_instance_uid not in known]
    again = 0
    for image in images:
        earlier = known.get(image.sop_instance_uid)
        if earlier is not None and (earlier.receipt != image.receipt or earlier.status is DeliveryStatus.HELD):
            if earlier.status is DeliveryStatus.SENDING:
                raise TransientError(f"{image.sop_instance_uid} is just being sent to {forward.destination}")
            again += 1
            _send_instead(database, at, earlier, image, forward)
    fresh = _insert(database, at, new, forward) if new else 0
    if fresh or again:
        events.record(
            database,
            at,
            EventKind.FORWARD_ENQUEUED,
            study=study,
            rule=forward.rule,
            destination=forward.destination,
            instances=fresh,
            corrected=again or None,
            coerced=sorted(forward.coerce) or None,
            not_before=to_text(forward.not_before) if forward.not_before else None,
        )
    return fresh + again


def _send_instead(database: Database, at: datetime, earlier: Delivery, image: Instance, forward: ForwardTerms) -> None:
    """The delivery is of this image from now on, as if it were new."""
    database.execute(
        "UPDATE deliveries SET receipt=?, file=?, decision=?, coerce=?, priority=?, status=?, hold=NULL, error=NULL,"  # noqa: S608 - our own text
        f" attempts=0, sent_at=NULL, {deliveries.AFRESH} WHERE id=?",
        [
            image.receipt,
            image.receipt,
            forward.decision,
            _coerced(forward.coerce),
            forward.priority,
            DeliveryStatus.WAITING,
            *deliveries.since(at, forward.not_before),
            earlier.id,
        ],
    )


def left_out(
    database: Database, at: datetime, *, study: str, destination: str, rule: str, images: Sequence[Instance], mark: str
) -> None:
    """These are not sent there because of that mark: an alert, once for as many."""
    uids = sorted(each.sop_instance_uid for each in images)
    place = deliveries.study_at(destination, study)
    if not uids or not said.instead(database, EventKind.FORWARD_LEFT_OUT, place, str(len(uids))):
        return
    alerts.raised(
        database,
        at,
        AlertKind.FORWARD_LEFT_OUT,
        place,
        study=study,
        rule=rule,
        destination=destination,
        instances=len(uids),
        mark=mark,
        reasons=sorted({each.marks[mark] for each in images})[:_MOST_NAMED],
        sop_instance_uids=uids[:_MOST_NAMED],
    )


def _going(database: Database, study: str, destination: str) -> list[Delivery]:
    """All images of the study that have a delivery there."""
    sql = "SELECT * FROM deliveries WHERE study_instance_uid=? AND destination=? AND kind='image'"
    return readable(database, "deliveries", query(database, sql, [study, destination]), deliveries.of_row)


def _insert(database: Database, at: datetime, images: Sequence[Instance], forward: ForwardTerms) -> int:
    """All at once: a study may have thousands, and other writers wait meanwhile."""
    enqueued_at, not_before, put_off_at = deliveries.since(at, forward.not_before)
    same = {
        "kind": DeliveryKind.IMAGE,
        "decision": forward.decision,
        "coerce": _coerced(forward.coerce),
        "destination": forward.destination,
        "status": DeliveryStatus.WAITING,
        "attempts": 0,
        "refusals": 0,
        "priority": forward.priority,
        "not_before": not_before,
        "put_off_at": put_off_at,
        "enqueued_at": enqueued_at,
    }
    columns = ("item", "sop_class_uid", "study_instance_uid", "receipt", "file", *same)
    sql = f"INSERT OR IGNORE INTO deliveries ({','.join(columns)}) VALUES ({placeholders(columns)})"  # noqa: S608 - our own columns
    rows = [
        (each.sop_instance_uid, each.sop_class_uid, each.study_instance_uid, each.receipt, each.receipt, *same.values())
        for each in images
    ]
    return int(database.conn.executemany(sql, rows).rowcount)


def _coerced(coerce: Mapping[str, Any]) -> str | None:
    return to_json(dict(coerce)) if coerce else None


def record_if_done(database: Database, at: datetime, study: str, destination: str) -> None:
    """An image has arrived; where no other is on its way, that all are there is one line of history."""
    which = "destination=? AND study_instance_uid=? AND kind='image'"
    on_its_way = f"SELECT 1 FROM deliveries WHERE {which} AND status IN ('waiting', 'sending') LIMIT 1"  # noqa: S608 - our own text
    if one(database, on_its_way, [destination, study]):
        return  # asked after each image: a study may have thousands, which are counted once
    rows = query(
        database,
        f"SELECT status, count(*) AS n FROM deliveries WHERE {which} GROUP BY status",  # noqa: S608 - our own text
        [destination, study],
    )
    found = {DeliveryStatus(row["status"]): int(row["n"]) for row in rows}
    stuck = sum(found.get(status, 0) for status in _STUCK)
    events.record(
        database,
        at,
        EventKind.FORWARD_DONE,
        study=study,
        severity=Severity.WARNING if stuck else Severity.INFO,
        destination=destination,
        instances=found.get(DeliveryStatus.DELIVERED, 0),
        not_sent=stuck or None,
    )


def again(database: Database, at: datetime, study: str, by: str) -> int:
    """A person says: send its held and dead images now, as far as they count; how many they are.

    The first `MANY` of them wait from now on. The others need `again_some`, each time in a transaction of its own.
    """
    for each in of_study(database, study):
        said.forget(database, deliveries.study_at(each.destination, study))
    count = _number_of(database, study, _STUCK, _COUNTS)
    again_some(database, at, study)
    if count:
        events.record(database, at, EventKind.FORWARD_AGAIN, study=study, instances=count, actor=by)
    return count


def again_some(database: Database, at: datetime, study: str) -> None:
    """As `again`, with `MANY` of those that are left."""
    change = f"status=?, hold=NULL, attempts=0, {deliveries.AFRESH}"
    _change_some(database, study, _STUCK, _COUNTS, change, [DeliveryStatus.WAITING, *deliveries.since(at)])


def cancel(database: Database, at: datetime, study: str, why: str, by: str = events.NODE) -> int:
    """A person says: do not send those of its images that have not been sent; how many they are.

    The first `MANY` of them are cancelled. The others need `cancel_some`, each time in a transaction of its own.
    """
    count = _number_of(database, study, _UNSENT)
    cancel_some(database, study, why)
    if count:
        events.record(database, at, EventKind.FORWARD_CANCELLED, study=study, actor=by, instances=count, reason=why)
    return count


def cancel_some(database: Database, study: str, why: str) -> None:
    """As `cancel`, with `MANY` of those that are left."""
    _change_some(database, study, _UNSENT, _ALL, "status=?, error=?", [DeliveryStatus.CANCELLED, why])


_UNSENT = (DeliveryStatus.WAITING, *_STUCK)
_ALL = "kind='image'"
_COUNTS = "receipt IN (SELECT receipt FROM instances WHERE status='current')"
"""Not one that was rejected."""


def _number_of(database: Database, study: str, statuses: Sequence[DeliveryStatus], which: str = _ALL) -> int:
    among = f"study_instance_uid=? AND {which} AND status IN ({placeholders(statuses)})"
    found = one(database, f"SELECT count(*) AS n FROM deliveries WHERE {among}", [study, *statuses])  # noqa: S608 - our own text
    assert found is not None, "a count is one row"
    return int(found["n"])


def _change_some(
    database: Database,
    study: str,
    statuses: Sequence[DeliveryStatus],
    which: str,
    change: str,
    values: Sequence[object],
) -> None:
    among = f"study_instance_uid=? AND {which} AND status IN ({placeholders(statuses)}) ORDER BY id LIMIT {MANY}"
    sql = f"UPDATE deliveries SET {change} WHERE id IN (SELECT id FROM deliveries WHERE {among})"  # noqa: S608 - our own text
    database.execute(sql, [*values, study, *statuses])


def counts(database: Database) -> dict[str, dict[DeliveryStatus, int]]:
    """How many images are in each state, by destination."""
    return deliveries.counts_of(database, DeliveryKind.IMAGE)


def of_study(database: Database, study: str) -> list[ImageCount]:
    """How many of the study's images there are, by destination, state and reason."""
    return _counted(database, "study_instance_uid=?", [study])


def stuck(database: Database) -> list[ImageCount]:
    """Images that a person has to decide about."""
    return _counted(database, "status IN ('held', 'dead')", [], "INDEXED BY images_stuck ")


def _counted(database: Database, where: str, values: Sequence[object], index: str = "") -> list[ImageCount]:
    columns = "study_instance_uid, destination, status, coalesce(hold, error) AS why"
    sql = (
        f"SELECT {columns}, count(*) AS instances FROM deliveries {index}WHERE kind='image' AND {where}"  # noqa: S608 - our own text
        " GROUP BY study_instance_uid, destination, status, why ORDER BY min(id)"
    )
    rows = query(database, sql, values)
    return [ImageCount(**{**row, "status": DeliveryStatus(row["status"])}) for row in rows]
