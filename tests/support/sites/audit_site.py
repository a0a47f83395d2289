"""A site whose history becomes an audit trail, driven by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.audit.checking import TrailCheck, check
from node.audit.stage import AuditStage
from node.audit.trail import EntryDigest, TrailEntry, entries_after, folder_of
from node.config.models import Configuration
from node.ledger import audit_marks, events
from node.ledger.audit_marks import AuditMark
from node.ledger.event_kinds import EventKind
from tests.support.sites.past import FAILED, GOOD, tell
from tests.support.sites.retained import RetainSite

CONFIGURATION: dict[str, Any] = {
    "node": {"time_zone": "UTC"},
    "destinations": {"pacs": {"ae_title": "PACS", "host": "10.0.0.9", "port": 104}},
    "boxes": {"cad": {"ae_title": "CADBOX", "host": "cad.hospital", "port": 104}},
    "services": {"ai": {"url": "https://ai.example/v1"}},
}


class AuditSite(RetainSite):
    """With a past (`tests.support.sites.past`), and its audit stage."""

    def __init__(self, folder: Path, **audit: Any) -> None:
        super().__init__(folder)
        self.configuration = Configuration.model_validate({**CONFIGURATION, "audit": audit})
        self.stage = AuditStage(self.node, self.configuration)
        self.trail = folder_of(self.data_folder.data)

    def tell_past(self) -> None:
        """What happened to four studies."""
        with self.ledger.transaction() as database:
            tell(database)

    def happens(self, kind: EventKind, **fields: Any) -> None:
        """One event, now."""
        with self.ledger.transaction() as database:
            events.record(database, self.hand.now(), kind, **fields)

    def restart(self) -> None:
        """The node was killed, and is there again."""
        self.stage = AuditStage(self.node, self.configuration)

    def project(self) -> None:
        """Until nothing is new."""
        while not self.stage.run_once():
            pass

    def entries(self) -> list[TrailEntry]:
        """All of the trail."""
        return list(entries_after(self.trail, 0))

    def messages(self) -> list[dict[str, Any]]:
        """Those that are messages."""
        return [each.fields for each in self.entries() if each.fields["kind"] == "message"]

    def check(self) -> TrailCheck:
        """Against what the ledger knows."""
        known = audit_marks.get(self.ledger.database, AuditMark.WRITTEN)
        return check(self.trail, [EntryDigest(known.number, known.digest)])


__all__ = ["FAILED", "GOOD", "AuditSite"]
