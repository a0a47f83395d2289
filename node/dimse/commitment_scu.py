"""Storage commitment on associations that we open: reporting to who asked us, and asking an archive (PS3.4 J.3)."""

from __future__ import annotations

from collections.abc import Callable

from pynetdicom import evt
from pynetdicom.presentation import build_context, build_role

from node.dimse.commitment import PUSH_MODEL, CommitmentRequest, CommitmentResult
from node.dimse.contexts import UNCOMPRESSED
from node.dimse.engine.commitments import report_handler
from node.dimse.engine.conversation import report_commitment, request_commitment, serve
from node.dimse.scu import Peer, associated
from node.dimse.status import ActionStatus

_REPORT_MAY_FOLLOW = 5.0
"""Seconds for which an association stays open after an N-ACTION: an archive may report on it, or open its own later."""


def report(peer: Peer, result: CommitmentResult) -> int | None:
    """Send an N-EVENT-REPORT on a new association, in the role of the SCP; the status of the answer, None without one.

    The role is proposed (PS3.7 D.3.3.4); of a peer that does not answer the proposal the report is sent anyway,
    because many take reports and know no role selection. Raises as `node.dimse.scu.associated` does.
    """
    context = build_context(PUSH_MODEL, list(UNCOMPRESSED))
    role = build_role(PUSH_MODEL, scu_role=False, scp_role=True)
    with associated(peer, [context], roles=[role]) as association, association.exchange(2 * peer.timeout):
        return report_commitment(association, result, peer.timeout)


def ask(
    peer: Peer,
    request: CommitmentRequest,
    committed: Callable[[CommitmentResult], ActionStatus],
    reported_elsewhere: Callable[[], bool] = lambda: False,
) -> int | None:
    """Send an N-ACTION, and wait a moment for the report; the status of the answer, None without one.

    `committed` is called with what comes within that moment, also before the answer; what comes later, or on an
    association of the archive's own, comes to the receiver: the wait is over where `reported_elsewhere` says so.
    Raises as `node.dimse.scu.associated` does.
    """
    reported = False

    def keep(result: CommitmentResult) -> ActionStatus:
        nonlocal reported
        reported = reported or result.transaction_uid == request.transaction_uid
        return committed(result)

    context = build_context(PUSH_MODEL, list(UNCOMPRESSED))
    handlers: list[evt.EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, report_handler(keep))]
    seconds = 2 * peer.timeout + _REPORT_MAY_FOLLOW
    with associated(peer, [context], handlers=handlers) as association, association.exchange(seconds):
        status = request_commitment(association, request, peer.timeout)
        if status == ActionStatus.SUCCESS:
            serve(association, _REPORT_MAY_FOLLOW, lambda: reported or reported_elsewhere())
        return status
