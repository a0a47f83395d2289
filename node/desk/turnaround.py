"""How long after the last image of a study the result was made, delivered, told and acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from node.ledger.delivery import Delivery
from node.ledger.job import Job
from node.ledger.notifications import Notification
from node.ledger.studies import Study


@dataclass(frozen=True, slots=True)
class Milestone:
    """One step of a study, and how long after its last image it was taken."""

    at: datetime
    minutes: float
    """Since the last image was received."""
    job: str | None
    step: str
    """In words: `report at pacs`."""


def milestones(
    study: Study, jobs: Sequence[Job], reports: Sequence[Delivery], told: Sequence[Notification]
) -> list[Milestone]:
    """In order; what was made before the last image came is about fewer images, and is left out."""
    last = study.last_received_at
    steps = (
        Milestone(at, (at - last).total_seconds() / 60, job, step)
        for at, job, step in _steps(study, jobs, reports, told)
        if at is not None and at >= last
    )
    return sorted(steps, key=lambda each: each.at)


def _steps(
    study: Study, jobs: Sequence[Job], reports: Sequence[Delivery], told: Sequence[Notification]
) -> Iterator[tuple[datetime | None, str | None, str]]:
    yield study.completed_at, None, "study complete"
    for job in jobs:
        yield job.finished_at, job.id, f"result of {job.plugin}"
    for each in reports:
        yield each.sent_at, each.job, f"report at {each.destination}"
    for message in told:
        yield message.sent_at, message.job, f"{message.person} notified"
        yield message.acknowledged_at, message.job, f"acknowledged by {message.acknowledged_by}"
