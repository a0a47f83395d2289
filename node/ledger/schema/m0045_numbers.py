"""Schema 0045: the number of a row is never given again, although the row was removed.

SQLite gives the number of the newest row again once that row is gone. Events, alerts, journals and people go on naming
rows by their numbers, and would then mean another one. AUTOINCREMENT changes nothing of what is on the disk but the
table `sqlite_sequence`, so the text of the schema is changed as SQLite's documentation of ALTER TABLE says for such
changes: deliveries may be millions, and to rewrite them would take minutes.
"""

from __future__ import annotations

from sqlite_utils import Database

_PLAIN, _NUMBERED = "INTEGER PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT"
_WITHOUT = "events"
"""Its newest row always stays (`node.ledger.positions`), and each transaction writes to it."""
_KNOWN_OF_DELIVERIES = (
    "SELECT max(delivery) FROM events",
    "SELECT max(CAST(substr(place, 10) AS INTEGER)) FROM said WHERE place GLOB 'delivery:[0-9]*'",
)
"""Numbers of deliveries that were removed before, and that something still names."""


def migrate(database: Database) -> None:
    """Change each table that numbers its rows; its next number is above all that it has had, as far as is known."""
    database.execute(f"CREATE TABLE numbered (id {_NUMBERED}) STRICT")  # makes SQLite's own table of numbers
    database.execute("DROP TABLE numbered")
    tables = [
        name
        for (name,) in database.execute(
            "SELECT name FROM sqlite_schema WHERE type='table' AND sql LIKE '%id INTEGER PRIMARY KEY%' AND name<>?",
            [_WITHOUT],
        ).fetchall()
    ]
    for name in tables:
        database.execute(f"INSERT INTO sqlite_sequence SELECT '{name}', coalesce(max(id), 0) FROM {name}")  # noqa: S608 - our own tables
    for known in _KNOWN_OF_DELIVERIES:
        database.execute(f"UPDATE sqlite_sequence SET seq=max(seq, coalesce(({known}), 0)) WHERE name='deliveries'")  # noqa: S608 - our own text
    (version,) = database.execute("PRAGMA schema_version").fetchone()
    database.execute("PRAGMA writable_schema=ON")
    for name in tables:
        change = "UPDATE sqlite_schema SET sql=replace(sql, ?, ?) WHERE type='table' AND name=?"
        database.execute(change, [f"id {_PLAIN}", f"id {_NUMBERED}", name])
    database.execute(f"PRAGMA schema_version={version + 1}")
    database.execute("PRAGMA writable_schema=RESET")  # off, and the schema is read again
