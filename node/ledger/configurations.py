"""What came of a changed configuration: in force, refused, or waiting for a restart.

Versions of the rules are in `node.ledger.rule_versions`; the configuration itself is a file (`node.config.in_force`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from node.clock import to_text
from node.ledger import alerts, events, said
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one

_PLACE = "configuration"


def changed(database: Database, at: datetime, change: Mapping[str, Any]) -> bool:
    """It is in force with this change (its moment is `since`); false where that was recorded before."""
    if not said.once(database, EventKind.CONFIGURATION_IN_FORCE, _PLACE, change["since"]):
        return False
    events.record(database, at, EventKind.CONFIGURATION_IN_FORCE, **change)
    return True


def needs_restart(database: Database, at: datetime, sections: Sequence[str], content: str) -> bool:
    """These sections take effect after a restart; false where the same was recorded last. `content`: its digest."""
    if not said.instead(database, EventKind.CONFIGURATION_NEEDS_RESTART, _PLACE, content):
        return False
    events.record(database, at, EventKind.CONFIGURATION_NEEDS_RESTART, changed=list(sections), content=content)
    return True


def refused(database: Database, at: datetime, file: str, content: str, **detail: Any) -> None:
    """The file is refused as it is; `content`: a digest of what is wrong with it."""
    database.execute("INSERT OR REPLACE INTO refused_configurations VALUES (?,?,?)", [file, content, to_text(at)])
    alerts.raised(database, at, AlertKind.RULES_REFUSED, file, file=file, content=content, **detail)


def accepted(database: Database, file: str) -> None:
    """What the file says is in force."""
    database.execute("DELETE FROM refused_configurations WHERE file=?", [file])


def refusal(database: Database, file: str) -> str | None:
    """The digest of what is wrong with the file; None where it was not refused last."""
    row = one(database, "SELECT content FROM refused_configurations WHERE file=?", [file])
    return None if row is None else str(row["content"])
