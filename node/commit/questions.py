"""What an archive is asked for: questions of two kinds, each kept in a docket of its own (`node.commit.asking`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from node.config.models import Configuration
from node.items import Item
from node.ledger.database import Database


class ArchiveQuestion(Protocol):
    """What an archive is asked under one Transaction UID. Each method is called within a transaction."""

    @property
    def item(self) -> Item:
        """What an unexpected exception costs."""
        ...

    def begin(self, database: Database, now: datetime, again_at: datetime) -> tuple[str, Sequence[tuple[str, str]]]:
        """A new Transaction UID, and SOP class and SOP instance UID of what is still open; nothing where none is."""
        ...

    def taken(self, database: Database) -> None:
        """The archive has taken the request and not reported yet."""
        ...

    def wait(self, database: Database, now: datetime, error: str, *, rejected: bool = False) -> None:
        """It could not be asked, or did not take the request: again with back-off."""
        ...


class Docket(Protocol):
    """Questions of one kind to one archive."""

    def use(self, configuration: Configuration) -> None:
        """From now on: how the archive is treated, and for whom it is asked."""
        ...

    def prepare(self) -> timedelta | None:
        """Make new questions, and settle what is late; in how long that has to be done again, where that is known."""
        ...

    def due(self) -> Sequence[ArchiveQuestion]:
        """What is to be asked now; what was asked for in vain goes after the rest, because it may take time again."""
        ...

    def next_at(self) -> datetime | None:
        """When the next of what is still open is due."""
        ...

    def accepted(self) -> None:
        """The archive has accepted the SOP class for a question of this docket."""
        ...

    def refused(self, error: str) -> bool:
        """The archive does not accept the SOP class; whether that is noted, so that the question need not wait."""
        ...
