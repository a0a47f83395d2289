"""How another process wakes the node: one byte to `run/wake.sock` in the data folder, once it has written something.

Like every wake it is a hint. Where no node listens, or more wakes wait than the socket holds, nothing happens: the
sweep finds what was written a few seconds later. Only who may enter the data folder can reach the socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

FILE = "run/wake.sock"
"""In the data folder."""
_LONGEST_PATH = 107
"""Bytes of a socket's path (unix(7): sun_path)."""


def ring(data: Path) -> None:
    """Wake the node that runs on this data folder, if one does."""
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        address_of(data / FILE) as address,
    ):
        sender.setblocking(False)
        sender.sendto(b"\1", address)


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """The path as a socket's address; one that is too long is reached through its open folder."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
