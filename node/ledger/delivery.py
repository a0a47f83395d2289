"""What a delivery is: one SOP instance on its way to one destination; `node.ledger.deliveries` has its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    """To be sent at `not_before`, or as soon as the destination has the study."""
    SENDING = "sending"
    """A C-STORE may be under way; found at start, its outcome is unknown and it is sent again (same UID)."""
    DELIVERED = "delivered"
    """The destination answered success or a warning that means stored."""
    HELD = "held"
    """Something is wrong with patient or study: a person decides (`retry` or `cancel`)."""
    DEAD = "dead"
    """Refused for good, or tried for too long: kept, and sent again only by `retry`."""
    SUPERSEDED = "superseded"
    """A newer result of the same rule on the same study overtook it before it was sent."""
    WITHHELD = "withheld"
    """The rule does not want such a result sent, or not so late: kept, and sent only by `retry`."""
    CANCELLED = "cancelled"
    """A person, a correction or a rejection note stopped it."""
    REFUSED = "refused"
    """A report whose SOP class the destination does not take: it is being re-encoded (`node.ledger.fallbacks`)."""
    REPLACED = "replaced"
    """It never arrived; `successor` is the same report in another SOP class."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row of `deliveries`."""

    id: int
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    job: str | None
    file: str
    """Relative to the data folder; the receipt of an image that is forwarded."""
    destination: str
    status: DeliveryStatus
    hold: str | None
    """Why it is held or withheld."""
    attempts: int
    """C-STOREs begun; only those that may have reached the destination."""
    refusals: int
    """Answers that said "cannot understand" or "processing failure": five in all, then it is dead."""
    not_before: datetime
    dimse_status: int | None
    """The destination's last answer (PS3.7 annex C)."""
    error: str | None
    enqueued_at: datetime
    sent_at: datetime | None
    receipt: str | None = None
    """Of the received image that a rule forwards; None of a result."""
    decision: int | None = None
    """Of the rule that forwards it."""
    coerce: Mapping[str, Any] | None = None
    """Attributes of the image that are overwritten on its way: keyword to value, None empties."""
    fallback: str | None = None
    """SOP class in which a refused report is re-encoded."""
    successor: int | None = None
    """The delivery that took its place."""
    unanswered: int = 0
    """Tries without an answer that count against it (`node.ledger.silences`)."""
    unanswered_at: datetime | None = None
    """When the last of these was."""
