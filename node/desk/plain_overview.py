"""The overview for scripts (`status --json`): stable keys, moments in UTC."""

from __future__ import annotations

from typing import Any

from node.config.models import Configuration
from node.desk import plain
from node.desk.overview import IN_JSON, Found, warnings
from node.desk.site import Standing
from node.ledger.commitments import CommitmentStatus
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobStatus
from node.ledger.notifications import NotificationStatus
from node.store.health import refusing_associations
from rules.model import rule_set_digest


def of(found: Found, configuration: Configuration, *, identify: bool) -> dict[str, Any]:
    """All of it; who the patients are only with `identify`."""
    return {
        "running": found.running is not None,
        "process": found.running,
        "ae_title": configuration.node.ae_title,
        "data": str(configuration.node.data),
        "health": _health(found, configuration),
        "rules": _rules(found.standing),
        "queues": _queues(found),
        "held_studies": [plain.study(study, identify=identify) for study in found.held_studies[:IN_JSON]],
        "held_deliveries": [plain.delivery(each) for each in found.held],
        "dead_letters": [plain.delivery(each) for each in found.dead],
        "waiting": [plain.waiting(*each) for each in found.waiting],
        "not_told": [plain.notification(each) for each in found.untold],
        "stuck_images": [plain.images(each) for each in found.stuck[:IN_JSON]],
        "being_encoded": [plain.job(job) | {"since": since} for job, since in found.encoding[:IN_JSON]],
        "failures": [plain.job(job) for job in found.troubled],
        "commitments": [plain.commitment(each) for each in found.unsettled],
        "failing_stages": {name: {"since": each.at, "why": each.reason} for name, each in found.failing.items()},
        "defects": [plain.defect(each) for each in found.defects],
        "alerts": [plain.event(event) for event in found.alerts],
        "studies": [
            {
                **plain.study(work.study, identify=identify),
                "modalities": sorted({each.modality for each in work.series}),
                "instances": sum(each.instances for each in work.series),
                "jobs": [plain.job(job) for job in work.jobs],
                "deliveries": [plain.delivery(delivery) for delivery in work.results],
                "images": [plain.images(each) for each in work.images],
            }
            for work in found.latest
        ],
    }


def _health(found: Found, configuration: Configuration) -> dict[str, Any]:
    return {
        "free_bytes": found.load.free_bytes,
        "refusing_associations": refusing_associations(found.load, configuration.node.limits),
        "cannot_write": found.unwritable,
        "isolated": found.confinement.isolated,
        "isolation": found.confinement.text,
        "warnings": [text for _, text in warnings(found, configuration)],
    }


def _rules(standing: Standing) -> dict[str, Any]:
    """What is in force, and what stands between it and the file."""
    running = standing.running
    return {
        "version": rule_set_digest(standing.configuration.rules),
        "names": [rule.name for rule in standing.configuration.rules],
        "since": running.since if running else None,
        "by": running.by if running else None,
        "refused": standing.headlines,
        "needs_restart": standing.needs_restart,
        "to_be_taken_up": standing.pending,
    }


def _queues(found: Found) -> dict[str, Any]:
    return {
        "incoming": found.load.waiting,
        "studies": found.studies,
        "instances": {status.value: found.instances.get(status, 0) for status in InstanceStatus},
        "waiting_for_earlier_studies": found.fetches,
        "jobs": {status.value: found.jobs.get(status, 0) for status in JobStatus},
        "notifications": {status.value: found.notifications.get(status, 0) for status in NotificationStatus},
        "commitments": {status.value: found.commitments.get(status, 0) for status in CommitmentStatus},
        "deliveries": {
            name: {
                "next_due_at": found.next_due.get(name),
                "why_waiting": found.why_waiting.get(name),
                **{status.value: counts.get(status, 0) for status in DeliveryStatus},
            }
            for name, counts in found.deliveries.items()
        },
        "images": {
            name: {status.value: counts.get(status, 0) for status in DeliveryStatus}
            for name, counts in found.images.items()
        },
    }
