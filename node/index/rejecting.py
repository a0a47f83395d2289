"""Rejection notes (IHE IOCM): the instances they name leave every job's input."""

from __future__ import annotations

from datetime import datetime

from node.index.compare import is_other_patient
from node.index.header import HeaderReading
from node.index.stopping import stop_users_of
from node.ledger import alerts, events, facts, gone_images, instances, rejections
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Database
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.instances import Instance, InstanceStatus
from node.ledger.rejections import RejectedInstance

_MEANINGS = {
    "113001": "rejected for quality reasons",
    "113037": "rejected for patient safety reasons",
    "113038": "incorrect modality worklist entry",
    "113039": "data retention policy expired",
}


def is_rejected(database: Database, reading: HeaderReading) -> bool:
    """Whether a note that came before this instance rejects it."""
    for rejection in rejections.of_instance(database, reading.study_instance_uid, reading.sop_instance_uid):
        note = instances.by_receipt(database, rejection.note)
        if note is None:
            return True  # retention removed the note, not what it says
        if not is_other_patient(note.comparison, reading.comparison):
            return True
    return False


def apply(database: Database, at: datetime, note: HeaderReading) -> frozenset[str]:
    """A note was recorded: what it names is rejected, what uses that stops; returns the studies concerned.

    These are the studies of the instances, and those of which something stopped that was compared with them. A note has
    a say about instances of the studies and of the patient that it names, and no others.
    """
    assert note.rejection is not None
    title = note.rejection.title
    gone = {study: gone_images.stand_ins(database, study) for study in {each for each, _ in note.rejection.instances}}
    rejections.add(
        database, (RejectedInstance(uid, study, note.receipt, title) for study, uid in note.rejection.instances)
    )
    rejected: dict[str, list[Instance]] = {}
    ignored = 0
    for study, uid in note.rejection.instances:
        named = instances.current(database, uid) or gone[study].get(uid)
        if named is None or named.status is InstanceStatus.REJECTED or named.receipt == note.receipt:
            continue
        whose = named.comparison or gone_images.witness(database, study) or {}
        if named.study_instance_uid != study or (whose and is_other_patient(note.comparison, whose)):
            ignored += 1
            continue
        instances.set_status(database, named.receipt, InstanceStatus.REJECTED)
        facts.drop_header(database, named.receipt)
        rejected.setdefault(study, []).append(named)
    concerned = set(rejected)
    for study, those in rejected.items():
        concerned |= _stop(database, at, study, those, title)
    if ignored:
        alerts.raised(
            database,
            at,
            AlertKind.REJECTION_IGNORED,
            note.study_instance_uid,
            study=note.study_instance_uid,
            title=title,
            instances=ignored,
            reason="the note names instances of another study or patient than it states",
        )
    return frozenset(concerned)


def _stop(database: Database, at: datetime, study: str, rejected: list[Instance], title: str) -> frozenset[str]:
    reason = f"images were {_MEANINGS[title]}" if title in ("113001", "113037") else f"images: {_MEANINGS[title]}"
    events.record(
        database,
        at,
        EventKind.INSTANCES_REJECTED,
        study=study,
        severity=Severity.WARNING,
        title=title,
        instances=len(rejected),
    )
    receipts = {instance.receipt for instance in rejected}
    return stop_users_of(database, at, study, receipts, {instance.sop_instance_uid for instance in rejected}, reason)
