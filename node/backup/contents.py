"""Which files of a data folder belong in a backup, and where they are while the node goes on.

What is looked at first is what may move: while nobody can write to the ledger (`DataFolderState.look`), `incoming/` is
listed and the messages in `journal/` are copied. What was answered with success before that moment is then either a row
of the copied ledger, or in that list. A received file keeps its name, its receipt, wherever the indexer moves it
meanwhile, and `DataFolder.find` finds it there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node.accounts.database import FILE as ACCOUNTS
from node.accounts.database import Accounts
from node.audit import trail
from node.backup.manifest import order_of
from node.config.in_force import FILE as IN_FORCE
from node.ledger import copies, instances
from node.ledger.connection import Database
from node.store import device, keys, seal
from node.store.layout import DataFolder

CONFIGURATION = "configuration"
"""Where the files of the configuration are in a backup, each under its own absolute path."""
_JOURNAL = "journal"
_DICOM = ".dcm"
_SOME = 500


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to be backed up."""

    path: str
    """In the backup, and in a data folder that is restored from it."""
    file: Path
    """Where it is now."""
    needed: bool = False
    """The ledger or a promise needs it: where it is missing, somebody has to know."""
    receipt: str = ""
    """Of a received image: by it the file is found wherever the indexer moves it."""
    is_indexed: bool = False
    """The ledger has a row of it: its content never changes."""


class DataFolderState:
    """What is not in the ledger yet, at the moment of a backup."""

    def __init__(self, data_folder: DataFolder, staging: Path) -> None:
        """`staging`: an empty folder for copies of what may be gone a moment later."""
        self._data_folder = data_folder
        self._staging = staging
        self._incoming: list[str] = []

    def look(self) -> None:
        """List and copy what may move; quick, and called while nobody writes to the ledger. Raises OSError."""
        self._incoming = os.listdir(self._data_folder.incoming)
        journal = self._data_folder.data / _JOURNAL
        for name in sorted(os.listdir(journal)) if journal.exists() else ():
            if name.endswith(".json"):
                shutil.copyfile(journal / name, self._staging / name)
        if (self._data_folder.data / ACCOUNTS).exists():
            accounts = Accounts(self._data_folder.data)
            accounts.copy_to(self._staging / ACCOUNTS)
            accounts.close()

    def sources(self, ledger: Database) -> Iterator[SourceFile]:
        """Every file of the backup, sorted by path; `ledger`: the copy that was made at that moment."""
        data = self._data_folder.data
        yield from _below(data, trail.folder_of(data))
        yield from sorted(_configuration(data), key=lambda each: order_of(each.path))
        if (self._staging / ACCOUNTS).exists():
            yield SourceFile(ACCOUNTS, self._staging / ACCOUNTS, needed=True)
        yield from _where_there(data, [device.FILE])
        yield from self._waiting(ledger)
        for name in sorted(name for name in os.listdir(self._staging) if name != ACCOUNTS):
            yield SourceFile(f"{_JOURNAL}/{name}", self._staging / name, needed=True)
        yield from _below(data, data / keys.FOLDER)
        for job in copies.result_folders(ledger):
            yield from _below(data, self._data_folder.results / job)
        yield from self._stored(ledger)

    def _waiting(self, ledger: Database) -> Iterator[SourceFile]:
        """Received files that are not in the ledger: they go back to `incoming/`, to be indexed."""
        found = sorted(dict(self._arrived()).items())
        known: frozenset[str] = frozenset()
        for start in range(0, len(found), _SOME):
            known |= instances.known(ledger, [receipt for receipt, _ in found[start : start + _SOME]])
        for receipt, file in found:
            if receipt not in known:
                yield SourceFile(f"incoming/{receipt}{_DICOM}", file, needed=True, receipt=receipt)

    def _arrived(self) -> Iterator[tuple[str, Path]]:
        """Receipts that were whole at that moment, and where they are now."""
        for name in self._incoming:
            path = self._data_folder.incoming / name
            stem, extension = os.path.splitext(name)
            sealed = seal.read(path) if extension in (".part", ".slot") else None
            if sealed is not None and seal.holds(path, sealed):
                yield sealed.receipt, path
                continue
            try:
                yield stem, self._data_folder.find(stem)
            except FileNotFoundError:  # in writing, or an empty slot: nothing was answered for it
                if extension == _DICOM:
                    yield stem, path

    def _stored(self, ledger: Database) -> Iterator[SourceFile]:
        """The files of all rows; most were in the backup before, so where they are now is looked at when it matters."""
        for receipt in copies.receipts(ledger):
            file = self._data_folder.stored(receipt)
            path = f"store/{receipt[:6]}/{receipt}{_DICOM}"
            yield SourceFile(path, file, needed=True, receipt=receipt, is_indexed=True)


def _configuration(data: Path) -> Iterator[SourceFile]:
    """What the node uses, and the files that said so; secrets that they only name are not among them."""
    in_force = data / IN_FORCE
    if not in_force.exists():
        return
    yield SourceFile(f"{CONFIGURATION}/{IN_FORCE}", in_force)
    try:
        said = json.loads(in_force.read_text(encoding="utf-8"))
        names = {str(said["path"]), *map(str, said.get("files", {}))}
    except (ValueError, KeyError, TypeError):  # not one that a node wrote
        return
    for name in names:
        file = Path(name)
        if file.is_absolute() and file.is_file():
            yield SourceFile(f"{CONFIGURATION}{os.path.normpath(name)}", file)


def _where_there(data: Path, names: Iterable[str]) -> Iterator[SourceFile]:
    return (SourceFile(name, data / name) for name in names if (data / name).exists())


def _below(data: Path, folder: Path) -> Iterator[SourceFile]:
    """All files below a folder, sorted; half-written ones are left out."""
    found = [
        Path(where) / name
        for where, _, names in os.walk(folder)
        for name in names
        if not name.endswith(".part") and (Path(where) / name).is_file()
    ]
    paths = sorted((each.relative_to(data).as_posix() for each in found), key=order_of)
    return (SourceFile(path, data / path) for path in paths)
