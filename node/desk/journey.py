"""The way of a study through the node, step by step, with how long each took and how long after the last image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from node.desk.study import StudyHistory
from node.desk.words import counted
from node.ledger.attempts import Attempt, AttemptState
from node.ledger.delivery import Delivery, DeliveryCommitment, DeliveryStatus
from node.ledger.job import Job, JobStatus

MOST_STEPS = 60
"""That a page shows; of a study that was done again and again, the last ones."""


@dataclass(frozen=True, slots=True)
class JourneyStep:
    """One step; still going on where it has no end."""

    what: str
    about: str
    kind: str
    """`good`, `busy`, `warn`, `bad` or `idle`."""
    begin: datetime
    end: datetime | None
    after: timedelta | None
    """From the last image until it ended, or until now; None where it ended before that image."""
    share: float
    """Of the longest step, 0 to 1: how long it took."""
    job: str | None = None

    def took(self, now: datetime) -> timedelta:
        """How long, or how long already."""
        return (self.end or now) - self.begin


def steps(found: StudyHistory, now: datetime) -> list[JourneyStep]:
    """In the order in which they began."""
    made = sorted(_steps(found, now), key=lambda each: (each.begin, each.end or now))[-MOST_STEPS:]
    longest = max((each.took(now).total_seconds() for each in made), default=0) or 1
    last = found.study.last_received_at

    def measured(step: JourneyStep) -> JourneyStep:
        end = step.end or now
        return JourneyStep(
            step.what,
            step.about,
            step.kind,
            step.begin,
            step.end,
            end - last if end > last else None,
            max(0.0, step.took(now).total_seconds() / longest),
            step.job,
        )

    return [measured(each) for each in made]


def _step(
    what: str, about: str, kind: str, begin: datetime, end: datetime | None, job: str | None = None
) -> JourneyStep:
    return JourneyStep(what, about, kind, begin, end, None, 0.0, job)


def _steps(found: StudyHistory, now: datetime) -> Iterator[JourneyStep]:
    study = found.study
    images = sum(each.instances for each in found.series)
    yield _step("received", counted(images, "image"), "good", study.first_received_at, study.last_received_at)
    complete = study.completed_at if study.completed_at and study.completed_at >= study.last_received_at else None
    kind = "good" if complete else "busy"
    yield _step("complete", "quiet period", kind, study.last_received_at, complete)
    for revision in sorted({each.revision for each in found.decisions}):
        taken = [each for each in found.decisions if each.revision == revision]
        matched = sum(each.outcome != "not_matched" for each in taken)
        begin, end = min(each.decided_at for each in taken), max(each.decided_at for each in taken)
        if revision == study.revision and study.completed_at:
            begin = min(begin, study.completed_at)
        yield _step("decided", f"{matched} of {len(taken)} rules", "good" if matched else "idle", begin, end)
    attempts: dict[str, list[Attempt]] = {}
    for attempt in found.attempts:
        attempts.setdefault(attempt.job, []).append(attempt)
    for job in found.jobs:
        yield from _of_job(job, attempts.get(job.id, []))
    yield from _sending(found.deliveries)
    for told in found.notifications:
        sent = told.sent_at
        kind = "good" if sent else "bad" if told.status == "dead" else "busy"
        yield _step("notified", told.person, kind, told.enqueued_at, sent or (now if kind == "bad" else None), told.job)


def _of_job(job: Job, attempts: Sequence[Attempt]) -> Iterator[JourneyStep]:
    begun = attempts[0].started_at if attempts else None
    if begun is None and job.status is JobStatus.QUEUED:
        yield _step("waited", job.plugin, "busy", job.created_at, None, job.id)
    elif begun is not None:
        yield _step("waited", job.plugin, "good", job.created_at, begun, job.id)
    for each in attempts:
        kind = {AttemptState.ANSWERED: "good", AttemptState.CANCELLED: "warn"}.get(each.state, "bad")
        kind = "busy" if each.ended_at is None else "bad" if job.outcome == "failed" and kind == "good" else kind
        number = f", attempt {each.number}" if len(attempts) > 1 else ""
        yield _step("ran", f"{job.plugin}{number}", kind, each.started_at, each.ended_at, job.id)
    if job.finished_at and job.status in (JobStatus.ENDED, JobStatus.REPORTED, JobStatus.UNREPORTABLE):
        kind = {JobStatus.ENDED: "busy", JobStatus.UNREPORTABLE: "bad"}.get(job.status, "good")
        end = job.encoded_at if kind != "busy" else None
        if end or kind == "busy":
            yield _step("encoded", f"report of {job.plugin}", kind, job.finished_at, end, job.id)


def _sending(deliveries: Sequence[Delivery]) -> Iterator[JourneyStep]:
    """Of each job and destination one step, and one for the destination's commitment."""
    groups: dict[tuple[str | None, str], list[Delivery]] = {}
    for each in deliveries:
        groups.setdefault((each.job, each.destination), []).append(each)
    for (job, destination), those in groups.items():
        begin = min(each.enqueued_at for each in those)
        sent = [each.sent_at for each in those if each.sent_at and each.status is DeliveryStatus.DELIVERED]
        statuses = {each.status for each in those}
        kind = next((kind for status, kind in _KINDS if status in statuses), "idle")
        about = f"{len(sent)} of {len(those)} objects at {destination}"
        end = max(sent, default=begin) if kind != "busy" else None
        yield _step("delivered", about, kind, begin, end, job)
        kept = [each.committed_at for each in those if each.committed_at]
        asked = [each for each in those if each.commitment is not DeliveryCommitment.NONE]
        if asked and sent:
            in_trouble = any(each.commitment in ("refused", "overdue") for each in asked)
            done = len(kept) == len(asked)
            kind = "bad" if in_trouble else "good" if done else "busy"
            about = f"{len(kept)} of {len(asked)} objects by {destination}"
            yield _step("committed", about, kind, max(sent), max(kept) if done else None, job)


_KINDS = (
    (DeliveryStatus.DEAD, "bad"),
    (DeliveryStatus.HELD, "bad"),
    (DeliveryStatus.WAITING, "busy"),
    (DeliveryStatus.SENDING, "busy"),
    (DeliveryStatus.REFUSED, "busy"),
    (DeliveryStatus.WITHHELD, "warn"),
    (DeliveryStatus.DELIVERED, "good"),
)
"""How deliveries together are, by the worst of them."""
