"""A signal on which a Python plugin's process prints where it is: asked for before it is ended for time or memory.

The handler is C code (faulthandler), so it answers while the plugin is within native code, too. A process that does not
handle the signal would end by it: whoever sends it looks first (`node.run.last_line`).
"""

from __future__ import annotations

import faulthandler
import os
import signal

SIGNAL = signal.SIGRTMAX - 2
"""A real-time signal that nothing else is known to use."""


def enable() -> None:
    """Print the Python stack of the main thread to standard error, as that is now, whenever the signal comes."""
    faulthandler.register(SIGNAL, file=os.dup(2), all_threads=False)
