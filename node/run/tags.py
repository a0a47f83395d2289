"""The mark by which every process of an attempt is found, also when its guard is gone: a variable of its environment.

A child inherits it, whatever else it does. Only a program that was started without it is not found. In a sandbox none
is left anyway: it ends with its guard. Where there are control groups, they find it as well.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

VARIABLE = "PACSNODE_ATTEMPT"
"""Its value is the attempt's folder."""
END_SECONDS = 20.0


def mark(folder: Path) -> dict[str, str]:
    """What to put into the environment of an attempt's first process."""
    return {VARIABLE: str(folder)}


def processes(folder: Path) -> list[int]:
    """The living processes of the attempt of this folder, or of every attempt whose folder lies in it."""
    others = [name for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]
    return [int(name) for name in others if _is_marked(name, os.fsencode(folder))]


def _is_marked(process: str, folder: bytes) -> bool:
    start = VARIABLE.encode() + b"="
    try:
        content = Path("/proc", process, "environ").read_bytes()  # empty for one that is dead
    except OSError:  # gone, or another user's
        return False
    values = [each[len(start) :] for each in content.split(b"\0") if each.startswith(start)]
    return any(value == folder or value.startswith(folder + b"/") for value in values)


def end(folder: Path) -> bool:
    """Kill them all; false where one outlived it. What forks meanwhile is found by the next look."""
    until = time.monotonic() + END_SECONDS
    while found := processes(folder):
        for process in found:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
