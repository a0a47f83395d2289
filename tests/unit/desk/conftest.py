"""A site with a past, and nobody who types."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ledger.database import FILE, Ledger
from tests.support.sites.past import CONFIG, tell


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A right configuration; its data folder is empty."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    (tmp_path / "data").mkdir()
    return path


@pytest.fixture
def ledger(config: Path) -> Ledger:
    """The site's ledger, with the story that `tests.support.past` tells."""
    made = Ledger(config.parent / "data" / FILE)
    with made.transaction() as database:
        tell(database)
    return made
