"""Whether a stored image is still what was received: its data set has the SHA-256 that the ledger keeps of it.

A flipped bit or a truncated file must end as an alert, never as a result. Whoever reads a stored image for something
that leaves the node asks here first; a copy is verified in the same pass that makes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from node.errors import PermanentError
from node.ledger import events
from node.ledger.database import Database
from node.ledger.events import Severity
from node.ledger.instances import Instance
from node.store.arrival import NotOurFileError, read_arrival

_PIECE = 1 << 20


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


def alert(database: Database, at: datetime, error: DamagedError, instance: Instance, job: str) -> None:
    """Write it into the history of the job: a person has to look at the disk, and have the image sent again."""
    events.record(
        database,
        at,
        "instance.damaged",
        study=instance.study_instance_uid,
        job=job,
        severity=Severity.ALERT,
        receipt=instance.receipt,
        file=str(error.path),
        reason=error.reason,
    )
