"""Requests that either side may make: N-ACTION and N-EVENT-REPORT, where the peer may speak first.

pynetdicom's `send_n_…` take whatever comes next for the answer, and abort where it is a request. A peer may well ask
for the commitment of its next study, or report, before it answers us; so its requests are served meanwhile. And it
serves each N-EVENT-REPORT in a new thread, beside the one that reads answers; here they wait for that one's turn.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT

from node.dimse.commitment import (
    PUSH_MODEL,
    REQUEST_ACTION,
    WELL_KNOWN_INSTANCE,
    CommitmentRequest,
    CommitmentResult,
    action_information,
    event_information,
)

_LOOK = 0.25
"""Seconds after which a waiting thread looks whether there still is an association."""


def request_commitment(association: Association, request: CommitmentRequest, seconds: float) -> int | None:
    """Send an N-ACTION; the status of the answer, None where none came."""
    primitive = N_ACTION()
    primitive.MessageID = 1
    primitive.RequestedSOPClassUID = PUSH_MODEL
    primitive.RequestedSOPInstanceUID = WELL_KNOWN_INSTANCE
    primitive.ActionTypeID = REQUEST_ACTION
    context_id, explicit = _context(association)
    primitive.ActionInformation = BytesIO(action_information(request, explicit=explicit))
    return _ask(association, primitive, context_id, seconds)


def report_commitment(association: Association, result: CommitmentResult, seconds: float) -> int | None:
    """Send an N-EVENT-REPORT; the status of the answer, None where none came."""
    primitive = N_EVENT_REPORT()
    primitive.MessageID = 1
    primitive.AffectedSOPClassUID = PUSH_MODEL
    primitive.AffectedSOPInstanceUID = WELL_KNOWN_INSTANCE
    primitive.EventTypeID = result.event_type
    context_id, explicit = _context(association)
    primitive.EventInformation = BytesIO(event_information(result, explicit=explicit))
    return _ask(association, primitive, context_id, seconds)


def serve(association: Association, seconds: float, until: Callable[[], bool]) -> None:
    """Answer the peer's requests for this long, or until `until`, or until the association ends."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        context_id, message = _next(association)
        if message is not None:
            _serve(association, message, context_id)
        elif not _goes_on(association):
            return


def _context(association: Association) -> tuple[int, bool]:
    """The context for storage commitment, whoever has which role in it, and whether its transfer syntax has VRs."""
    context = next(each for each in association.accepted_contexts if each.abstract_syntax == PUSH_MODEL)
    assert context.context_id is not None, "it was negotiated"
    return context.context_id, not context.transfer_syntax[0].is_implicit_VR


def _ask(association: Association, primitive: N_ACTION | N_EVENT_REPORT, context_id: int, seconds: float) -> int | None:
    association.dimse.send_msg(primitive, context_id)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        served_id, message = _next(association)
        if message is None:
            if not _goes_on(association):
                return None
        elif message.is_valid_request:
            _serve(association, message, served_id)
        elif type(message) is type(primitive) and message.MessageIDBeingRespondedTo == primitive.MessageID:
            return message.Status if message.is_valid_response else None
    return None


def _next(association: Association) -> tuple[int, Any]:
    try:
        context_id, message = association.dimse.msg_queue.get(timeout=_LOOK)
    except queue.Empty:
        return 0, None
    return context_id or 0, message


def _goes_on(association: Association) -> bool:
    """Whether there is still somebody to hear: pynetdicom's own thread sees to an end that was asked for."""
    return association.is_established and association.dul.is_alive() and association.dul.peek_next_pdu() is None


def _serve(association: Association, message: Any, context_id: int) -> None:
    paused = association._is_paused
    try:
        Association._serve_request(association, message, context_id)  # not ours, which queues it
    finally:
        association._is_paused = paused  # pynetdicom leaves it False, and waits for it to be True when it releases
