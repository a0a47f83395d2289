"""Facts from the ledger alone, for looking at a study again when its images may be long gone."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from node.ledger import facts, gone_images, instances, studies
from node.ledger.database import Database
from node.ledger.facts import InstanceRecord, SeriesColumns, SeriesRecord
from node.ledger.studies import Study
from node.route.facts import study_facts
from rules.facts import StudyFacts


def recorded_facts(database: Database, study: Study, zone: ZoneInfo) -> StudyFacts:
    """What rules would have seen of the study when it was last complete: that moment is their `now`.

    A study that was never complete is what has arrived of it, and says that it is not complete.
    """
    uid = study.study_instance_uid
    current = gone_images.arrivals(database, uid)
    if study.completed_at is not None:
        records = facts.columns_of_study(database, uid, study.revision)
        return study_facts(study, records, current, study.completed_at, zone)
    at = study.last_received_at
    growing = [each.series_instance_uid for each in studies.open_series(database, uid)]
    return study_facts(replace(study, completed_at=at), _so_far(database, study), current, at, zone, growing=growing)


def _so_far(database: Database, study: Study) -> list[SeriesColumns]:
    """What has arrived so far, as records that completion has not made yet; what was looked at early is in records."""
    uid = study.study_instance_uid
    kept = facts.of_study(database, uid, study.revision, facts.NEWEST)
    known = {one.receipt: one for record in kept for one in record.instances}
    headers = facts.headers_of(database, uid)
    series: dict[str, list[InstanceRecord]] = {}
    for each in instances.of_study(database, uid):
        if each.receipt in headers:
            known[each.receipt] = InstanceRecord.of(each, headers[each.receipt])
        if each.receipt in known and each.series_instance_uid:
            series.setdefault(each.series_instance_uid, []).append(known[each.receipt])
    return [facts.columns_of(SeriesRecord(uid, tuple(records))) for uid, records in sorted(series.items())]
