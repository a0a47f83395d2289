"""Sockets that systemd has opened for this process (sd_listen_fds(3)): so it needs no privilege for port 104."""

from __future__ import annotations

import os
import socket

_FIRST = 3
"""The descriptor of the first of them."""


def take() -> list[tuple[str, socket.socket]]:
    """Each with its name (FileDescriptorName=), once: children do not inherit the variables."""
    count, owner, names = (os.environ.pop(f"LISTEN_{each}", "") for each in ("FDS", "PID", "FDNAMES"))
    if owner != str(os.getpid()) or not count.isdecimal():
        return []
    named = names.split(":") if names else []
    found = []
    for index in range(int(count)):
        os.set_inheritable(_FIRST + index, False)
        listening = socket.socket(fileno=_FIRST + index)
        listening.setblocking(True)
        found.append((named[index] if index < len(named) else "unnamed", listening))
    return found
