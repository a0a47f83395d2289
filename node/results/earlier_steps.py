"""What a result was computed from: results of earlier steps of its rule, as far as its destination gets them."""

from __future__ import annotations

from node.ledger import deliveries, jobs, objects
from node.ledger.database import Database
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import Job, JobOutcome
from node.results.making import reference_to
from node.results.request import ComputedFrom

_GETS = (DeliveryStatus.WAITING, DeliveryStatus.SENDING, DeliveryStatus.DELIVERED)


def of(database: Database, job: Job, destination: str) -> tuple[ComputedFrom, ...]:
    """Each earlier result that the job worked on, and its segmentations that go there; none where it was not run.

    A reference must not dangle: what the destination does not get is named in words alone.
    """
    if job.outcome not in (JobOutcome.FINDINGS, JobOutcome.NO_FINDINGS):
        return ()
    found = []
    for source in (jobs.get(database, each) for each in dict.fromkeys(use.job for use in job.uses)):
        going = {
            each.item
            for each in deliveries.of_job(database, source.id)
            if each.destination == destination and each.status in _GETS
        }
        made = [
            one for one in objects.of_job(database, source.id) if one.kind == "seg" and one.sop_instance_uid in going
        ]
        version = str((source.algorithm or {}).get("version", ""))
        references = tuple(sorted(reference_to(one) for one in made))
        found.append(ComputedFrom(source.step, source.plugin, version, references))
    return tuple(found)
