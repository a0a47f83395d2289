"""Refused callers come from the journal into the ledger (finding O3)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from node.app.refused import RefusedCallerIntake
from node.ledger import refused_callers
from node.ledger.database import Ledger
from node.stage import Node
from node.store.callers import RefusedCaller
from node.store.journal import Journal
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support.clocks import HandClock


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"address": "10.0.0.1"}]', '{"a": 1}', "null"])
def test_finding_o3_a_file_that_cannot_be_read_costs_no_other(tmp_path: Path, content: str) -> None:
    """It is dropped; counts of the same hour are added up, and leave the list after a day."""
    clock, journal, ledger = HandClock(), Journal(tmp_path), Ledger(tmp_path / "ledger.db")
    caller = RefusedCaller("MR", "PACSNODE", "10.0.0.1", "why", 3, clock.now())
    journal.note_refused("1", [caller])
    (journal.folder / "2.refused").write_text(content)
    journal.note_refused("3", [caller])
    RefusedCallerIntake(Node(ledger, DataFolder(tmp_path), clock, Wakes()), journal).run_once()
    assert journal.refused() == []
    (found,) = refused_callers.recent(ledger.database, clock.now(), 10)
    assert (found.calling_ae_title, found.times, found.last_at) == ("MR", 6, caller.last_at)
    assert refused_callers.recent(ledger.database, clock.now() + timedelta(hours=26), 10) == []
    ledger.close()
