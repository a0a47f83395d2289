"""Free ports on the loopback interface, for peers that cannot bind port 0 themselves."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """Return `count` different TCP ports that were free on 127.0.0.1 a moment ago.

    Another program may take one before it is used: who starts a peer on it must be ready to try again (`Orthanc` does).
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def free_port() -> int:
    """Return one TCP port that was free on 127.0.0.1 a moment ago (see `free_ports`)."""
    return free_ports(1)[0]
