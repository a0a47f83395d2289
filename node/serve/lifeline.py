"""What a child and its parent have agreed: it ends with its parent, whatever ended that; what signals tell it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import threading

BEGIN, RETIRE = signal.SIGUSR1, signal.SIGUSR2
"""To a receiver: accept associations now; accept no more and finish those that are open."""
_PR_SET_PDEATHSIG = 1

RELOADED = "reloaded"
"""What the node tells the supervisor when it has done what SIGHUP asked for; behind it, why it was refused."""


class SupervisorOrders:
    """Signals as they come, for the main thread to wait for.

    Python's handlers run in the main thread; but the kernel may give a signal to another one, and then nothing ends a
    wait for a lock or an event in the main thread. A pipe does: Python writes the number into it at once.
    """

    def __init__(self, *numbers: int) -> None:
        self._heard, bell = os.pipe()
        os.set_blocking(bell, False)
        for number in numbers:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)

    def next(self, seconds: float | None = None) -> int:
        """The next one, in the order in which they came; 0 where none has come after `seconds`."""
        return os.read(self._heard, 1)[0] if select.select([self._heard], [], [], seconds)[0] else 0


def end_with(alive_descriptor: int) -> None:
    """End this process at once when the other end of the pipe is closed: its owner is dead, even by SIGKILL."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(alive_descriptor, 1):
                pass
        os._exit(1)

    threading.Thread(target=watch, name="alive", daemon=True).start()


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
