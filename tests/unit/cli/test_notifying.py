"""`notify`, and notifications in `status`, `study`, `retry` and `cancel`."""

from __future__ import annotations

from pathlib import Path

from node.ledger import notifications, timers
from node.ledger.database import Ledger
from node.ledger.notifications import NotificationStatus, Occasion
from node.ledger.timers import TimerKind
from tests.support.sites.calls import Run
from tests.support.sites.listeners import web_service
from tests.support.sites.outcomes import match
from tests.support.sites.past import GOOD, NOW


def test_a_test_message_goes_to_whom_it_is_for_and_says_what_became_of_it(run: Run, config: Path) -> None:
    """Taken: exit code 0; refused: 1 and the reason; somebody unknown: 2 and who was meant."""
    with web_service() as web:
        config.write_text(config.read_text() + f"people: {{duty: {{webhook: {{url: '{web.url}'}}}}}}\n")
        answer = run("notify", "duty")
        assert (answer.code, answer.out) == (0, "webhook: taken\n")
        assert web.received[0]["occasion"] == "test"
        web.status = 404
        answer = run("notify", "duty", "--json")
        assert (answer.code, "answers 404" in answer.json["channels"]["webhook"]) == (1, True)
        answer = run("notify", "dutty")
        assert answer.code == 2
        assert 'did you mean "duty"?' in answer.err


def test_who_has_not_been_told_is_shown_and_can_be_told_by_hand(run: Run, ledger: Ledger) -> None:
    """In `status` with the reason; `retry notification:1` sends it again, `cancel` does not."""
    with ledger.transaction() as database:
        notifications.enqueue(database, NOW, match(database, NOW, GOOD), Occasion.MATCH, ["duty"])
        notifications.dead(database, NOW, 1, "webhook x answers 410")
    found = run("status", "--json").json
    assert [(each["person"], each["error"]) for each in found["not_told"]] == [("duty", "webhook x answers 410")]
    assert "duty" in run("status").out
    assert "duty" in run("study", GOOD).out
    assert run("study", GOOD, "--json").json["notifications"][0]["occasion"] == "match"
    assert run("retry", "notification:1").out == "notification 1 to duty is sent now\n"
    assert notifications.get(ledger.database, 1).status is NotificationStatus.WAITING
    assert run("cancel", "notification:1").code == 0
    assert notifications.get(ledger.database, 1).status is NotificationStatus.CANCELLED
    assert run("retry", "notification:7").code == 1


def test_what_waits_is_shown_with_until_when_and_why(run: Run, ledger: Ledger) -> None:
    """A rule that waits for more of a study."""
    with ledger.transaction() as database:
        timers.start(database, GOOD, "screening", TimerKind.WAIT, NOW, NOW, 1)
    (waiting,) = run("status", "--json").json["waiting"]
    assert (waiting["rule"], waiting["study_instance_uid"], waiting["why"]) == ("screening", GOOD, "it took series 3")
    assert "screening" in run("status").out
