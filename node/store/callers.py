"""Callers with open associations, and those that were refused; below everything that has to do with DICOM."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

Caller = tuple[str, str]
"""Calling AE title and address of who opened an association."""


@dataclass(frozen=True, slots=True)
class RefusedCaller:
    """Who was refused an association, as which AE, why, and how often since this was last written down."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    reason: str
    times: int
    last_at: datetime


def open_callers(associations: Path) -> Counter[Caller]:
    """How many associations each caller has open now, by the files of `node.store.layout.DataFolder.association`."""
    found: Counter[Caller] = Counter()
    with contextlib.suppress(FileNotFoundError):  # nothing was ever received here
        for entry in os.scandir(associations):
            if not entry.name.startswith("."):
                caller = _caller(Path(entry.path))
                found.update([caller] if caller is not None else [])
    return found


def _caller(path: Path) -> Caller | None:
    """Who has this association open; None where nobody has, any more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(ValueError):  # one from before an upgrade says nothing
            title, address = json.loads(os.read(descriptor, 4096))
            return str(title), str(address)
        return "", ""
    else:
        return None
    finally:
        os.close(descriptor)
