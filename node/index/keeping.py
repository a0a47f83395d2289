"""What rules see of a study, kept at a moment: one record for each series that has changed since.

Records are made before the transaction that keeps them: to read, code and compress the headers of a thousand images
takes longer than other writers should wait. They are right as long as the same instances count.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger import facts, gone_images, instances
from node.ledger.database import Database, Ledger
from node.ledger.facts import InstanceRecord, PackedSeries, SeriesRecord
from node.ledger.instances import InstanceStatus


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
        receipts = gone_images.arrivals(database, study).receipts
        changed = _changed(database, study, revision, look)
    return StudyRecords(revision, look, receipts, tuple(map(facts.packed, changed)))


def keep_facts(database: Database, study: str, revision: int, look: int, prepared: StudyRecords) -> None:
    """One record for each series that is not what it was at the revision, or the look, before.

    What was prepared is made again where something came between, such as a correction.
    """
    series = prepared.series
    receipts = gone_images.arrivals(database, study).receipts
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
    gone = gone_images.receipts(database, study)  # they count as much as those that are here
    series = {uid: [one for one in record.instances if one.receipt in gone] for uid, record in earlier.items()}
    for one in instances.of_study(database, study, [InstanceStatus.CURRENT]):
        if one.receipt not in gone:
            series.setdefault(one.series_instance_uid or "", []).append(InstanceRecord.of(one, headers[one.receipt]))
    records = [SeriesRecord(uid, tuple(counting)) for uid, counting in series.items()]
    return [record for record in records if record != earlier.get(record.series_instance_uid)]
