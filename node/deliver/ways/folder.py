"""A destination that is a folder: each object becomes a file, whole or not at all, and never in place of another.

The folder itself has to be there. Below it, no symbolic link is followed: every folder is opened from the one above.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from node.config import file_names
from node.config.destinations import Destination
from node.config.folder_destination import FolderDestination
from node.deliver.policy import Answer
from node.deliver.ways import file_naming
from node.deliver.ways.archive import Kind, NotAdmittedError, NotReachedError, Sender
from node.deliver.ways.file_naming import FileName
from node.deliver.ways.unasked import UnaskedArchive
from node.errors import PermanentError
from node.outcome import AnswerReading

FOLDER_MODE, FILE_MODE = 0o750, 0o640
"""Readable by the group: whoever takes the files on is another user."""
_INTO = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems say that know no hard links: those of file servers, and FAT."""
_NEVER = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EFBIG})
"""Errors that are about this file."""
_FOR_A_PERSON = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR})
_PIECE = 1 << 20
_MOST_KNOWN = 10_000
"""Folders that are remembered as durable."""


def archive(destination: Destination, _ae_title: str) -> FolderArchive:
    """The way to a destination of kind folder."""
    assert isinstance(destination, FolderDestination), destination.kind
    return FolderArchive(destination)


class FolderArchive(UnaskedArchive):
    """See `node.deliver.ways.archive.Archive`."""

    def __init__(self, destination: FolderDestination) -> None:
        super().__init__(destination.place)
        self._folder = destination.folder
        self._parts = file_names.parts_of(destination.names)
        self._lock = threading.Lock()
        self._durable: set[tuple[str, ...]] = set()

    @contextmanager
    def connect(self, _kinds: Iterable[Kind]) -> Iterator[Sender]:
        """Open the folder."""
        root = self._opened()
        try:
            yield _FolderSender(self, root)
        finally:
            os.close(root)

    def try_out(self) -> None:
        """Write a file there and delete it; NotReachedError, NotAdmittedError."""
        root = self._opened()
        name = f".pacsnode-{os.getpid()}.trial"
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE, dir_fd=root))
            os.unlink(name, dir_fd=root)
        except OSError as error:
            raise _not_opened(self._folder, error) from error
        finally:
            os.close(root)

    def place(self, file: Path, root: int) -> Answer:
        """Write an object under its name; success too where it is there already, byte for byte."""
        try:
            target = file_naming.name_of(file, self._parts)
        except PermanentError as error:
            return Answer(AnswerReading.DEAD_LETTER, str(error))
        except OSError as error:
            return Answer(AnswerReading.RETRY, f"{file.name} cannot be read: {error.strerror}")
        try:
            with self._within(root, target.folders) as folder, self._lock:
                return _put(file, folder, target)
        except OSError as error:
            return self._failed(error, target.shown)

    @contextmanager
    def _within(self, root: int, folders: Sequence[str]) -> Iterator[int]:
        """The innermost of these folders, which are made where they are not there."""
        at = os.dup(root)
        try:
            for depth, name in enumerate(folders, 1):
                is_new = _made(name, at)
                outer, at = at, os.open(name, _INTO, dir_fd=at)
                try:
                    if is_new:
                        _share(at, FOLDER_MODE)
                    self._sync(outer, tuple(folders[:depth]), is_new=is_new)
                finally:
                    os.close(outer)
            yield at
        finally:
            os.close(at)

    def _sync(self, outer: int, path: tuple[str, ...], *, is_new: bool) -> None:
        """Make a folder in `outer` durable, once for as long as this is known."""
        if path in self._durable and not is_new:
            return
        os.fsync(outer)
        if len(self._durable) >= _MOST_KNOWN:
            self._durable.clear()
        self._durable.add(path)

    def _failed(self, error: OSError, shown: str) -> Answer:
        code = f"file:{errno.errorcode.get(error.errno or 0, 'error')}"
        said = f"{self._folder}/{shown} cannot be written: {error.strerror}"
        if error.errno in _NEVER:
            return Answer(AnswerReading.DEAD_LETTER, said, code)
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            said = f"{said}: a symbolic link or a file is where a folder has to be"
        return Answer(AnswerReading.RETRY_SLOWLY if error.errno in _FOR_A_PERSON else AnswerReading.RETRY, said, code)

    def _opened(self) -> int:
        try:
            return os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _not_opened(self._folder, error) from error


def _not_opened(folder: Path, error: OSError) -> NotReachedError | NotAdmittedError:
    if error.errno == errno.ENOENT:
        return NotReachedError(f"there is no folder {folder}; is its file server mounted?")
    if error.errno in _FOR_A_PERSON:
        return NotAdmittedError(f"{folder} cannot be written: {error.strerror}")
    return NotReachedError(f"{folder} cannot be written: {error.strerror}")


class _FolderSender:
    """See `node.deliver.ways.archive.Sender`."""

    is_open = True

    def __init__(self, archive: FolderArchive, root: int) -> None:
        self._archive, self._root = archive, root

    def accepts(self, _sop_class: str, _transfer_syntax: str) -> bool:
        """All: a file is a file."""
        return True

    def store(self, file: Path) -> Answer:
        """Write it under its name."""
        return self._archive.place(file, self._root)


def _made(name: str, outer: int) -> bool:
    """Make a folder in another one; False where it is there."""
    try:
        os.mkdir(name, FOLDER_MODE, dir_fd=outer)
    except FileExistsError:
        return False
    return True


def _share(opened: int, mode: int) -> None:
    """Give it this mode, whatever the umask of the node is; file servers may have modes of their own."""
    with suppress(OSError):
        os.fchmod(opened, mode)


def _put(file: Path, folder: int, target: FileName) -> Answer:
    """Write it; what a crash left of an earlier try goes in every case."""
    name, shown = target.name, target.shown
    part = f".{sha256(name.encode()).hexdigest()[:24]}.part"  # the same at each try
    with file.open("rb") as source:
        try:
            found = _is_same(source.fileno(), folder, name)
            if found is None:
                _write(source.fileno(), folder, part)
                if _place(folder, part, name):
                    os.fsync(folder)
                    return Answer(AnswerReading.STORED, f"written as {shown}", "file:written")
                found = bool(_is_same(source.fileno(), folder, name))  # another program wrote one meanwhile
            if found:
                os.fsync(folder)  # a crash may have come before this
            return _already(shown, is_same=found)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)


def _already(shown: str, *, is_same: bool) -> Answer:
    if is_same:
        return Answer(AnswerReading.STORED, f"{shown} is there already", "file:there")
    told = f"{shown} is there already with another content, and is not overwritten; see `names` of the destination"
    return Answer(AnswerReading.DEAD_LETTER, told, "file:taken")


def _is_same(source: int, folder: int, name: str) -> bool | None:
    """Whether the file of this name is byte for byte the one to be written; None where there is none."""
    try:
        there = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(there)
        if not stat.S_ISREG(found.st_mode) or found.st_size != os.fstat(source).st_size:
            return False
        return all(
            os.pread(there, _PIECE, at) == os.pread(source, _PIECE, at) for at in range(0, found.st_size, _PIECE)
        )
    finally:
        os.close(there)


def _write(source: int, folder: int, part: str) -> None:
    """A copy of the file, durably."""
    with suppress(FileNotFoundError):  # a crash left it: whatever it is, nothing is written into it
        os.unlink(part, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        os.fdopen(os.dup(source), "rb") as copied,
        os.fdopen(os.open(part, flags, FILE_MODE, dir_fd=folder), "wb") as to,
    ):
        copied.seek(0)
        _share(to.fileno(), FILE_MODE)
        shutil.copyfileobj(copied, to, _PIECE)
        to.flush()
        os.fsync(to.fileno())


def _place(folder: int, part: str, name: str) -> bool:
    """Give the file its name, where nothing has it; whether nothing had."""
    try:
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            return False
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    return True
