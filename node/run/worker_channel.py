"""How a guard and the worker that it started tell each other of jobs (`plugins.worker` has the other end).

The worker says `loaded` once. Then it gets `job`, and answers each with a JSON object: `code`, the exit code of a
process that does this job alone, and `leaves`, why it is not fit for another job, or "".
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
from typing import BinaryIO

PLACE = "{orders}"
"""Stands for the descriptor in the command of a worker."""
LOADED, JOB = b"loaded", b"job"
_LONGEST = 4096


class WorkerChannel:
    """A guard's end. What comes from the other one is a plugin's word: it may lie, break off or repeat itself."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)

    def fileno(self) -> int:
        """Of our end, for a selector."""
        return self._ours.fileno()

    @property
    def worker_end(self) -> int:
        """The descriptor that the worker inherits."""
        return self._theirs.fileno()

    def started(self) -> None:
        """The worker has its end: what is left of it here is closed, so that its death is noticed."""
        self._theirs.close()

    def job(self) -> None:
        """There is a job in its folder. A worker that is gone is noticed otherwise."""
        with contextlib.suppress(OSError):
            self._ours.send(JOB)

    def read(self) -> bytes | None:
        """What it says; None where it will say nothing more."""
        try:
            return self._ours.recv(_LONGEST) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def rests_until(self, orders: BinaryIO) -> bool:
        """Wait for the order to do another job; false where there will be none, or the worker has ended."""
        with selectors.DefaultSelector() as selector:
            selector.register(orders, selectors.EVENT_READ)
            selector.register(self, selectors.EVENT_READ)
            told = [key.fileobj for key, _ in selector.select()]
        return self not in told and bool(line(orders))


def line(orders: BinaryIO) -> bytes:
    """The next order of the node; empty where nobody is left to give one."""
    read = b""
    while not read.endswith(b"\n"):
        byte = orders.read(1)
        if not byte:
            return b""
        read += byte
    return read


def answer(message: bytes) -> tuple[int, str]:
    """Exit code of a job, and why its worker is not fit for another one, or ""."""
    try:
        document = json.loads(message)
        return int(document["code"]), str(document["leaves"])
    except (ValueError, TypeError, KeyError):
        return 1, "its process answered what no worker answers"
