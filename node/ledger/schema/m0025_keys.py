"""Schema 0025: with which secret the pseudonyms of an attempt were made, by its name."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Of attempts of before it is not known."""
    database.execute("ALTER TABLE attempts ADD COLUMN pseudonym_key TEXT")
    database.execute(
        "CREATE INDEX attempts_by_key ON attempts (pseudonym_key, started_at) WHERE pseudonym_key IS NOT NULL"
    )
