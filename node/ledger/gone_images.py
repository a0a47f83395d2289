"""What is known of images that count and whose files retention removed (`node.ledger.purges`).

Their rows are gone. The newest facts of the study still have them, one by one, so rules see the study as it was. An
image is one of these while it has no row, it was not rejected since, and its SOP instance has not come again.
Once the facts were removed, too, only their number is known (`unknown`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any

from node.ledger import events, facts, instances, purges, rejections
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.facts import Header
from node.ledger.instances import Arrivals, Instance, InstanceStatus
from node.ledger.purges import Purge
from node.ledger.rows import query
from node.ledger.studies import StudyImages

_EVER = 2**31
"""A revision above all others."""


def came_again(database: Database, at: datetime, study: str, by: str) -> None:
    """A file of the study was indexed: where its images had gone, some are here again."""
    sql = "UPDATE studies SET images=? WHERE study_instance_uid=? AND images=?"
    if database.execute(sql, [StudyImages.HERE, study, StudyImages.GONE]).rowcount:
        events.record(database, at, EventKind.STUDY_CAME_AGAIN, study=study, actor=by)


def receipts(database: Database, study: str) -> dict[str, str]:
    """The receipts of its images that count and are gone, each with its SOP Instance UID; none of most studies."""
    if not (purged := purges.of_study(database, study)):
        return {}
    known: dict[str, str] = {}
    for record in facts.columns_of_study(database, study, _EVER):
        known |= zip(record.spelled_out("receipt"), record.spelled_out("sop_instance_uid"), strict=True)
    here, uids = _here(database, study, purged[-1])
    rejected = rejections.of_study(database, study)
    return {
        receipt: uid
        for receipt, uid in known.items()
        if receipt not in here and uid not in uids and uid not in rejected and receipt <= purged[-1].up_to
    }


def _here(database: Database, study: str, last: Purge) -> tuple[set[str], set[str]]:
    """Receipts that have a row, and the SOP Instance UIDs that count; what is being removed is as good as gone."""
    sql = "SELECT receipt, sop_instance_uid AS uid, status FROM instances WHERE study_instance_uid=?"
    rows = [row for row in query(database, sql, [study]) if last.ended_at is not None or row["receipt"] > last.up_to]
    counting = (InstanceStatus.CURRENT, InstanceStatus.REJECTED)
    return {row["receipt"] for row in rows}, {row["uid"] for row in rows if row["status"] in counting}


@dataclass(frozen=True, slots=True)
class GoneImage:
    """What the facts have of an image that is gone."""

    receipt: str
    header: Header
    """The attributes that were asked for."""


def images(database: Database, study: str, keywords: Collection[str]) -> dict[str, GoneImage]:
    """The same images, by SOP Instance UID, with these attributes."""
    gone = receipts(database, study)
    found: dict[str, GoneImage] = {}
    for record in facts.columns_of_study(database, study, _EVER) if gone else ():
        columns = {keyword: facts.unpacked(packed) for keyword in keywords if (packed := record.packed(keyword))}
        for place, receipt in enumerate(record.spelled_out("receipt")):
            if receipt in gone:
                found[gone[receipt]] = GoneImage(receipt, _header(columns, place))
    return found


def _header(columns: Mapping[str, tuple[Sequence[Any], Sequence[int] | None]], place: int) -> Header:
    """The attributes of the image at this place of its series."""
    indexes = {keyword: 0 if at is None else at[place] for keyword, (_, at) in columns.items()}
    return {keyword: columns[keyword][0][index] for keyword, index in indexes.items() if index >= 0}


def series(database: Database, study: str) -> frozenset[str]:
    """The series that have any."""
    gone = receipts(database, study)
    kept = facts.columns_of_study(database, study, _EVER) if gone else []
    return frozenset(
        each.series_instance_uid for each in kept if not gone.keys().isdisjoint(each.spelled_out("receipt"))
    )


def stand_ins(database: Database, study: str) -> dict[str, Instance]:
    """Instances in place of the rows that are gone, by SOP Instance UID; their digest is not known, and empty."""
    gone = receipts(database, study)
    found: dict[str, Instance] = {}
    for record in facts.columns_of_study(database, study, _EVER) if gone else ():
        fields = [record.spelled_out(name) for name in _FIELDS]
        for receipt, uid, sop_class, syntax, frames in zip(*fields, strict=True):
            if receipt in gone:
                found[uid] = _stand_in(study, record.series_instance_uid, receipt, uid, sop_class, syntax, frames)
    return found


def counting(database: Database, study: str) -> dict[str, Instance]:
    """The instances of the study that count, by SOP Instance UID; with stand-ins for those that are gone."""
    gone = stand_ins(database, study)
    removed = {each.receipt for each in gone.values()}
    here = (each for each in instances.of_study(database, study) if each.receipt not in removed)
    return {each.sop_instance_uid: each for each in here} | gone


def by_receipt(database: Database, studies_of: Iterable[str], series_uid: str, those: Iterable[str]) -> list[Instance]:
    """These receipts of a series of one of the studies; with stand-ins for those that are gone."""
    found = {receipt: instances.by_receipt(database, receipt) for receipt in those}
    left = [receipt for receipt, row in found.items() if row is None]
    for study in studies_of if left else ():
        for receipt, uid in uids_of(database, study, left).items():
            found[receipt] = _stand_in(study, series_uid, receipt, uid)
    return [row or _stand_in("", series_uid, receipt, "") for receipt, row in found.items()]


_FIELDS = ("receipt", "sop_instance_uid", "sop_class_uid", "transfer_syntax_uid", "frames")


def _stand_in(
    study: str, series_uid: str, receipt: str, uid: str, sop_class: str = "", syntax: str = "", frames: int = 1
) -> Instance:
    return Instance(
        receipt=receipt,
        sop_instance_uid=uid,
        sop_class_uid=sop_class,
        study_instance_uid=study,
        series_instance_uid=series_uid,
        transfer_syntax_uid=syntax,
        status=InstanceStatus.CURRENT,
        digest="",
        comparison={},
        marks={},
        frames=frames,
        bytes=0,
        calling_ae_title="",
        called_ae_title="",
        peer_address="",
        association="",
        origin="",
        received_at=datetime.min.replace(tzinfo=UTC),
    )


def arrivals(database: Database, study: str) -> Arrivals:
    """The images of a study that count, gone ones included, and how they came here."""
    here = instances.arrivals(database, study)
    gone = frozenset(receipts(database, study))
    if not gone:
        return here
    purged = purges.of_study(database, study)
    if purged[-1].ended_at is None:  # rows of what is being removed
        here = replace(here, receipts=frozenset(each for each in here.receipts if each > purged[-1].up_to))
    sources = here.sources.union(*(each.sources for each in purged))
    senders: Mapping[str, str] = {}
    if len({source.calling_ae_title for source in sources}) > 1:
        senders = {receipt: here.sender(receipt) for receipt in here.receipts}
        senders |= {receipt: _sender(receipt, purged) for receipt in gone}
    return Arrivals(here.receipts | gone, sources, senders, gone)


def _sender(receipt: str, purged: Iterable[Purge]) -> str:
    """By the purge that it went in."""
    purge = next(each for each in purged if receipt <= each.up_to)
    only = {source.calling_ae_title for source in purge.sources}
    return purge.senders.get(receipt, "") if len(only) > 1 else next(iter(only), "")


def unknown(database: Database, study: str) -> int:
    """How many images that counted are gone, have not come again, and are in no facts any more: nobody knows which."""
    return sum(max(0, row["gone"] - row["here"]) for row in query(database, _UNKNOWN, [study]))


_UNKNOWN = """
    SELECT max(counted) AS gone, (SELECT count(*) FROM instances
        WHERE instances.study_instance_uid=purges.study_instance_uid AND status IN ('current', 'rejected')
        AND instances.series_instance_uid=gone_series.series_instance_uid) AS here
    FROM purges JOIN gone_series ON gone_series.purge=purges.id
    WHERE purges.study_instance_uid=? AND counted>0 AND NOT EXISTS (SELECT 1 FROM series_facts
        WHERE series_facts.study_instance_uid=purges.study_instance_uid
        AND series_facts.series_instance_uid=gone_series.series_instance_uid AND series_facts.revision<=purges.revision)
    GROUP BY gone_series.series_instance_uid
"""


def witness(database: Database, study: str) -> Mapping[str, object] | None:
    """What an image that went said of patient and order (`Instance.comparison`); the newest that is known."""
    known = [each.witness for each in purges.of_study(database, study) if each.witness is not None]
    return known[-1] if known else None


def forwarded(database: Database, study: str, destination: str) -> frozenset[str]:
    """The SOP Instance UIDs of images that went to a destination before they were removed here.

    Of a series of which not all went there, none: to send one again does no harm, to send one never does.
    """
    found: set[str] = set()
    for purge in (each for each in purges.of_study(database, study) if not each.corrected):
        lines = {each.series_instance_uid: each for each in purges.series_of(database, purge.id)}
        for record in facts.columns_of_study(database, study, purge.revision, facts.NEWEST):
            line, uids = lines.get(record.series_instance_uid), record.spelled_out("sop_instance_uid")
            if line is not None and line.delivered.get(destination, 0) >= len(uids):
                found.update(uids)
    return frozenset(found)


def number_forwarded(database: Database, study: str) -> dict[str, int]:
    """How many images were forwarded to each destination before they were removed here; each once for each purge."""
    found: Counter[str] = Counter()
    for purge in purges.of_study(database, study):
        for line in purges.series_of(database, purge.id):
            found.update(line.delivered)
    return dict(found)


def uids_of(database: Database, study: str, those: Collection[str]) -> dict[str, str]:
    """The SOP Instance UIDs of receipts of the study, also of those that are gone, as far as facts have them."""
    left = set(those)
    found: dict[str, str] = {}
    sql = "SELECT facts FROM series_facts WHERE study_instance_uid=? ORDER BY revision DESC, look DESC"
    for (blob,) in database.execute(sql, [study]):
        if not left:
            break
        record = facts.columns_in(blob)
        known = zip(record.spelled_out("receipt"), record.spelled_out("sop_instance_uid"), strict=True)
        some = {receipt: uid for receipt, uid in known if receipt in left}
        found |= some
        left -= some.keys()
    return found


def in_words(database: Database, study: str, zone: tzinfo) -> str:
    """When and why images of the study were removed last; "" where none were."""
    found = purges.of_study(database, study)
    return deleted(found[-1].began_at, found[-1].why, zone) if found else ""


def deleted(at: datetime, why: str, zone: tzinfo) -> str:
    """As admins and readers see it: "deleted on 3 May 2026 by retention (images: 30d)"."""
    day = at.astimezone(zone)
    return f"deleted on {day.day} {_MONTHS[day.month - 1]} {day.year} by retention ({why})"


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
