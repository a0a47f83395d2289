"""Accepting connections: on a shared socket, with the TLS handshake and its dangers kept off the accept loop."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import sys
import threading
import time
from copy import deepcopy
from typing import Any, cast

import structlog
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at run time
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from node.dimse import wire
from node.dimse.association import CallerCheck, ConnectionLimits
from node.dimse.contexts import UNCOMPRESSED
from node.dimse.engine.accepted import AcceptedAssociation
from node.dimse.engine.providers import MAXIMUM_LENGTH
from node.dimse.tls import HandshakeError, PeerCertificate, shake_hands

log = structlog.get_logger(__name__)
_STEP, _MOST_STEPS = 0.002, 8
"""Seconds that a receiver waits, for each connection it has, before it accepts one that a sibling may accept."""

_LONGEST_SUBJECT = 200
"""Characters of the subject of a certificate that nobody has verified."""


class AcceptedConnection(RequestHandler):
    """A connection that was just accepted, in a thread of its own."""

    def handle(self) -> None:
        """Shake hands where the port speaks TLS, then begin the association."""
        server = cast(SharedServer, self.server)
        client = cast(socket.socket, self.request)
        client.settimeout(server.limits.association_request)
        certificate = PeerCertificate()
        if server.ssl_context is not None:
            client = secured = server.ssl_context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            server.now_waits_with(self.client_address, client)
            certificate = shake_hands(secured)
        association = AcceptedAssociation(server, client, self.client_address, certificate)
        self._configure(association, server)
        association.start()

    def _configure(self, association: AcceptedAssociation, server: SharedServer) -> None:
        """What pynetdicom's own handler sets (RequestHandler._create_association)."""
        association.name = f"AcceptorThread@{self.client_address[0]}:{self.client_address[1]}"
        acceptor = association.acceptor
        acceptor.maximum_length = MAXIMUM_LENGTH
        acceptor.ae_title = server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        acceptor.supported_contexts = deepcopy(server.contexts)
        association.requestor.address_info = self.remote
        association.bind(evt.EVT_REQUESTED, lambda event: event.assoc.negotiate(server.accept))


class SharedServer(ThreadedAssociationServer):
    """Accepts connections on a listening socket that others may share."""

    daemon_threads = True

    def __init__(
        self,
        ae: ApplicationEntity,
        listening: socket.socket,
        callers: CallerCheck,
        limits: ConnectionLimits,
        ssl_context: ssl.SSLContext | None = None,
        has_siblings: bool = False,
    ) -> None:
        """`has_siblings`: other processes accept on the same socket; see `get_request`."""
        self._listening = listening
        self._has_siblings = has_siblings
        self._callers = callers
        self.accept = callers.accept
        self.limits = limits
        self._waiting: dict[tuple[str, int], socket.socket] = {}
        self._lock = threading.Lock()
        verification = [build_context(Verification, list(UNCOMPRESSED))]
        address = listening.getsockname()
        super().__init__(ae, address, ae.ae_title, verification, ssl_context, request_handler=AcceptedConnection)

    def server_bind(self) -> None:
        """Take the socket that was handed in; never blocking, because another receiver may be faster."""
        if self.socket is not None:
            self.socket.close()
        self.socket = self._listening
        self.socket.setblocking(False)
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        """The supervisor already listens."""

    def server_close(self) -> None:
        """Close our copy; not shut it down, which would end it for the other receivers."""
        self._listening.close()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept, and nothing that can take time but to let a receiver go first that has less to do.

        All that share the socket wake up for a connection; without a word, one of them takes nearly every association.
        Where a sibling was faster there is nothing left to accept, which socketserver passes over.
        """
        if self._has_siblings:
            time.sleep(min(len(self._waiting) + len(self.active_associations), _MOST_STEPS) * _STEP)
        client, address = self._listening.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(self.limits.association_request)
        return client, address[:2]

    def service_actions(self) -> None:
        """Between two looks for connections."""
        super().service_actions()
        self._callers.turned()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Note the connection as one that waits; drop the oldest such where there are too many."""
        with self._lock:
            self._waiting[client_address] = request
            oldest = next(iter(self._waiting)) if len(self._waiting) > self.limits.waiting_connections else None
            dropped = self._waiting.pop(oldest) if oldest is not None else None
        if dropped is not None:
            log.warning("dimse.waiting-connection-dropped", peer=oldest[0] if oldest else "")
            _shut(dropped)
        return True

    def now_waits_with(self, client_address: tuple[str, int], client: socket.socket) -> None:
        """The same connection, in its TLS wrapping."""
        with self._lock:
            if client_address in self._waiting:
                self._waiting[client_address] = client

    def no_longer_waiting(self, client_address: tuple[str, int]) -> None:
        """It asked for an association, or is gone."""
        with self._lock:
            self._waiting.pop(client_address, None)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """A connection that failed before its association: one log line, no traceback on stderr."""
        self.no_longer_waiting(client_address)
        error = sys.exception()
        if isinstance(error, HandshakeError):
            self._handshake_failed(client_address[0], error)
        elif isinstance(error, OSError):
            log.warning("dimse.connection-failed", peer=client_address[0], reason=str(error))
        else:
            log.error("dimse.connection-failed", peer=client_address[0], exc_info=error)

    def _handshake_failed(self, peer: str, error: HandshakeError) -> None:
        subject = wire.printable(error.subject, _LONGEST_SUBJECT)
        about = {"cause": error.cause, "tls_subject": subject} if error.cause is not None else {"cause": None}
        log.warning("dimse.tls-handshake-failed", security=True, peer=peer, reason=str(error), **about)
        if error.why:
            self._callers.handshake_failed(peer, wire.printable(error.why, _LONGEST_SUBJECT + 200))

    def stop_accepting(self) -> None:
        """What calls from now on waits for another receiver of the socket; what is connected goes on."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()

    def give_way(self, calling_ae_title: str, address: str) -> bool:
        """See `AssociationRequest.give_way`."""
        caller = calling_ae_title, address
        own = [each for each in self.active_associations if isinstance(each, AcceptedAssociation)]
        with self._lock:
            silent = [each for each in own if each.caller == caller and each.silent_seconds >= self.limits.gives_way]
            if not silent:
                return False
            longest = max(silent, key=lambda each: each.silent_seconds)
            longest.give_way()
        log.info("dimse.association-gives-way", calling=wire.printable(calling_ae_title), peer=address)
        return True

    def open_connections(self) -> int:
        """How many connections wait to ask for an association, and associations that are open."""
        with self._lock:
            waiting = len(self._waiting)
        return waiting + len(self.active_associations)

    def drop_waiting(self) -> None:
        """End who has not asked for an association; those that are open go on."""
        with self._lock:
            waiting = list(self._waiting.values())
        for connection in waiting:
            _shut(connection)


def _shut(connection: socket.socket) -> None:
    """End a connection that another thread reads from: that thread sees its end."""
    with contextlib.suppress(OSError):  # it ended on its own
        connection.shutdown(socket.SHUT_RDWR)
