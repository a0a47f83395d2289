"""Whose turn it is among received images: those of one study at a time, and which of it are next.

The rows are deliveries of kind `image` (`node.ledger.forwards`). Each question is answered from an index in the order
of the turns: it does not matter whether a hundred images wait or a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import to_text
from node.ledger import deliveries, hold_parts, turns
from node.ledger.connection import Database
from node.ledger.delivery import Delivery
from node.ledger.rows import one, placeholders, query
from node.ledger.unreadable import readable

_READY = (
    " JOIN instances USING (receipt) LEFT JOIN studies ON studies.study_instance_uid=deliveries.study_instance_uid"
    " WHERE destination=? AND deliveries.status='waiting' AND kind='image' AND studies.hold IS NULL AND not_before<=?"
    f" AND {hold_parts.NONE_LEFT}"
)
READY = f" FROM deliveries{_READY}"
"""An image that may be sent now: nothing of a study that is held."""
READY_OF_STUDY = f" FROM deliveries INDEXED BY deliveries_of_images{_READY} AND deliveries.study_instance_uid=?"
"""The same of one study."""
_IMAGE = (
    "SELECT deliveries.*, series_instance_uid AS i_series, transfer_syntax_uid AS i_syntax, digest AS i_digest,"
    " calling_ae_title AS i_caller"
)
_DUE = (
    " FROM deliveries LEFT JOIN studies USING (study_instance_uid)"
    " WHERE destination=? AND deliveries.status='waiting' AND kind='image' AND studies.hold IS NULL AND not_before<=?"
    f" AND {hold_parts.NONE_LEFT} AND NOT {turns.SET_ASIDE} AND priority>=?"
)
_TROUBLED = (
    "SELECT study_instance_uid FROM deliveries INDEXED BY deliveries_set_aside"  # noqa: S608 - our own text
    f" WHERE destination=? AND status='waiting' AND {turns.SET_ASIDE}"
)


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
class StudyDue:
    """A study with images that may be sent now."""

    study_instance_uid: str
    priority: int
    """Of its most urgent image, or of the most urgent result that waits until its images have left."""


def next_study(
    database: Database, destination: str, at: datetime, but: Collection[str] = (), least: int = 0
) -> StudyDue | None:
    """The study whose images are next: the most urgent, then the oldest; those with images set aside come last.

    Not those in `but`. `least`: of this priority or higher. A result waits until the images of its study have left, so
    what it is waited for with counts for these, too.
    """
    first = _first(database, destination, at, but, least)
    awaited = _awaited(database, destination, at, but, max(least, 1))
    if awaited is not None and (first is None or awaited.priority > first.priority):
        return awaited
    return first


def _first(database: Database, destination: str, at: datetime, but: Collection[str], least: int) -> StudyDue | None:
    others = f" AND deliveries.study_instance_uid NOT IN ({placeholders(but)})" if but else ""
    for troubled in ("NOT IN", "IN"):
        row = one(
            database,
            f"SELECT deliveries.study_instance_uid AS study, priority{_DUE}{others}"
            f" AND deliveries.study_instance_uid {troubled} ({_TROUBLED})"
            " ORDER BY priority DESC, deliveries.id LIMIT 1",
            [destination, to_text(at), least, *but, destination],
        )
        if row is not None:
            return StudyDue(row["study"], int(row["priority"]))
    return None


def _awaited(database: Database, destination: str, at: datetime, but: Collection[str], least: int) -> StudyDue | None:
    others = f" AND deliveries.study_instance_uid NOT IN ({placeholders(but)})" if but else ""
    row = one(
        database,
        "SELECT deliveries.study_instance_uid AS study, priority FROM deliveries"  # noqa: S608 - our own text
        " LEFT JOIN studies USING (study_instance_uid)"
        " WHERE destination=? AND deliveries.status='waiting' AND kind<>'image' AND studies.hold IS NULL"
        f" AND {hold_parts.NONE_LEFT} AND priority>=?{others} AND EXISTS (SELECT 1"
        "  FROM deliveries AS image INDEXED BY deliveries_of_images WHERE image.kind='image'"
        "  AND image.destination=deliveries.destination AND image.status='waiting'"
        "  AND image.study_instance_uid=deliveries.study_instance_uid AND image.not_before<=?"
        "  AND NOT (image.unanswered>0 OR image.attempts>1))"
        " ORDER BY priority DESC, deliveries.not_before, deliveries.id LIMIT 1",
        [destination, least, *but, to_text(at)],
    )
    return StudyDue(row["study"], int(row["priority"])) if row else None


def of_study(database: Database, destination: str, at: datetime, study: str, limit: int) -> list[Image]:
    """Its images that may be sent there now, in the order of arrival; not those that were set aside."""
    rows = query(
        database,
        f"{_IMAGE}{READY_OF_STUDY} AND NOT {turns.SET_ASIDE} ORDER BY deliveries.id LIMIT ?",
        [destination, to_text(at), study, limit],
    )
    return readable(database, "deliveries", rows, _image)


def image(database: Database, delivery: Delivery) -> Image:
    """What has to be known to send this one."""
    row = one(database, f"{_IMAGE} FROM deliveries JOIN instances USING (receipt) WHERE deliveries.id=?", [delivery.id])
    assert row is not None, delivery.id
    return _image(row)


def _image(row: dict[str, Any]) -> Image:
    names = ("i_series", "i_syntax", "i_digest", "i_caller")
    delivery = {name: value for name, value in row.items() if name not in names}
    return Image(deliveries.of_row(delivery), *(row[name] for name in names))
