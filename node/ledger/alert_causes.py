"""What alerts have in common: of one kind, those about one destination, plugin, rule, stage or person have one cause.

Each is an alert of its own, because each ends on its own. But a person is sent one message about a cause and not five
hundred (`node.app.alert_messages`), and whoever sees to one of them sees to all. Alerts that are not here are each a
cause: what may mislead a reader about a patient is looked at one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from node.ledger.alert_kinds import AlertKind
from node.ledger.alerts import Alert
from node.ledger.connection import Database
from node.ledger.rows import one, query

_FIRST = "substr({row}.place, 1, instr({row}.place || ' ', ' ') - 1)"
_REST = "substr({row}.place, instr({row}.place, ' ') + 1)"
_PLUGIN = "coalesce((SELECT rule || ' ' || plugin FROM jobs WHERE jobs.id={row}.place), {row}.place)"
_PERSON = "coalesce((SELECT person FROM notifications WHERE notifications.id={row}.place), {row}.place)"
_REQUESTER = "coalesce((SELECT requester FROM commitments WHERE commitments.id={row}.place), {row}.place)"
_CAUSES: Mapping[AlertKind, str] = {
    AlertKind.DELIVERY_DEAD: _FIRST,  # places are a destination and a study
    AlertKind.IDENTITY_OVERDUE: _FIRST,
    AlertKind.COMMITMENT_REFUSED: _FIRST,
    AlertKind.RESULTS_PERHAPS_SENT: _FIRST,
    AlertKind.FORWARD_LEFT_OUT: _FIRST,
    AlertKind.BOX_ANSWER_UNMATCHED: _FIRST,  # a box and a study
    AlertKind.RECEIPT_NOT_INDEXED: _FIRST,  # a stage and its item
    AlertKind.STUDY_NOT_COMPLETED: _FIRST,
    AlertKind.STUDY_NOT_LOOKED_AT: _FIRST,
    AlertKind.JOB_FOLLOW_UP_FAILED: _FIRST,
    AlertKind.ITEM_FAILED: _FIRST,
    AlertKind.DECISION_IN_DOUBT: _REST,  # a study and a rule
    AlertKind.DECISION_PLUGIN_UNUSABLE: _REST,
    AlertKind.JOB_UNREPORTABLE: _PLUGIN,
    AlertKind.JOB_REFUSED: _PLUGIN,
    AlertKind.JOB_REFUSED_FOR: _PLUGIN,
    AlertKind.JOB_OBJECTS_MISSING: _PLUGIN,
    AlertKind.JOB_POSTPONED: _PLUGIN,
    AlertKind.NOTIFICATION_WAITS: _PERSON,
    AlertKind.NOTIFICATION_DEAD: _PERSON,
    AlertKind.COMMITMENT_DEAD: _REQUESTER,
}
SHARED = frozenset(_CAUSES)
"""Kinds of which several may have one cause."""


@cache
def cause_sql(row: str, kinds: frozenset[AlertKind] = SHARED) -> str:
    """SQL for the cause of a row of `alerts`, by its name in the statement; the place, where the kind is no such."""
    cases = " ".join(f"WHEN '{kind}' THEN {_CAUSES[kind].format(row=row)}" for kind in sorted(kinds))
    return f"(CASE {row}.kind {cases} ELSE {row}.place END)"


_SAME = (
    "SELECT other.id FROM alerts JOIN alerts AS other ON other.kind=alerts.kind AND other.closed_at IS NULL"  # noqa: S608 - texts of ours
    f" AND {cause_sql('other')}={cause_sql('alerts')} WHERE alerts.id=?"
)


def cause_of(database: Database, alert: Alert) -> str:
    """The destination, rule and plugin, stage or person; the place where it is a cause of its own."""
    row = one(database, f"SELECT {cause_sql('alerts')} AS cause FROM alerts WHERE id=?", [alert.id])  # noqa: S608 - texts of ours
    return str(row["cause"]) if row else alert.place


def alike(database: Database, alert: Alert) -> list[int]:
    """Ids of all open alerts of its kind and cause, this one included while it is open; the oldest first."""
    return [row["id"] for row in query(database, f"{_SAME} ORDER BY other.id", [alert.id])]
