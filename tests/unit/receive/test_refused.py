"""Refused callers are counted in memory, and written down rarely (finding O3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.receive import refused
from node.receive.refused import RefusedCallers
from node.store.journal import Journal
from node.store.layout import DataFolder
from tests.support.clocks import HandClock


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


@pytest.fixture
def callers(tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> RefusedCallers:
    """Written when the test says so."""
    monkeypatch.setattr(RefusedCallers, "_run", lambda _: None)
    return RefusedCallers(journal, DataFolder(tmp_path), HandClock())


def _written(journal: Journal) -> list[tuple[str, int]]:
    return [(each.calling_ae_title, each.times) for path in journal.refused() for each in journal.read_refused(path)]


def test_finding_o3_a_caller_is_written_down_once_a_minute_at_most(
    callers: RefusedCallers, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once, the others together with the next minute's."""
    for times in (1, 5):
        for _ in range(times):
            callers.count("MR", "PACSNODE", "10.0.0.1", "why")
        callers.write_due()
    assert _written(journal) == [("MR", 1)]
    monkeypatch.setattr(refused, "PAUSE", 0.0)
    callers.write_due()
    assert _written(journal) == [("MR", 1), ("MR", 5)]


def test_finding_o3_beyond_200_callers_they_are_others(callers: RefusedCallers, journal: Journal) -> None:
    """A caller that changes its name fills neither memory nor disk."""
    for number in range(1000):
        callers.count(f"MR{number}", "PACSNODE", "10.0.0.1", "why")
    callers.write_due()
    written = dict(_written(journal))
    assert len(written) == 201
    assert written["others"] == 800
    for number in range(1000, 2000):
        callers.count(f"MR{number}", "PACSNODE", "10.0.0.1", "why")
    callers.write_due()
    assert len(_written(journal)) == 201


def test_finding_o3_nothing_piles_up_where_nobody_takes_it(journal: Journal) -> None:
    """The node is down for days: a thousand files at most; a restart of the receivers leaves them."""
    for number in range(1010):
        journal.note_refused(f"{number:06}", [])
    journal.sweep([])
    assert len(journal.refused()) == 1000
