"""`retry`, `cancel` and `release` of many: which are meant, what is asked, and what a slip is answered with."""

from __future__ import annotations

import pytest

from node.ledger import deliveries, jobs, studies
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from tests.support.sites import past
from tests.support.sites.calls import Run
from tests.support.sites.past import FAILED, HELD, NOW


@pytest.fixture
def many(ledger: Ledger) -> Ledger:
    """Twenty-one dead letters for the PACS: one more than is done without asking."""
    with ledger.transaction() as database:
        for number in range(21):
            uid = f"1.2.9.{number}"
            delivery = deliveries.enqueue(
                database,
                NOW,
                sop_instance_uid=f"{uid}.1",
                sop_class_uid=past.COMPREHENSIVE_SR,
                study=uid,
                job=None,
                file="x",
                destination="pacs",
            )
            deliveries.dead(database, NOW, delivery, "refuses this object [A900]")
    return ledger


def dead(ledger: Ledger) -> int:
    return deliveries.counts(ledger.database)["pacs"].get(DeliveryStatus.DEAD, 0)


def test_a_dry_run_says_how_many_and_changes_nothing(many: Ledger, run: Run) -> None:
    """For people and for scripts."""
    answer = run("cancel", "--status", "dead", "--destination", "pacs", "--dry-run")
    assert (answer.code, answer.out.splitlines()[0]) == (0, "would be cancelled: 21 deliveries")
    plain = run("cancel", "--status", "dead", "--destination", "pacs", "--dry-run", "--json").json
    assert (plain["deliveries"], plain["dry_run"]) == (21, True)
    assert dead(many) == 21


def test_a_slip_in_a_name_is_no_empty_selection(many: Ledger, run: Run) -> None:
    """Nothing would be found, and somebody would think that nothing waits."""
    answer = run("cancel", "--status", "dead", "--destination", "pac")
    assert answer.code == 2
    assert 'the configuration has no destination "pac"; did you mean "pacs"?' in answer.err


def test_more_than_twenty_are_done_only_where_somebody_says_yes(many: Ledger, run: Run) -> None:
    """A script has to say so on the line; the refusal says what would be done."""
    for more in ([], ["--json"]):
        refused = run("cancel", "--status", "dead", "--destination", "pacs", *more)
        assert refused.code == 2
        assert "would be cancelled: 21 deliveries" in refused.err
        assert "say --yes" in refused.err
    assert dead(many) == 21
    answer = run("cancel", "--status", "dead", "--destination", "pacs", "--yes")
    assert (answer.code, answer.out.strip()) == (0, "21 of 21 cancelled (21 deliveries)")
    assert "21 of 21" in answer.err, "how far it is"
    assert dead(many) == 0


def test_a_person_at_a_terminal_is_asked(many: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything but yes does nothing."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda _: False)
    assert "nothing was done" in run("retry", "--status", "dead", "--destination", "pacs").err
    assert dead(many) == 21
    monkeypatch.setattr("typer.confirm", lambda _: True)
    assert run("retry", "--status", "dead", "--destination", "pacs").code == 0
    assert dead(many) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retry",), "name what to retry, or say which"),
        (("cancel", "--yes"), "name what to cancel, or say which"),
        (("release", "--dry-run"), "name what to release, or say which"),
        (("retry", "--rule", "thin-chest"), "needs --status, one of failed, unreportable"),
        (("retry", "--status", "odd"), '"odd" needs --status, one of failed'),
        (("retry", "3", "--status", "dead"), "not both"),
        (("cancel", "3", "--dry-run"), "--dry-run is for many"),
        (("retry", "--status", "dead", "--take-newest"), "--take-newest is for one held study"),
        (("release", "--since", "1d", "--take-newest"), "--take-newest is for one held study"),
        (("retry", "--status", "dead", "--since", "yesterday"), "no period and no moment"),
    ],
)
@pytest.mark.usefixtures("ledger")
def test_a_slip_is_refused_and_says_what_to_write(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """Nothing is ever done to everything."""
    answer = run(*arguments)
    assert answer.code == 2
    assert said in answer.err


def test_a_held_study_is_released_by_either_name(ledger: Ledger, run: Run) -> None:
    """`release` takes what `study` takes; `retry` of its UID says the same sentence."""
    first = run("release", "20260302-0018")
    with ledger.transaction() as database:
        studies.hold(database, NOW, HELD, "a correction arrived: PatientID differs")
    assert run("retry", HELD).out == first.out
    assert run("release", HELD).code == 1
    with ledger.transaction() as database:
        studies.hold(database, NOW, FAILED, "a file could not be indexed")
    assert "1 of 1 released (1 held study)" in run("release", "--plugin", "lung-density").out
    assert jobs.of_study(ledger.database, FAILED)
