"""Corrected instances of a study and those that count: what is compared of each before they are exchanged.

A study may have ten thousand: little of each is read. `node.ledger.exchanges` lets them take each other's place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.ledger.connection import Database
from node.ledger.instances import InstanceStatus
from node.ledger.rows import one, query


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


def state(database: Database, study: str) -> list[dict[str, Any]]:
    """What stays equal as long as nothing of the study comes, and none of its instances changes its status."""
    sql = "SELECT status, count(*) AS n, max(rowid) AS newest FROM instances WHERE study_instance_uid=? GROUP BY status"
    return query(database, sql, [study])


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
