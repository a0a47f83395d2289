"""Ports on the loopback interface: free ones for peers that cannot bind port 0 themselves, and one that refuses."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psutil

from tests.support.wait import until


def free_ports(count: int) -> list[int]:
    """Return `count` different TCP ports that were free on 127.0.0.1 a moment ago.

    Another program may take one before it is used: who starts a peer on it must be ready to try again
    (`started_on_a_free_port`, `Orthanc`).
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def free_port() -> int:
    """Return one TCP port that was free on 127.0.0.1 a moment ago (see `free_ports`)."""
    return free_ports(1)[0]


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port on which nobody listens as long as the block lasts, because it is held: connections are refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether this process listens there itself; that somebody answers there would not tell who."""
    try:
        connections = psutil.Process(process.pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def started_on_a_free_port(start: Callable[[int], subprocess.Popen[bytes]]) -> tuple[subprocess.Popen[bytes], int]:
    """Start a program that is told its port; the process, which listens, and the port.

    It is started on another where it ends at once, as it does when somebody was faster.
    """
    for port in free_ports(4):
        process = start(port)
        if until(lambda p=process, n=port: listens(p, n) or p.poll() is not None, 30, "it to listen") and (
            process.poll() is None
        ):
            return process, port
    raise AssertionError(f"{process.args} ended at once, with {process.returncode}, on each of four ports")
