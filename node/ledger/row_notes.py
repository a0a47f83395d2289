"""What is noted of rows that cannot be read (`node.ledger.unreadable`), until an alert says it (`node.app.alerts`)."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowNote:
    """One row, as it was when it could not be read."""

    place: str
    """Its table and its key, with a blank between them."""
    study: str | None
    digest: str


class RowNotes:
    """What was noted by any thread and no alert says yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._new: list[RowNote] = []

    def add(self, note: RowNote) -> None:
        """Once, as long as the row stays as it is."""
        with self._lock:
            fresh = self._known.get(note.place) != note.digest
            self._known[note.place] = note.digest
            self._new += [note] if fresh else []

    def first(self) -> RowNote | None:
        """What was noted first and is not said yet."""
        with self._lock:
            return self._new[0] if self._new else None

    def said(self, note: RowNote) -> None:
        """An alert says it; until then it stays, because the ledger may be what cannot be written."""
        with self._lock:
            self._new.remove(note)
