"""Restoring a backup into an empty data folder.

Every file is compared with its digest while it is copied. One that is damaged is left out and named: the rest of the
hospital's images is not lost for it, and the first start of the node reports what is missing. The ledger comes last,
under a new identity (`node.ledger.restorations`); until then `node.store.unfinished` keeps the node from starting.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from node.backup import manifest
from node.backup.folder import BackupFolder
from node.backup.manifest import BackupFile, BackupHeader
from node.clock import Clock
from node.errors import LedgerError, PermanentError, TransientError
from node.ledger import copies, restorations
from node.ledger.database import FILE as LEDGER
from node.ledger.database import Ledger
from node.ledger.restorations import Restoration
from node.ledger.schema.versions import VERSIONS
from node.store import unfinished
from node.store.durable import sha256_of, sync_folder
from node.store.lock import take_lock

_RESTORING = "restoring.db"
"""The ledger until it is whole."""
_MAY_BE_THERE = frozenset({"lost+found", "lock"})
_EXAMPLES = 20


@dataclass
class RestoreOutcome:
    """What came of it."""

    manifest: BackupHeader
    files: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    """The first of the files that are missing or damaged in the backup, and were left out."""
    damaged_count: int = 0
    restoration: Restoration | None = None


def restore(target: Path, data: Path, clock: Clock, *, by: str, name: str = "") -> RestoreOutcome:
    """Restore the backup of this name, or the newest, that is in the folder `target`, into `data`.

    `data` is empty or not there, or was left half restored from the same backup. Raises `NodeError`.
    """
    folder = BackupFolder(target)
    backup = folder.find(name)
    made = _readable(folder, backup)
    _check_empty(data, backup)
    with _named(data):
        lock = take_lock(data)
        try:
            unfinished.begin(data, backup.resolve())
            outcome = _Restore(folder, backup, data, made).files()
            outcome.restoration = _ledger(backup, data, clock, made, by)
            unfinished.end(data)
        finally:
            os.close(lock)
    return outcome


def _readable(folder: BackupFolder, backup: Path) -> BackupHeader:
    """The header; refused where the ledger beside it is damaged, or newer than this program."""
    made = manifest.read(backup)
    if problems := manifest.check(backup, made):
        others = [each for each in folder.names() if each != backup.name]
        instead = f"; restore an earlier one with --name: {', '.join(reversed(others))}" if others else ""
        raise PermanentError(f"{'; '.join(problems)}{instead}")
    if newer := copies.newer_than_us(made.schema):
        raise LedgerError(
            f"{backup}: made by a newer pacsnode ({made.release}; schema {newer[-1]}, this one knows {VERSIONS[-1]})."
            " Install that release, then restore"
        )
    return made


def _check_empty(data: Path, backup: Path) -> None:
    """PermanentError where there is anything in the data folder that is not of a restore of this backup."""
    begun = unfinished.backup_of(data)
    if begun is not None and begun != str(backup.resolve()):
        raise PermanentError(
            f"{data} is half restored, from {begun or 'another backup'}: restore that one, or name an empty folder"
        )
    found = sorted(each.name for each in os.scandir(data)) if data.exists() else []
    if begun is None and (others := [each for each in found if each not in _MAY_BE_THERE]):
        raise PermanentError(
            f"{data} is not empty ({', '.join(others[:5])}): a backup is restored into an empty folder."
            " Move the old one aside first; do not delete it"
        )


class _Restore:
    """The files of one backup."""

    def __init__(self, folder: BackupFolder, backup: Path, data: Path, made: BackupHeader) -> None:
        self._folder = folder
        self._backup = backup
        self._data = data
        self._outcome = RestoreOutcome(made)
        self._synced: set[Path] = set()

    def files(self) -> RestoreOutcome:
        """Copy all, durable when this returns."""
        for entry in manifest.lines(self._backup):
            target = self._data / _checked(entry.path)
            self._make_folder(target.parent)
            if self._copy(entry, target):
                self._outcome.files += 1
                self._outcome.bytes += entry.size
                continue
            self._outcome.damaged_count += 1
            if len(self._outcome.damaged) < _EXAMPLES:
                self._outcome.damaged.append(entry.path)
        for folder in sorted(self._synced):
            sync_folder(folder)
        return self._outcome

    def _make_folder(self, folder: Path) -> None:
        if folder in self._synced:
            return
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while folder != self._data.parent:
            self._synced.add(folder)
            folder = folder.parent

    def _copy(self, entry: BackupFile, target: Path) -> bool:
        """Whether it is there now, with the right content."""
        if target.exists() and target.stat().st_size == entry.size and sha256_of(target) == entry.sha256:
            return True  # from before the restore was cut short
        source = self._folder.pooled(entry.sha256)
        part = target.with_name(f"{target.name}.part")
        if not source.exists():
            return False
        right = self._folder.copy_out(source, part) == entry.sha256
        if right:
            part.rename(target)
        else:
            part.unlink()
        return right


def _checked(path: str) -> PurePosixPath:
    """A path below the data folder; PermanentError."""
    found = PurePosixPath(path)
    if found.is_absolute() or ".." in found.parts:
        raise PermanentError(f"the backup names the file {path!r}, outside of the data folder: it is not one of ours")
    return found


def _ledger(backup: Path, data: Path, clock: Clock, made: BackupHeader, by: str) -> Restoration:
    """The ledger, of today's schema and under its new identity."""
    restoring = data / _RESTORING
    for each in data.glob("restoring.db*"):  # of a restore that was cut short
        each.unlink()
    BackupFolder.copy_out(backup / manifest.LEDGER, restoring)
    ledger = Ledger(restoring)
    try:
        with ledger.transaction() as database:
            found = restorations.begin(database, clock.now(), by=by, backup=made.name, made_at=made.made_at)
    finally:
        ledger.close()
    for suffix in (".next", ".turn"):
        restoring.with_suffix(suffix).unlink(missing_ok=True)
    restoring.rename(data / LEDGER)
    sync_folder(data)
    return found


@contextmanager
def _named(data: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransientError(
            f"not restored: {error.filename or data}: {error.strerror}. Give the same command again once that is mended"
        ) from error
