"""Whether a stored image is still what was received: its data set has the SHA-256 that the ledger keeps of it.

A flipped bit or a truncated file must end as an alert, never as a result. Whoever reads a stored image for something
that leaves the node asks here first; a copy is verified in the same pass that makes it.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from node.errors import PermanentError
from node.ledger import alerts, said
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Database
from node.ledger.event_kinds import EventKind
from node.ledger.instances import Instance
from node.store.arrival import NotOurFileError, read_arrival
from node.store.layout import DataFolder

_PIECE = 1 << 20
_OTHER = "its SHA-256 is not the one of what was received"


class DamagedError(PermanentError):
    """A stored image is not what was received; the text is for the admin and names the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def verify(path: Path, digest: str, transfer_syntax_uid: str) -> None:
    """Read the whole file and compare it with what the ledger has of it.

    `digest`: SHA-256 of the data set as received, in hexadecimal. Raises `DamagedError`; OSError where the file
    cannot be read.
    """
    for _ in _verified(path, digest, transfer_syntax_uid):
        pass


def copy(source: Path, target: Path, digest: str, transfer_syntax_uid: str) -> None:
    """Copy the file, verified while it is read; after `DamagedError` the target is no copy of anything."""
    with target.open("wb") as out:
        for piece in _verified(source, digest, transfer_syntax_uid):
            out.write(piece)


def data_set(path: Path, digest: str, transfer_syntax_uid: str) -> memoryview:
    """The verified data set, mapped; raises as `verify` does."""
    offset = _offset(path, transfer_syntax_uid)
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[offset:]
    if hashlib.sha256(data).hexdigest() != digest:
        raise DamagedError(path, _OTHER)
    return data


def _offset(path: Path, transfer_syntax_uid: str) -> int:
    """Where the data set begins."""
    try:
        arrival, offset = read_arrival(path)
    except NotOurFileError as error:
        raise DamagedError(path, str(error)) from error
    if arrival.transfer_syntax_uid != transfer_syntax_uid:  # the digest is of the data set alone
        raise DamagedError(path, f"its transfer syntax is {arrival.transfer_syntax_uid}, not {transfer_syntax_uid}")
    return offset


def _verified(path: Path, digest: str, transfer_syntax_uid: str) -> Iterator[bytes]:
    """The file piece by piece; raises at its end at the latest."""
    offset = _offset(path, transfer_syntax_uid)
    found = hashlib.sha256()
    with path.open("rb") as file:
        yield file.read(offset)
        while piece := file.read(_PIECE):
            found.update(piece)
            yield piece
    if found.hexdigest() != digest:
        raise DamagedError(path, _OTHER)


@dataclass(frozen=True, slots=True)
class Damage:
    """An image whose file is missing or not what was received."""

    instance: Instance
    error: DamagedError


def missing(instance: Instance, data_folder: DataFolder) -> Damage:
    """What is said of an image whose file is not there any more."""
    return Damage(instance, DamagedError(data_folder.stored(instance.receipt), "the file is missing"))


def alert(database: Database, at: datetime, damages: Sequence[Damage], study: str, job: str) -> None:
    """Write damaged and missing images of a job into its history: a person looks at the disk and has them sent again.

    One alert names them all. Those that an earlier alert of the job has named are not told again.
    """
    kind = EventKind.INSTANCE_DAMAGED
    new = [each for each in damages if said.once(database, kind, job, each.instance.receipt)]
    if new:
        alerts.raised(
            database,
            at,
            AlertKind.INSTANCE_DAMAGED,
            job,
            study=study,
            job=job,
            receipts=[each.instance.receipt for each in new],
            files=[str(each.error.path) for each in new],
            reasons=sorted({each.error.reason for each in new}),
        )
