"""Which study, patient and instances an event is about, for the audit trail: read when its message is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.errors import NotFoundError
from node.ledger import deliveries, jobs, studies
from node.ledger.connection import Database
from node.ledger.events import Event
from node.ledger.rows import placeholders, query

_SOME = 500


@dataclass(frozen=True, slots=True)
class AuditSubject:
    """What the ledger knows of the study of an event by now."""

    study_instance_uid: str
    accession_number: str = ""
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    instances: Mapping[str, int] = field(default_factory=dict)
    """By SOP class UID."""
    senders: Sequence[tuple[str, str]] = ()
    """Calling AE title and address of whom its images came from."""


def of_event(database: Database, event: Event) -> AuditSubject | None:
    """None of an event that is about no study; what was removed meanwhile is not in it."""
    uid = event.study_instance_uid
    if uid is None:
        return None
    study = studies.get(database, uid)
    sql = "SELECT DISTINCT calling_ae_title AS title, peer_address AS address FROM instances WHERE study_instance_uid=?"
    sources = sorted((row["title"], row["address"]) for row in query(database, sql, [uid]))
    if study is None:
        return AuditSubject(uid, instances=_instances(database, event, uid), senders=sources)
    return AuditSubject(
        uid,
        study.accession_number,
        study.patient_id,
        study.issuer_of_patient_id,
        _instances(database, event, uid),
        sources,
    )


def _instances(database: Database, event: Event, study: str) -> Mapping[str, int]:
    """Of the delivery, else of the job, else of the study."""
    try:
        if event.delivery is not None:
            return {deliveries.get(database, event.delivery).sop_class_uid: 1}
        if event.job is not None:
            chosen = [receipt for each in jobs.get(database, event.job).inputs for receipt in each.receipts]
            return _of_receipts(database, chosen)
    except NotFoundError:  # retention removed it, or it is of another ledger
        return {}
    sql = (
        "SELECT sop_class_uid, count(*) AS n FROM instances WHERE study_instance_uid=? AND status='current'"
        " GROUP BY sop_class_uid ORDER BY sop_class_uid"
    )
    return {row["sop_class_uid"]: row["n"] for row in query(database, sql, [study])}


def _of_receipts(database: Database, receipts: Sequence[str]) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for first in range(0, len(receipts), _SOME):
        some = receipts[first : first + _SOME]
        sql = f"SELECT sop_class_uid FROM instances WHERE receipt IN ({placeholders(some)})"  # noqa: S608 - question marks
        found.update(row["sop_class_uid"] for row in query(database, sql, some))
    return dict(sorted(found.items()))
