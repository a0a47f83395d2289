"""Which node this is, among all of this program: a serial number that its data folder keeps."""

from __future__ import annotations

import secrets
from pathlib import Path

from node.store.durable import write_durably

FILE = "device-serial-number"
_DIGITS = 12


def serial_number(data: Path) -> str:
    """Device Serial Number (0018,1000) of this node, made once, kept with its ledger. Raises OSError."""
    path = data / FILE
    try:
        kept = path.read_text("ascii").strip()
    except FileNotFoundError:
        kept = ""
    if not kept:
        kept = f"PN{secrets.randbelow(10**_DIGITS):0{_DIGITS}}"
        write_durably(path, f"{kept}\n".encode())
    return kept
