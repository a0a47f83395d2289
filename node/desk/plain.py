"""What scripts see of rows (`--json`): stable keys, moments in UTC, nothing about the patient unless asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.ledger.commitments import Commitment, Item
from node.ledger.decisions import Decision
from node.ledger.defects import Defect
from node.ledger.delivery import Delivery
from node.ledger.events import Event
from node.ledger.fetches import Fetch
from node.ledger.forwards import Standing
from node.ledger.identities import Identity
from node.ledger.job import Job
from node.ledger.notifications import Notification
from node.ledger.studies import Series, Study
from node.ledger.timers import Timer


def study(row: Study, *, identify: bool) -> dict[str, Any]:
    """A study; who the patient is only with `identify`."""
    plain: dict[str, Any] = {
        "study_instance_uid": row.study_instance_uid,
        "accession_number": row.accession_number,
        "status": row.status,
        "revision": row.revision,
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


def decision(row: Decision, *, explain: bool) -> dict[str, Any]:
    """A decision; its trace only with `explain`, because it shows values of headers."""
    plain = {
        "id": row.id,
        "revision": row.revision,
        "look": row.look,
        "rule": row.rule,
        "rule_set": row.rule_set,
        "outcome": row.outcome,
        "why": row.trace.get("why"),
        "decided_at": row.decided_at,
    }
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


def delivery(row: Delivery) -> dict[str, Any]:
    """A delivery; `dimse_status` as four hexadecimal digits."""
    return {
        "id": row.id,
        "sop_instance_uid": row.sop_instance_uid,
        "sop_class_uid": row.sop_class_uid,
        "study_instance_uid": row.study_instance_uid,
        "job": row.job,
        "destination": row.destination,
        "status": row.status,
        "hold": row.hold,
        "attempts": row.attempts,
        "not_before": row.not_before,
        "dimse_status": None if row.dimse_status is None else f"{row.dimse_status:04X}",
        "error": row.error,
        "enqueued_at": row.enqueued_at,
        "sent_at": row.sent_at,
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
    }


def images(row: Standing) -> dict[str, Any]:
    """Received images of a study that a rule forwards, in the same state."""
    return {
        "study_instance_uid": row.study_instance_uid,
        "destination": row.destination,
        "status": row.status,
        "why": row.why,
        "instances": row.instances,
    }


def fetch(row: Fetch) -> dict[str, Any]:
    """An earlier study that a rule wants."""
    return {
        "rule": row.rule,
        "source": row.source,
        "status": row.status,
        "prior_study": row.prior_study,
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
        "study_instance_uid": row.study_instance_uid,
        "job": row.job,
        "delivery": row.delivery,
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


def commitment(row: Commitment, items: Sequence[Item] | None = None) -> dict[str, Any]:
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
