"""A data folder that is being restored: until that is done, nothing may be started on it.

A file in it says so. Half a data folder looks like one that lost some of its images, and the node would go on with it.
"""

from __future__ import annotations

import json
from pathlib import Path

from node.errors import PermanentError
from node.store.durable import sync_folder, write_durably

FILE = "restoring.json"


def begin(data: Path, backup: Path) -> None:
    """From now on; `backup` is what it is restored from."""
    write_durably(data / FILE, json.dumps({"backup": str(backup)}).encode())


def end(data: Path) -> None:
    """It is whole."""
    (data / FILE).unlink(missing_ok=True)
    sync_folder(data)


def backup_of(data: Path) -> str | None:
    """What it is being restored from; None where it is not."""
    try:
        return str(json.loads((data / FILE).read_text())["backup"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return ""


def check(data: Path) -> None:
    """PermanentError where a restore was begun and not finished."""
    backup = backup_of(data)
    if backup is not None:
        raise PermanentError(
            f"the data folder {data} is half restored, from {backup or 'a backup'}: the restore was cut short."
            " Give the same `pacsnode restore` again, which goes on where it ended"
        )
