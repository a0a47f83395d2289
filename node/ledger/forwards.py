"""Received images in the outbox, many at a time: what a rule forwards, how far it is, and putting it off together.

The rows are deliveries with a `receipt`, and each one's own transitions are in `node.ledger.deliveries`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from node.clock import from_text, to_text
from node.errors import TransientError
from node.ledger import deliveries, events
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import Severity
from node.ledger.instances import Instance
from node.ledger.rows import one, placeholders, query, to_json

_READY = (
    " FROM deliveries JOIN instances USING (receipt) LEFT JOIN studies"
    " ON studies.study_instance_uid=deliveries.study_instance_uid"
    " WHERE destination=? AND deliveries.status='waiting' AND studies.hold IS NULL AND not_before<=?"
)
_IMAGE = (
    "SELECT deliveries.*, series_instance_uid AS i_series, transfer_syntax_uid AS i_syntax, digest AS i_digest,"
    " calling_ae_title AS i_caller"
)
_SET_ASIDE = deliveries.SET_ASIDE
_MOST_NAMED = 20
_STUCK = (DeliveryStatus.HELD, DeliveryStatus.DEAD)


@dataclass(frozen=True, slots=True)
class Image:
    """A delivery of an image that is due, and what of the image has to be known to send it."""

    delivery: Delivery
    series_instance_uid: str
    transfer_syntax_uid: str
    digest: str
    """SHA-256 of its data set as received."""
    calling_ae_title: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Images of a study that are in the same state."""

    study_instance_uid: str
    destination: str
    status: DeliveryStatus
    why: str | None
    instances: int


def enqueue(
    database: Database,
    at: datetime,
    *,
    study: str,
    destination: str,
    decision: int,
    rule: str,
    images: Sequence[Instance],
    coerce: Mapping[str, Any],
    not_before: datetime | None = None,
) -> int:
    """Send these images there, each once; returns how many that puts into the outbox.

    Not one that went there or waits to, but the corrected one that took its place, and one that was held
    and counts again. Raises TransientError where the image that was corrected is being sent just now.
    """
    known = {each.sop_instance_uid: each for each in _going(database, study, destination)}
    start = not_before or at
    new: list[Instance] = []
    again = 0
    for image in images:
        earlier = known.get(image.sop_instance_uid)
        if earlier is None:
            new.append(image)
        elif earlier.receipt != image.receipt or earlier.status is DeliveryStatus.HELD:
            if earlier.status is DeliveryStatus.SENDING:
                raise TransientError(f"{image.sop_instance_uid} is just being sent to {destination}")
            again += 1
            database.execute(
                "UPDATE deliveries SET receipt=?, file=?, decision=?, coerce=?, status=?, hold=NULL, error=NULL,"
                " attempts=0, refusals=0, unanswered=0, unanswered_at=NULL, enqueued_at=?, not_before=?, sent_at=NULL"
                " WHERE id=?",
                [
                    image.receipt,
                    image.receipt,
                    decision,
                    _coerced(coerce),
                    DeliveryStatus.WAITING,
                    to_text(start),
                    to_text(start),
                    earlier.id,
                ],
            )
    fresh = _insert(database, new, destination, decision, coerce, start) if new else 0
    if fresh or again:
        events.record(
            database,
            at,
            "forward.enqueued",
            study=study,
            rule=rule,
            destination=destination,
            instances=fresh,
            corrected=again or None,
            coerced=sorted(coerce) or None,
            not_before=to_text(start) if not_before else None,
        )
    return fresh + again


def left_out(
    database: Database, at: datetime, *, study: str, destination: str, rule: str, images: Sequence[Instance], mark: str
) -> None:
    """These are not sent there because of that mark: an alert, once for as many."""
    uids = sorted(each.sop_instance_uid for each in images)
    told = [each.detail for each in events.of_kind_and_study(database, study, "forward.left-out")]
    if not uids or any((each["destination"], each["instances"]) == (destination, len(uids)) for each in told):
        return
    events.record(
        database,
        at,
        "forward.left-out",
        study=study,
        severity=Severity.ALERT,
        rule=rule,
        destination=destination,
        instances=len(uids),
        mark=mark,
        reasons=sorted({each.marks[mark] for each in images})[:_MOST_NAMED],
        sop_instance_uids=uids[:_MOST_NAMED],
    )


def _going(database: Database, study: str, destination: str) -> list[Delivery]:
    """All images of the study that have a delivery there."""
    sql = "SELECT * FROM deliveries WHERE study_instance_uid=? AND destination=? AND receipt IS NOT NULL"
    return [deliveries.of_row(row) for row in query(database, sql, [study, destination])]


def _insert(
    database: Database,
    images: Sequence[Instance],
    destination: str,
    decision: int,
    coerce: Mapping[str, Any],
    start: datetime,
) -> int:
    """All at once: a study may have thousands, and other writers wait meanwhile."""
    same = {
        "decision": decision,
        "coerce": _coerced(coerce),
        "destination": destination,
        "status": DeliveryStatus.WAITING,
        "attempts": 0,
        "refusals": 0,
        "not_before": to_text(start),
        "enqueued_at": to_text(start),
    }
    columns = ("sop_instance_uid", "sop_class_uid", "study_instance_uid", "receipt", "file", *same)
    sql = f"INSERT OR IGNORE INTO deliveries ({','.join(columns)}) VALUES ({placeholders(columns)})"  # noqa: S608 - our own columns
    rows = [
        (each.sop_instance_uid, each.sop_class_uid, each.study_instance_uid, each.receipt, each.receipt, *same.values())
        for each in images
    ]
    return int(database.conn.executemany(sql, rows).rowcount)


def _coerced(coerce: Mapping[str, Any]) -> str | None:
    return to_json(dict(coerce)) if coerce else None


def next_images(database: Database, destination: str, at: datetime, limit: int) -> list[Image]:
    """Images that may be sent there now, of the one study that has waited longest; in the order of their arrival.

    Not those that were set aside (`node.ledger.silences`), and studies that have such come after the others.
    """
    troubled = f"SELECT study_instance_uid FROM deliveries WHERE destination=? AND status='waiting' AND {_SET_ASIDE}"  # noqa: S608 - our own text
    oldest = one(
        database,
        f"SELECT deliveries.study_instance_uid AS study{_READY} AND NOT {_SET_ASIDE}"
        f" ORDER BY deliveries.study_instance_uid IN ({troubled}), deliveries.id LIMIT 1",
        [destination, to_text(at), destination],
    )
    if oldest is None:
        return []
    rows = query(
        database,
        f"{_IMAGE}{_READY} AND NOT {_SET_ASIDE} AND deliveries.study_instance_uid=? ORDER BY deliveries.id LIMIT ?",
        [destination, to_text(at), oldest["study"], limit],
    )
    return [_image(row) for row in rows]


def image(database: Database, delivery: Delivery) -> Image:
    """What has to be known to send this one."""
    row = one(database, f"{_IMAGE} FROM deliveries JOIN instances USING (receipt) WHERE deliveries.id=?", [delivery.id])
    assert row is not None, delivery.id
    return _image(row)


def _image(row: dict[str, Any]) -> Image:
    of_image = [row.pop(name) for name in ("i_series", "i_syntax", "i_digest", "i_caller")]
    return Image(deliveries.of_row(row), *of_image)


@dataclass(frozen=True, slots=True)
class Due:
    """Images of a study that may be sent to a destination now, and wait or are given up together."""

    study_instance_uid: str
    set_aside: bool
    """Those that go last and alone: their age is not that of the others."""
    since: datetime
    """When the oldest of them was enqueued."""


def all_due(database: Database, destination: str, at: datetime) -> list[Due]:
    """Studies with images that may be sent there now."""
    rows = query(
        database,
        f"SELECT deliveries.study_instance_uid AS study, {_SET_ASIDE} AS aside, min(enqueued_at) AS since{_READY}"
        " GROUP BY study, aside",
        [destination, to_text(at)],
    )
    return [Due(row["study"], bool(row["aside"]), from_text(row["since"])) for row in rows]


def put_off(
    database: Database, at: datetime, due: Due, destination: str, not_before: datetime, why: str, severity: Severity
) -> None:
    """None of these images could be tried: again at `not_before`; one event, loud the first time."""
    study = due.study_instance_uid
    count = _change_due(database, at, due, destination, "not_before=?, error=?", [to_text(not_before), why])
    last = events.last_of(database, study, "forward.waits")
    told = last is not None and (last.detail["destination"], last.detail["error"]) == (destination, why)
    events.record(
        database,
        at,
        "forward.waits",
        study=study,
        severity=Severity.INFO if told else severity,
        destination=destination,
        instances=count,
        error=why,
        not_before=to_text(not_before),
    )


def give_up(database: Database, at: datetime, due: Due, destination: str, why: str) -> None:
    """These images are dead letters, and a person is notified."""
    count = _change_due(database, at, due, destination, "status=?, error=?", [DeliveryStatus.DEAD, why])
    events.record(
        database,
        at,
        "forward.dead",
        study=due.study_instance_uid,
        severity=Severity.ALERT,
        destination=destination,
        instances=count,
        error=why,
    )


def _change_due(
    database: Database, at: datetime, due: Due, destination: str, change: str, values: Sequence[object]
) -> int:
    sql = (
        f"UPDATE deliveries SET {change} WHERE destination=? AND study_instance_uid=? AND receipt IS NOT NULL"  # noqa: S608 - our own text
        f" AND status=? AND not_before<=? AND {_SET_ASIDE}=?"
    )
    where = [destination, due.study_instance_uid, DeliveryStatus.WAITING, to_text(at), due.set_aside]
    return int(database.execute(sql, [*values, *where]).rowcount)


def record_if_done(database: Database, at: datetime, study: str, destination: str) -> None:
    """An image has arrived; where no other is on its way, that all are there is one line of history."""
    rows = query(
        database,
        "SELECT status, count(*) AS n FROM deliveries WHERE destination=? AND study_instance_uid=?"
        " AND receipt IS NOT NULL GROUP BY status",
        [destination, study],
    )
    found = {DeliveryStatus(row["status"]): int(row["n"]) for row in rows}
    if DeliveryStatus.WAITING in found or DeliveryStatus.SENDING in found:
        return
    stuck = sum(found.get(status, 0) for status in _STUCK)
    events.record(
        database,
        at,
        "forward.done",
        study=study,
        severity=Severity.WARNING if stuck else Severity.INFO,
        destination=destination,
        instances=found.get(DeliveryStatus.DELIVERED, 0),
        not_sent=stuck or None,
    )


def again(database: Database, at: datetime, study: str, by: str) -> int:
    """A person says: send its held and dead images now, as far as they count; how many."""
    count = _all_of(
        database,
        study,
        _STUCK,
        "status=?, hold=NULL, attempts=0, refusals=0, unanswered=0, unanswered_at=NULL, enqueued_at=?, not_before=?",
        [DeliveryStatus.WAITING, to_text(at), to_text(at)],
        "receipt IN (SELECT receipt FROM instances WHERE status='current')",  # not one that was rejected
    )
    if count:
        events.record(database, at, "forward.again", study=study, instances=count, by=by)
    return count


def cancel(database: Database, at: datetime, study: str, why: str) -> int:
    """A person says: do not send those of its images that have not been sent; how many."""
    count = _all_of(
        database, study, (DeliveryStatus.WAITING, *_STUCK), "status=?, error=?", [DeliveryStatus.CANCELLED, why]
    )
    if count:
        events.record(database, at, "forward.cancelled", study=study, instances=count, reason=why)
    return count


def _all_of(
    database: Database,
    study: str,
    statuses: Sequence[DeliveryStatus],
    change: str,
    values: Sequence[object],
    which: str = "receipt IS NOT NULL",
) -> int:
    among = f"{which} AND status IN ({placeholders(statuses)})"
    sql = f"UPDATE deliveries SET {change} WHERE study_instance_uid=? AND {among}"  # noqa: S608 - our own text
    return int(database.execute(sql, [*values, study, *statuses]).rowcount)


def counts(database: Database) -> dict[str, dict[DeliveryStatus, int]]:
    """How many images are in each state, by destination."""
    found: dict[str, dict[DeliveryStatus, int]] = {}
    sql = (
        "SELECT destination, status, count(*) AS n FROM deliveries WHERE receipt IS NOT NULL"
        " GROUP BY destination, status"
    )
    for row in query(database, sql):
        found.setdefault(row["destination"], {})[DeliveryStatus(row["status"])] = int(row["n"])
    return found


def of_study(database: Database, study: str) -> list[Standing]:
    """How the study's images stand, by destination, state and reason."""
    return _standing(database, "study_instance_uid=?", [study])


def stuck(database: Database) -> list[Standing]:
    """Images that a person has to decide about."""
    return _standing(database, f"status IN ({placeholders(_STUCK)})", _STUCK)


def _standing(database: Database, where: str, values: Sequence[object]) -> list[Standing]:
    columns = "study_instance_uid, destination, status, coalesce(hold, error) AS why"
    sql = (
        f"SELECT {columns}, count(*) AS instances FROM deliveries WHERE receipt IS NOT NULL AND {where}"  # noqa: S608 - our own text
        " GROUP BY study_instance_uid, destination, status, why ORDER BY min(id)"
    )
    rows = query(database, sql, values)
    return [Standing(**{**row, "status": DeliveryStatus(row["status"])}) for row in rows]
