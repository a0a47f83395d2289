"""Corrected instances of a study and those that count: what is compared of each, and their exchange in one go.

A study may have ten thousand, which change together or not at all: in a few statements, so that other writers get
their turn soon.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.ledger.connection import Database
from node.ledger.instances import InstanceStatus
from node.ledger.rows import one

_AMONG = "receipt IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class InstanceVersion:
    """An instance that counts, or one that would take its place."""

    sop_instance_uid: str
    receipt: str
    is_rejected: bool
    patient: str
    """What it says of the patient, as JSON; see `Instance.comparison`."""
    accession_number: str | None

    @property
    def stated(self) -> Mapping[str, Any]:
        """What it says of the patient, as `Instance.comparison` has it."""
        return {"patient": json.loads(self.patient)}


@dataclass(frozen=True, slots=True)
class InstanceVersions:
    """Those of a study, by SOP Instance UID."""

    corrections: Mapping[str, InstanceVersion]
    """The newest that wait beside what they correct."""
    counting: Mapping[str, InstanceVersion]

    @property
    def together(self) -> Sequence[InstanceVersion]:
        """What the study would have if the corrections replaced what they correct; corrections first."""
        return [*self.corrections.values(), *(one for uid, one in self.counting.items() if uid not in self.corrections)]


def are_pending(database: Database, study: str) -> bool:
    """Whether the study has corrections that wait beside what they correct."""
    sql = "SELECT 1 FROM instances WHERE study_instance_uid=? AND status='correction' LIMIT 1"
    return one(database, sql, [study]) is not None


def of_study(database: Database, study: str) -> InstanceVersions:
    """What waits and what counts."""
    rows = database.execute(
        "SELECT sop_instance_uid, receipt, status, json_extract(comparison, '$.patient'),"
        " json_extract(comparison, '$.order.AccessionNumber') FROM instances"
        " WHERE study_instance_uid=? AND status IN ('correction', 'current', 'rejected') ORDER BY rowid",
        [study],
    ).fetchall()
    corrections: dict[str, InstanceVersion] = {}
    counting: dict[str, InstanceVersion] = {}
    for uid, receipt, status, patient, accession_number in rows:
        among = corrections if status == InstanceStatus.CORRECTION else counting
        among[uid] = InstanceVersion(uid, receipt, status == InstanceStatus.REJECTED, patient, accession_number)
    return InstanceVersions(corrections, counting)


def replace(database: Database, versions: InstanceVersions) -> None:
    """Let the corrections replace what they correct; one of a rejected instance is rejected, too."""
    old = [versions.counting[uid] for uid in versions.corrections if uid in versions.counting]
    rejected = {each.sop_instance_uid for each in old if each.is_rejected}
    _set_status(database, old, InstanceStatus.CORRECTED)
    new = versions.corrections.values()
    no_longer = [each for each in new if each.sop_instance_uid in rejected]
    _set_status(database, (each for each in new if each.sop_instance_uid not in rejected), InstanceStatus.CURRENT)
    _set_status(database, no_longer, InstanceStatus.REJECTED)
    database.execute(f"DELETE FROM headers WHERE {_AMONG}", [_receipts([*old, *no_longer])])  # noqa: S608 - our own text


def _set_status(database: Database, those: Iterable[InstanceVersion], status: InstanceStatus) -> None:
    database.execute(f"UPDATE instances SET status=? WHERE {_AMONG}", [status, _receipts(those)])  # noqa: S608 - our own text


def _receipts(those: Iterable[InstanceVersion]) -> str:
    return json.dumps([each.receipt for each in those])
