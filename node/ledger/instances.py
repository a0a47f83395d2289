"""Received SOP instances: one row a receipt, whatever became of it.

In order of arrival means: in the order in which they were indexed, that of the rows. The indexer takes receipts by
their numbers (`store.numbers`); those of earlier releases were times of a clock that may have been set back meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from node.clock import from_text, to_text
from node.ledger import tallies
from node.ledger.connection import Database
from node.ledger.rows import one, placeholders, query, to_json


class InstanceStatus(StrEnum):
    """What a receipt counts as."""

    CURRENT = "current"
    """The instance of this SOP Instance UID: it is routed, and given to plugins."""
    DUPLICATE = "duplicate"
    """The same content again: stored once, nothing re-run."""
    CORRECTED = "corrected"
    """It was current until a correction replaced it."""
    CORRECTION = "correction"
    """Same pixels, other patient or order: kept apart until a person or the rules decide."""
    CONFLICT = "conflict"
    """Same SOP Instance UID with other content, or another patient in a known study: quarantined."""
    REJECTED = "rejected"
    """Current, but a rejection note (IOCM) took it out of every job's input."""
    OWN = "own"
    """Made by this node: stored, never routed."""
    ANSWER = "answer"
    """What a vendor's box made of images that it was sent: no part of any study (`node.ledger.box_answers`)."""
    PURGING = "purging"
    """Its file is being removed by retention, and the same SOP instance has come again meanwhile."""
    UNREADABLE = "unreadable"
    """Its header could not be read: stored as received, never routed."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One row of `instances`."""

    receipt: str
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str | None
    series_instance_uid: str | None
    transfer_syntax_uid: str
    status: InstanceStatus
    digest: str
    """SHA-256 of the dataset's bytes as received."""
    comparison: Mapping[str, Any]
    """What duplicates, corrections and conflicts are distinguished by: digests of pixels, identity, geometry."""
    marks: Mapping[str, str]
    """What was noticed (`truncated-pixel-data`: why); `rules.facts.UNFIT_MARKS` keep it out of plugins."""
    frames: int
    bytes: int
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    association: str
    origin: str
    received_at: datetime


class ArrivalSource(NamedTuple):
    """How instances came here."""

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    origin: str


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The instances of a study that count, and how they came here."""

    receipts: frozenset[str]
    sources: frozenset[ArrivalSource]
    senders: Mapping[str, str] = field(default_factory=dict)
    """Receipt → calling AE title, where there are several."""
    gone: frozenset[str] = frozenset()
    """Those of `receipts` whose files were removed (`node.ledger.gone_images`)."""

    def sender(self, receipt: str) -> str:
        """The calling AE title that an instance came from."""
        only = {source.calling_ae_title for source in self.sources}
        return self.senders.get(receipt, "") if len(only) > 1 else next(iter(only), "")


def insert(database: Database, instance: Instance) -> None:
    """A receipt is indexed; its event is the caller's, who knows what it means."""
    row = {name: getattr(instance, name) for name in Instance.__slots__}
    row["comparison"] = to_json(dict(instance.comparison))
    row["marks"] = to_json(dict(instance.marks))
    row["received_at"] = to_text(instance.received_at)
    columns = ",".join(row)
    sql = f"INSERT INTO instances ({columns}) VALUES ({placeholders(row)})"  # noqa: S608 - names of our own columns
    database.execute(sql, list(row.values()))


def set_status(database: Database, receipt: str, status: InstanceStatus) -> None:
    """What the receipt counts as from now on."""
    database.execute("UPDATE instances SET status=? WHERE receipt=?", [status, receipt])


def by_receipt(database: Database, receipt: str) -> Instance | None:
    """The row of a receipt, where it has been indexed."""
    row = one(database, "SELECT * FROM instances WHERE receipt=?", [receipt])
    return _instance(row) if row else None


def current(database: Database, sop_instance_uid: str) -> Instance | None:
    """The instance that counts under this UID (rejected or not)."""
    row = one(
        database,
        "SELECT * FROM instances WHERE sop_instance_uid=? AND status IN ('current', 'rejected')",
        [sop_instance_uid],
    )
    return _instance(row) if row else None


def known(database: Database, receipts: Sequence[str]) -> frozenset[str]:
    """Those of `receipts` that have been indexed."""
    found: set[str] = set()
    for start in range(0, len(receipts), 500):
        some = receipts[start : start + 500]
        sql = f"SELECT receipt FROM instances WHERE receipt IN ({placeholders(some)})"  # noqa: S608 - only question marks
        found.update(row["receipt"] for row in query(database, sql, some))
    return frozenset(found)


def of_sop_instance(database: Database, sop_instance_uid: str) -> list[Instance]:
    """All receipts under a SOP Instance UID, whatever they count as, in order of arrival."""
    rows = query(database, "SELECT * FROM instances WHERE sop_instance_uid=? ORDER BY rowid", [sop_instance_uid])
    return [_instance(row) for row in rows]


def witness(database: Database, study: str) -> Instance | None:
    """An instance that says who the patient is: the first that counts, one with a Patient ID before one without."""
    row = one(
        database,
        "SELECT * FROM instances WHERE study_instance_uid=? AND status IN ('current', 'rejected')"
        " ORDER BY json_extract(comparison, '$.patient.PatientID') IS NULL, rowid LIMIT 1",
        [study],
    )
    return _instance(row) if row else None


def differing_patient(one: Instance | None, other: Instance | None) -> list[str]:
    """Attributes of the patient that two witnesses both state, and state differently."""
    if one is None or other is None:
        return ["everything: there are no images"]
    first, second = one.comparison.get("patient", {}), other.comparison.get("patient", {})
    stated = (first.keys() & second.keys()) | {"PatientID"}
    return sorted(keyword for keyword in stated if first.get(keyword) != second.get(keyword))


def sources(database: Database, study: str) -> frozenset[tuple[str, str, str]]:
    """(calling AE title, modality, origin) of what counts of a study."""
    rows = query(
        database,
        "SELECT DISTINCT calling_ae_title, modality, origin FROM instances"
        " JOIN series USING (study_instance_uid, series_instance_uid)"
        " WHERE study_instance_uid=? AND status IN ('current', 'rejected')",
        [study],
    )
    return frozenset((row["calling_ae_title"], row["modality"], row["origin"]) for row in rows)


def of_study(
    database: Database, study: str, statuses: Sequence[InstanceStatus] = (InstanceStatus.CURRENT,)
) -> list[Instance]:
    """Instances of a study with one of these statuses, in order of arrival."""
    sql = f"SELECT * FROM instances WHERE study_instance_uid=? AND status IN ({placeholders(statuses)}) ORDER BY rowid"  # noqa: S608 - only question marks
    return [_instance(row) for row in query(database, sql, [study, *statuses])]


def current_of(database: Database, receipts: Sequence[str]) -> list[Instance]:
    """Those of `receipts`, some hundred at most, that count, in order of arrival."""
    sql = f"SELECT * FROM instances WHERE receipt IN ({placeholders(receipts)}) AND status='current' ORDER BY rowid"  # noqa: S608 - only question marks
    return [_instance(row) for row in query(database, sql, list(receipts))]


def middle_of(database: Database, study: str, series: str) -> str | None:
    """The receipt of the instance in the middle, in order of arrival, of those of a series that count."""
    which = "FROM instances WHERE study_instance_uid=? AND series_instance_uid=? AND status='current'"
    sql = f"SELECT receipt {which} ORDER BY rowid LIMIT 1 OFFSET (SELECT count(*)/2 {which})"
    row = one(database, sql, [study, series] * 2)
    return str(row["receipt"]) if row else None


def receipts(database: Database) -> Iterator[str]:
    """Every receipt whose file is to be here, sorted; read as it is asked for, because there may be millions."""
    going = "SELECT study_instance_uid FROM purges WHERE ended_at IS NULL"
    sql = f"SELECT receipt FROM instances WHERE coalesce(study_instance_uid, '') NOT IN ({going}) ORDER BY receipt"  # noqa: S608 - our own text
    return (receipt for (receipt,) in database.execute(sql))


def newest_receipt(database: Database) -> str:
    """The receipt whose name sorts last; empty where there is none."""
    ((receipt,),) = database.execute("SELECT max(receipt) FROM instances").fetchall()
    return receipt or ""


def arrivals(database: Database, study: str) -> Arrivals:
    """The current instances of a study and how they came here; the quick way to no more than that."""
    named = [study, InstanceStatus.CURRENT]
    [[receipts]] = database.execute(
        "SELECT group_concat(receipt, char(10)) FROM instances WHERE study_instance_uid=? AND status=?", named
    )
    sources = database.execute(
        "SELECT DISTINCT calling_ae_title, called_ae_title, peer_address, origin FROM instances"
        " WHERE study_instance_uid=? AND status=?",
        named,
    )
    found = frozenset(ArrivalSource(*row) for row in sources)
    senders: dict[str, str] = {}
    if len({source.calling_ae_title for source in found}) > 1:
        sql = "SELECT receipt, calling_ae_title FROM instances WHERE study_instance_uid=? AND status=?"
        senders = dict(database.execute(sql, named).fetchall())
    return Arrivals(frozenset(receipts.split("\n") if receipts else ()), found, senders)


def totals(database: Database) -> dict[InstanceStatus, int]:
    """How many receipts count as what, over all studies."""
    return {InstanceStatus(status): n for status, n in tallies.of(database, "instances").items()}


def counts(database: Database, study: str) -> dict[InstanceStatus, int]:
    """How many receipts of a study count as what."""
    rows = query(
        database, "SELECT status, count(*) AS n FROM instances WHERE study_instance_uid=? GROUP BY status", [study]
    )
    return {InstanceStatus(row["status"]): int(row["n"]) for row in rows}


def _instance(row: dict[str, Any]) -> Instance:
    return Instance(
        **{
            **row,
            "status": InstanceStatus(row["status"]),
            "comparison": json.loads(row["comparison"]),
            "marks": json.loads(row["marks"]),
            "received_at": from_text(row["received_at"]),
        }
    )


def last_callers(database: Database) -> list[tuple[str, str, datetime, int]]:
    """Who sent the last 500 studies: calling AE title, address, when the last of each came, and how many of them.

    Of each study one received object is looked at.
    """
    rows = query(
        database,
        "SELECT calling_ae_title, peer_address, max(at) AS at, count(*) AS n FROM"
        " (SELECT last_received_at AS at, (SELECT instances.rowid FROM instances WHERE"
        " instances.study_instance_uid=studies.study_instance_uid AND origin='received' LIMIT 1) AS one FROM studies"
        " ORDER BY last_received_at DESC LIMIT 500) JOIN instances ON instances.rowid=one"
        " GROUP BY calling_ae_title, peer_address ORDER BY at DESC",
    )
    return [(row["calling_ae_title"], row["peer_address"], from_text(row["at"]), int(row["n"])) for row in rows]


def callers_of_late(database: Database, since: datetime) -> list[tuple[str, str]]:
    """(calling AE title, address) of the last 5,000 objects that were received since then."""
    rows = query(
        database,
        "SELECT DISTINCT calling_ae_title, peer_address FROM"
        " (SELECT * FROM instances ORDER BY rowid DESC LIMIT 5000) WHERE received_at>=? AND origin='received'",
        [to_text(since)],
    )
    return sorted((row["calling_ae_title"], row["peer_address"]) for row in rows)
