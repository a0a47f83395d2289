"""A peer that is called, and does what a script says with each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.dimse.scu import Peer
from tests.support.dimse.raw_dimse import RawPeer

Script = Callable[[RawPeer], None]
_PAUSE = 0.1
_FOR_EVER = 300.0
"""Seconds that outlast every deadline of ours, on a slow machine too."""
IN_TIME = 120.0
"""Seconds within which our side has ended what such a peer would go on with; far less than that on an idle machine."""


@contextmanager
def hostile(script: Script, timeout: float = 1.0) -> Iterator[Peer]:
    """Whom to call, with this time-out. At the end every connection has to be closed by our side."""
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            connection.settimeout(_FOR_EVER)
            with RawPeer(connection) as peer, contextlib.suppress(ConnectionError):
                script(peer)
                while connection.recv(1 << 16):
                    pass

        def accept() -> None:
            with contextlib.suppress(OSError):  # the listening socket is closed
                while True:
                    connection, _ = listening.accept()
                    threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield Peer("127.0.0.1", listening.getsockname()[1], "BAD", "PACSNODE", timeout)
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join(120)
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "our side has not closed the connection"


def drip(peer: RawPeer, content: bytes, seconds: float = _FOR_EVER) -> None:
    """Ten bytes a second, for so long or until our side has closed."""
    for position in range(min(len(content), int(seconds / _PAUSE))):
        peer.send(content[position : position + 1])
        if peer.ended(_PAUSE):
            return


def flood(peer: RawPeer, content: bytes, seconds: float = _FOR_EVER) -> None:
    """The same again and again, as fast as it is taken, for so long or until our side has closed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        peer.send(content)
