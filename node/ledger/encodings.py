"""How the objects of a job were encoded, once for each way: what is re-encoded later comes out alike."""

from __future__ import annotations

import json
from dataclasses import dataclass

from node.ledger.connection import Database
from node.ledger.rows import one, to_json

Reference = tuple[str, str, str, str]
"""UIDs of study, series, SOP instance and SOP class."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """One row of `encodings`."""

    job: str
    name: str
    """Of its folder under the job's results; `encoding` of its objects."""
    profile: str
    """The encoding profile of then, in the words of the stage `results`."""
    supersedes: tuple[Reference, ...]
    """The earlier reports that its report names."""
    says_why: bool
    """It does not hold the result, but why that could not be reported."""
    missing: tuple[tuple[str, int], ...] = ()
    """Kind and number of the objects that could not be written."""
    revision: str = ""
    """Of which revision it is and what it replaces, in the words of the stage `results`; empty of the first."""
    adopted: str = ""
    """Under which patient and order of the destination, in the words of the stage `results`; empty: the images'."""
    computed_from: str = ""
    """On which earlier results it rests, in the words of the stage `results`; empty: on none."""


def insert(database: Database, encoding: Encoding) -> None:
    """Record it; encoding again is the same row."""
    database.execute(
        "INSERT OR IGNORE INTO encodings (job, name, profile, supersedes, says_why, missing, revision, adopted,"
        " computed_from) VALUES (?,?,?,?,?,?,?,?,?)",
        [
            encoding.job,
            encoding.name,
            encoding.profile,
            to_json(encoding.supersedes),
            int(encoding.says_why),
            to_json(encoding.missing),
            encoding.revision,
            encoding.adopted,
            encoding.computed_from,
        ],
    )


def get(database: Database, job: str, name: str) -> Encoding | None:
    """The encoding of this name; None where there is none (objects of before schema 0010)."""
    row = one(database, "SELECT * FROM encodings WHERE job=? AND name=?", [job, name])
    if row is None:
        return None
    supersedes = tuple((study, series, uid, kind) for study, series, uid, kind in json.loads(row["supersedes"]))
    missing = tuple((kind, number) for kind, number in json.loads(row["missing"]))
    return Encoding(**{**row, "supersedes": supersedes, "says_why": bool(row["says_why"]), "missing": missing})
