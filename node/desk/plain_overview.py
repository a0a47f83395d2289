"""The overview for scripts (`status --json`): stable keys, moments in UTC."""

from __future__ import annotations

from typing import Any

from node.config.models import Configuration
from node.desk import boxes, earlier_results, plain, services, warnings
from node.desk.overview import IN_JSON, Overview, Work
from node.desk.site import SiteConfiguration
from node.ledger.commitment import CommitmentStatus
from node.ledger.commitment_counts import CommitmentCounts
from node.ledger.delivery import DeliveryCommitment, DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobStatus
from node.ledger.notifications import NotificationStatus
from node.store.health import refusing_associations
from rules.model import rule_set_digest


def of(found: Overview, configuration: Configuration, *, identify: bool) -> dict[str, Any]:
    """All of it; who the patients are only with `identify`."""
    return {
        "running": found.health.running is not None,
        "process": found.health.running,
        "ae_title": configuration.node.ae_title,
        "data": str(configuration.node.data),
        "health": _health(found, configuration),
        "rules": _rules(found.standing),
        "queues": _queues(found),
        "held_studies": [plain.study(study, identify=identify) for study in found.attention.held_studies[:IN_JSON]],
        "held_deliveries": [plain.delivery(each) for each in found.attention.held],
        "dead_letters": [plain.delivery(each) for each in found.attention.dead],
        "waiting": [plain.waiting(*each) for each in found.waiting],
        "not_told": [plain.notification(each) for each in found.attention.untold],
        "stuck_images": [plain.images(each) for each in found.attention.stuck[:IN_JSON]],
        "pauses": [plain.pause(each) for each in found.attention.pauses],
        "withdrawn_versions": [plain.recall(*each) for each in found.attention.withdrawn],
        "to_withdraw": [plain.withdrawals(each) for each in found.attention.to_withdraw[:IN_JSON]],
        "being_encoded": [plain.job(job) | {"since": since} for job, since in found.encoding[:IN_JSON]],
        "running_jobs": [plain.job(job) | {"attempt": _attempt(found, job)} for job in found.under_way],
        "failures": [plain.job(job) | {"attempt": _attempt(found, job)} for job in found.troubled],
        "commitments": [plain.commitment(each) for each in found.attention.unsettled],
        "failing_stages": {name: {"since": each.at, "why": each.reason} for name, each in found.health.failing.items()},
        "defects": [plain.defect(each) for each in found.attention.defects],
        "refused_callers": [plain.refused_caller(*each) for each in found.attention.refused],
        "boxes": [boxes.plain_standing(each) for each in found.boxes],
        "services": [services.plain_standing(each) for each in found.services],
        "last_backup": _last_backup(found),
        "perhaps_sent": [earlier_results.plain(each) for each in found.attention.perhaps_sent[:IN_JSON]],
        "alerts": [plain.alert(each) for each in found.attention.alerts],
        "studies": [_study(each, identify=identify) for each in found.latest],
    }


def _study(work: Work, *, identify: bool) -> dict[str, Any]:
    return {
        **plain.study(work.study, identify=identify),
        "modalities": sorted({each.modality for each in work.series}),
        "instances": sum(each.instances for each in work.series),
        "jobs": [plain.job(job) for job in work.jobs],
        "deliveries": [plain.delivery(delivery) for delivery in work.results],
        "images": [plain.images(each) for each in work.images],
    }


def _attempt(found: Overview, job: Job) -> dict[str, Any] | None:
    """The last attempt at a job."""
    last = found.attempts.get(job.id)
    return plain.attempt(last) if last else None


def _last_backup(found: Overview) -> dict[str, Any] | None:
    last = found.attention.last_backup
    return {"at": last.began_at, "folder": last.folder, "name": last.name, "files": last.files} if last else None


def _health(found: Overview, configuration: Configuration) -> dict[str, Any]:
    return {
        "free_bytes": found.health.load.free_bytes,
        "refusing_associations": refusing_associations(found.health.load, configuration.node.limits),
        "cannot_write": found.health.unwritable,
        "isolated": found.health.confinement.isolated,
        "isolation": found.health.confinement.text,
        "isolation_of": {each.name: each.text for each in found.health.confinement.plugins},
        "warnings": [text for _, text in warnings.of(found, configuration)],
    }


def _rules(standing: SiteConfiguration) -> dict[str, Any]:
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


def _queues(found: Overview) -> dict[str, Any]:
    return {
        "incoming": found.health.load.waiting,
        "studies": found.studies,
        "instances": {status.value: found.instances.get(status, 0) for status in InstanceStatus},
        "waiting_for_earlier_studies": found.fetches,
        "jobs": {status.value: found.jobs.get(status, 0) for status in JobStatus},
        "jobs_wait": found.health.waits,
        "notifications": {status.value: found.notifications.get(status, 0) for status in NotificationStatus},
        "commitments": {status.value: found.commitments.get(status, 0) for status in CommitmentStatus},
        "deliveries": {
            name: {
                "next_due_at": found.next_due.get(name),
                "why_waiting": found.why_waiting.get(name),
                "hold_ups": [{"why": each.sentence, "until": each.until} for each in found.hold_ups.get(name, ())],
                **{status.value: counts.get(status, 0) for status in DeliveryStatus},
            }
            for name, counts in found.deliveries.items()
        },
        "images": {
            name: {status.value: counts.get(status, 0) for status in DeliveryStatus}
            for name, counts in found.images.items()
        },
        "commitment_of_destinations": {
            name: {"results": _kept(found.kept.results.get(name, {})), "images": _kept(found.kept.images.get(name, {}))}
            for name in {**found.kept.results, **found.kept.images}
        },
    }


def _kept(counts: CommitmentCounts) -> dict[str, int]:
    """How far the destination has committed itself to what was delivered there."""
    return {each.value: counts.get(each, 0) for each in DeliveryCommitment if each is not DeliveryCommitment.NONE}
