"""After a restore: what a result takes the place of at a destination, as a person has answered."""

from __future__ import annotations

from datetime import datetime

from node.ledger import deliveries, earlier_results, restorations
from node.ledger.database import Database
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import Job
from node.results.request import SourceReference


def references(database: Database, job: Job, destination: str) -> tuple[SourceReference, ...]:
    """The reports from before the restore that this job's result takes the place of there."""
    found = earlier_results.predecessors(database, job.study_instance_uid, destination)
    if found is None:
        return ()
    return tuple(
        SourceReference(
            job.study_instance_uid, series.series_instance_uid, report.sop_instance_uid, report.sop_class_uid
        )
        for series in found.series
        for report in series.reports
    )


def made_at(database: Database) -> datetime | None:
    """When such reports were made, at the earliest; None where the ledger was never restored."""
    restored = restorations.last(database)
    return restored.made_at if restored is not None else None


def still_to_serve(database: Database, job: Job) -> list[str]:
    """The destinations that are to get objects of this job: all, when it is encoded for the first time.

    When it is encoded again, those whose objects were all put aside for that: the others have theirs.
    """
    served = {
        each.destination for each in deliveries.of_job(database, job.id) if each.status is not DeliveryStatus.SUPERSEDED
    }
    return [name for name in job.destinations if name not in served]
