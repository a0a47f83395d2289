"""An upgrade that is under way, as a file in the data folder: whoever starts next knows how far it had come.

upgrade/record.json   of the upgrade under way; not there otherwise
upgrade/last.json     of the one before, with what came of it
upgrade/ledger.db     the ledger as it was before the last upgrade
upgrade/journal/      messages that the ledger took during an upgrade: it may still go back
upgrade/lock          locked by the process that carries the upgrade out
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from node.errors import PermanentError, TransientError
from node.store.durable import write_durably

FOLDER = "upgrade"
JOURNAL = "journal"
_RECORD, _LAST, _LOCK = "record.json", "last.json", "lock"


class UpgradeStep(StrEnum):
    """What is being done; written down before it begins."""

    STOPPING = "stopping"
    """The node lets associations end, and stops."""
    COPYING = "copying"
    """The ledger is copied. Up to here nothing has changed."""
    MIGRATING = "migrating"
    """The new release brings the ledger up to date."""
    STARTING = "starting"
    """`current` names the new release, which starts and is checked."""
    GOING_BACK = "going_back"
    """It failed, or a person wants the release before: that one gets its ledger again, and starts."""


@dataclass(frozen=True, slots=True)
class UpgradeRecord:
    """One upgrade."""

    before: str
    """The release that it starts from."""
    after: str
    """The release that it goes to."""
    step: UpgradeStep
    command: str
    """`pacsnode` of the release before."""
    began_at: str
    reason: str = ""
    """Why it goes back."""
    outcome: str = ""
    """In words, once it is over."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each step took."""


def read(data: Path) -> UpgradeRecord | None:
    """The upgrade under way, whether or not anybody works on it; PermanentError where the file is damaged."""
    return _read(data / FOLDER / _RECORD)


def last(data: Path) -> UpgradeRecord | None:
    """The last one that is over."""
    return _read(data / FOLDER / _LAST)


def is_open(data: Path) -> bool:
    """Whether an upgrade is under way."""
    return (data / FOLDER / _RECORD).exists()


def write(data: Path, record: UpgradeRecord) -> UpgradeRecord:
    """From now on; durable when it returns."""
    _write(data / FOLDER / _RECORD, record)
    return record


def end(data: Path, record: UpgradeRecord, outcome: str) -> UpgradeRecord:
    """It is over, with this outcome in words."""
    over = replace(record, outcome=outcome)
    _write(data / FOLDER / _LAST, over)
    (data / FOLDER / _RECORD).unlink(missing_ok=True)
    return over


def make_folder(data: Path) -> Path:
    """The folder, which belongs to whom the data folder belongs to, whoever upgrades."""
    folder = data / FOLDER
    for each in (folder, folder / JOURNAL):
        each.mkdir(mode=0o700, exist_ok=True)
        _give(each, data)
    return folder


@contextmanager
def held(data: Path) -> Iterator[None]:
    """While this process carries an upgrade out; TransientError where another one does."""
    descriptor = _lock_file(data)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(f"{data}: an upgrade is under way") from None
        yield
    finally:
        os.close(descriptor)


def is_held(data: Path) -> bool:
    """Whether a process carries an upgrade out."""
    try:
        with held(data):
            return False
    except TransientError:
        return True


def _lock_file(data: Path) -> int:
    path = make_folder(data) / _LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _give(path, data)
    return descriptor


def _read(path: Path) -> UpgradeRecord | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return UpgradeRecord(**{**said, "step": UpgradeStep(said["step"])})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError(f"{path}: damaged ({error})") from error


def _write(path: Path, record: UpgradeRecord) -> None:
    write_durably(path, json.dumps(asdict(record), indent=1).encode())
    _give(path, path.parent.parent)


def _give(path: Path, data: Path) -> None:
    """Root upgrades, and the node's own user has to read and remove it."""
    if os.geteuid() == 0:
        owner = data.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
