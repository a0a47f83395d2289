"""What rules see of a study, kept at a moment: one record for each series that has changed since."""

from __future__ import annotations

from node.ledger import facts, instances
from node.ledger.database import Database
from node.ledger.facts import InstanceRecord, SeriesRecord
from node.ledger.instances import Instance, InstanceStatus


def keep_facts(database: Database, study: str, revision: int, look: int = 0) -> None:
    """One record for each series that is not what it was at the revision, or the look, before."""
    before = (revision, look - 1) if look else (revision - 1, facts.NEWEST)
    earlier = {record.series_instance_uid: record for record in facts.of_study(database, study, *before)}
    headers = dict(facts.headers_of(database, study))
    for record in earlier.values():
        headers |= {one.receipt: one.header for one in record.instances if one.receipt not in headers}
    series: dict[str, list[Instance]] = {uid: [] for uid in earlier}
    for instance in instances.of_study(database, study, [InstanceStatus.CURRENT]):
        series.setdefault(instance.series_instance_uid or "", []).append(instance)
    for uid, current in series.items():
        record = SeriesRecord(uid, tuple(record_of(one, headers[one.receipt]) for one in current))
        if record != earlier.get(uid):
            facts.save(database, study, revision, record, look)


def record_of(instance: Instance, header: facts.Header) -> InstanceRecord:
    """An instance as a series record holds it."""
    return InstanceRecord(
        receipt=instance.receipt,
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        frames=instance.frames,
        marks=tuple(sorted(instance.marks)),
        header=header,
    )
