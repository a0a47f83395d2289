"""Images that may be sent to a destination now and cannot be: those of a study wait, or are given up, together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from node.clock import to_text
from node.ledger import alerts, deliveries, due_times, events, image_turns, said, turns
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.delivery import DeliveryStatus
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.rows import query


@dataclass(frozen=True, slots=True)
class DueImages:
    """Images of a study that may be sent to a destination now, and wait or are given up together."""

    study_instance_uid: str
    set_aside: bool
    """Those that go last and alone: their age is not that of the others."""
    waited: timedelta
    """The age of that which was put off for longest (`due_times.until`)."""
    images: int

    @property
    def parts(self) -> range:
        """Once for each statement that changes all of them: a study has thousands, and others want to write."""
        return range(0, self.images, due_times.MANY)


def all_due(database: Database, destination: str, at: datetime, study: str | None = None) -> list[DueImages]:
    """Studies with images that may be sent there now, or this one alone."""
    ready, named = (image_turns.READY, []) if study is None else (image_turns.READY_OF_STUDY, [study])
    rows = query(
        database,
        f"SELECT deliveries.study_instance_uid AS study, {turns.SET_ASIDE} AS aside, max(waited) AS waited,"
        f" count(*) AS n{ready} GROUP BY study, aside",
        [destination, to_text(at), *named],
    )
    return [DueImages(row["study"], bool(row["aside"]), timedelta(seconds=row["waited"]), row["n"]) for row in rows]


def put_off(
    database: Database,
    at: datetime,
    due: DueImages,
    destination: str,
    not_before: datetime,
    why: str,
    *,
    severity: Severity = Severity.WARNING,
    rejected: bool = False,
) -> None:
    """As many of these images as one statement changes could not be tried: again at `not_before` (`DueImages.parts`).

    One event for each reason. `rejected`: the destination does not accept associations from us, which is an alert.
    """
    study = due.study_instance_uid
    _change_due(
        database, at, due, destination, f"{due_times.PUT_OFF}, error=?", [*due_times.until(at, not_before), why]
    )
    if rejected:
        alerts.met(database, at, AlertKind.DELIVERY_WAITS, destination, error=why)
    if not said.once(database, EventKind.FORWARD_WAITS, deliveries.study_at(destination, study), why):
        return
    events.record(
        database,
        at,
        EventKind.FORWARD_WAITS,
        study=study,
        severity=severity,
        destination=destination,
        instances=due.images,
        error=why,
        not_before=to_text(not_before),
    )


def give_up(database: Database, at: datetime, due: DueImages, destination: str, why: str) -> None:
    """As many of these images as one statement changes are dead letters, and a person is notified (`DueImages.parts`).

    One event for each reason.
    """
    which, values = _due_ids(at, due, destination)
    dead(database, at, due.study_instance_uid, destination, due.images, why, which, values)


def dead(
    database: Database,
    at: datetime,
    study: str,
    destination: str,
    images: int,
    why: str,
    which: str,
    values: Sequence[object],
) -> None:
    """Images of a study, of `images` in all, are dead letters: those that `which` selects by their ids."""
    database.execute(
        f"UPDATE deliveries SET status=?, error=? WHERE id IN ({which})",  # noqa: S608 - our own text
        [DeliveryStatus.DEAD, why, *values],
    )
    place = deliveries.study_at(destination, study)
    detail: dict[str, Any] = {"destination": destination, "instances": images, "error": why}
    if said.once(database, EventKind.FORWARD_DEAD, place, why):
        events.record(database, at, EventKind.FORWARD_DEAD, study=study, **detail)
    alerts.met(database, at, AlertKind.DELIVERY_DEAD, place, study=study, **detail)


def _change_due(
    database: Database, at: datetime, due: DueImages, destination: str, change: str, values: Sequence[object]
) -> None:
    which, where = _due_ids(at, due, destination)
    database.execute(f"UPDATE deliveries SET {change} WHERE id IN ({which})", [*values, *where])  # noqa: S608 - our own text


def _due_ids(at: datetime, due: DueImages, destination: str) -> tuple[str, list[object]]:
    """What selects the ids of as many of these images as one statement changes, and its values."""
    which = (
        "SELECT id FROM deliveries WHERE destination=?"  # noqa: S608 - our own text
        f" AND study_instance_uid=? AND kind='image' AND status=? AND not_before<=? AND {turns.SET_ASIDE}=?"
        f" LIMIT {due_times.MANY}"
    )
    where = [destination, due.study_instance_uid, DeliveryStatus.WAITING, to_text(at), due.set_aside]
    return which, where
