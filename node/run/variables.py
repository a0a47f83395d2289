"""The variables of its environment that a plugin was granted: secrets are read for each attempt."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from plugins.privileges import Privileges

_MOST_BYTES = 100_000
"""The system hands on no variable of more than 128 KiB (execve(2))."""


def values(granted: Privileges) -> dict[str, str]:
    """Name → value; OSError, with the file's name, where one cannot be read or is no value."""
    return {name: _read(value) if isinstance(value, Path) else value for name, value in granted.environment}


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES or b"\0" in content:
        raise OSError(errno.EINVAL, f"it has more than {_MOST_BYTES} bytes, or a NUL", str(path))
    return os.fsdecode(content).rstrip("\r\n")


def script(of: Mapping[str, str]) -> str:
    """Shell commands that set them: a sandbox runs these, since bubblewrap itself must not get them."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in of.items())


def unreadable(error: OSError) -> str:
    """Why `values` failed, for the admin."""
    return f"{error.filename}, a value for its environment: {error.strerror}"
