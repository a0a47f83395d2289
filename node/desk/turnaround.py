"""How long after the last image of a study the result was made, delivered, told and acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.desk.study import StudyHistory


@dataclass(frozen=True, slots=True)
class Milestone:
    """One step of a study, and how long after its last image it was taken."""

    at: datetime
    minutes: float
    """Since the last image was received."""
    job: str | None
    step: str
    """In words: `report at pacs`."""


def milestones(found: StudyHistory) -> list[Milestone]:
    """In order; what was made before the last image came is about fewer images, and is left out."""
    last = found.study.last_received_at
    steps = (
        Milestone(at, (at - last).total_seconds() / 60, job, step)
        for at, job, step in _steps(found)
        if at is not None and at >= last
    )
    return sorted(steps, key=lambda each: each.at)


def _steps(found: StudyHistory) -> Iterator[tuple[datetime | None, str | None, str]]:
    yield found.study.completed_at, None, "study complete"
    for job in found.jobs:
        yield job.finished_at, job.id, f"result of {job.plugin}"
    for each in found.deliveries:
        if found.kinds.get(each.item) == "sr":
            yield each.sent_at, each.job, f"report at {each.destination}"
    for told in found.notifications:
        yield told.sent_at, told.job, f"{told.person} notified"
        yield told.acknowledged_at, told.job, f"acknowledged by {told.acknowledged_by}"
