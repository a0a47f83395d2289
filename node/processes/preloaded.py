"""The last import of the process that children are forked from (`node.processes.pool.preload`).

What it has imported by now is shared by all of them, and never looked at for garbage. It ends when nobody needs it any
more: where the node was killed, it deletes the folder of its socket, which the node would have deleted.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

_FOLDER = "pymp-"
"""How `multiprocessing.util.get_temp_dir` names it."""


def _sockets() -> list[str]:
    """Paths of the Unix sockets that this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as each:
            if each.family == socket.AF_UNIX and isinstance(path := each.getsockname(), str) and path:
                found.append(path)
    return found


def _forget(paths: list[str]) -> None:
    for path in map(Path, paths):
        if path.parent.name.startswith(_FOLDER):
            shutil.rmtree(path.parent, ignore_errors=True)


atexit.register(_forget, _sockets())  # they are closed before it is called; forked children end without it
gc.collect()
gc.freeze()
gc.enable()  # `node.processes.unhurried` has disabled it
