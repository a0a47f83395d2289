"""Making a backup while the node runs: the ledger at one moment, then every file that belongs to it.

A file that the newest backup has is not read again: a received image never changes, and any other file is the same
where its size and its time of change are. So a backup takes as long as what is new.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from node import __version__
from node.backup import manifest
from node.backup.contents import DataFolderState, SourceFile
from node.backup.folder import BackupFolder
from node.backup.manifest import BackupFile, BackupHeader
from node.clock import Clock
from node.errors import LedgerError, NodeError, NotFoundError, PermanentError, TransientError
from node.ledger import backups, copies
from node.ledger.copies import CopyDescription
from node.ledger.database import FILE as LEDGER
from node.ledger.database import Ledger
from node.store import device, unfinished
from node.store.durable import sha256_of
from node.store.layout import DataFolder

_NAME = "%Y%m%dT%H%M%SZ"
_RENEWED = 60.0
"""Seconds after which a backup says that it is still under way."""
_EXAMPLES = 20


class BackupCancelledError(NodeError):
    """The node stops; the backup is made again another time."""


@dataclass
class _Counts:
    files: int = 0
    bytes: int = 0
    copied: int = 0
    missing: list[str] = field(default_factory=list)
    missing_count: int = 0


class BackupRun:
    """One backup of one data folder."""

    def __init__(self, data: Path, target: Path, clock: Clock, *, by: str) -> None:
        """`target`: the folder with the backups; `by`: who wants it, as an actor."""
        self._path = data
        self._folder = BackupFolder(target)
        self._clock = clock
        self._by = by
        self._row: backups.Backup | None = None
        self._ledger: Ledger | None = None
        self._renewed = time.monotonic()
        self._cancelled: Callable[[], bool] = lambda: False
        self._counts = _Counts()

    def make(self, keep: int | None = None, cancelled: Callable[[], bool] = lambda: False) -> BackupHeader:
        """Make it; then drop all but the newest `keep`, where that is given.

        Raises `NodeError`: the backups before it are as they were.
        """
        self._cancelled = cancelled
        self._check()
        self._data = DataFolder(self._path)
        serial_number = device.serial_number(self._data.data)
        with _named(self._folder.path), self._folder.held(serial_number):
            self._folder.empty_halves()
            self._ledger = _ledger_of(self._data.data)
            name = _free_name(self._clock.now(), self._folder)
            try:
                self._begin(name)
                made = self._make(name, serial_number)
            except BaseException as error:
                self._fail(error)
                raise
            finally:
                if self._ledger is not None:
                    self._ledger.close()
            self._folder.sweep(keep)
        return made

    @property
    def is_recorded(self) -> bool:
        """The ledger has a row of it, whatever became of it."""
        return self._row is not None

    def _check(self) -> None:
        """Raises PermanentError where the two cannot be a data folder and a folder for backups of it."""
        data, target = self._path, self._folder.path
        if not (data / LEDGER).is_file():
            raise NotFoundError(f"{data}: there is no ledger to back up")
        inner, outer = sorted((data.resolve(), target.resolve()), key=lambda path: len(path.parts), reverse=True)
        if inner.is_relative_to(outer):
            raise PermanentError(f"{target}: backups cannot be inside the data folder {data}, nor around it")
        unfinished.check(data)

    def _make(self, name: str, serial_number: str) -> BackupHeader:
        with self._folder.new(name) as part:
            staging = part / "staging"
            staging.mkdir(mode=0o700)
            state = DataFolderState(self._data, staging)
            made_at = self._clock.now()
            copies.copy(self._data.data / LEDGER, part / manifest.LEDGER, state.look)
            with copies.reading(part / manifest.LEDGER) as ledger:
                described = copies.describe(ledger)
                self._take_all(state.sources(ledger), part / manifest.FILES)
            shutil.rmtree(staging)
            _sync_files(part / manifest.FILES, part / manifest.LEDGER)
            made = self._described(part, described, made_at, serial_number)
            manifest.write(part, made)
        self._end(made)
        return made

    def _take_all(self, sources: Iterator[SourceFile], lines: Path) -> None:
        """Every file into the pool, and its line."""
        with lines.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
            for source, earlier in _merged(sources, _earlier(self._folder)):
                self._still_under_way()
                entry = self._known(source, earlier) or self._copied(source)
                if entry is not None:
                    manifest.write_line(out, entry)
                    self._counts.files += 1
                    self._counts.bytes += entry.size

    def _described(self, part: Path, ledger: CopyDescription, made_at: datetime, serial_number: str) -> BackupHeader:
        """The header of what is in the folder `part`."""
        return BackupHeader(
            name=part.name.removeprefix(".").removesuffix(".part"),
            made_at=made_at,
            release=__version__,
            device=serial_number,
            data=str(self._data.data.resolve()),
            ledger=ledger.ledger,
            generation=ledger.generation,
            schema=ledger.schema,
            last_event=ledger.last_event,
            files=self._counts.files,
            bytes=self._counts.bytes,
            copied=self._counts.copied,
            missing=tuple(self._counts.missing),
            missing_count=self._counts.missing_count,
            files_sha256=sha256_of(part / manifest.FILES),
            ledger_sha256=sha256_of(part / manifest.LEDGER),
        )

    def _known(self, source: SourceFile, earlier: BackupFile | None) -> BackupFile | None:
        """As the newest backup has it, where it is unchanged and there."""
        if earlier is None or not self._folder.has(earlier.sha256, earlier.size):
            return None
        if source.is_indexed:
            return earlier
        try:
            now = source.file.stat()
        except FileNotFoundError:
            return None
        return earlier if (now.st_size, now.st_mtime_ns) == (earlier.size, earlier.changed_ns) else None

    def _copied(self, source: SourceFile) -> BackupFile | None:
        """Taken into the pool; None, and counted where it is needed, where it is not there."""
        for _ in range(2):  # the indexer may move a received file between two looks
            try:
                file = self._where(source)
                changed = file.stat().st_mtime_ns
                is_final = source.is_indexed and file.parent != self._data.incoming
                pooled = self._folder.put(file, link=is_final)
            except FileNotFoundError:
                continue
            self._counts.copied += pooled.fresh
            return BackupFile(source.path, pooled.sha256, pooled.size, changed)
        if source.needed:
            self._counts.missing_count += 1
            self._counts.missing += [source.path] if len(self._counts.missing) < _EXAMPLES else []
        return None

    def _where(self, source: SourceFile) -> Path:
        """Where it is now."""
        if not source.receipt:
            return source.file
        try:
            return self._data.find(source.receipt)
        except FileNotFoundError:  # a whole object that has not got its final name yet
            return source.file

    # --- the record in the ledger -------------------------------------------------------------------

    def _begin(self, name: str) -> None:
        if self._ledger is not None:
            folder = str(self._folder.path.resolve())
            with self._ledger.transaction() as database:
                self._row = backups.begin(database, self._clock.now(), folder=folder, name=name, by=self._by)

    def _still_under_way(self) -> None:
        if self._cancelled():
            raise BackupCancelledError("the backup was stopped; the next one begins where it ended")
        if self._ledger is None or self._row is None or time.monotonic() - self._renewed < _RENEWED:
            return
        self._renewed = time.monotonic()
        with self._ledger.transaction() as database:
            backups.renew(database, self._clock.now(), self._row.id)

    def _end(self, made: BackupHeader) -> None:
        if self._ledger is not None and self._row is not None:
            with self._ledger.transaction() as database:
                backups.made(database, self._clock.now(), self._row.id, files=made.files, size=made.bytes)

    def _fail(self, error: BaseException) -> None:
        if self._ledger is None or self._row is None:
            return
        now, why = self._clock.now(), _in_words(error)
        with suppress(NodeError), self._ledger.transaction() as database:  # the error itself is what matters
            if isinstance(error, BackupCancelledError):
                backups.abandon(database, now)
            else:
                backups.failed(database, now, self._row.id, why)


def _ledger_of(data: Path) -> Ledger | None:
    """To record the backup in; None where the node that is to bring the ledger up to date was not started yet."""
    try:
        return Ledger.existing(data / LEDGER)
    except LedgerError:
        return None


def _earlier(folder: BackupFolder) -> Iterator[BackupFile]:
    """The files of the newest backup, sorted; none where its list is damaged: then every file is read again."""
    try:
        newest = folder.find()
        if not manifest.check(newest, manifest.read(newest), ledger=False):
            return manifest.lines(newest)
    except PermanentError:
        pass
    return iter(())


def _free_name(now: datetime, folder: BackupFolder) -> str:
    """The moment; later, where the clock says one that is not above all others."""
    names = folder.names()
    name = f"{now:{_NAME}}"
    while names and name <= names[-1]:
        now = max(now, datetime.strptime(names[-1], _NAME).replace(tzinfo=now.tzinfo)) + timedelta(seconds=1)
        name = f"{now:{_NAME}}"
    return name


def _merged(
    sources: Iterator[SourceFile], earlier: Iterator[BackupFile]
) -> Iterator[tuple[SourceFile, BackupFile | None]]:
    """Each source with the line of the same path; both are sorted."""
    line = next(earlier, None)
    for source in sources:
        key = manifest.order_of(source.path)
        while line is not None and line.order < key:
            line = next(earlier, None)
        yield source, line if line is not None and line.path == source.path else None


def _sync_files(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _in_words(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror}"
    return str(error) if isinstance(error, NodeError) else "an unexpected error; the log has its place"


@contextmanager
def _named(target: Path) -> Iterator[None]:
    """A failure of a file as an error that names it: another disk, or more space, mends it."""
    try:
        yield
    except OSError as error:
        raise TransientError(f"no backup was made in {target}: {_in_words(error)}") from error
