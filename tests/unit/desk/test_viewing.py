"""Who looks at a study is recorded: one event for a person, a study and ten minutes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from node.cli import main
from node.desk import viewing
from node.desk.actor import Actor, ActorKind
from node.ledger import events
from node.ledger.database import Ledger
from tests.support.sites.past import FAILED, GOOD, NOW
from tests.support.transactions import counted

ALICE, BOB = Actor(ActorKind.OS, "alice"), Actor(ActorKind.OS, "bob")


def views(ledger: Ledger, study: str = GOOD) -> list[tuple[str, float]]:
    """Who looked, and how many minutes after the first moment."""
    found = [each for each in events.of_study(ledger.database, study) if each.kind == "study.viewed"]
    return [(each.actor, (each.at - NOW).total_seconds() / 60) for each in found]


def test_ten_minutes_of_reading_are_one_event(ledger: Ledger) -> None:
    """Of each person and each study; a clock that was set back hides nothing."""
    for minutes in (0, 1, 9.9, 10, 19, 25):
        viewing.viewed(ledger, GOOD, ALICE, NOW + timedelta(minutes=minutes))
    viewing.viewed(ledger, GOOD, BOB, NOW + timedelta(minutes=25))
    viewing.viewed(ledger, FAILED, ALICE, NOW + timedelta(minutes=25))
    assert views(ledger) == [("os:alice", 0), ("os:alice", 10), ("os:alice", 25), ("os:bob", 25)]
    assert views(ledger, FAILED) == [("os:alice", 25)]
    viewing.viewed(ledger, GOOD, ALICE, NOW + timedelta(minutes=5))
    assert views(ledger)[-1] == ("os:alice", 5)
    (rows,) = ledger.database.execute("SELECT count(*) FROM study_views").fetchone()
    assert rows == 1


def test_a_page_that_is_asked_for_again_writes_nothing(ledger: Ledger) -> None:
    """A console may ask every second: no transaction."""
    viewing.viewed(ledger, GOOD, ALICE, NOW)
    with counted(ledger) as transactions:
        viewing.viewed(ledger, GOOD, ALICE, NOW + timedelta(minutes=1))
    assert transactions == []


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_records_who_asks(config: Path, ledger: Ledger, options: list[str], monkeypatch) -> None:
    """`pacsnode study`, for people and for scripts."""
    monkeypatch.setenv("SUDO_USER", "alice")
    with pytest.raises(SystemExit) as ended:
        main(["study", GOOD, "--config", str(config), *options])
    assert not ended.value.code
    assert [who for who, _ in views(ledger)] == ["os:alice"]
