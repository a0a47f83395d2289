"""Kinds of events: one place, a sentence each, and each of them happens."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.ledger import events
from node.ledger.database import Ledger
from node.ledger.event_kinds import AuditCode, EventKind, Severity

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("kind", EventKind)
def test_each_kind_is_named_and_explained(kind: EventKind) -> None:
    """`aggregate.what-happened`, and a sentence that ends with a full stop."""
    assert re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", kind)
    assert re.fullmatch(r"[A-Z].{10,120}\.", kind.sentence)


def test_each_kind_is_recorded_somewhere() -> None:
    """None is left over from what nobody records any more."""
    text = "".join(path.read_text() for path in (ROOT / "node").rglob("*.py") if path.name != "event_kinds.py")
    assert [
        kind.name
        for kind in EventKind
        if f"EventKind.{kind.name}" not in text and not re.search(rf"AlertKind\.{kind.name}\b(?!:)", text)
    ] == []


def test_an_event_has_the_severity_of_its_kind_and_names_who_did_it(ledger: Ledger) -> None:
    """Unless the transition says otherwise; what nobody else did, the node did."""
    with ledger.transaction() as database:
        events.record(database, NOW, EventKind.DELIVERY_DEAD, study="9.9")
        events.record(database, NOW, EventKind.JOB_ENDED, study="9.9", severity=Severity.WARNING)
        events.record(database, NOW, EventKind.STUDY_GROWS, study="9.9", actor=events.ae("CT1 ", "10.0.0.5"))
    found = events.of_study(ledger.database, "9.9")
    assert [event.severity for event in found] == [Severity.WARNING, Severity.WARNING, Severity.INFO]
    assert [event.actor for event in found] == ["node", "node", "ae:CT1@10.0.0.5"]


def test_what_the_audit_trail_wants_to_know_has_a_code() -> None:
    """Instances transferred and accessed, and the configuration that came into force (PS3.15 A.5.3)."""
    assert EventKind.DELIVERY_DELIVERED.audit is AuditCode.INSTANCES_TRANSFERRED
    assert EventKind.JOB_STARTED.audit is AuditCode.INSTANCES_ACCESSED
    assert EventKind.RULES_IN_FORCE.audit is AuditCode.SECURITY_ALERT
    assert EventKind.JOB_QUEUED.audit is None
