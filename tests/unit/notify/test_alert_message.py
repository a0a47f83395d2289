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
from node.notify.texts import texts_of

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
STUDY = "1.2.3.4"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger.db")
    with made.transaction() as database:
        alerts.raised(database, NOW, AlertKind.DELIVERY_DEAD, f"pacs {STUDY}", study=STUDY, destination="pacs")
    return made


def lines(ledger: Ledger, occasion: Occasion) -> dict[str, str]:
    with ledger.transaction() as database:
        notifications.enqueue(database, NOW, AboutAlert(1), occasion, ["admin"])
    number = ledger.database.execute("SELECT max(id) FROM notifications").fetchall()[0][0]
    about = notifications.get(ledger.database, number)
    return dict(
        alert_message.compose(ledger.database, about, "PACSNODE", UTC, texts_of("en"), accession_number=False).lines
    )


def test_an_alert_of_a_study_at_a_destination_names_both(ledger: Ledger) -> None:
    """Who reads that objects were given up reads where, too."""
    said = lines(ledger, Occasion.ALERT_BEGINS)
    assert (said["Study UID"], said["About"]) == (STUDY, "pacs")
    assert said["What to do"] == "docs/alerts.md#deliverydead; pacsnode alerts ack 1"


def test_of_what_is_over_nothing_is_to_be_done(ledger: Ledger) -> None:
    """`pacsnode alerts ack` refuses an alert that is over: it is not offered."""
    with ledger.transaction() as database:
        assert alerts.close(database, NOW, 1)
    said = lines(ledger, Occasion.ALERT_ENDS)
    assert texts_of("en").until in said
    assert "What to do" not in said
