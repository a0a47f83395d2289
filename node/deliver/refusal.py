"""A destination does not take an object's SOP class: a report is re-encoded in another one, all else is a dead letter.

The classes in which a report could be re-encoded are proposed beside its own, so that the connection in which it is
refused says which of them the destination takes; nothing is made that would be refused as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from node.deliver.policy import Answer
from node.deliver.ways.archive import Kind, Sender
from node.dicom import report_classes
from node.dicom.part10 import kind_of
from node.dicom.transcoding import acceptable, with_fallbacks
from node.ledger import deliveries, fallbacks, objects
from node.ledger.database import Database
from node.ledger.delivery import Delivery
from node.outcome import AnswerReading

REFUSALS = (AnswerReading.KIND_REFUSED, AnswerReading.CLASS_REFUSED)
"""Answers that are about the SOP class, not about the object."""


def kinds_with_fallbacks(files: Iterable[Path]) -> set[Kind]:
    """What these files are, what their reports could be re-encoded as, and the transfer syntaxes of either."""
    found: set[Kind] = set()
    for file in files:
        sop_class, syntax = kind_of(file)
        for each in (sop_class, *report_classes.lesser(sop_class)):
            found |= with_fallbacks((each, syntax))
    return found


def settle_refusal(
    database: Database, at: datetime, delivery: Delivery, answer: Answer, sender: Sender, syntax: str
) -> None:
    """Refused: to be re-encoded in the best class that the destination takes, or a dead letter that names all tried.

    `syntax` is the transfer syntax of the object that was refused.
    """
    made = objects.get(database, delivery.item)
    if made is None or made.kind != "sr":
        deliveries.dead(database, at, delivery.id, answer.text, answer.code)
        return
    lesser = report_classes.lesser(delivery.sop_class_uid)
    instead = next((each for each in lesser if acceptable(sender.accepts, (each, syntax)) is not None), None)
    if instead is None or not made.encoding:
        tried = [*fallbacks.tried_before(database, delivery.id), delivery.sop_class_uid, *lesser]
        deliveries.dead(database, at, delivery.id, _nothing_left(tried, instead, answer), answer.code)
        return
    told = f"{delivery.destination} takes no {_name(delivery.sop_class_uid)}: to be re-encoded as {_name(instead)}"
    fallbacks.refused(database, at, delivery.id, instead, told)


def _nothing_left(tried: Iterable[str], instead: str | None, answer: Answer) -> str:
    if instead is not None:
        return (
            f"{answer.text}; it takes {_name(instead)}, but what was made before an update of this node is not made "
            "in another class: pacsnode retry JOB"
        )
    names = ", ".join(map(_name, tried))
    return (
        f"{answer.text}; it takes no class that is left to try ({names}): have it accept one of them, then retry this "
        "or the job"
    )


def _name(sop_class_uid: str) -> str:
    return report_classes.name_of(sop_class_uid)
