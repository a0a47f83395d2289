"""Whether a stored image is still what was received: its data set has the SHA-256 that the ledger keeps of it.

A flipped bit or a truncated file must end as an alert, never as a result. Whoever reads a stored image for something
that leaves the node asks here first; a copy is verified in the same pass that makes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from node.errors import PermanentError
from node.ledger import events
from node.ledger.database import Database
from node.ledger.events import Severity
from node.ledger.instances import Instance
from node.store.arrival import NotOurFileError, read_arrival
from node.store.layout import Spool

_PIECE = 1 << 20
_DAMAGED = "instance.damaged"


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


def _verified(path: Path, digest: str, transfer_syntax_uid: str) -> Iterator[bytes]:
    """The file piece by piece; raises at its end at the latest."""
    try:
        arrival, offset = read_arrival(path)
    except NotOurFileError as error:
        raise DamagedError(path, str(error)) from error
    if arrival.transfer_syntax_uid != transfer_syntax_uid:  # the digest is of the data set alone
        raise DamagedError(path, f"its transfer syntax is {arrival.transfer_syntax_uid}, not {transfer_syntax_uid}")
    found = hashlib.sha256()
    with path.open("rb") as file:
        yield file.read(offset)
        while piece := file.read(_PIECE):
            found.update(piece)
            yield piece
    if found.hexdigest() != digest:
        raise DamagedError(path, "its SHA-256 is not the one of what was received")


@dataclass(frozen=True, slots=True)
class Damage:
    """An image whose file is missing or not what was received."""

    instance: Instance
    error: DamagedError


def missing(instance: Instance, spool: Spool) -> Damage:
    """What is said of an image whose file is not there any more."""
    return Damage(instance, DamagedError(spool.stored(instance.receipt), "the file is missing"))


def alert(database: Database, at: datetime, damages: Sequence[Damage], study: str, job: str) -> None:
    """Write damaged and missing images of a job into its history: a person looks at the disk and has them sent again.

    One alert names them all. Those that an earlier alert of the job has named are not told again.
    """
    told = {receipt for event in events.of_job(database, job, _DAMAGED) for receipt in event.detail.get("receipts", ())}
    new = [each for each in damages if each.instance.receipt not in told]
    if new:
        events.record(
            database,
            at,
            _DAMAGED,
            study=study,
            job=job,
            severity=Severity.ALERT,
            receipts=[each.instance.receipt for each in new],
            files=[str(each.error.path) for each in new],
            reasons=sorted({each.error.reason for each in new}),
        )
