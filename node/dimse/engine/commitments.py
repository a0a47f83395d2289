"""Storage commitment on associations, whoever opened them: pynetdicom decodes, the association's user decides."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, cast

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT

from node.dimse import wire
from node.dimse.commitment import CommitmentRefusedError, CommitmentRequest, CommitmentResult, read_request, read_result
from node.dimse.status import ActionStatus

Said = TypeVar("Said")
log = structlog.get_logger(__name__)
_READING = threading.Lock()
"""One data set is read at a time: while it is, it takes many times its length."""


def on_request(association: Association, commit: Callable[[CommitmentRequest], ActionStatus]) -> None:
    """Answer the N-ACTIONs of an association by what `commit` says."""

    def answer(event: evt.Event) -> tuple[int, None]:
        request = cast(N_ACTION, event.request)

        def read() -> CommitmentRequest:
            return read_request(
                str(request.RequestedSOPInstanceUID), request.ActionTypeID, _whole(event.action_information)
            )

        return _answer(event, read, commit), None

    association.bind(evt.EVT_N_ACTION, answer)


def on_report(association: Association, committed: Callable[[CommitmentResult], ActionStatus]) -> None:
    """Answer the N-EVENT-REPORTs of an association by what `committed` says."""
    association.bind(evt.EVT_N_EVENT_REPORT, report_handler(committed))


def report_handler(committed: Callable[[CommitmentResult], ActionStatus]) -> Callable[[evt.Event], tuple[int, None]]:
    """A handler of EVT_N_EVENT_REPORT that answers by what `committed` says."""

    def answer(event: evt.Event) -> tuple[int, None]:
        request = cast(N_EVENT_REPORT, event.request)

        def read() -> CommitmentResult:
            instance = str(request.AffectedSOPInstanceUID)
            return read_result(instance, request.EventTypeID, _whole(event.event_information))

        return _answer(event, read, committed), None

    return answer


def _whole(information: Dataset) -> Dataset:
    """The data set with every element decoded, those of items apart: what cannot be read fails here, and not later."""
    try:
        for _ in information:
            pass
    except Exception as error:
        raise CommitmentRefusedError(ActionStatus.INVALID_ARGUMENT, f"data set that cannot be read: {error}") from error
    return information


def _answer(event: evt.Event, read: Callable[[], Said], then: Callable[[Said], ActionStatus]) -> int:
    peer = wire.printable(str(event.assoc.remote.get("ae_title", "")))
    try:
        with _READING:
            said = read()
        return then(said)
    except CommitmentRefusedError as error:
        reason = wire.printable(str(error), 300)
        log.warning("dimse.commitment-refused", peer=peer, status=f"{error.status:04X}", reason=reason)
        return error.status
    except Exception:  # a defect of ours becomes a status, with a trace; pynetdicom would hide it
        log.exception("dimse.commitment-failed", peer=peer)
        return ActionStatus.PROCESSING_FAILURE
