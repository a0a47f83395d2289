"""What scripts see of rows (`--json`): stable keys, moments in UTC, nothing about the patient unless asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.desk import nearest
from node.desk.words import dimse_status
from node.dimse.status import status_text
from node.ledger.alerts import Alert
from node.ledger.attempts import Attempt
from node.ledger.commitment import Commitment, CommitmentItem
from node.ledger.commitment_counts import StudyCommitment
from node.ledger.decisions import StoredDecision
from node.ledger.defects import Defect
from node.ledger.delivery import Delivery
from node.ledger.events import Event
from node.ledger.fetches import Fetch
from node.ledger.forwards import ImageCount
from node.ledger.identities import Identity
from node.ledger.job import Job
from node.ledger.notifications import Notification
from node.ledger.pauses import Pause
from node.ledger.purges import Purge
from node.ledger.returned_objects import ReturnedObjectRow
from node.ledger.studies import Series, Study
from node.ledger.timers import Timer
from node.ledger.withdrawals import Withdrawals
from node.store.callers import RefusedCaller


def study(row: Study, *, identify: bool) -> dict[str, Any]:
    """A study; who the patient is only with `identify`."""
    plain: dict[str, Any] = {
        "study_instance_uid": row.study_instance_uid,
        "accession_number": row.accession_number,
        "study_date": row.study_date,
        "study_time": row.study_time,
        "modalities": row.modalities.split("\\") if row.modalities else [],
        "description": row.description,
        "status": row.status,
        "revision": row.revision,
        "images": row.images,
        "decided_revision": row.decided_revision,
        "hold": row.hold,
        "first_received_at": row.first_received_at,
        "last_received_at": row.last_received_at,
        "due_at": row.due_at,
        "completed_at": row.completed_at,
    }
    if identify:
        plain |= {"patient_id": row.patient_id, "issuer_of_patient_id": row.issuer_of_patient_id}
    return plain


def series(row: Series) -> dict[str, Any]:
    """A series, and how many of its instances count."""
    return {
        "series_instance_uid": row.series_instance_uid,
        "modality": row.modality,
        "description": row.description,
        "instances": row.instances,
        "last_received_at": row.last_received_at,
    }


def purge(row: Purge) -> dict[str, Any]:
    """When and why retention removed images of a study; `ended_at` is null while it does."""
    return {
        "revision": row.revision,
        "retention": row.kind,
        "why": row.why,
        "began_at": row.began_at,
        "ended_at": row.ended_at,
        "instances": row.instances,
        "bytes": row.bytes,
    }


def decision(row: StoredDecision, *, explain: bool) -> dict[str, Any]:
    """A decision; its trace only with `explain`, because it shows values of headers."""
    plain: dict[str, Any] = {
        "id": row.id,
        "revision": row.revision,
        "look": row.look,
        "rule": row.rule,
        "rule_set": row.rule_set,
        "outcome": row.outcome,
        "why": row.trace.get("why"),
        "decided_at": row.decided_at,
    }
    if (lacked := nearest.lack(row)) is not None:
        stopped = lacked.stopped.name.lower()
        plain["lacks"] = {"stopped": stopped, "asked": lacked.asked, "clauses": list(lacked.clauses)}
    return {**plain, "trace": row.trace} if explain else plain


def job(row: Job) -> dict[str, Any]:
    """A job."""
    return {
        "id": row.id,
        "study_instance_uid": row.study_instance_uid,
        "revision": row.revision,
        "rule": row.rule,
        "step": row.step,
        "plugin": row.plugin,
        "round": row.round,
        "supersedes": row.supersedes,
        "mode": row.mode,
        "destinations": list(row.destinations),
        "status": row.status,
        "outcome": row.outcome,
        "attempts": row.attempts,
        "not_before": row.not_before,
        "error": row.error,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "encoded_at": row.encoded_at,
    }


def attempt(row: Attempt) -> dict[str, Any]:
    """An attempt; `log` relative to the data folder, `peak_memory` in bytes."""
    return {
        "id": row.id,
        "job": row.job,
        "number": row.number,
        "kind": row.kind,
        "place": row.place,
        "identity": row.identity,
        "state": row.state,
        "counted": row.counted,
        "failure": row.failure,
        "detail": row.detail,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "seconds": row.seconds,
        "peak_memory": row.peak_memory,
        "log": row.log,
    }


def returned(row: ReturnedObjectRow) -> dict[str, Any]:
    """A DICOM object that a plugin returned, with the UIDs that its maker gave it."""
    return {
        "job": row.job,
        "number": row.number,
        "sop_instance_uid": row.sop_instance_uid,
        "sop_class_uid": row.sop_class_uid,
        "series_instance_uid": row.series_instance_uid,
        "modality": row.modality,
        "maker": row.maker,
        "marked": row.marked,
    }


def delivery(row: Delivery) -> dict[str, Any]:
    """A delivery; `dimse_status` as four hexadecimal digits."""
    return {
        "id": row.id,
        "sop_instance_uid": row.item,
        "sop_class_uid": row.sop_class_uid,
        "study_instance_uid": row.study_instance_uid,
        "job": row.job,
        "destination": row.destination,
        "status": row.status,
        "hold": row.hold,
        "attempts": row.attempts,
        "not_before": row.not_before,
        "dimse_status": dimse_status(row.answer),
        "answer": row.answer,
        "error": row.error,
        "enqueued_at": row.enqueued_at,
        "sent_at": row.sent_at,
        "commitment": row.commitment,
        "commit_by": row.commit_by,
        "commit_failure": status_text(row.commit_failure) if row.commit_failure is not None else None,
        "committed_at": row.committed_at,
        "replaced_by": row.successor,
    }


def waiting(row: Timer, why: str | None) -> dict[str, Any]:
    """A rule that waits for more of a study."""
    return {
        "study_instance_uid": row.study_instance_uid,
        "rule": row.rule,
        "since": row.since,
        "until": row.due_at,
        "why": why,
    }


def notification(row: Notification) -> dict[str, Any]:
    """A notification."""
    return {
        "id": row.id,
        "study_instance_uid": row.study_instance_uid,
        "job": row.job,
        "rule": row.rule,
        "occasion": row.occasion,
        "person": row.person,
        "status": row.status,
        "sent_by": list(row.sent_by),
        "attempts": row.attempts,
        "not_before": row.not_before,
        "error": row.error,
        "enqueued_at": row.enqueued_at,
        "sent_at": row.sent_at,
        "alert": row.alert,
        "escalate_at": row.escalate_at,
        "escalated_from": row.escalated_from,
        "acknowledged_by": row.acknowledged_by,
        "acknowledged_at": row.acknowledged_at,
    }


def images(row: ImageCount) -> dict[str, Any]:
    """Received images of a study that a rule forwards, in the same state."""
    return {
        "study_instance_uid": row.study_instance_uid,
        "destination": row.destination,
        "status": row.status,
        "why": row.why,
        "instances": row.instances,
    }


def study_commitment(row: StudyCommitment) -> dict[str, Any]:
    """What of a study was delivered to a destination, and how far its storage commitment is."""
    return {
        "destination": row.destination,
        "kind": row.kind,
        "commitment": row.commitment,
        "failure_reason": status_text(row.failure) if row.failure is not None else None,
        "instances": row.instances,
        "commit_by": row.commit_by,
    }


def withdrawals(row: Withdrawals) -> dict[str, Any]:
    """What of a study is to be withdrawn at a destination."""
    return {
        "study_instance_uid": row.study_instance_uid,
        "destination": row.destination,
        "reason": row.reason,
        "by": row.by,
        "status": row.status,
        "listed_at": row.listed_at,
        "results": row.results,
        "images": row.images,
    }


def pause(row: Pause) -> dict[str, Any]:
    """What a person has paused."""
    return {"what": row.what, "name": row.name, "by": row.by, "since": row.since, "why": row.why}


def fetch(row: Fetch) -> dict[str, Any]:
    """An earlier study that a rule wants, or the study whose removed images a job needs."""
    return {
        "rule": row.rule,
        "source": row.source,
        "status": row.status,
        "prior_study": row.prior_study,
        "job": row.job,
        "attempts": row.attempts,
        "deadline": row.deadline,
        "error": row.error,
        "asked_at": row.asked_at,
        "ended_at": row.ended_at,
    }


def identity(row: Identity) -> dict[str, Any]:
    """What a destination says of which patient the study belongs to."""
    return {
        "destination": row.destination,
        "status": row.status,
        "detail": row.detail,
        "waiting_since": row.waiting_since,
        "checked_at": row.checked_at,
    }


def event(row: Event) -> dict[str, Any]:
    """One row of history."""
    return {
        "id": row.id,
        "at": row.at,
        "kind": row.kind,
        "severity": row.severity,
        "actor": row.actor,
        "study_instance_uid": row.study_instance_uid,
        "job": row.job,
        "delivery": row.delivery,
        "detail": dict(row.detail),
    }


def alert(row: Alert) -> dict[str, Any]:
    """A condition that needs a person."""
    return {
        "id": row.id,
        "kind": row.kind,
        "severity": row.severity,
        "place": row.place,
        "study_instance_uid": row.study,
        "since": row.opened_at,
        "gone_since": row.gone_since,
        "closed_at": row.closed_at,
        "last_at": row.last_at,
        "times": row.times,
        "about": row.kind.sentence,
        "handbook": row.kind.page,
        "told_at": row.told_at,
        "acknowledged_by": row.acknowledged_by,
        "acknowledged_at": row.acknowledged_at,
        "owner": row.owner,
        "note": row.note,
        "detail": dict(row.detail),
    }


def defect(row: Defect) -> dict[str, Any]:
    """What a stage could not handle."""
    return {
        "defect": row.id,
        "stage": row.stage,
        "item": row.item,
        "study_instance_uid": row.study_instance_uid,
        "job": row.job,
        "delivery": row.delivery,
        "tries": row.times,
        "since": row.first_at,
        "last_at": row.last_at,
        "given_up": row.parked,
        "error": row.error,
    }


def commitment(row: Commitment, items: Sequence[CommitmentItem] | None = None) -> dict[str, Any]:
    """A request for storage commitment; with its items where they are given."""
    said: dict[str, Any] = {
        "id": row.id,
        "transaction_uid": row.transaction_uid,
        "requester": row.requester,
        "status": row.status,
        "commit_through": row.through,
        "attempts": row.attempts,
        "not_before": row.not_before,
        "error": row.error,
        "requested_at": row.requested_at,
        "decided_at": row.decided_at,
        "reported_at": row.reported_at,
    }
    if items is not None:
        said["instances"] = [
            {
                "sop_class_uid": item.sop_class_uid,
                "sop_instance_uid": item.sop_instance_uid,
                "committed": None if item.failure is None else item.failure == 0,
                "failure_reason": f"{item.failure:04X}" if item.failure else None,
            }
            for item in items
        ]
    return said


def refused_caller(row: RefusedCaller, to_enter: str) -> dict[str, Any]:
    """A caller that was refused, and what to enter for it."""
    return {
        "calling_ae_title": row.calling_ae_title,
        "called_ae_title": row.called_ae_title,
        "address": row.address,
        "reason": row.reason,
        "times": row.times,
        "last_at": row.last_at,
        "to_enter": to_enter,
    }
