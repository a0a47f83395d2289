"""Files that rows promise, with the digests that were recorded when they were received or made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from node.ledger.connection import Database


class PromisedImage(NamedTuple):
    """A received file that has to be there."""

    receipt: str
    digest: str
    """SHA-256 of the data set as received."""
    transfer_syntax_uid: str


def images(database: Database) -> Iterator[PromisedImage]:
    """All of them, sorted by receipt; not those of studies whose images retention has removed, or is removing.

    Read as they are asked for, because there may be millions.
    """
    rows = database.execute(
        "SELECT receipt, instances.digest, transfer_syntax_uid FROM instances LEFT JOIN studies"
        " USING (study_instance_uid) WHERE coalesce(images, 'here')='here' ORDER BY receipt"
    )
    return (PromisedImage(*row) for row in rows)


def objects(database: Database) -> Iterator[tuple[str, str]]:
    """The file of each result object, relative to the data folder, and its SHA-256."""
    return ((file, digest) for file, digest in database.execute("SELECT file, digest FROM objects ORDER BY file"))
