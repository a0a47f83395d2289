"""What a guard takes on for itself, and what its children get from it before their programs begin."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

NICENESS = 5  # receiving comes first: a modality never waits for a plugin
OOM_SCORE = 600  # if the machine runs out of memory, the kernel ends a plugin before anything of the node's
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def settle_child(largest_file: int = resource.RLIM_INFINITY, join: Callable[[], None] = lambda: None) -> None:
    """In a child before its program: it dies with its parent, and gets no capability, with which bwrap would refuse.

    `largest_file`: bytes that a file of it may have. `join` moves it to its control group.
    """
    join()
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def settle() -> None:
    """Make this process the parent of all orphans, and set what its children inherit."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # the node says when to end, nobody else
        signal.signal(number, lambda *_: None)  # SIG_IGN would be inherited by the plugin, a handler is not
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold patients' images
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
