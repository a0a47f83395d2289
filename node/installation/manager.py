"""systemctl(1), where systemd runs this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from node.errors import PermanentError
from node.installation import places

_SECONDS = 300.0
"""A node that stops lets open associations finish."""


def systemctl(*arguments: str) -> Iterator[str]:
    """Run it, and say so; PermanentError where it fails. Nothing where another program is the first process."""
    if not places.BOOTED.exists():
        return
    line = ["systemctl", *arguments]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PermanentError(f"{' '.join(line)} cannot be run: {error}") from error
    if done.returncode:
        raise PermanentError(f"{' '.join(line)}: {done.stderr.strip() or done.returncode}")
    yield f"ran {' '.join(line)}"
