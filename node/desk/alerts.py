"""Alerts as people list and acknowledge them, and notifications that somebody has to acknowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from node.desk import find, names
from node.desk.actions import ActionOutcome
from node.desk.actor import Actor
from node.desk.names import StudyName
from node.desk.rights import Right, require
from node.errors import UsageError
from node.ledger import acknowledgements, alerts
from node.ledger.alerts import Alert
from node.ledger.database import Ledger
from node.notify import alert_sentences

ALERT = "alert:"
"""Prefix of the number of an alert."""


def listed(ledger: Ledger, *, closed: bool = False, every: bool = False) -> Sequence[Alert]:
    """All open ones, critical ones first; those that are closed; or both. None is left out."""
    database = ledger.database
    shown = [] if closed else alerts.every(database, closed=False)
    return [*shown, *(alerts.every(database, closed=True) if closed or every else ())]


def korean_sentences() -> Mapping[str, str]:
    """The sentence of each kind of alert, and the same in Korean, as messages have it."""
    return {kind.sentence: text for kind, text in alert_sentences.KOREAN.items()}


def studies(ledger: Ledger, found: Sequence[Alert]) -> Mapping[str, StudyName]:
    """What people call the studies that alerts are about."""
    return names.of(ledger.database, {each.study for each in found if each.study})


def acknowledge(
    ledger: Ledger, what: str, at: datetime, by: Actor, owner: str | None = None, note: str | None = None
) -> ActionOutcome:
    """A person has taken note of `alert:NUMBER` or `notification:NUMBER`.

    Raises UsageError, NotFoundError, and PermanentError where the alert is over or the notification acknowledged.
    """
    require(by, Right.ACT)
    prefix, _, number = what.rpartition(":")
    if f"{prefix}:" not in (ALERT, find.NOTIFICATION) or not find.is_number(number):
        raise UsageError(f'"{what}" cannot be acknowledged: name alert:NUMBER or notification:NUMBER')
    if f"{prefix}:" == find.NOTIFICATION:
        if owner is not None or note is not None:
            raise UsageError("--owner and --note are for alerts: a notification is acknowledged, and that is all")
        return _notification(ledger, int(number), at, by)
    with ledger.transaction() as database:
        others = acknowledgements.acknowledge_alert(database, at, int(number), str(by), owner, note)
        found = alerts.get(database, int(number))
    value = {"alert": found.id, "kind": found.kind, "owner": found.owner, "note": found.note, "others": others}
    sentence = f"alert {found.id} ({found.kind}) belongs to {found.owner}: it is not sent again while it lasts"
    if others:
        sentence = (
            f"alert {found.id} ({found.kind}) and {others} more of the same cause belong to {found.owner}:"
            " they are not sent again while they last"
        )
    return ActionOutcome(sentence, value)


def _notification(ledger: Ledger, number: int, at: datetime, by: Actor) -> ActionOutcome:
    with ledger.transaction() as database:
        fresh = acknowledgements.acknowledge(database, at, number, str(by))
    people = list(dict.fromkeys(each.person for each in fresh))
    return ActionOutcome(
        f"notification {number} is acknowledged: nobody else is notified of it ({', '.join(people)} had it)",
        {"notification": number, "people": people, "status": "acknowledged"},
    )
