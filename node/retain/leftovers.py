"""What crashes left behind: working files of attempts that are over, copies that were sent, results without a job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from node.ledger import outdated
from node.ledger.database import Ledger
from node.store.layout import DataFolder


def found(ledger: Ledger, store: DataFolder, before: datetime) -> Iterator[Path]:
    """Files and folders that nobody uses and that nothing was written to since `before`."""
    database = ledger.database
    for path in _entries(store.work):
        if _is_old(path, before) and not outdated.is_running(database, path.name):
            yield path
    for destination in _entries(store.outgoing):
        for path in _entries(destination):
            if _is_old(path, before) and not outdated.is_being_sent(database, path.stem):
                yield path
    # Of a ledger that was restored it is not known which jobs it lacks.
    if not outdated.is_behind_store(database):
        for path in _entries(store.results):
            if _is_old(path, before) and not outdated.has_files(database, path.name):
                yield path


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, without what begins with a dot: the folders of workers are theirs."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_old(path: Path, before: datetime) -> bool:
    """By the newest change of it and of what is directly in it."""
    try:
        times = [path.lstat().st_mtime]
        if path.is_dir() and not path.is_symlink():
            times += [each.lstat().st_mtime for each in path.iterdir()]
    except OSError:
        return False  # it went meanwhile, or is not ours to look into
    return max(times) < before.timestamp()
