"""Sets that lack an object: written down for the site admin, and for a report that is made again for such a set."""

from __future__ import annotations

from datetime import datetime

from node.ledger import alerts
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Database
from node.ledger.encodings import Encoding
from node.ledger.job import Job
from node.results.encoded import EncodedSet
from node.results.request import SetPart


def record(
    database: Database, at: datetime, job: Job, encoding: str, encoded: EncodedSet, destinations: list[str]
) -> None:
    """An alert: which objects of this set could not be written, for which destinations, why, and where they are."""
    alerts.raised(
        database,
        at,
        AlertKind.JOB_OBJECTS_MISSING,
        job.id,
        study=job.study_instance_uid,
        job=job.id,
        missing=", ".join(_in_short(encoded.missing)),
        destinations=", ".join(destinations),
        error="; ".join(encoded.reasons),
        kept=f"results/{job.id}/{encoding}/refused",
    )


def _in_short(missing: frozenset[SetPart]) -> list[str]:
    """ "seg", "picture 2": no single objects where their whole kind is missing, nor the label map they are made of."""
    whole = {part.kind for part in missing if not part.number}
    return [str(part) for part in sorted(missing) if part.kind != "mask" and not (part.number and part.kind in whole)]


def parts_missing(kept: Encoding) -> frozenset[SetPart]:
    """What the set of this encoding lacks; nothing where it is whole."""
    return frozenset(SetPart(kind, number) for kind, number in kept.missing)  # type: ignore[arg-type] # as `record` had them
