"""A site that a person watches in the console: its configuration in force, and a ledger with a past."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from node.clock import SystemClock
from node.config import in_force
from node.config.in_force import FILE as IN_FORCE
from node.config.in_force import InForce
from node.desk import site
from node.ledger.database import FILE, Ledger
from node.ledger.refused_callers import add
from node.store.callers import RefusedCaller
from tests.support.console import ConsoleClient
from tests.support.sites.past import CONFIG, tell


class WatchedSite:
    """The site; `visitor` is one browser."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        """`extra`: more of the configuration."""
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG + extra)
        self.data = folder / "data"
        self.data.mkdir()
        in_force.write(InForce.of(site.read(self.config), SystemClock().now(), "os:test"))
        self.ledger = Ledger(self.data / FILE)
        with self.ledger.transaction() as database:
            tell(database)

    def visitor(self) -> ConsoleClient:
        """Somebody who has just opened a browser."""
        return ConsoleClient(self.data / IN_FORCE, self.data)

    def ended_now(self) -> None:
        """What the past has happened today: its jobs ended a minute ago, its studies came then."""
        now = SystemClock().now() - timedelta(minutes=1)
        text = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        earlier = (now - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self.ledger.transaction() as database:
            database.execute(
                "UPDATE jobs SET finished_at=?, images_complete_at=? WHERE outcome IS NOT NULL", [text, earlier]
            )
            database.execute("UPDATE studies SET last_received_at=?", [earlier])

    def refused(self, title: str, address: str) -> None:
        """A caller was refused a moment ago."""
        at = SystemClock().now()
        caller = RefusedCaller(title, "PACSNODE", address, "calling AE title not recognised", 3, at)
        with self.ledger.transaction() as database:
            add(database, at, [caller])
