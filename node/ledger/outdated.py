"""Which studies and jobs are old enough to go, the oldest first, and how much there is of them.

Whether anything still needs one of them is another question: `node.ledger.needed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from node.clock import to_text
from node.ledger.connection import Database
from node.ledger.purges import PurgeKind
from node.ledger.rows import one, query

_PAGE = 100
_WANTED = (
    "EXISTS (SELECT 1 FROM decisions WHERE decisions.study_instance_uid=studies.study_instance_uid"
    " AND outcome<>'not_matched') OR EXISTS (SELECT 1 FROM job_studies WHERE study=studies.study_instance_uid)"
)
_OF = "FROM instances WHERE instances.study_instance_uid=studies.study_instance_uid"
_FETCHED = f"EXISTS (SELECT 1 {_OF}) AND NOT EXISTS (SELECT 1 {_OF} AND origin<>'retrieved')"
_KINDS = {
    PurgeKind.FETCHED: _FETCHED,
    PurgeKind.UNMATCHED: f"NOT ({_FETCHED}) AND NOT ({_WANTED}) AND EXISTS (SELECT 1 {_OF})",
    PurgeKind.IMAGES: f"NOT ({_FETCHED}) AND ({_WANTED}) AND EXISTS (SELECT 1 {_OF})",
}
"""Each study with images is of exactly one class."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is of something."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        """Of both."""
        return Amount(self.files + other.files, self.bytes + other.bytes)


def studies(database: Database, kind: PurgeKind, before: datetime) -> Iterator[str]:
    """Studies of this class with images here, of which nothing arrived since `before`; the oldest first.

    Read a page at a time, so that they may be removed meanwhile.
    """
    last = ("", "")
    while True:
        rows = query(
            database,
            "SELECT study_instance_uid AS study, last_received_at AS at FROM studies INDEXED BY studies_with_images"  # noqa: S608 - texts of ours
            " WHERE images='here' AND images<>'gone' AND last_received_at<?"
            f" AND (last_received_at, study_instance_uid)>(?,?) AND {_KINDS[kind]}"
            f" ORDER BY last_received_at, study_instance_uid LIMIT {_PAGE}",
            [to_text(before), *last],
        )
        yield from (row["study"] for row in rows)
        if len(rows) < _PAGE:
            return
        last = (rows[-1]["at"], rows[-1]["study"])


def jobs(database: Database, before: datetime) -> Iterator[str]:
    """Jobs with files here that were over before `before`; the oldest first, a page at a time."""
    last = ("", "")
    while True:
        rows = query(
            database,
            "SELECT id, finished_at AS at FROM jobs INDEXED BY jobs_with_files WHERE files='here' AND files<>'gone'"  # noqa: S608 - our own text
            " AND finished_at<? AND status IN ('reported', 'unreportable', 'cancelled') AND (finished_at, id)>(?,?)"
            f" ORDER BY finished_at, id LIMIT {_PAGE}",
            [to_text(before), *last],
        )
        yield from (row["id"] for row in rows)
        if len(rows) < _PAGE:
            return
        last = (rows[-1]["at"], rows[-1]["id"])


def kind_of(database: Database, study: str) -> PurgeKind | None:
    """The class of a study; None where no image of it is here."""
    for kind, condition in _KINDS.items():
        sql = f"SELECT 1 FROM studies WHERE study_instance_uid=? AND images='here' AND {condition}"  # noqa: S608 - texts of ours
        if one(database, sql, [study]):
            return kind
    return None


def amount(database: Database, study: str) -> Amount:
    """Received files of a study, and their bytes."""
    sql = "SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM instances WHERE study_instance_uid=?"
    row = one(database, sql, [study])
    assert row is not None, "a count is one row"
    return Amount(row["n"], row["bytes"])


def received_since(database: Database, since: datetime) -> int:
    """Bytes of all that was received since then, whether it is still here or not."""
    sums = (
        "SELECT sum(instances.bytes) FROM studies JOIN instances USING (study_instance_uid)"
        " WHERE last_received_at>=:since AND received_at>=:since",
        "SELECT sum(purges.bytes) FROM purges JOIN studies USING (study_instance_uid)"
        " WHERE ended_at>=:since AND first_received_at>=:since",
    )
    rows = [one(database, f"SELECT coalesce(({sql}), 0) AS n", {"since": to_text(since)}) for sql in sums]
    return sum(int(row["n"]) for row in rows if row)


def removed_since(database: Database, since: datetime) -> int:
    """Bytes of images that retention has removed since then."""
    row = one(database, "SELECT coalesce(sum(bytes), 0) AS n FROM purges WHERE ended_at>=?", [to_text(since)])
    assert row is not None, "a sum is one row"
    return int(row["n"])


def first_received_at(database: Database) -> str | None:
    """When the first study that the ledger knows began to arrive."""
    row = one(database, "SELECT min(first_received_at) AS at FROM studies")
    return row["at"] if row else None


def is_running(database: Database, job: str) -> bool:
    """Whether an attempt at a job of this name is open: its working files are in use."""
    return one(database, "SELECT 1 FROM attempts WHERE job=? AND ended_at IS NULL", [job]) is not None


def is_being_sent(database: Database, delivery: str) -> bool:
    """Whether the delivery of this number is under way: its copy is in use."""
    return one(database, "SELECT 1 FROM deliveries WHERE id=? AND status='sending'", [delivery]) is not None


def has_files(database: Database, job: str) -> bool:
    """Whether a job of this name may have files in `results/`."""
    return one(database, "SELECT 1 FROM jobs WHERE id=? AND files<>'gone'", [job]) is not None


def is_behind_store(database: Database) -> bool:
    """Whether the ledger was lost or restored, so that it does not know what else it lacks."""
    return one(database, "SELECT 1 FROM alerts WHERE kind='ledger.behind-store' AND closed_at IS NULL") is not None
