"""Ports on the loopback interface: free ones for peers that cannot bind port 0 themselves, and one that refuses."""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.wait import until

_LOWEST, _EPHEMERAL = 10_000, Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """Return `count` different TCP ports that were free on 127.0.0.1 a moment ago.

    They are none of those that the system itself gives away, to connections and to whoever binds port 0, as other tests
    do all the time: only who was told the same number by chance can be faster. Who starts a peer on one is ready for
    that, too (`started_on_a_free_port`, `Orthanc`).
    """
    candidates = list(range(_LOWEST, int(_EPHEMERAL.read_text().split()[0])))
    random.shuffle(candidates)
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            each = held.enter_context(socket.socket())
            with suppress(OSError):
                each.bind(("127.0.0.1", candidates.pop()))
                found.append(each.getsockname()[1])
        return found


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
        if until(lambda p=process, n=port: listens(p, n) or p.poll() is not None, what="it to listen") and (
            process.poll() is None
        ):
            return process, port
    raise AssertionError(f"{process.args!r} ended at once, with {process.returncode}, on each of four ports")
