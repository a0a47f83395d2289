"""Sets that lack an object: written down for the site admin, and for a report that is made again for such a set."""

from __future__ import annotations

from datetime import datetime

from node.ledger import events
from node.ledger.database import Database
from node.ledger.events import Severity
from node.ledger.job import Job
from node.results.encode import EncodedSet
from node.results.request import Part

_KIND = "job.objects-missing"


def record(
    database: Database, at: datetime, job: Job, encoding: str, encoded: EncodedSet, destinations: list[str]
) -> None:
    """An alert: which objects of this set could not be written, for which destinations, why, and where they are."""
    events.record(
        database,
        at,
        _KIND,
        study=job.study_instance_uid,
        job=job.id,
        severity=Severity.ALERT,
        missing=", ".join(_in_short(encoded.missing)),
        destinations=", ".join(destinations),
        error="; ".join(encoded.reasons),
        kept=f"results/{job.id}/{encoding}/refused",
        encoding=encoding,
        parts=[[part.kind, part.number] for part in sorted(encoded.missing)],
    )


def _in_short(missing: frozenset[Part]) -> list[str]:
    """ "seg", "picture 2": no single objects where their whole kind is missing, nor the label map they are made of."""
    whole = {part.kind for part in missing if not part.number}
    return [str(part) for part in sorted(missing) if part.kind != "mask" and not (part.number and part.kind in whole)]


def parts_missing(database: Database, job: str, encoding: str) -> frozenset[Part]:
    """What the set of this encoding lacks; nothing where it is whole."""
    told = [event for event in events.of_job(database, job, _KIND) if event.detail["encoding"] == encoding]
    return frozenset(Part(kind, number) for event in told for kind, number in event.detail["parts"])
