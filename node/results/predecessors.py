"""What a result takes the place of for the readers at a destination, and which result of its question it is."""

from __future__ import annotations

from node.ledger import deliveries, encodings, jobs, objects
from node.ledger.database import Database
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import Job, JobOutcome
from node.ledger.objects import ResultObject
from node.results import restored
from node.results.making import reference_to
from node.results.request import Revision, SourceReference

_MAY_HAVE_ARRIVED = (DeliveryStatus.DELIVERED, DeliveryStatus.SENDING)


def of(database: Database, job: Job, destination: str) -> tuple[SourceReference, ...]:
    """The SRs of this question that a reader there may still have: of the last success, and of failures since.

    A failure replaces nothing: what was found before still stands (PS3.3 C.17.2, Predecessor Documents).
    """
    if job.outcome is JobOutcome.FAILED:
        return ()
    replaced = [*restored.references(database, job, destination)]
    for before in earlier(database, job):
        sent = {
            delivery.item
            for delivery in deliveries.of_job(database, before.id)
            if delivery.destination == destination and delivery.status in _MAY_HAVE_ARRIVED
        }
        found = [made for made in objects.of_job(database, before.id) if made.sop_instance_uid in sent]
        reports = [made for made in found if made.kind == "sr"]
        replaced += [reference_to(made) for made in reports]
        if any(_holds_result(database, before, made) for made in reports):
            break  # it named those before it
    return tuple(sorted(replaced))


def revision(database: Database, job: Job, destination: str) -> Revision | None:
    """Which result of this question this is for the readers there; None where they have none yet."""
    arrived = [each for each in earlier(database, job) if _may_have(database, each, destination)]
    made = [each for each in arrived if each.outcome is not JobOutcome.FAILED and each.finished_at]
    last = (made or arrived)[0] if arrived else None
    if last is None or last.finished_at is None:
        return _of_restored(database, job, destination)
    return Revision(
        number=len(arrived) + 1,
        earlier_made_at=last.finished_at,
        more_images=_images_of(job) - _images_of(last),
        replaces=job.outcome is not JobOutcome.FAILED,
    )


def _of_restored(database: Database, job: Job, destination: str) -> Revision | None:
    """The second one, where it takes the place of what was sent before the ledger was restored."""
    made_at = restored.made_at(database)
    if made_at is None or job.outcome is JobOutcome.FAILED or not restored.references(database, job, destination):
        return None
    return Revision(number=2, earlier_made_at=made_at, more_images=0)


def _may_have(database: Database, job: Job, destination: str) -> bool:
    """Whether any object of a job may be there."""
    return any(
        delivery.destination == destination and delivery.status in _MAY_HAVE_ARRIVED
        for delivery in deliveries.of_job(database, job.id)
    )


def _holds_result(database: Database, job: Job, report: ResultObject) -> bool:
    """Whether a report holds what was found, and not that this failed or could not be reported."""
    kept = encodings.get(database, job.id, report.encoding)
    return job.outcome is not JobOutcome.FAILED and not (kept is not None and kept.says_why)


def earlier(database: Database, job: Job) -> list[Job]:
    """The chain of jobs that this one supersedes, newest first."""
    chain = []
    while job.supersedes is not None:
        job = jobs.get(database, job.supersedes)
        chain.append(job)
    return chain


def _images_of(job: Job) -> int:
    return sum(len(chosen.receipts) for chosen in job.inputs)
