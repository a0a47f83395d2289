"""Schema 0056: what files of the configuration said when somebody wrote them in the console, and who it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make it; what files said before is not known."""
    for statement in _TABLES:
        database.execute(statement)


_TABLES = (
    """
    CREATE TABLE file_versions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        file TEXT NOT NULL,
        digest TEXT NOT NULL,
        text TEXT NOT NULL,
        by TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX file_versions_by_file ON file_versions (file, id)",
)
