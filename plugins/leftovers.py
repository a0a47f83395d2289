"""Processes that a plugin started and left running when it had answered: they are ended, and its author should know."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

NOTE = "left running, and ended: "
"""Before their names, in the log of the worker."""
_SANDBOX = "bwrap"
"""The first process of a sandbox: whoever loses its parent there becomes its child."""


def names() -> tuple[str, ...]:
    """Names of the processes that this one started and that run still, also those that left it (Linux)."""
    try:
        known = dict(_processes())
    except OSError:  # no /proc
        return ()
    mine = os.getpid()
    above = set(_ancestors(mine, known))
    alone = known.get(1, (0, ""))[1] == _SANDBOX
    return tuple(
        sorted(
            name
            for pid, (_, name) in known.items()
            if pid != mine and pid not in above and (alone or mine in _ancestors(pid, known))
        )
    )


def _processes() -> Iterator[tuple[int, tuple[int, str]]]:
    """Number → parent and name, of all that are not merely waiting to be noticed as ended."""
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                head, _, rest = file.read().rpartition(b")")
        except OSError:  # it has ended
            continue
        state, parent = rest.split()[:2]
        if state not in (b"Z", b"X"):
            yield int(entry), (int(parent), head.partition(b"(")[2].decode(errors="replace"))


def _ancestors(pid: int, known: Mapping[int, tuple[int, str]]) -> Iterator[int]:
    while pid in known and known[pid][0] != pid:
        pid = known[pid][0]
        yield pid
