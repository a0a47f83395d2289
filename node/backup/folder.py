"""The folder that backups are made in: several backups, and one pool of files that they share.

    pacsnode-backup.json     whose backups these are
    lock                     locked while one is made or dropped
    files/<aa>/<SHA-256>     every file once, under its digest; never changed
    backups/<moment>/        one backup (`node.backup.manifest`)
    backups/.<moment>.part   one that is being made, or whose making was cut short

A file is in the pool before a backup names it, and a backup gets its name when all of it is durable. So a crash leaves
the backups before it as they were.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from node.backup import manifest
from node.errors import NotFoundError, PermanentError
from node.store.durable import sync_folder, write_durably

_OWNER = "pacsnode-backup.json"
_PART = ".part"
_CHUNK = 1 << 20
_HEXADECIMAL = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class PooledFile:
    """A file that is in the pool."""

    sha256: str
    size: int
    fresh: bool
    """It was not there before."""


class BackupFolder:
    """One folder of backups; safe for one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.backups = path / "backups"
        self._pool = path / "files"
        self._to_sync: set[Path] = set()

    @contextmanager
    def held(self, device: str) -> Iterator[None]:
        """Made where it is not there, and locked: one backup at a time. `device`: serial number of the node.

        Raises PermanentError where another process makes a backup there, or where the backups are another node's.
        """
        for each in (self.path, self.backups, self._pool):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PermanentError(f"{self.path}: another backup is being made there just now") from None
            self._check_owner(device)
            yield
        finally:
            os.close(descriptor)

    def _check_owner(self, device: str) -> None:
        owner = self.path / _OWNER
        if not owner.exists():
            write_durably(owner, json.dumps({"format": manifest.FORMAT, "device": device}).encode())
            return
        try:
            said = json.loads(owner.read_text())["device"]
        except (ValueError, KeyError, TypeError) as error:
            raise PermanentError(f"{owner}: damaged; name an empty folder") from error
        if said != device:
            raise PermanentError(
                f"{self.path} has backups of another node (serial number {said}, this one is {device}):"
                " give each node a folder of its own"
            )

    def names(self) -> list[str]:
        """Whole backups, the oldest first."""
        try:
            entries = [*os.scandir(self.backups)]
        except OSError:
            return []
        return sorted(
            each.name for each in entries if not each.name.startswith(".") and (Path(each) / manifest.HEADER).exists()
        )

    def find(self, name: str = "") -> Path:
        """The folder of the backup of this name, or of the newest; NotFoundError."""
        names = self.names()
        if not names:
            raise NotFoundError(f"{self.path}: there is no backup there (a half one counts for nothing)")
        if name and name not in names:
            raise NotFoundError(f"{self.path}: there is no backup {name}; there is {', '.join(names)}")
        return self.backups / (name or names[-1])

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        """The folder to make a backup of this name in; it becomes one when the block ends."""
        part = self.backups / f".{name}{_PART}"
        part.mkdir(mode=0o700, exist_ok=True)  # one that was cut short in the same second, emptied
        try:
            yield part
            self._sync()
            part.rename(self.backups / name)
            sync_folder(self.backups)
        except BaseException:  # a full disk should not be fuller by what nobody can use
            with suppress(OSError):
                _empty(part)
            raise

    def pooled(self, sha256: str) -> Path:
        """Where the file of this digest is."""
        return self._pool / sha256[:2] / sha256

    def has(self, sha256: str, size: int) -> bool:
        """Whether the file is there, at least by its size."""
        try:
            return self.pooled(sha256).stat().st_size == size
        except FileNotFoundError:
            return False

    @staticmethod
    def copy_out(source: Path, target: Path) -> str:
        """Copy a file out of the pool, durably; the SHA-256 of what was read. Raises OSError."""
        return _copy(source, target)[0]

    def put(self, source: Path, *, link: bool) -> PooledFile:
        """Take a file into the pool; raises OSError.

        `link`: it is never changed, so that a hard link will do where the disk is the same. Otherwise it is copied, and
        durable when this returns.
        """
        if link and os.stat(source).st_dev == os.stat(self._pool).st_dev:
            with source.open("rb") as file:
                sha256, size = hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
            return PooledFile(sha256, size, self._enter(sha256, size, source, moved=False))
        copy = self._pool / f".copy-{os.getpid()}-{threading.get_native_id()}"
        try:
            sha256, size = _copy(source, copy)
            return PooledFile(sha256, size, self._enter(sha256, size, copy, moved=True))
        finally:
            copy.unlink(missing_ok=True)

    def _enter(self, sha256: str, size: int, source: Path, *, moved: bool) -> bool:
        if self.has(sha256, size):
            return False
        target = self.pooled(sha256)
        target.unlink(missing_ok=True)  # of another size: damaged
        if not target.parent.exists():
            target.parent.mkdir(mode=0o700, exist_ok=True)
            self._to_sync.add(self._pool)
        if moved:
            source.rename(target)
        else:
            with suppress(FileExistsError):
                os.link(source, target)
        self._to_sync.add(target.parent)
        return True

    def _sync(self) -> None:
        for folder in sorted(self._to_sync):
            sync_folder(folder)
        self._to_sync.clear()

    def empty_halves(self) -> None:
        """Give back what half backups took. The files that they copied stay in the pool: the next one needs them."""
        for each in os.scandir(self.backups):
            if each.name.startswith("."):
                _empty(Path(each))

    def sweep(self, keep: int | None) -> list[str]:
        """Drop half backups, all backups but the newest `keep`, and what no backup names any more; the names dropped.

        Called while the folder is held, after a backup was made.
        """
        halves = [Path(each) for each in os.scandir(self.backups) if each.name.startswith(".")]
        dropped = self.names()[:-keep] if keep else []
        for name in dropped:  # by its new name it counts no more, whatever happens next
            gone = self.backups / f".{name}{_PART}"
            (self.backups / name).rename(gone)
            halves.append(gone)
        sync_folder(self.backups)
        for each in halves:
            shutil.rmtree(each)
        if halves:
            self._drop_unnamed()
        return dropped

    def _drop_unnamed(self) -> None:
        """In sixteen parts, so that a folder of millions of files takes little memory."""
        for copy in self._pool.glob(".copy-*"):
            copy.unlink(missing_ok=True)
        for digit in _HEXADECIMAL:
            named = {
                each.sha256
                for name in self.names()
                for each in manifest.lines(self.backups / name)
                if each.sha256.startswith(digit)
            }
            for folder in self._pool.glob(f"{digit}?"):
                for file in os.scandir(folder):
                    if file.name not in named:
                        os.unlink(file)


def _empty(half: Path) -> None:
    """Its folder stays: by that `sweep` knows that the pool may have files of it."""
    shutil.rmtree(half)
    half.mkdir(mode=0o700)


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy and hash in one pass; SHA-256 and bytes of the copy, which is durable."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as file, open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            size += len(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
        with suppress(OSError):  # what nobody reads again soon does not push out what is used
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return digest.hexdigest(), size
