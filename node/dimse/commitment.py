"""Storage commitment as values: what N-ACTION asks for and what N-EVENT-REPORT says, read and written (PS3.4 J.3).

Free of pynetdicom, so that the journal and the ledger speak of the same things as the association does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset

from node.dimse.status import ActionStatus
from node.dimse.wire import is_acceptable_uid

PUSH_MODEL = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class (PS3.4 J.3.5)."""
WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
"""The one SOP instance that an N-ACTION may name (PS3.4 J.3.5)."""
REQUEST_ACTION = 1
"""Action Type ID of "request storage commitment" (PS3.4 Table J.3-1)."""
ALL_COMMITTED, SOME_FAILED = 1, 2
"""Event Type IDs (PS3.4 Table J.3-2)."""
MAXIMUM_REFERENCES = 10_000
"""References in one request: more than the largest studies have, few enough to be read in a moment."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One SOP instance that storage commitment is asked for."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """The action information of an N-ACTION (PS3.4 Table J.3-1)."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """The event information of an N-EVENT-REPORT (PS3.4 Table J.3-2)."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...]
    """With the failure reason of each (0008,1197)."""

    @property
    def event_type(self) -> int:
        """1 where all are committed, 2 where one is not."""
        return SOME_FAILED if self.failed else ALL_COMMITTED


class RefusedError(Exception):
    """A request or report that is not taken, with the status to answer."""

    def __init__(self, status: ActionStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read_request(sop_instance_uid: str, action_type: int | None, information: Dataset) -> CommitmentRequest:
    """The request of an N-ACTION; raises RefusedError where it is none that can be carried out."""
    if sop_instance_uid != WELL_KNOWN_INSTANCE:
        raise RefusedError(ActionStatus.NO_SUCH_INSTANCE, f"N-ACTION on an instance other than {WELL_KNOWN_INSTANCE}")
    if action_type != REQUEST_ACTION:
        raise RefusedError(ActionStatus.NO_SUCH_ACTION, f"Action Type ID {action_type}: only 1 is known")
    transaction = _transaction(information)
    references = _references(information, "ReferencedSOPSequence")
    if not references:
        raise RefusedError(ActionStatus.INVALID_ARGUMENT, "Referenced SOP Sequence is missing or empty")
    return CommitmentRequest(transaction, tuple(dict.fromkeys(references)))


def read_result(sop_instance_uid: str, event_type: int | None, information: Dataset) -> CommitmentResult:
    """The result in an N-EVENT-REPORT; raises RefusedError where it cannot be understood."""
    if sop_instance_uid != WELL_KNOWN_INSTANCE:
        raise RefusedError(ActionStatus.NO_SUCH_INSTANCE, f"event of an instance other than {WELL_KNOWN_INSTANCE}")
    if event_type not in (ALL_COMMITTED, SOME_FAILED):
        raise RefusedError(ActionStatus.NO_SUCH_EVENT, f"Event Type ID {event_type}: only 1 and 2 are known")
    transaction = _transaction(information)
    failed = _references(information, "FailedSOPSequence")
    reasons = [int(item.get("FailureReason") or 0) for item in information.get("FailedSOPSequence") or ()]
    committed = _references(information, "ReferencedSOPSequence")
    return CommitmentResult(transaction, tuple(committed), tuple(zip(failed, reasons, strict=True)))


def _transaction(information: Dataset) -> str:
    transaction = str(information.get("TransactionUID") or "")
    if not is_acceptable_uid(transaction):
        raise RefusedError(ActionStatus.INVALID_ARGUMENT, "Transaction UID is missing or no UID")
    return transaction


def _references(information: Dataset, keyword: str) -> list[Reference]:
    items = information.get(keyword) or ()
    if len(items) > MAXIMUM_REFERENCES:
        raise RefusedError(ActionStatus.RESOURCE_LIMITATION, f"{len(items)} references, more than {MAXIMUM_REFERENCES}")
    references = [
        Reference(str(item.get("ReferencedSOPClassUID") or ""), str(item.get("ReferencedSOPInstanceUID") or ""))
        for item in items
    ]
    for reference in references:
        if not (is_acceptable_uid(reference.sop_class_uid) and is_acceptable_uid(reference.sop_instance_uid)):
            raise RefusedError(ActionStatus.INVALID_ARGUMENT, f"an item of {keyword} lacks a UID")
    return references


def action_information(request: CommitmentRequest) -> Dataset:
    """The data set of an N-ACTION request."""
    information = Dataset()
    information.TransactionUID = request.transaction_uid
    information.ReferencedSOPSequence = [_item(reference) for reference in request.references]
    return information


def event_information(result: CommitmentResult) -> Dataset:
    """The data set of an N-EVENT-REPORT request; a sequence that would be empty is left out."""
    information = Dataset()
    information.TransactionUID = result.transaction_uid
    if result.committed:
        information.ReferencedSOPSequence = [_item(reference) for reference in result.committed]
    if result.failed:
        information.FailedSOPSequence = [_item(reference, reason) for reference, reason in result.failed]
    return information


def _item(reference: Reference, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reason is not None:
        item.FailureReason = reason
    return item


def result_of(transaction_uid: str, outcomes: Iterable[tuple[Reference, int]]) -> CommitmentResult:
    """A result from each reference and its failure reason, 0 where it is committed."""
    those = tuple(outcomes)
    committed = tuple(reference for reference, reason in those if not reason)
    failed = tuple((reference, reason) for reference, reason in those if reason)
    return CommitmentResult(transaction_uid, committed, failed)
