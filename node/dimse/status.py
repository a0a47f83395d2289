"""The one table of DIMSE statuses: what this node answers, and how it reads an answer.

Sources: PS3.7 Annex C (general statuses), PS3.4 B.2.3 (C-STORE), PS3.4 C.4.1.1.4 (C-FIND), PS3.4 J.3 and PS3.3
C.14.1.1 (storage commitment).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from node.errors import PermanentError
from node.outcome import AnswerReading


class StoreStatus(IntEnum):
    """What this node answers to a C-STORE request (PS3.4 Table B.2-1)."""

    SUCCESS = 0x0000
    """On disk: file and directory."""
    OUT_OF_RESOURCES = 0xA700
    """Could not be written; nothing of it is kept, sending again may succeed."""
    DATA_SET_MISMATCH = 0xA900
    """The data set is not the object the command announced, or lacks a UID that every object has."""
    CANNOT_UNDERSTAND = 0xC000
    """The data set or a UID cannot be parsed."""
    PROCESSING_FAILURE = 0xC001
    """A defect of this node; the log says which."""


class MismatchError(PermanentError):
    """The data set does not match its command, or lacks a UID that every composite object has."""


class UnreadableDataSetError(PermanentError):
    """The data set, or a UID, does not follow PS3.5."""


def answer_for(failure: BaseException | None) -> StoreStatus:
    """The status of a C-STORE response, from what went wrong; None means nothing did."""
    match failure:
        case None:
            return StoreStatus.SUCCESS
        case MismatchError():
            return StoreStatus.DATA_SET_MISMATCH
        case UnreadableDataSetError():
            return StoreStatus.CANNOT_UNDERSTAND
        case OSError() | MemoryError():
            return StoreStatus.OUT_OF_RESOURCES
        case _:
            return StoreStatus.PROCESSING_FAILURE


_READINGS = {
    0x0000: AnswerReading.STORED,
    0x0001: AnswerReading.STORED_WITH_WARNING,  # attribute list warning and the like: PS3.7 C.4
    0x0107: AnswerReading.STORED_WITH_WARNING,  # attribute list error
    0x0116: AnswerReading.STORED_WITH_WARNING,  # attribute value out of range
    0x0110: AnswerReading.RETRY_FEW,  # processing failure
    0x0111: AnswerReading.ASK,  # duplicate SOP instance
    0x0117: AnswerReading.DEAD_LETTER,  # invalid object instance: the UID violates its construction rules
    0x0122: AnswerReading.CLASS_REFUSED,  # SOP class not supported
    0x0124: AnswerReading.RETRY_SLOWLY,  # refused: not authorised
    0x0213: AnswerReading.RETRY_FEW,  # resource limitation
}


def read_store_status(status: int | None) -> AnswerReading:
    """What a C-STORE response's status asks of us; None: no (valid) response came.

    Warnings are the whole of Bxxx, not only the three that PS3.4 B.2.3 names: peers invent others,
    and the Standard makes every Bxxx a warning (PS3.7 C.1). What no rule names is tried a few times.
    """
    if status is None:
        return AnswerReading.UNKNOWN
    if status in _READINGS:
        return _READINGS[status]
    if 0xA770 <= status <= 0xA77F:  # dcm4chee: this object will not do, which waiting does not change
        return AnswerReading.DEAD_LETTER
    if 0xA700 <= status <= 0xA7FF:
        return AnswerReading.RETRY
    if 0xA900 <= status <= 0xA9FF:
        return AnswerReading.DEAD_LETTER
    if 0xB000 <= status <= 0xBFFF:
        return AnswerReading.STORED_WITH_WARNING
    return AnswerReading.RETRY_FEW


class FindReading(StrEnum):
    """What a C-FIND response's status means."""

    MATCH = "match"
    END = "end"
    RETRY = "retry"
    REFUSED = "refused"


def read_find_status(status: int | None) -> FindReading:
    """What a C-FIND response's status says (PS3.4 Table C.4-1); None: no (valid) response came."""
    if status in (0xFF00, 0xFF01):
        return FindReading.MATCH
    if status == 0x0000:
        return FindReading.END
    if status is None or status == 0xFE00 or 0xA700 <= status <= 0xA7FF or 0xC000 <= status <= 0xCFFF:
        return FindReading.RETRY
    return FindReading.REFUSED


DIMSE = "dimse:"
"""What a destination's answer begins with, as the ledger has it, where it was a DIMSE status: `dimse:A700`."""


def status_text(status: int | None) -> str:
    """A status as people write it: four hexadecimal digits; `no answer` where there was none."""
    return "no answer" if status is None else f"{status:04X}"


class ActionStatus(IntEnum):
    """What this node answers to an N-ACTION or N-EVENT-REPORT of storage commitment (PS3.7 10.1.1.1.8, 10.1.4.1.10)."""

    SUCCESS = 0x0000
    """Written down: it is not lost by a crash."""
    PROCESSING_FAILURE = 0x0110
    """A defect of this node, or it cannot write now; the log says which."""
    NO_SUCH_INSTANCE = 0x0112
    """Another SOP instance than the well-known one was named."""
    NO_SUCH_EVENT = 0x0113
    """Event Type ID other than 1 and 2."""
    INVALID_ARGUMENT = 0x0115
    """Transaction UID or references are missing, or no UIDs."""
    NO_SUCH_ACTION = 0x0123
    """Action Type ID other than 1."""
    NOT_AUTHORISED = 0x0124
    """This AE title may not, by the configuration."""
    RESOURCE_LIMITATION = 0x0213
    """Too many references, or too little space."""


class FailureReason(IntEnum):
    """Why storage commitment fails for one SOP instance: (0008,1197) (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    """It is here and cannot be answered for: quarantined, unreadable, damaged, or the archive never answered."""
    NO_SUCH_OBJECT = 0x0112
    """It never came, or was deleted after its time."""
    CLASS_INSTANCE_CONFLICT = 0x0119
    """It came under another SOP class."""
    DUPLICATE_TRANSACTION = 0x0131
    """The Transaction UID was used for other references."""


class FailureReading(StrEnum):
    """What the failure reason in an archive's report on storage commitment asks of whoever sent the SOP instance."""

    SEND_AGAIN = "send again"
    """The archive does not have it."""
    ASK_AGAIN = "ask again"
    """It may commit itself later: it is short of something, or had trouble."""
    TELL = "tell"
    """Waiting does not change it: a person has to change something at the archive."""


_FAILURES = {
    0x0110: FailureReading.ASK_AGAIN,  # processing failure
    0x0112: FailureReading.SEND_AGAIN,  # no such object instance
    0x0119: FailureReading.TELL,  # class / instance conflict: it has another object under this UID
    0x0122: FailureReading.TELL,  # referenced SOP class not supported
    0x0131: FailureReading.ASK_AGAIN,  # duplicate Transaction UID: the next request has another one
    0x0213: FailureReading.ASK_AGAIN,  # resource limitation
}


def read_failure_reason(reason: int) -> FailureReading:
    """What (0008,1197) says (PS3.3 C.14.1.1); a reason that the Standard does not name may pass."""
    return _FAILURES.get(reason, FailureReading.ASK_AGAIN)


def is_taken(status: int | None) -> bool:
    """Whether this answer to an N-ACTION or N-EVENT-REPORT means that the peer took it: success or a warning."""
    return status is not None and (status in (0x0000, 0x0001, 0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF)
