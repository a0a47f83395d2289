"""What the answer to an object that was handed over means for its delivery, whatever protocol the answer came by."""

from __future__ import annotations

from enum import StrEnum


class AnswerReading(StrEnum):
    """How an answer is to be read."""

    STORED = "stored"
    """It is there."""
    STORED_WITH_WARNING = "stored_with_warning"
    """It is there; the peer changed or dropped something, which is recorded."""
    RETRY = "retry"
    """The peer is short of something: send again with back-off."""
    RETRY_FEW = "retry_few"
    """May be a passing trouble of the peer (a locked study, a database time-out): a few tries over a day."""
    RETRY_SLOWLY = "retry_slowly"
    """Refused for lack of authorisation: a person has to act; alert, and try again slowly."""
    ASK = "ask"
    """The peer says it has this SOP Instance UID: ask whether it is there; then it is delivered."""
    DEAD_LETTER = "dead_letter"
    """Sending the same object again gives the same answer."""
    UNKNOWN = "unknown"
    """No answer came: it may or may not be there; send again under the same UID."""
    KIND_REFUSED = "kind_refused"
    """The peer agreed beforehand to no object of this SOP class in this transfer syntax."""
    CLASS_REFUSED = "class_refused"
    """The peer had agreed, and says of the object that it does not support its SOP class."""
