"""What a delivery is: one item on its way to one destination; `node.ledger.deliveries` has its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class DeliveryKind(StrEnum):
    """What is delivered: a file that this node has, sent byte for byte, or as a copy that a rule asks for."""

    OBJECT = "object"
    """A SOP instance that was made from a result."""
    IMAGE = "image"
    """A received SOP instance that a rule forwards."""


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    """To be sent at `not_before`, or as soon as the destination has the study."""
    SENDING = "sending"
    """It may be under way; found at start, its outcome is unknown and it is sent again (same UID)."""
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


class DeliveryCommitment(StrEnum):
    """What the destination says of keeping a delivery that it has taken: delivered is not yet committed."""

    NONE = "none"
    """Nobody asks for it: it was not delivered yet, or the configuration does not want it."""
    WANTED = "wanted"
    """The destination is to be asked for its commitment."""
    ASKED = "asked"
    """The destination has taken the request and has not reported yet."""
    COMMITTED = "committed"
    """The destination has committed itself to keeping it."""
    REFUSED = "refused"
    """The destination says that it does not keep it; a person has to act, and it is still asked now and then."""
    OVERDUE = "overdue"
    """The destination did not commit itself in time; it is still asked now and then."""


IN_TROUBLE = (DeliveryCommitment.REFUSED, DeliveryCommitment.OVERDUE)
"""A person has to see to it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row of `deliveries`."""

    id: int
    kind: DeliveryKind
    item: str
    """What goes there once: its SOP Instance UID."""
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
    """Times that it began to be sent; only those that may have reached the destination."""
    refusals: int
    """Answers that said "cannot understand" or "processing failure": five in all, then it is dead."""
    priority: int
    """Of the rule; the higher goes first."""
    not_before: datetime
    waited: timedelta
    """How long it has been put off in all: the age that counts, whatever the clock says."""
    answer: str | None
    """The destination's last answer, as `PROTOCOL:CODE`; None where the last try got none."""
    error: str | None
    enqueued_at: datetime
    sent_at: datetime | None
    receipt: str | None = None
    """Of the received image, where it is one."""
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
    commitment: DeliveryCommitment = DeliveryCommitment.NONE
    commit_by: datetime | None = None
    """When the destination should have committed itself to it."""
    commit_failure: int | None = None
    """The failure reason (0008,1197) in the destination's last report on it."""
    committed_at: datetime | None = None
    resends: int = 0
    """How often it was sent again because the destination did not have what it had taken (`node.ledger.resends`)."""

    @property
    def is_image(self) -> bool:
        """Whether it is a received image, not an object of a result."""
        return self.kind is DeliveryKind.IMAGE
