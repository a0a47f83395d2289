"""Files that rows promise, with the digests that were recorded when they were received or made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from node.ledger.connection import Database
from node.ledger.rows import one


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
    rows = database.execute(f"SELECT receipt, instances.digest, transfer_syntax_uid {_IMAGES} ORDER BY receipt")
    return (PromisedImage(*row) for row in rows)


def is_image(database: Database, receipt: str) -> bool:
    """Whether the file of this receipt is promised now."""
    return one(database, f"SELECT 1 {_IMAGES} AND receipt=?", [receipt]) is not None


_IMAGES = "FROM instances LEFT JOIN studies USING (study_instance_uid) WHERE coalesce(images, 'here')='here'"


def objects(database: Database) -> Iterator[tuple[str, str]]:
    """The file of each result object, relative to the data folder, and its SHA-256.

    Not those of jobs whose files retention has removed, or is removing: their rows stay.
    """
    rows = database.execute(f"SELECT file, objects.digest {_OBJECTS} ORDER BY file")
    return ((file, digest) for file, digest in rows)


def is_object(database: Database, file: str) -> bool:
    """Whether this file of a result is promised now."""
    return one(database, f"SELECT 1 {_OBJECTS} AND file=?", [file]) is not None


_OBJECTS = "FROM objects JOIN jobs ON jobs.id=objects.job WHERE jobs.files='here'"
