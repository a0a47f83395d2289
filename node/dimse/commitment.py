"""Storage commitment as values: what N-ACTION asks for and what N-EVENT-REPORT says, read and written (PS3.4 J.3).

Free of pynetdicom, so that the journal and the ledger speak of the same things as the association does. Written here
and not by pydicom, which takes some hundred times as long: a large CT has tens of thousands of images.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.dicom.uids import is_acceptable_uid
from node.dimse.status import ActionStatus

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PUSH_MODEL = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class (PS3.4 J.3.5)."""
WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
"""The one SOP instance that an N-ACTION may name (PS3.4 J.3.5)."""
REQUEST_ACTION = 1
"""Action Type ID of "request storage commitment" (PS3.4 Table J.3-1)."""
ALL_COMMITTED, SOME_FAILED = 1, 2
"""Event Type IDs (PS3.4 Table J.3-2)."""
MAXIMUM_REFERENCES = 50_000
"""References in one request or report: more than the largest studies have, few enough to be read in seconds."""
MAXIMUM_LENGTH = 8 << 20
"""Bytes of the data set of one: this many references need 7.5 MB, whatever the transfer syntax."""
_TRANSACTION, _REFERENCED, _FAILED = 0x00081195, 0x00081199, 0x00081198
_CLASS, _INSTANCE, _REASON = 0x00081150, 0x00081155, 0x00081197


@dataclass(frozen=True, slots=True)
class CommitmentReference:
    """One SOP instance that storage commitment is asked for."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """The action information of an N-ACTION (PS3.4 Table J.3-1)."""

    transaction_uid: str
    references: tuple[CommitmentReference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """The event information of an N-EVENT-REPORT (PS3.4 Table J.3-2)."""

    transaction_uid: str
    committed: tuple[CommitmentReference, ...]
    failed: tuple[tuple[CommitmentReference, int], ...]
    """With the failure reason of each (0008,1197)."""

    @property
    def event_type(self) -> int:
        """1 where all are committed, 2 where one is not."""
        return SOME_FAILED if self.failed else ALL_COMMITTED


class CommitmentRefusedError(Exception):
    """A request or report that is not taken, with the status to answer."""

    def __init__(self, status: ActionStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read_request(sop_instance_uid: str, action_type: int | None, information: Dataset) -> CommitmentRequest:
    """The request of an N-ACTION; raises RefusedError where it is none that can be carried out."""
    if sop_instance_uid != WELL_KNOWN_INSTANCE:
        raise CommitmentRefusedError(
            ActionStatus.NO_SUCH_INSTANCE, f"N-ACTION on an instance other than {WELL_KNOWN_INSTANCE}"
        )
    if action_type != REQUEST_ACTION:
        raise CommitmentRefusedError(ActionStatus.NO_SUCH_ACTION, f"Action Type ID {action_type}: only 1 is known")
    transaction = _transaction(information)
    references = _references(information, "ReferencedSOPSequence")
    if not references:
        raise CommitmentRefusedError(ActionStatus.INVALID_ARGUMENT, "Referenced SOP Sequence is missing or empty")
    return CommitmentRequest(transaction, tuple(dict.fromkeys(references)))


def read_result(sop_instance_uid: str, event_type: int | None, information: Dataset) -> CommitmentResult:
    """The result in an N-EVENT-REPORT; raises RefusedError where it cannot be understood."""
    if sop_instance_uid != WELL_KNOWN_INSTANCE:
        raise CommitmentRefusedError(
            ActionStatus.NO_SUCH_INSTANCE, f"event of an instance other than {WELL_KNOWN_INSTANCE}"
        )
    if event_type not in (ALL_COMMITTED, SOME_FAILED):
        raise CommitmentRefusedError(ActionStatus.NO_SUCH_EVENT, f"Event Type ID {event_type}: only 1 and 2 are known")
    transaction = _transaction(information)
    failed = _references(information, "FailedSOPSequence")
    reasons = [int.from_bytes(_raw(item, _REASON), "little") for item in information.get("FailedSOPSequence") or ()]
    committed = _references(information, "ReferencedSOPSequence")
    return CommitmentResult(transaction, tuple(committed), tuple(zip(failed, reasons, strict=True)))


def _transaction(information: Dataset) -> str:
    transaction = str(information.get("TransactionUID") or "")
    if not is_acceptable_uid(transaction):
        raise CommitmentRefusedError(ActionStatus.INVALID_ARGUMENT, "Transaction UID is missing or no UID")
    return transaction


def _references(information: Dataset, keyword: str) -> list[CommitmentReference]:
    items = information.get(keyword) or ()
    if len(items) > MAXIMUM_REFERENCES:
        raise CommitmentRefusedError(
            ActionStatus.RESOURCE_LIMITATION, f"{len(items)} references, more than {MAXIMUM_REFERENCES}"
        )
    references = [CommitmentReference(_uid(item, _CLASS), _uid(item, _INSTANCE)) for item in items]
    for reference in references:
        if not (is_acceptable_uid(reference.sop_class_uid) and is_acceptable_uid(reference.sop_instance_uid)):
            raise CommitmentRefusedError(ActionStatus.INVALID_ARGUMENT, f"an item of {keyword} lacks a UID")
    return references


def _raw(item: Dataset, tag: int) -> bytes:
    """What an element of an item holds, as it came: to let pydicom decode each of many thousands takes long."""
    value = item.get_item(tag).value if tag in item else b""
    return value if isinstance(value, bytes) else b""


def _uid(item: Dataset, tag: int) -> str:
    return _raw(item, tag).decode("latin-1").rstrip("\0 ")


def action_information(request: CommitmentRequest, *, explicit: bool) -> bytes:
    """The data set of an N-ACTION request, in Explicit or Implicit VR Little Endian."""
    return _element(_TRANSACTION, "UI", _padded(request.transaction_uid), explicit) + _sequence(
        _REFERENCED, [_item(reference, None, explicit) for reference in request.references], explicit
    )


def event_information(result: CommitmentResult, *, explicit: bool) -> bytes:
    """The data set of an N-EVENT-REPORT request; a sequence that would be empty is left out."""
    failed = [_item(reference, reason, explicit) for reference, reason in result.failed]
    committed = [_item(reference, None, explicit) for reference in result.committed]
    return (
        _element(_TRANSACTION, "UI", _padded(result.transaction_uid), explicit)
        + (_sequence(_FAILED, failed, explicit) if failed else b"")
        + (_sequence(_REFERENCED, committed, explicit) if committed else b"")
    )


def _item(reference: CommitmentReference, reason: int | None, explicit: bool) -> bytes:
    content = _element(_CLASS, "UI", _padded(reference.sop_class_uid), explicit)
    content += _element(_INSTANCE, "UI", _padded(reference.sop_instance_uid), explicit)
    if reason is not None:
        content += _element(_REASON, "US", struct.pack("<H", reason), explicit)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def _padded(uid: str) -> bytes:
    return uid.encode("ascii") + b"\0" * (len(uid) % 2)


def _sequence(tag: int, items: Sequence[bytes], explicit: bool) -> bytes:
    content = b"".join(items)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + (b"SQ\0\0" if explicit else b"")
    return head + struct.pack("<L", len(content)) + content


def _element(tag: int, vr: str, value: bytes, explicit: bool) -> bytes:
    """One of a short value (PS3.5 7.1.2, 7.1.3)."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    return head + (vr.encode() + struct.pack("<H", len(value)) if explicit else struct.pack("<L", len(value))) + value


def result_of(transaction_uid: str, outcomes: Iterable[tuple[CommitmentReference, int]]) -> CommitmentResult:
    """A result from each reference and its failure reason, 0 where it is committed."""
    those = tuple(outcomes)
    committed = tuple(reference for reference, reason in those if not reason)
    failed = tuple((reference, reason) for reference, reason in those if reason)
    return CommitmentResult(transaction_uid, committed, failed)
