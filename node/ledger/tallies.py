"""How many rows are in which status, without counting them: triggers keep these numbers (schema 0017).

A count of 60,000 deliveries takes 26 ms, and `status` asks for many; of these numbers it takes none.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger.connection import Database
from node.ledger.schema.m0017_ways import counting
from node.ledger.schema.m0029_commit_batches import COUNTING
from node.ledger.schema.m0050_measures import COUNTED, COUNTING_ALERTS

_QUERIES = (*(counting(table, COUNTED) for table in COUNTED), COUNTING, COUNTING_ALERTS)
"""What all tallies have to be."""


@dataclass(frozen=True, slots=True)
class WrongTally:
    """A number that is not what a count gives."""

    name: str
    place: str
    status: str
    tallied: int
    counted: int


def of(database: Database, name: str) -> dict[str, int]:
    """By status: how many rows of this name there are, in all places."""
    sql = "SELECT status, sum(n) AS n FROM tallies WHERE name=? GROUP BY status HAVING sum(n)>0"
    return {status: int(n) for status, n in database.execute(sql, [name]).fetchall()}


def by_place(database: Database, name: str) -> dict[str, dict[str, int]]:
    """The same for each place, such as the destinations of deliveries."""
    found: dict[str, dict[str, int]] = {}
    for place, status, n in database.execute("SELECT place, status, n FROM tallies WHERE name=? AND n>0", [name]):
        found.setdefault(place, {})[status] = int(n)
    return found


def wrong(database: Database) -> list[WrongTally]:
    """Where a tally is not what counting gives; counts every row, so it is for checks."""
    tallied = {(name, place, status): int(n) for name, place, status, n in database.execute("SELECT * FROM tallies")}
    counted = {(name, place, status): int(n) for each in _QUERIES for name, place, status, n in database.execute(each)}
    return [
        WrongTally(*key, tallied.get(key, 0), counted.get(key, 0))
        for key in sorted(tallied.keys() | counted.keys())
        if tallied.get(key, 0) != counted.get(key, 0)
    ]


def count_again(database: Database) -> None:
    """Count every row; takes seconds where there are millions."""
    database.execute("DELETE FROM tallies")
    for each in _QUERIES:
        database.execute(f"INSERT INTO tallies {each}")
