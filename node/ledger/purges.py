"""Images that retention removes: of a whole study, from *purging* to *gone*, in small steps that a crash may part.

    *here* → `begin` (committed) → *purging* → its files are unlinked → `finish` → *gone*

`begin` names what goes: everything of the study that has been indexed, up to the newest receipt. What arrives
afterwards has a higher receipt, stays, and makes a new revision; then the study's images are *here* again in the end.
Rows of `instances`, `headers`, of images that were delivered and of storage commitment are replaced by a line a series.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.errors import PermanentError
from node.ledger import dismissals, events, facts, instances, studies
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.instances import ArrivalSource, InstanceStatus
from node.ledger.rows import moment, one, placeholders, query, to_json
from node.ledger.studies import StudyImages
from node.ledger.unreadable import readable

SLICE = 200
"""Instances whose rows go in one transaction: with their headers, deliveries and events of tallies about 15 ms."""


class PurgeKind(StrEnum):
    """The class of retention that a study's images fell under: the key of `retention`."""

    UNMATCHED = "unmatched"
    """No rule wanted the study."""
    IMAGES = "images"
    """A rule had jobs for the study, or forwarded it."""
    FETCHED = "fetched"
    """Every image of it was retrieved as an earlier study."""


@dataclass(frozen=True, slots=True)
class Purge:
    """One row of `purges`."""

    id: int
    study_instance_uid: str
    revision: int
    """Of the study when its images went."""
    kind: PurgeKind
    why: str
    """For people: the age limit, or the space that was needed."""
    up_to: str
    """The newest receipt that goes."""
    began_at: datetime
    ended_at: datetime | None
    instances: int
    """Received files that went; 0 before it has ended."""
    bytes: int
    witness: Mapping[str, Any] | None
    """The `comparison` of an instance that said which patient and order the study belongs to; digests, no values."""
    sources: frozenset[ArrivalSource]
    """How the instances that counted had come here."""
    senders: Mapping[str, str]
    """Receipt → calling AE title, where there were several."""
    corrected: bool
    """Its images came again under another patient or order, and those count: what was known of these is of no use."""


@dataclass(frozen=True, slots=True)
class GoneSeries:
    """One row of `gone_series`: what is kept of a series whose images are gone."""

    series_instance_uid: str
    """Empty for files whose header names no series."""
    instances: int
    """Received files, duplicates and what was set aside included."""
    bytes: int
    digest: str
    """SHA-256 over `SOP Instance UID, blank, SHA-256 of the data set` of each file, sorted, a line each."""
    delivered: Mapping[str, int]
    """How many of its images were delivered where."""
    committed: int
    """Images of it that storage commitment was given for."""
    counted: int
    """Images of it that counted in the revision, and that the facts have."""


def begin(database: Database, at: datetime, study: str, kind: PurgeKind, why: str) -> Purge:
    """The images of the study will go; nothing was removed yet.

    The caller has asked in the same transaction whether anything needs them (`node.ledger.needed`).
    Raises PermanentError where they are not here, or there are none.
    """
    found = studies.get(database, study)
    newest = one(database, "SELECT max(receipt) AS receipt FROM instances WHERE study_instance_uid=?", [study])
    if found is None or found.images is not StudyImages.HERE or newest is None or newest["receipt"] is None:
        raise PermanentError(f"study {study} has no images here that could be removed")
    witness, arrived = instances.witness(database, study), instances.arrivals(database, study)
    database.execute("UPDATE studies SET images=? WHERE study_instance_uid=?", [StudyImages.PURGING, study])
    row = {
        "study_instance_uid": study,
        "revision": found.revision,
        "kind": kind,
        "why": why,
        "up_to": newest["receipt"],
        "began_at": to_text(at),
        "witness": to_json(dict(witness.comparison)) if witness else None,
        "sources": to_json(sorted(arrived.sources)),
        "senders": to_json(dict(arrived.senders)),
    }
    sql = f"INSERT INTO purges ({','.join(row)}) VALUES ({placeholders(row)})"  # noqa: S608 - our own columns
    database.execute(sql, list(row.values()))
    events.record(database, at, EventKind.STUDY_PURGING, study=study, retention=kind, why=why)
    return open_of(database, study)


def open_of(database: Database, study: str) -> Purge:
    """The purge of a study that is *purging*."""
    row = one(database, "SELECT * FROM purges WHERE study_instance_uid=? AND ended_at IS NULL", [study])
    if row is None:
        raise PermanentError(f"the images of study {study} are not being removed")
    return _purge(row)


def under_way(database: Database) -> list[Purge]:
    """Those that began and have not ended, oldest first."""
    rows = query(database, "SELECT * FROM purges INDEXED BY purges_open WHERE ended_at IS NULL ORDER BY id")
    return readable(database, "purges", rows, _purge)


def make_way(database: Database, study: str, sop_instance_uids: Iterable[str]) -> None:
    """These SOP instances came again while the study is being removed: what goes counts no longer. Else nothing."""
    sql = (
        "UPDATE instances SET status=? WHERE sop_instance_uid=? AND study_instance_uid=?"
        " AND status IN ('current', 'rejected')"
        " AND receipt<=(SELECT up_to FROM purges WHERE purges.study_instance_uid=? AND ended_at IS NULL)"
    )
    rows = [(InstanceStatus.PURGING, uid, study, study) for uid in sop_instance_uids]
    database.conn.executemany(sql, rows)


def were_corrected(database: Database, study: str) -> None:
    """What came again took the place of the images of all purges so far, under another patient or order."""
    database.execute("UPDATE purges SET corrected=1 WHERE study_instance_uid=?", [study])


def is_going(database: Database, study: str | None, receipt: str) -> bool:
    """Whether a received file is among those that are being removed just now: it is as good as gone."""
    sql = "SELECT 1 FROM purges WHERE study_instance_uid=? AND ended_at IS NULL AND up_to>=?"
    return one(database, sql, [study, receipt]) is not None


def of_study(database: Database, study: str) -> list[Purge]:
    """All purges of a study, oldest first: it may have been sent again after it had gone."""
    return [
        _purge(row) for row in query(database, "SELECT * FROM purges WHERE study_instance_uid=? ORDER BY id", [study])
    ]


def series_of(database: Database, purge: int) -> list[GoneSeries]:
    """What is kept of each series that went in a purge."""
    sql = "SELECT * FROM gone_series WHERE purge=? ORDER BY series_instance_uid"
    return [
        GoneSeries(
            row["series_instance_uid"],
            row["instances"],
            row["bytes"],
            row["digest"],
            json.loads(row["delivered"]),
            row["committed"],
            row["counted"],
        )
        for row in query(database, sql, [purge])
    ]


def receipts(database: Database, purge: Purge) -> list[str]:
    """What is to be unlinked, or was: the receipts whose rows are still here, in order of arrival."""
    rows = query(database, f"SELECT receipt {_GOING} ORDER BY receipt", [purge.study_instance_uid, purge.up_to])
    return [row["receipt"] for row in rows]


_GOING = "FROM instances WHERE study_instance_uid=? AND receipt<=?"


def finish(ledger: Ledger, at: datetime, study: str, missing: int = 0) -> None:
    """Make a *purging* study a *gone* one; its files are unlinked already, and that is durable.

    `missing`: how many of them somebody else had deleted before, for the event.
    In slices, each a transaction of its own; may be called again after a crash in between.
    Raises PermanentError where it is not *purging*.
    """
    with ledger.reading() as database:
        purge = open_of(database, study)
        lines = [] if series_of(database, purge.id) else _lines(database, purge)
    with ledger.transaction() as database:
        _keep(database, purge, lines)
    left = True
    while left:
        with ledger.transaction() as database:
            left = _remove_some(database, purge)
            if not left:  # with the last row: while the purge is open, no new receipt is below `up_to`
                _end(database, at, purge, missing)
        ledger.give_back()


def _lines(database: Database, purge: Purge) -> list[GoneSeries]:
    """A line for each series; before any of its rows goes."""
    going = [purge.study_instance_uid, purge.up_to]
    by_series: dict[str, list[dict[str, Any]]] = {}
    columns = "coalesce(series_instance_uid, '') AS series, receipt, sop_instance_uid AS uid, digest, bytes"
    for row in query(database, f"SELECT {columns} {_GOING}", going):
        by_series.setdefault(row["series"], []).append(row)
    sent: dict[str, Counter[str]] = {}
    for row in query(
        database,
        "SELECT receipt, destination FROM deliveries WHERE study_instance_uid=? AND kind='image'"
        " AND status='delivered'",
        going[:1],
    ):
        sent.setdefault(row["receipt"], Counter())[row["destination"]] += 1
    sql = "SELECT DISTINCT sop_instance_uid AS uid FROM commitment_items WHERE study_instance_uid=? AND failure=0"
    committed = {row["uid"] for row in query(database, sql, going[:1])}
    counted: set[str] = set()
    for record in facts.columns_of_study(database, purge.study_instance_uid, purge.revision, facts.NEWEST):
        counted.update(record.spelled_out("receipt"))
    return [_line(series, rows, sent, committed, counted) for series, rows in sorted(by_series.items())]


def _line(
    series: str,
    rows: list[dict[str, Any]],
    sent: Mapping[str, Counter[str]],
    committed: set[str],
    counted: set[str],
) -> GoneSeries:
    delivered: Counter[str] = Counter()
    for row in rows:
        delivered.update(sent.get(row["receipt"], ()))
    return GoneSeries(
        series,
        len(rows),
        sum(row["bytes"] for row in rows),
        digest_of((row["uid"], row["digest"]) for row in rows),
        dict(delivered),
        len({row["uid"] for row in rows} & committed),
        sum(row["receipt"] in counted for row in rows),
    )


def digest_of(instances: Iterable[tuple[str, str]]) -> str:
    """The digest of a series, from (SOP Instance UID, SHA-256 of the data set) of each file; see `GoneSeries`."""
    return hashlib.sha256("".join(f"{uid} {digest}\n" for uid, digest in sorted(instances)).encode()).hexdigest()


def _keep(database: Database, purge: Purge, lines: list[GoneSeries]) -> None:
    database.conn.executemany(
        "INSERT OR IGNORE INTO gone_series VALUES (?,?,?,?,?,?,?,?)",
        [
            (
                purge.id,
                each.series_instance_uid,
                each.instances,
                each.bytes,
                each.digest,
                to_json(each.delivered),
                each.committed,
                each.counted,
            )
            for each in lines
        ],
    )


def _remove_some(database: Database, purge: Purge) -> bool:
    """Remove the rows of some of its instances, the newest last; whether some are left."""
    sql = f"SELECT receipt, sop_instance_uid {_GOING} ORDER BY receipt LIMIT {SLICE}"
    rows = query(database, sql, [purge.study_instance_uid, purge.up_to])
    going, uids = [row["receipt"] for row in rows], [row["sop_instance_uid"] for row in rows]
    of_images = f"SELECT id FROM deliveries WHERE receipt IN ({placeholders(going)})"  # noqa: S608 - only question marks
    database.execute(f"DELETE FROM withdrawals WHERE delivery IN ({of_images})", going)  # noqa: S608 - as above
    database.execute(f"DELETE FROM deliveries WHERE receipt IN ({placeholders(going)})", going)  # noqa: S608 - as above
    database.execute(f"DELETE FROM headers WHERE receipt IN ({placeholders(going)})", going)  # noqa: S608 - as above
    database.execute(
        "DELETE FROM commitment_items WHERE study_instance_uid=?"  # noqa: S608 - as above
        " AND commitment IN (SELECT id FROM commitments WHERE decided_at<=?)"
        f" AND sop_instance_uid IN ({placeholders(uids)})",
        [purge.study_instance_uid, to_text(purge.began_at), *uids],
    )
    database.execute(f"DELETE FROM instances WHERE receipt IN ({placeholders(going)})", going)  # noqa: S608 - as above
    dismissals.removed(database, purge.study_instance_uid)
    left = one(database, f"SELECT 1 {_GOING} LIMIT 1", [purge.study_instance_uid, purge.up_to])
    return left is not None


def _end(database: Database, at: datetime, purge: Purge, missing: int) -> None:
    """All rows are gone; what arrived meanwhile is here."""
    study = purge.study_instance_uid
    left = one(database, "SELECT 1 FROM instances WHERE study_instance_uid=? LIMIT 1", [study])
    images = StudyImages.HERE if left else StudyImages.GONE
    database.execute("UPDATE studies SET images=? WHERE study_instance_uid=?", [images, study])
    # a destination and a study: the place of what was said of images on their way (`deliveries.study_at`)
    places = "SELECT place || ' ' || ? FROM tallies WHERE name='deliveries of image'"
    database.execute(f"DELETE FROM said WHERE place IN ({places})", [study])  # noqa: S608 - our own text
    sums = "coalesce(sum(instances), 0) AS instances, coalesce(sum(bytes), 0) AS bytes"
    total = one(database, f"SELECT {sums} FROM gone_series WHERE purge=?", [purge.id])  # noqa: S608 - our own text
    assert total is not None, "a sum is one row"
    database.execute(
        "UPDATE purges SET ended_at=?, instances=?, bytes=? WHERE id=?",
        [to_text(at), total["instances"], total["bytes"], purge.id],
    )
    told = {"retention": purge.kind, "why": purge.why, **total, "missing": missing or None}
    events.record(database, at, EventKind.STUDY_GONE, study=study, **told)


def _purge(row: dict[str, Any]) -> Purge:
    return Purge(
        **{
            **row,
            "kind": PurgeKind(row["kind"]),
            "began_at": from_text(row["began_at"]),
            "ended_at": moment(row["ended_at"]),
            "witness": json.loads(row["witness"]) if row["witness"] else None,
            "sources": frozenset(ArrivalSource(*each) for each in json.loads(row["sources"])),
            "senders": json.loads(row["senders"]),
            "corrected": bool(row["corrected"]),
        }
    )
