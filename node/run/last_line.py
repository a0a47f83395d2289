"""Where a Python plugin was when it had to be ended: the line of its author's code, by the stack that it prints."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path

from plugins.stack_signal import SIGNAL

_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$')
"""As faulthandler writes one, the innermost first."""
_OUTERMOST = "in _run_module_as_main"
_STEP = 0.005


def ask(pids: Collection[int]) -> bool:
    """Have the plugin's own process print its stack; false where none of these can."""
    for pid in sorted(pids):  # processes that it forked can, too, and have later numbers
        with contextlib.suppress(OSError):
            if _handles_it(pid):
                os.kill(pid, SIGNAL)
                return True
    return False


def heard(printed: bytearray, read: Callable[[], object], home: str, seconds: float) -> str:
    """The line, once it is in what is printed; "" where it does not come in time. `read` adds to `printed`."""
    end = time.monotonic() + seconds
    while True:
        read()
        text = printed[: printed.rfind(b"\n") + 1].decode(errors="replace")  # half a line may end within a name
        if (found := line_in(text, home)) or _OUTERMOST in text or time.monotonic() > end:
            return found
        time.sleep(_STEP)


def line_in(text: str, home: str) -> str:
    """`finder.py line 12, in analyse`: the innermost frame in a plugin's folder, but for packages installed there."""
    folder = Path(home.encode("ascii", "backslashreplace").decode())  # as faulthandler writes it
    for line in text.splitlines():
        frame = _FRAME.match(line)
        path = Path(frame[1]) if frame else None
        if frame and path and path.is_relative_to(folder) and "site-packages" not in path.relative_to(folder).parts:
            return f"{path.relative_to(folder)} line {frame[2]}, in {frame[3]}"
    return ""


def _handles_it(pid: int) -> bool:
    """Whether a process has a handler of the signal, which would end it otherwise (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (SIGNAL - 1) & 1)
