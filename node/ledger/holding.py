"""Holding many deliveries of a study: all results and the first images at once, the others part by part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from node.ledger import deliveries, hold_parts
from node.ledger.connection import Database
from node.ledger.delivery import DeliveryStatus
from node.ledger.due_times import MANY


class UnsentObject(Protocol):
    """What is known of something that may be held; a `Delivery` is one."""

    @property
    def id(self) -> int:
        """The delivery's."""

    @property
    def study_instance_uid(self) -> str:
        """Of what it is."""

    @property
    def destination(self) -> str:
        """Where it goes."""

    @property
    def status(self) -> DeliveryStatus:
        """How far it is."""

    @property
    def is_image(self) -> bool:
        """Whether it is a received image, not an object of a result."""


def hold_all(
    database: Database, at: datetime, those: Sequence[UnsentObject], reason: str, *, tell: bool = True
) -> None:
    """As `deliveries.hold`, of many; without `tell` it is the caller who records it.

    Of thousands of images of a study the first ones are held at once, the others after it (`node.ledger.hold_parts`).
    """
    able = [each for each in those if each.status in deliveries.MAY_BE_HELD]
    images = [each for each in able if each.is_image]
    images.sort(key=lambda each: each.status is not DeliveryStatus.SENDING)  # they may be there before the next part
    at_once = [*(each for each in able if not each.is_image), *images[:MANY]]
    rows = [(deliveries.MAY_BE_HELD[each.status], reason, each.id, each.status) for each in at_once]
    database.conn.executemany("UPDATE deliveries SET status=?, hold=? WHERE id=? AND status=?", rows)
    by_study: dict[str, list[int]] = {}
    for each in images[MANY:]:
        by_study.setdefault(each.study_instance_uid, []).append(each.id)
    for study, ids in by_study.items():
        hold_parts.keep(database, study, reason, ids)
    first = {each.destination if each.is_image else each.id: each.id for each in reversed(those)}
    for number in reversed(first.values()) if tell else ():
        deliveries.tell_held(database, at, deliveries.get(database, number), reason)
