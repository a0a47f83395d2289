"""A ledger in a folder of the test's own, with one complete study."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.ledger import studies
from node.ledger.database import Ledger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger.db")
    with made.transaction() as database:
        studies.received(
            database,
            NOW,
            study="1.2",
            patient_id="P1",
            issuer_of_patient_id="",
            accession_number="A1",
            association="a1",
            received_at=NOW,
            due_at=NOW,
        )
        studies.complete(database, NOW, "1.2")
    return made
