"""The files that say what a node does: which they are, what they say, and putting another text in force.

The file is what counts: it is replaced as a whole, keeps its mode and owner, and the running node takes it up as it
takes up what an editor has saved. A file that was changed meanwhile is left as it is.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from node.config.in_force import InForce
from node.config.source import LARGEST_FILE
from node.desk.actor import Actor
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.errors import NotFoundError, PermanentError, UsageError
from node.ledger import file_versions
from node.ledger.database import Ledger
from node.ledger.file_versions import FileVersion
from node.store.durable import sync_folder


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """The configuration itself, or a file of rules that it names."""

    name: str
    """Its path from the folder of the configuration."""
    path: Path
    """Where it really is."""


@dataclass(frozen=True, slots=True)
class FileText:
    """What a file says now."""

    text: str
    digest: str
    """SHA-256 of its bytes."""


@dataclass(frozen=True, slots=True)
class FileEdit:
    """What is to be written."""

    file: ConfigurationFile
    base: str
    """The digest of the text that it was made from."""
    text: str


def files(in_force: InForce) -> list[ConfigurationFile]:
    """The configuration, then the files of rules that are in force, by name."""
    folder = in_force.folder
    found = {in_force.path.resolve(): in_force.path.name}
    for pattern in in_force.patterns:
        for name in sorted(glob.glob(pattern, root_dir=folder, recursive=True)):
            path = folder / name
            if path.is_file():
                found.setdefault(path.resolve(), os.path.relpath(path, folder))
    return [ConfigurationFile(name, path) for path, name in found.items()]


def named(in_force: InForce, name: str) -> ConfigurationFile:
    """The file that is called so; NotFoundError, whatever else the name may lead to."""
    for each in files(in_force):
        if each.name == name:
            return each
    raise NotFoundError("the configuration has no such file")


def read(file: ConfigurationFile) -> FileText:
    """What it says. PermanentError where it cannot be read as text."""
    try:
        with file.path.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise PermanentError(f"{file.name} is larger than {LARGEST_FILE} bytes")
        return FileText(content.decode("utf-8-sig"), hashlib.sha256(content).hexdigest())
    except OSError as error:
        raise PermanentError(f"{file.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PermanentError(f"{file.name} is not UTF-8") from error


def is_replaceable(file: ConfigurationFile) -> bool:
    """Whether the node's user can put another file in its place: not where a service may only read its folder."""
    return os.access(file.path.parent, os.W_OK)


def versions(ledger: Ledger, file: ConfigurationFile) -> Sequence[FileVersion]:
    """Its texts that are kept, the newest first."""
    with ledger.reading() as database:
        return file_versions.of_file(database, str(file.path))


def earlier_text(ledger: Ledger, file: ConfigurationFile, number: int) -> str:
    """A text that is kept; NotFoundError."""
    with ledger.reading() as database:
        return file_versions.text_of(database, str(file.path), number)


def write(ledger: Ledger, edit: FileEdit, at: datetime, by: Actor) -> ActionOutcome:
    """Replace the file, as a whole or not at all; the text has to be checked before.

    Raises NotAllowedError, UsageError where the text is too long, PermanentError where the file was changed since the
    edit began, or cannot be replaced as it is.
    """
    require(by, Right.CHANGE_RULES)
    file, content = edit.file, edit.text.encode()
    if len(content) > LARGEST_FILE:
        raise UsageError(f"{file.name} would be larger than {LARGEST_FILE} bytes")
    before = _unchanged(edit)
    digest = hashlib.sha256(content).hexdigest()
    if digest == before.digest:
        raise UsageError(f"{file.name} says this already")
    part = file.path.with_name(f".{file.path.name}.{secrets.token_hex(4)}.part")
    try:
        _write_beside(file, part, content)
        with ledger.transaction() as database:
            _unchanged(edit)
            file_versions.found(
                database, at, str(file.path), before.digest, before.text, "somebody, not in the console"
            )
            told = {"name": file.name, "replaced": before.digest}
            file_versions.written(database, at, str(file.path), digest, edit.text, str(by), **told)
            part.rename(file.path)
        sync_folder(file.path.parent)
    except OSError as error:
        raise PermanentError(f"{file.name} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return ActionOutcome(f"{file.name} is written; the running node takes it up in a few seconds", {"digest": digest})


def _unchanged(edit: FileEdit) -> FileText:
    found = read(edit.file)
    if found.digest != edit.base:
        raise PermanentError(
            f"{edit.file.name} was changed since you began: nothing was written. Your draft is kept: compare it with"
            " what the file says now"
        )
    return found


def _write_beside(file: ConfigurationFile, part: Path, content: bytes) -> None:
    """The new text as a file of the same owner and mode, durable; PermanentError where that cannot be."""
    known = file.path.stat()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        made = os.fstat(descriptor)
        if (made.st_uid, made.st_gid) != (known.st_uid, known.st_gid):
            try:
                os.fchown(descriptor, known.st_uid, known.st_gid)
            except PermissionError as error:
                raise PermanentError(
                    f"{file.name} belongs to another user than the node's, and could not be kept so: give it to the"
                    " node's user, or edit it on the machine"
                ) from error
        os.fchmod(descriptor, stat.S_IMODE(known.st_mode))
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
