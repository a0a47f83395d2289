"""What people read of an alert: at which destination, and nothing to be done when it is over."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.ledger import alerts, notifications
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Ledger
from node.ledger.notifications import AboutAlert, Occasion
from node.notify import alert_message
from node.notify.texts import Language, texts_of
from node.notify.words import Message

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
STUDY = "1.2.3.4"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger.db")
    with made.transaction() as database:
        alerts.raised(database, NOW, AlertKind.DELIVERY_DEAD, f"pacs {STUDY}", study=STUDY, destination="pacs")
    return made


def message(ledger: Ledger, occasion: Occasion, language: Language = "en") -> Message:
    with ledger.transaction() as database:
        notifications.enqueue(database, NOW, AboutAlert(1), occasion, ["admin"])
    number = ledger.database.execute("SELECT max(id) FROM notifications").fetchall()[0][0]
    about = notifications.get(ledger.database, number)
    texts = texts_of(language)
    return alert_message.compose(ledger.database, about, "PACSNODE", UTC, texts, accession_number=False)


def lines(ledger: Ledger, occasion: Occasion) -> dict[str, str]:
    return dict(message(ledger, occasion).lines)


def test_an_alert_of_a_study_at_a_destination_names_both(ledger: Ledger) -> None:
    """Who reads that objects were given up reads where, too."""
    said = lines(ledger, Occasion.ALERT_BEGINS)
    assert (said["Study UID"], said["About"]) == (STUDY, "pacs")
    assert said["What to do"] == "pacsnode alerts help delivery.dead; pacsnode alerts ack 1"
    values = message(ledger, Occasion.ALERT_BEGINS).plain["alert"]
    assert values["what_to_do"] == "pacsnode alerts help delivery.dead"
    assert values["page"] == "node/handbook/delivery.dead.md"


def test_many_of_one_cause_are_counted(ledger: Ledger) -> None:
    """The subject says where and how many."""
    with ledger.transaction() as database:
        for number in range(3):
            place = f"pacs 1.2.{number}"
            alerts.raised(database, NOW, AlertKind.DELIVERY_DEAD, place, study=f"1.2.{number}", destination="pacs")
        alerts.raised(database, NOW, AlertKind.DELIVERY_DEAD, "archive 1.2.1", study="1.2.1", destination="archive")
    assert lines(ledger, Occasion.ALERT_BEGINS)["Same cause"].startswith("4 alerts (pacs), this one included")
    assert message(ledger, Occasion.ALERT_LASTS).subject == "CRITICAL: Still open: delivery.dead (pacs, 4), PACSNODE"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_is_over_is_said_in_the_past(ledger: Ledger, language: Language) -> None:
    """In each language: the sentence is quoted as what was said while it lasted."""
    with ledger.transaction() as database:
        assert alerts.close(database, NOW, 1)
    said = message(ledger, Occasion.ALERT_ENDS, language)
    sentence = texts_of(language).sentences[AlertKind.DELIVERY_DEAD]
    assert said.text.endswith(sentence)
    assert said.text != sentence
    assert message(ledger, Occasion.ALERT_BEGINS, language).text == sentence
    assert dict(said.lines)[texts_of(language).alike] == texts_of(language).alike_over.format(cause="pacs")


def test_of_what_is_over_nothing_is_to_be_done(ledger: Ledger) -> None:
    """`pacsnode alerts ack` refuses an alert that is over: it is not offered."""
    with ledger.transaction() as database:
        assert alerts.close(database, NOW, 1)
    said = lines(ledger, Occasion.ALERT_ENDS)
    assert texts_of("en").until in said
    assert "What to do" not in said
