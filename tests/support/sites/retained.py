"""Studies of any age in a ledger, as the stages leave them, for tests of what may go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from node.ledger.instances import Instance, InstanceStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def instance(receipt: str, **changes: Any) -> Instance:
    """A CT image of study 1.2 under this receipt; `changes` by field."""
    fields: dict[str, Any] = {
        "receipt": receipt,
        "sop_instance_uid": f"1.2.1.{receipt}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "study_instance_uid": "1.2",
        "series_instance_uid": "1.2.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "status": InstanceStatus.CURRENT,
        "digest": f"d{receipt}",
        "comparison": {},
        "marks": {},
        "frames": 1,
        "bytes": 1000,
        "calling_ae_title": "CT1",
        "called_ae_title": "PACSNODE",
        "peer_address": "10.0.0.5",
        "association": "a1",
        "origin": "received",
        "received_at": NOW,
    }
    return Instance(**fields | changes)
