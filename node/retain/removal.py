"""Deleting files so that it lasts. What somebody else deleted before is no failure; what cannot be deleted is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from node.ledger.outdated import Amount
from node.store.durable import sync_folder
from node.store.layout import DataFolder

_AT_ONCE = 50
"""Files between two synchronisations: the more names go at once, the longer a receiver waits for its own."""


def received(store: DataFolder, receipts: Sequence[str]) -> int:
    """Delete received files; how many were not there. Raises OSError for one that cannot be deleted."""
    return sum(store.remove(receipts[first : first + _AT_ONCE]) for first in range(0, len(receipts), _AT_ONCE))


def tree(folder: Path) -> Amount:
    """Delete a folder, or a file, with all that is in it; how much that was. Raises OSError."""
    found = size(folder)
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)
    if folder.parent.exists():
        sync_folder(folder.parent)
    return found


def size(folder: Path) -> Amount:
    """How many files a folder has, and their bytes; links are not followed. Nothing where there is none."""
    total = Amount()
    if folder.is_file() and not folder.is_symlink():
        return Amount(1, folder.stat().st_size)
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            try:
                total += Amount(1, path.lstat().st_size)
            except FileNotFoundError:
                continue  # it went meanwhile
    return total
