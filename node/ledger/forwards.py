"""Received images in the outbox, many at a time: what a rule forwards, how far it is, and putting it off together.

The rows are deliveries of kind `image`, and each one's own transitions are in `node.ledger.deliveries`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from node.clock import to_text
from node.errors import TransientError
from node.ledger import alerts, deliveries, events, forward_parts, instances, said
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryKind, DeliveryStatus
from node.ledger.due_times import MANY
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.instances import Instance
from node.ledger.rows import moment, one, placeholders, query, to_json
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

    def to_plain(self) -> dict[str, Any]:
        """As `of_plain` reads it again."""
        later = to_text(self.not_before) if self.not_before else None
        return {**asdict(self), "coerce": dict(self.coerce), "not_before": later}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> ForwardTerms:
        """What `to_plain` has written."""
        return cls(**{**plain, "not_before": moment(plain["not_before"])})


def enqueue(database: Database, at: datetime, study: str, forward: ForwardTerms, images: Sequence[Instance]) -> int:
    """Send these images there, each once; returns how many that puts into the outbox.

    Not one that went there or waits to, but the corrected one that took its place, and one that was held
    and counts again. The first `MANY` are enqueued at once, the others by `enqueue_part`. Raises TransientError where
    the image that was corrected is being sent just now.
    """
    sql = "SELECT item, receipt, status FROM deliveries WHERE study_instance_uid=? AND destination=? AND kind='image'"
    rows = database.execute(sql, [study, forward.destination]).fetchall()
    known = {item: (receipt, DeliveryStatus(status)) for item, receipt, status in rows}
    to_come = forward_parts.receipts_of(database, study, forward.destination)
    others = (each for each in images if each.receipt not in to_come)
    going = [each for each in others if _is_to_be_sent(each, known.get(each.sop_instance_uid))]
    if not going:
        return 0
    _put(database, at, forward, going[:MANY])
    left = [each.receipt for each in going[MANY:]]
    forward_parts.keep(database, study, forward.destination, forward.to_plain(), left)
    corrected = sum(each.sop_instance_uid in known for each in going)
    events.record(
        database,
        at,
        EventKind.FORWARD_ENQUEUED,
        study=study,
        rule=forward.rule,
        destination=forward.destination,
        instances=len(going) - corrected,
        corrected=corrected or None,
        coerced=sorted(forward.coerce) or None,
        not_before=to_text(forward.not_before) if forward.not_before else None,
    )
    return len(going)


def enqueue_part(database: Database, at: datetime, number: int) -> None:
    """Enqueue this part of what a decision forwards, as far as its images still count. Raises as `enqueue` does."""
    part = forward_parts.get(database, number)
    if part is None:
        return
    images = instances.current_of(database, part.receipts)
    if images:
        _put(database, at, ForwardTerms.of_plain(part.terms), images)
    if part.cancelled:
        _cancel_those(database, part.destination, [each.receipt for each in images], part.cancelled)
    forward_parts.done(database, part)
    if not images:
        record_if_done(database, at, part.study_instance_uid, part.destination)


def _cancel_those(database: Database, destination: str, receipts: Sequence[str], why: str) -> None:
    """They are in the outbox as what is not sent, so that no later decision sends them."""
    among = f"destination=? AND kind='image' AND status='waiting' AND receipt IN ({placeholders(receipts)})"
    sql = f"UPDATE deliveries SET status=?, error=? WHERE {among}"  # noqa: S608 - only question marks
    database.execute(sql, [DeliveryStatus.CANCELLED, why, destination, *receipts])


def _is_to_be_sent(image: Instance, earlier: tuple[str, DeliveryStatus] | None) -> bool:
    return earlier is None or earlier[0] != image.receipt or earlier[1] is DeliveryStatus.HELD


def _put(database: Database, at: datetime, forward: ForwardTerms, images: Sequence[Instance]) -> None:
    """Into the outbox; `MANY` at most."""
    earlier = {each.item: each for each in _going(database, forward.destination, images)}
    for image in images:
        old = earlier.get(image.sop_instance_uid)
        if old is None or not _is_to_be_sent(image, (old.receipt or "", old.status)):
            continue
        if old.status is DeliveryStatus.SENDING:
            raise TransientError(f"{image.sop_instance_uid} is just being sent to {forward.destination}")
        _send_instead(database, at, old, image, forward)
    new = [each for each in images if each.sop_instance_uid not in earlier]
    if new:
        _insert(database, at, new, forward)


def _send_instead(database: Database, at: datetime, earlier: Delivery, image: Instance, forward: ForwardTerms) -> None:
    """The delivery is of this image from now on, as if it were new."""
    database.execute(
        "UPDATE deliveries SET receipt=?, file=?, decision=?, coerce=?, priority=?, status=?, hold=NULL, error=NULL,"  # noqa: S608 - our own text
        f" attempts=0, resends=0, sent_at=NULL, {deliveries.AFRESH} WHERE id=?",
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


def _going(database: Database, destination: str, images: Sequence[Instance]) -> list[Delivery]:
    """Deliveries of these images there."""
    uids = [each.sop_instance_uid for each in images]
    sql = f"SELECT * FROM deliveries WHERE destination=? AND item IN ({placeholders(uids)}) AND kind='image'"  # noqa: S608 - only question marks
    return readable(database, "deliveries", query(database, sql, [destination, *uids]), deliveries.of_row)


def _insert(database: Database, at: datetime, images: Sequence[Instance], forward: ForwardTerms) -> None:
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
    database.conn.executemany(sql, rows)


def _coerced(coerce: Mapping[str, Any]) -> str | None:
    return to_json(dict(coerce)) if coerce else None


def record_if_done(database: Database, at: datetime, study: str, destination: str) -> None:
    """An image has arrived; where no other is on its way, that all are there is one line of history."""
    which = "destination=? AND study_instance_uid=? AND kind='image'"
    on_its_way = f"SELECT 1 FROM deliveries WHERE {which} AND status IN ('waiting', 'sending') LIMIT 1"  # noqa: S608 - our own text
    if one(database, on_its_way, [destination, study]) or forward_parts.are_left(database, study, destination):
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
    count = _number_of(database, study, _STUCK, COUNTS)
    again_some(database, at, study)
    if count:
        events.record(database, at, EventKind.FORWARD_AGAIN, study=study, instances=count, actor=by)
    return count


def again_some(database: Database, at: datetime, study: str) -> None:
    """As `again`, with `MANY` of those that are left."""
    change = f"status=?, hold=NULL, attempts=0, {deliveries.AFRESH}"
    _change_some(database, study, _STUCK, COUNTS, change, [DeliveryStatus.WAITING, *deliveries.since(at)])


def cancel(database: Database, at: datetime, study: str, why: str, by: str = events.NODE) -> int:
    """A person says: do not send those of its images that have not been sent; how many they are.

    The first `MANY` of them are cancelled. The others need `cancel_some`, each time in a transaction of its own.
    """
    count = _number_of(database, study, _UNSENT) + forward_parts.cancel(database, study, why)
    cancel_some(database, study, why)
    if count:
        events.record(database, at, EventKind.FORWARD_CANCELLED, study=study, actor=by, instances=count, reason=why)
    return count


def cancel_some(database: Database, study: str, why: str) -> None:
    """As `cancel`, with `MANY` of those that are left."""
    _change_some(database, study, _UNSENT, _ALL, "status=?, error=?", [DeliveryStatus.CANCELLED, why])


_UNSENT = (DeliveryStatus.WAITING, *_STUCK)
_ALL = "kind='image'"
COUNTS = (
    "receipt IN (SELECT receipt FROM instances WHERE status='current') AND NOT EXISTS (SELECT 1 FROM purges"
    " WHERE purges.study_instance_uid=deliveries.study_instance_uid AND ended_at IS NULL AND up_to>=receipt)"
)
"""Not one that was rejected, nor one that retention is removing."""


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
