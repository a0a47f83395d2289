"""`pause` and `resume`: what is held back, who is told, and what is refused."""

from __future__ import annotations

import pytest

from node.ledger import pauses
from node.ledger.database import Ledger
from node.ledger.pauses import Pausable
from tests.support import history
from tests.support.sites.calls import Run


def test_a_pause_is_shown_until_it_is_resumed(run: Run, ledger: Ledger) -> None:
    """`status` says what, since when, by whom and why."""
    done = run("pause", "destination", "pacs", "--why", "the PACS is upgraded")
    assert done.out.strip() == "destination pacs is paused; pacsnode resume destination pacs lets it go on"
    assert "destination pacs is paused since" in run("status").out
    (shown,) = run("status", "--json").json["pauses"]
    assert (shown["what"], shown["name"], shown["why"]) == ("destination", "pacs", "the PACS is upgraded")
    again = run("pause", "destination", "pacs", "--why", "again")
    assert again.code == 1
    assert "is paused already, by" in again.err
    assert run("resume", "destination", "pacs").out.strip() == "destination pacs goes on"
    assert pauses.every(ledger.database) == []
    assert run("resume", "destination", "pacs").code == 1
    told = [each for kind in ("paused", "resumed") for each in history.of_kind(ledger.database, f"destination.{kind}")]
    assert [(each.detail["name"], each.severity) for each in told] == [("pacs", "warning"), ("pacs", "info")]
    assert all(each.actor.startswith("os:") and each.actor == shown["by"] for each in told)


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("destination", "pasc", "--why", "x"), 'the configuration has no destination "pasc"; did you mean "pacs"?'),
        (("rule", "nothing", "--why", "x"), 'the configuration has no rule "nothing"'),
        (("person", "anna", "--why", "x"), '"person" cannot be paused: name one of plugin, rule, destination'),
        (("destination", "pacs", "--why", "  "), "say why it is paused"),
        (("destination", "pacs"), "--why"),
    ],
)
def test_a_slip_is_refused(run: Run, ledger: Ledger, arguments: tuple[str, ...], said: str) -> None:
    """A pause of what does not exist would hold back nothing, and nobody would notice."""
    answer = run("pause", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert pauses.every(ledger.database) == []


def test_what_the_configuration_no_longer_has_can_be_resumed(run: Run, ledger: Ledger) -> None:
    """Else its pause would be there for ever."""
    with ledger.transaction() as database:
        database.execute("INSERT INTO pauses VALUES ('plugin', 'old', 'admin', '2026-03-01T00:00:00.000000Z', 'why')")
    assert run("resume", "plugin", "old").code == 0
    assert pauses.get(ledger.database, Pausable.PLUGIN, "old") is None
