"""Texts of the files of the configuration: what the console wrote, and what that replaced."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.errors import NotFoundError
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query

_KEPT = 50
"""Texts of one file; older ones go when another is written."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """What a file said from a moment on."""

    id: int
    file: str
    """Its absolute path, without links."""
    digest: str
    """SHA-256 of the text as bytes."""
    by: str
    """Who wrote it: an actor, or in words where it was not written in the console."""
    at: datetime
    """When it was written, or, of a text that was not written in the console, found."""


def found(database: Database, at: datetime, file: str, digest: str, text: str, by: str) -> None:
    """Keep what a file says before it is replaced, where that is not the text that was kept last."""
    newest = one(database, "SELECT digest FROM file_versions WHERE file=? ORDER BY id DESC LIMIT 1", [file])
    if newest is None or newest["digest"] != digest:
        _keep(database, at, file, digest, text, by)


def written(database: Database, at: datetime, path: str, digest: str, text: str, by: str, **told: Any) -> None:
    """Keep what a file says from now on, with an event that has what is `told` of it."""
    _keep(database, at, path, digest, text, by)
    events.record(database, at, EventKind.CONFIGURATION_WRITTEN, actor=by, digest=digest, **told)


def of_file(database: Database, file: str) -> list[FileVersion]:
    """All that is kept of a file, newest first, without the texts."""
    rows = query(database, "SELECT id, file, digest, by, at FROM file_versions WHERE file=? ORDER BY id DESC", [file])
    return [FileVersion(row["id"], row["file"], row["digest"], row["by"], from_text(row["at"])) for row in rows]


def text_of(database: Database, file: str, number: int) -> str:
    """What a version of a file says; NotFoundError."""
    row = one(database, "SELECT text FROM file_versions WHERE id=? AND file=?", [number, file])
    if row is None:
        raise NotFoundError("this text of the file is not kept")
    return str(row["text"])


def writer(database: Database, file: str, digest: str) -> str | None:
    """Who wrote in the console what the file says now; None where nobody did."""
    row = one(database, "SELECT digest, by FROM file_versions WHERE file=? ORDER BY id DESC LIMIT 1", [file])
    return str(row["by"]) if row is not None and row["digest"] == digest else None


def _keep(database: Database, at: datetime, file: str, digest: str, text: str, by: str) -> None:
    database.execute(
        "INSERT INTO file_versions (file, digest, text, by, at) VALUES (?,?,?,?,?)",
        [file, digest, text, by, to_text(at)],
    )
    database.execute(
        "DELETE FROM file_versions WHERE file=? AND id NOT IN"
        " (SELECT id FROM file_versions WHERE file=? ORDER BY id DESC LIMIT ?)",
        [file, file, _KEPT],
    )
