"""An association that a peer opened with us, from its first byte to its last."""

from __future__ import annotations

import socket
import threading
from typing import Any, Protocol, cast

import structlog
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AssociationServer

from node.dimse import wire
from node.dimse.associate_rq import Proposal
from node.dimse.association import Accept, AssociationRejection, AssociationRequest, AssociationUser, ConnectionLimits
from node.dimse.contexts import storage_commitment, supported_for
from node.dimse.engine import commitments
from node.dimse.engine.connection import DeadlineSocket
from node.dimse.engine.conversation import report_commitment
from node.dimse.engine.served import AcceptedDUL, ServedAssociation, StreamingDIMSE
from node.dimse.tls import PeerCertificate

log = structlog.get_logger(__name__)
_REPORT_SECONDS = 60.0
"""Longest wait for the answer to an N-EVENT-REPORT on an association that the peer opened."""


class Server(Protocol):
    """Who accepted the connection."""

    ae: ApplicationEntity
    limits: ConnectionLimits

    def no_longer_waiting(self, client_address: tuple[str, int]) -> None:
        """It asked for an association, or is gone."""
        ...

    def give_way(self, calling_ae_title: str, address: str) -> bool:
        """See `AssociationRequest.give_way`."""
        ...


class AcceptedAssociation(ServedAssociation):
    """An association with a peer that called us."""

    def __init__(
        self, server: Server, client: socket.socket, address: tuple[str, int], certificate: PeerCertificate
    ) -> None:
        self._knocked = threading.Event()
        self._asked = self._gives_way = False
        super().__init__(server.ae, "acceptor")
        self.server = server
        self._server = cast(AssociationServer, server)
        self.user: AssociationUser | None = None
        self.proposal: Proposal | None = None
        self.peer_address = address[0]
        self.certificate = certificate
        self._peer = address
        self.dul = AcceptedDUL(self)
        self.dimse = StreamingDIMSE(self)
        self.message_seconds = server.limits.message
        self.acse_timeout = server.limits.association_request
        self.network_timeout = server.limits.idle
        self.network_timeout_response = "A-RELEASE"
        self.connection = DeadlineSocket(self, client, server.limits.pdu)
        self.set_socket(self.connection)

    @property
    def caller(self) -> tuple[str, str]:
        """Calling AE title and address."""
        return self.proposal.calling_ae_title if self.proposal is not None else "", self.peer_address

    @property
    def silent_seconds(self) -> float:
        """For how long nothing has come; 0 while a message is under way, or before and after the association."""
        dimse, longest = cast(StreamingDIMSE, self.dimse), self.network_timeout
        if not self.is_established or longest is None or self._gives_way or dimse.is_busy:
            return 0.0
        return longest - self.dul._idle_timer.remaining

    def give_way(self) -> None:
        """Release it now, as one that has been silent for too long."""
        self._gives_way, self.network_timeout = True, 0

    def knock(self) -> None:
        """Something came for the thread of this association."""
        self._knocked.set()

    def broken_protocol(self, reason: str) -> None:
        """The association ends with one log line."""
        super().broken_protocol(reason)
        log.warning("dimse.protocol-error", peer=self.peer_address, reason=wire.printable(reason, 300))

    def wait_for_knock(self, seconds: float) -> None:
        """Sleep until something came."""
        self._knocked.wait(seconds)
        self._knocked.clear()

    def run_reactor(self) -> None:
        """The life of the association; at its end everything it held is given back."""
        try:
            super().run_reactor()
        finally:
            self.dul.kill_dul()
            self.dul.join()
            cast(StreamingDIMSE, self.dimse).abandon()
            self.connection.discard()
            self.server.no_longer_waiting(self._peer)
            if self.user is not None:
                self.user.ended(self._how())

    def _serve_request(self, msg: Any, context_id: int) -> None:
        """Serve it in this association's own thread: N-EVENT-REPORTs come in one that pynetdicom makes for each."""
        if threading.current_thread() is self:
            super()._serve_request(msg, context_id)
        else:
            self.dimse.msg_queue.put((context_id, msg))

    def report_what_is_due(self) -> None:
        """Send an N-EVENT-REPORT that the user has ready; by this association's own thread, between two messages."""
        due = self.user.due_report() if self.user is not None and self.is_established else None
        if due is not None:
            due.answered(report_commitment(self, due.result, _REPORT_SECONDS))

    def _how(self) -> str:
        if self.is_released:
            return "released"
        return f"aborted: {wire.printable(self.reason, 300)}" if self.reason else "aborted"

    def kill(self) -> None:
        """End it, also where its request came just too late: pynetdicom then waits for ever for our answer to it."""
        if not self._asked:
            self.dul.kill_dul()
        super().kill()

    def negotiate(self, accept: Accept) -> None:
        """Ask whether this association is wanted; called by pynetdicom before it negotiates (EVT_REQUESTED)."""
        self._asked = True
        self.server.no_longer_waiting(self._peer)
        primitive, proposal = cast(A_ASSOCIATE, self.requestor.primitive), cast(Proposal, self.proposal)
        try:
            self.acceptor.supported_contexts = supported_for(primitive.presentation_context_definition_list)
            answer = accept(self._request(proposal))
        except Exception:  # an error must close the door, not leave it open
            log.exception("dimse.association-check-failed", peer=self.peer_address)
            answer = AssociationRejection((2, 3, 1), "the check failed")
        if isinstance(answer, AssociationRejection):
            self.acse.send_reject(*answer.code)
            self.kill()
        else:
            self.user = answer
            self._offer_commitment(answer)

    def _offer_commitment(self, user: AssociationUser) -> None:
        """Storage commitment is negotiated only with whom it is meant for."""
        context = storage_commitment(user.commitment)
        if context is not None:
            self.acceptor.supported_contexts = [*self.acceptor.supported_contexts, context]
            commitments.on_request(self, user.commit)
            commitments.on_report(self, user.committed)

    def _request(self, proposal: Proposal) -> AssociationRequest:
        return AssociationRequest(
            called_ae_title=proposal.called_ae_title,
            calling_ae_title=proposal.calling_ae_title,
            peer_address=self.peer_address,
            tls_subject=self.certificate.subject,
            tls_fingerprint=self.certificate.fingerprint,
            maximum_length=self.requestor.maximum_length or 0,
            give_way=self.server.give_way,
        )
