"""pynetdicom as SCU: what an association that we open needs, done when its connection opens.

A deadline on the socket: `send_c_store` never returns where the peer stops reading. TCP_NODELAY: a stall
of 40 ms for each message otherwise. A bounded queue of outgoing PDUs: pynetdicom's takes a whole file.
pynetdicom's reactor is held while we ask: it otherwise takes an answer away from who waits for it, when it
is descheduled at the wrong moment (seen once in some 5,000 requests on a busy machine). And at the end the
connection is closed: pynetdicom leaves it open where the peer rejects or talks nonsense.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from typing import Any

from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.events import Event

_config.LOG_HANDLER_LEVEL = "none"  # its handlers write each message into the log: slow, and patients' data
_config.STORE_SEND_CHUNKED_DATASET = True  # files are sent as they are, not decoded and encoded again
_AHEAD = 32
"""PDUs that are read from a file before the peer has taken the ones before them."""
_LOOK = 0.2
_LONGEST_END = 5.0
"""Seconds that its thread gets to end; the connection is closed under it then."""


class Outgoing(queue.Queue[Any]):
    """Primitives on their way to the peer; full, it makes the sender wait as long as somebody sends."""

    def __init__(self, provider: DULServiceProvider) -> None:
        super().__init__(_AHEAD)
        self._provider = provider

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - queue's own
        """As queue.Queue; dropped where nobody is left to send it, who waits for the answer then sees the end."""
        while self._provider.is_alive():
            with contextlib.suppress(queue.Full):
                return super().put(item, timeout=_LOOK)
        return None


def connection_opened(event: Event, seconds: float) -> None:
    """Handler of EVT_CONN_OPEN: bound the socket and the queue of one association."""
    provider = event.assoc.dul
    connection = provider.socket.socket if provider.socket is not None else None
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(seconds)
    provider.to_provider_queue = Outgoing(provider)


class _Held(threading.Event):
    """In place of the reactor's checkpoint: `set`, which pynetdicom calls after each request, does not open it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """As threading.Event, and tell that somebody waits."""
        self.reached.set()
        return super().wait(timeout)

    def set(self) -> None:
        """Not yet."""

    def let_go(self) -> None:
        """Open it for good."""
        super().set()


def hold_reactor(association: Association) -> None:
    """Stop the association's own thread until `close`: only we read the answers to our requests."""
    held = _Held()
    association._reactor_checkpoint = held
    # Called for an N-EVENT-REPORT by a thread that pynetdicom makes for it: see `conversation`.
    association._serve_request = lambda msg, context_id: association.dimse.msg_queue.put((context_id, msg))  # type: ignore[method-assign] # on this one association
    held.reached.wait(_LONGEST_END)


def forget_unusable(association: Association) -> None:
    """Leave out contexts that the peer accepted without a transfer syntax, or in one that was not proposed.

    pynetdicom keeps them (PS3.8 9.3.3.2), and raises when something is to be sent on one.
    """
    proposed = {each.context_id: each.transfer_syntax for each in association.requestor.requested_contexts}
    association._accepted_cx = {
        number: each
        for number, each in association._accepted_cx.items()
        if each.transfer_syntax and each.transfer_syntax[0] in proposed.get(number, ())
    }


def close(association: Association) -> None:
    """Give back threads and connection of an association that we opened, whatever state it is in."""
    association._kill = True
    if isinstance(association._reactor_checkpoint, _Held):
        association._reactor_checkpoint.let_go()
    provider = association.dul
    provider.kill_dul()
    if provider.ident is not None:
        provider.join(_LONGEST_END)
    if provider.socket is not None:
        provider.socket._shutdown_socket()
