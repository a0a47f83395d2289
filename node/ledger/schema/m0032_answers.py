"""Schema 0032: what people answer: waits that were ended, sets of faults that were seen to, identities that were taken.

`identities` keeps both sides of a comparison, so that a person sees them side by side; `adoptions` has the identity
under which results go to a destination since then, and `encodings` which of them an object was made under.
"""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make it; what was there has been answered by nobody."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    "ALTER TABLE timers ADD COLUMN ended_by TEXT",
    "ALTER TABLE withdrawals ADD COLUMN ended_by TEXT",
    "ALTER TABLE identities ADD COLUMN ours TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE identities ADD COLUMN theirs TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE identities ADD COLUMN said_at TEXT",
    "ALTER TABLE encodings ADD COLUMN adopted TEXT NOT NULL DEFAULT ''",
    """
    CREATE TABLE adoptions (
        id INTEGER PRIMARY KEY,
        study_instance_uid TEXT NOT NULL,
        destination TEXT NOT NULL,
        number INTEGER NOT NULL,
        identity TEXT NOT NULL,
        by TEXT NOT NULL,
        at TEXT NOT NULL,
        open INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX adoptions_open ON adoptions (id) WHERE open=1",
    "CREATE UNIQUE INDEX adoptions_by_study ON adoptions (study_instance_uid, destination, number)",
    """
    CREATE TABLE dismissals (
        kind TEXT NOT NULL,
        place TEXT NOT NULL,
        up_to INTEGER NOT NULL,
        by TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (kind, place)
    ) STRICT, WITHOUT ROWID
    """,
)
