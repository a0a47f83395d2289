"""Why nothing goes to a destination, in words: the same in `status` and in `study`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.cli import main
from node.config.destinations import DicomDestination
from node.config.web_destinations import DicomWebDestination
from node.desk import actions, destinations, peers, study
from node.desk.actor import Actor, ActorKind
from node.ledger import outages, pauses
from node.ledger.database import Ledger
from node.ledger.outages import OutageScope
from node.ledger.pauses import Pausable, Pause
from tests.support.sites.configurations import with_destinations
from tests.support.sites.past import GOOD

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)  # 18:00 in Seoul
PACS = DicomDestination.model_validate(
    {"ae_title": "PACS", "host": "h", "port": 104, "hours": {"open": [{"between": ["19:00", "20:00"]}]}}
)
PERSON = Actor(ActorKind.OS, "hong")


def down(ledger: Ledger, scope: OutageScope = OutageScope.DESTINATION, *, stores_nothing: bool = False) -> None:
    """`pacs` has failed twice."""
    for minutes in (0, 1):
        at = NOW + timedelta(minutes=minutes)
        with ledger.transaction() as database:
            again = at + timedelta(minutes=5)
            outages.failed(database, at, "pacs", "refused", again, scope=scope, stores_nothing=stores_nothing)


@pytest.mark.parametrize(
    ("scope", "stores_nothing", "said"),
    [
        (
            OutageScope.DESTINATION,
            False,
            "has not been reached since 18:00:00 (2 tries: refused); tried again 18:06:00",
        ),
        (OutageScope.DESTINATION, True, "has stored nothing since 18:00:00 (2 tries: refused); tried again 18:06:00"),
        (
            OutageScope.QUERY,
            False,
            "has not answered C-FIND since 18:00:00 (2 tries: refused); tried again 18:06:00; results wait, "
            "images go on",
        ),
    ],
)
def test_an_outage_says_since_when_why_and_when_it_is_tried(
    ledger: Ledger, scope: OutageScope, stores_nothing: bool, said: str
) -> None:
    """In the site's time zone."""
    down(ledger, scope, stores_nothing=stores_nothing)
    plain = with_destinations(pacs=PACS.model_copy(update={"hours": None}))
    found = destinations.hold_ups(ledger.database, plain, NOW + timedelta(minutes=2))
    assert destinations.sentences(found, ["pacs"]) == [f"pacs {said}"]


def test_hours_and_a_pause_are_said_beside_it(ledger: Ledger) -> None:
    """And the next try is not before the last of them ends, as far as that is known."""
    down(ledger)
    with ledger.transaction() as database:
        pauses.begin(database, NOW, Pause(Pausable.DESTINATION, "pacs", "os:hong", NOW, "an upgrade"))
    found = destinations.hold_ups(ledger.database, with_destinations(pacs=PACS), NOW)
    assert destinations.sentences(found, ["pacs"])[1:] == [
        "pacs is paused since 18:00:00 by os:hong: an upgrade",
        "pacs is outside of its hours, which begin 19:00:00; what is urgent is sent anyway",
    ]
    assert destinations.next_try(NOW, found["pacs"]) == NOW + timedelta(hours=1)
    assert destinations.next_try(None, found["pacs"]) is None


def test_study_says_why_what_waits_is_not_sent(ledger: Ledger) -> None:
    """Of a study of which something waits, and of no other."""
    down(ledger)
    configuration = with_destinations(pacs=PACS)
    assert study.look(ledger, GOOD, configuration).hold_ups == []
    with ledger.transaction() as database:
        database.execute(
            "UPDATE deliveries SET status='waiting' WHERE study_instance_uid=? AND destination='pacs'", [GOOD]
        )
    first, *_ = study.look(ledger, GOOD, configuration).hold_ups
    assert first.startswith("pacs has not been reached since ")


def test_retry_has_the_destination_tried_at_once(ledger: Ledger) -> None:
    """The outage lasts, and its pause is over."""
    down(ledger)
    with ledger.transaction() as database:
        (row,) = database.query(
            "SELECT id FROM deliveries WHERE destination='pacs' AND status IN ('dead', 'held') LIMIT 1"
        )
    actions.retry(ledger, str(row["id"]), NOW + timedelta(minutes=2), PERSON)
    outage = outages.get(ledger.database, "pacs")
    assert outage is not None
    assert outage.is_due(NOW + timedelta(minutes=2))


def test_a_passed_echo_ends_the_outage(config: Path, ledger: Ledger) -> None:
    """Where nothing was stored, only an object tells: that is tried at once. C-FIND ends by a probe alone."""
    down(ledger)
    down(ledger, OutageScope.QUERY)
    peers.answered("pacs", config, NOW, PERSON, questions=False)
    assert [each.scope for each in outages.every(ledger.database)] == [OutageScope.QUERY]
    peers.answered("pacs", config, NOW, PERSON, questions=True)
    assert outages.every(ledger.database) == []
    down(ledger, stores_nothing=True)
    peers.answered("pacs", config, NOW, PERSON, questions=True)
    (outage,) = outages.every(ledger.database)
    assert outage.is_due(NOW)


def test_status_shows_it(config: Path, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the deliveries, in words; `--json` has it, too."""
    down(ledger)
    for options in ([], ["--json"]):
        with pytest.raises(SystemExit):
            main(["status", "--config", str(config), *options])
        assert "has not been reached since" in " ".join(capsys.readouterr().out.split())


def test_a_destination_by_dicomweb_is_asked_by_qido(tmp_path: Path) -> None:
    """The sentence names what it does not answer."""
    ledger = Ledger(tmp_path / "ledger.db")
    down(ledger, OutageScope.QUERY)
    web = DicomWebDestination(url="https://pacs.example/dicom-web")
    (found,) = destinations.hold_ups(ledger.database, with_destinations(pacs=web), NOW)["pacs"]
    assert found.sentence.startswith("has not answered QIDO-RS since 18:00:00")
