"""What rules see of a study, kept at a moment: one record for each series that has changed since.

Records are made before the transaction that keeps them: to read, code and compress the headers of a thousand images
takes longer than other writers should wait. They are right as long as the same instances count.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger import facts, instances
from node.ledger.database import Database, Ledger
from node.ledger.facts import InstanceRecord, PackedSeries, SeriesRecord
from node.ledger.instances import Instance, InstanceStatus


@dataclass(frozen=True, slots=True)
class StudyRecords:
    """The records of a study for one revision and look, and of which instances they were made."""

    revision: int
    look: int
    receipts: frozenset[str]
    series: tuple[PackedSeries, ...]


def prepare(ledger: Ledger, study: str, revision: int, look: int = 0) -> StudyRecords:
    """What `keep_facts` is going to keep, if the same instances still count then."""
    with ledger.snapshot() as database:
        receipts = instances.arrivals(database, study).receipts
        changed = _changed(database, study, revision, look)
    return StudyRecords(revision, look, receipts, tuple(map(facts.packed, changed)))


def keep_facts(database: Database, study: str, revision: int, look: int, prepared: StudyRecords) -> None:
    """One record for each series that is not what it was at the revision, or the look, before.

    What was prepared is made again where something came between, such as a correction.
    """
    series = prepared.series
    receipts = instances.arrivals(database, study).receipts
    if (prepared.revision, prepared.look, prepared.receipts) != (revision, look, receipts):
        series = tuple(map(facts.packed, _changed(database, study, revision, look)))
    for each in series:
        facts.save(database, study, revision, each, look)


def _changed(database: Database, study: str, revision: int, look: int) -> list[SeriesRecord]:
    before = (revision, look - 1) if look else (revision - 1, facts.NEWEST)
    earlier = {record.series_instance_uid: record for record in facts.of_study(database, study, *before)}
    headers = dict(facts.headers_of(database, study))
    for record in earlier.values():
        headers |= {one.receipt: one.header for one in record.instances if one.receipt not in headers}
    series: dict[str, list[Instance]] = {uid: [] for uid in earlier}
    for instance in instances.of_study(database, study, [InstanceStatus.CURRENT]):
        series.setdefault(instance.series_instance_uid or "", []).append(instance)
    records = [
        SeriesRecord(uid, tuple(InstanceRecord.of(one, headers[one.receipt]) for one in current))
        for uid, current in series.items()
    ]
    return [record for record in records if record != earlier.get(record.series_instance_uid)]
