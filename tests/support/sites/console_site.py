"""A site whose console is asked in this process: a configuration in force, a ledger with a past, users of each role."""

from __future__ import annotations

from pathlib import Path

from node.config import in_force
from node.config.console import ConsoleSettings
from node.config.in_force import FILE as IN_FORCE
from node.config.in_force import InForce
from node.desk import site
from node.ledger.database import FILE, Ledger
from tests.support.console import ConsoleClient
from tests.support.sites.past import CONFIG, NOW, tell


class ConsoleSite:
    """The site; `visitor` is one browser."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        """`extra`: more of the configuration."""
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG + extra)
        self.data = folder / "data"
        self.data.mkdir()
        in_force.write(InForce.of(site.read(self.config), NOW, "os:test"))
        self.ledger = Ledger(self.data / FILE)
        with self.ledger.transaction() as database:
            tell(database)

    def visitor(self, settings: ConsoleSettings | None = None) -> ConsoleClient:
        """Somebody who has just opened a browser."""
        return ConsoleClient(self.data / IN_FORCE, self.data, settings)
