"""Jobs, deliveries and held studies by what they have in common: what a person decides about many at once.

Each query gives names only, oldest first; whoever acts looks at each again in its own transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from node.clock import to_text
from node.ledger import deliveries, events, forward_parts, forwards, said
from node.ledger.connection import Database
from node.ledger.delivery import DeliveryKind, DeliveryStatus
from node.ledger.due_times import MANY
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query

FAILED = "failed"
"""In place of a status: jobs whose outcome is that they failed, and that have been reported as that."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What those that are meant have in common; None: anything."""

    status: str | None = None
    rule: str | None = None
    plugin: str | None = None
    destination: str | None = None
    study: str | None = None
    """Study Instance UID."""
    since: datetime | None = None
    """When a job was made, a delivery enqueued, an instance of a study last received: from then on."""
    until: datetime | None = None
    """Before then."""

    @property
    def is_empty(self) -> bool:
        """Whether it would take everything."""
        return self == Selection()

    def values(self) -> Mapping[str, Any]:
        """As parameters of a statement."""
        moments = {"since": to_text(self.since) if self.since else None}
        moments["until"] = to_text(self.until) if self.until else None
        names = ("status", "rule", "plugin", "destination", "study")
        return {name: getattr(self, name) for name in names} | moments


_NOT_REPLACED = "NOT EXISTS (SELECT 1 FROM jobs AS later WHERE later.supersedes=jobs.id)"
_IN_TROUBLE = "(jobs.status='unreportable' OR outcome='failed') AND jobs.status='reported' AND outcome='failed'"
"""Its first part as the partial index is written."""
_CORRECTED = (
    "EXISTS (SELECT 1 FROM instances WHERE instances.study_instance_uid=studies.study_instance_uid"
    " AND instances.status='correction')"
)


def _narrowed(found: Selection, **columns: str) -> str:
    """The conditions of what is asked for alone, so that an index serves it; `columns`: SQL by field of `Selection`."""
    asked = [sql for name, sql in columns.items() if getattr(found, name) is not None]
    return "".join(f" AND {each}" for each in asked)


@dataclass(frozen=True, slots=True)
class ImagesOfStudy:
    """Images of one study that go to one destination and have the status that was asked for."""

    study_instance_uid: str
    destination: str
    images: int


def jobs_like(database: Database, found: Selection) -> list[str]:
    """Ids of jobs of this status (`FAILED`: of that outcome) of which none has taken the place since."""
    narrowed = _narrowed(
        found,
        rule="rule=:rule",
        plugin="plugin=:plugin",
        study="study_instance_uid=:study",
        destination="EXISTS (SELECT 1 FROM json_each(destinations) WHERE value=:destination)",
        since="created_at>=:since",
        until="created_at<:until",
    )
    status = _IN_TROUBLE if found.status == FAILED else "jobs.status=:status"
    sql = f"SELECT id FROM jobs WHERE {status}{narrowed} AND {_NOT_REPLACED} ORDER BY jobs.rowid"  # noqa: S608 - our own text
    return [row["id"] for row in query(database, sql, found.values())]


def results_like(database: Database, found: Selection) -> list[int]:
    """Ids of deliveries of results of this status."""
    narrowed = _of_deliveries(found) + _narrowed(found, rule="jobs.rule=:rule", plugin="jobs.plugin=:plugin")
    sql = (
        "SELECT deliveries.id FROM deliveries LEFT JOIN jobs ON jobs.id=deliveries.job"  # noqa: S608 - our own text
        f" WHERE kind<>'image' AND deliveries.status=:status{narrowed} ORDER BY deliveries.id"
    )
    return [row["id"] for row in query(database, sql, found.values())]


def _of_deliveries(found: Selection) -> str:
    return _narrowed(
        found,
        destination="deliveries.destination=:destination",
        study="deliveries.study_instance_uid=:study",
        since="enqueued_at>=:since",
        until="enqueued_at<:until",
    )


def images_like(database: Database, found: Selection) -> list[ImagesOfStudy]:
    """Images that are forwarded and have this status, by study and destination; none of a plugin."""
    if found.plugin is not None:
        return []
    if found.destination is None and found.study is None:  # an index has them by destination: there are millions
        places = deliveries.counts_of(database, DeliveryKind.IMAGE)
        return [each for place in places for each in images_like(database, replace(found, destination=place))]
    join, rule = "", ""
    if found.rule is not None:
        join, rule = " JOIN decisions ON decisions.id=deliveries.decision", " AND decisions.rule=:rule"
    sql = (
        "SELECT deliveries.study_instance_uid AS study, destination, count(*) AS images"  # noqa: S608 - our own text
        f" FROM deliveries{join} WHERE kind='image' AND deliveries.status=:status{_of_deliveries(found)}{rule}"
        " GROUP BY 1, 2 ORDER BY min(deliveries.id)"
    )
    rows = query(database, sql, found.values())
    return [ImagesOfStudy(row["study"], row["destination"], row["images"]) for row in rows]


def to_be_enqueued_like(database: Database, found: Selection) -> list[ImagesOfStudy]:
    """The same of images that a decision forwards and that are not in the outbox yet (`node.ledger.forward_parts`)."""
    if found.plugin is not None:
        return []
    narrowed = _narrowed(
        found,
        destination="destination=:destination",
        study="forward_parts.study_instance_uid=:study",
        rule="json_extract(terms, '$.rule')=:rule",
        since="decided_at>=:since",
        until="decided_at<:until",
    )
    sql = (
        "SELECT forward_parts.study_instance_uid AS study, destination, sum(json_array_length(receipts)) AS images"  # noqa: S608 - our own text
        " FROM forward_parts JOIN decisions ON decisions.id=json_extract(terms, '$.decision')"
        f" WHERE json_extract(terms, '$.cancelled') IS NULL{narrowed} GROUP BY 1, 2 ORDER BY min(forward_parts.id)"
    )
    rows = query(database, sql, found.values())
    return [ImagesOfStudy(row["study"], row["destination"], row["images"]) for row in rows]


def held_like(database: Database, found: Selection) -> dict[str, bool]:
    """Held studies; true where instances came again under another patient or order, so that each is a decision."""
    of_jobs = _narrowed(found, rule="jobs.rule=:rule", plugin="jobs.plugin=:plugin")
    narrowed = _narrowed(
        found,
        study="study_instance_uid=:study",
        since="last_received_at>=:since",
        until="last_received_at<:until",
        destination="EXISTS (SELECT 1 FROM deliveries WHERE deliveries.destination=:destination"
        " AND deliveries.study_instance_uid=studies.study_instance_uid)",
    )
    if of_jobs:
        jobs = f"SELECT 1 FROM jobs WHERE jobs.study_instance_uid=studies.study_instance_uid{of_jobs}"  # noqa: S608 - our own text
        narrowed += f" AND EXISTS ({jobs})"
    sql = (
        f"SELECT study_instance_uid AS study, {_CORRECTED} AS corrected FROM studies WHERE hold IS NOT NULL"  # noqa: S608 - our own text
        f"{narrowed} ORDER BY last_received_at"
    )
    return {row["study"]: bool(row["corrected"]) for row in query(database, sql, found.values())}


def images_again(database: Database, at: datetime, which: ImagesOfStudy, status: str, by: str, *, first: bool) -> int:
    """Send some of them now, `MANY` at most and as far as they count; how many. `first`: record who wanted it."""
    if first:
        said.forget(database, deliveries.study_at(which.destination, which.study_instance_uid))
        _record(database, at, EventKind.FORWARD_AGAIN, which, by)
    change = f"status='waiting', hold=NULL, attempts=0, {deliveries.AFRESH}"
    return _change_some(database, which, status, change, deliveries.since(at), f" AND {forwards.COUNTS}")


def images_cancelled(
    database: Database, at: datetime, which: ImagesOfStudy, status: str, by: str, why: str, *, first: bool
) -> int:
    """Do not send some of them, `MANY` at most of those in the outbox; how many. `first`: record who wanted it."""
    parts = 0
    if first:
        _record(database, at, EventKind.FORWARD_CANCELLED, which, by, reason=why)
        if status == DeliveryStatus.WAITING:
            parts = forward_parts.cancel(database, which.study_instance_uid, why, which.destination)
    change, values = "status=?, error=?", (DeliveryStatus.CANCELLED, why)
    return parts + _change_some(database, which, status, change, values, "")


def _record(
    database: Database, at: datetime, kind: EventKind, which: ImagesOfStudy, by: str, reason: str | None = None
) -> None:
    events.record(
        database,
        at,
        kind,
        study=which.study_instance_uid,
        actor=by,
        destination=which.destination,
        instances=which.images,
        reason=reason,
    )


def _change_some(
    database: Database, which: ImagesOfStudy, status: str, change: str, values: tuple[str, ...], counts: str
) -> int:
    some = (
        "SELECT id FROM deliveries WHERE destination=? AND study_instance_uid=? AND status=? AND kind='image'"  # noqa: S608 - our own text
        f"{counts} ORDER BY id LIMIT {MANY}"
    )
    of = [which.destination, which.study_instance_uid, status]
    sql = f"UPDATE deliveries SET {change} WHERE id IN ({some})"  # noqa: S608 - our own text
    return int(database.execute(sql, [*values, *of]).rowcount)


def is_of_images_that_count(database: Database, job: str) -> bool:
    """Whether no image that the job works on was rejected or corrected since."""
    sql = (
        "SELECT 1 FROM jobs, json_each(jobs.inputs) AS chosen, json_each(chosen.value, '$[2]') AS receipt"
        " JOIN instances ON instances.receipt=receipt.value"
        " WHERE jobs.id=? AND instances.status IN ('rejected', 'corrected') LIMIT 1"
    )
    return one(database, sql, [job]) is None


@contextmanager
def savepoint(database: Database) -> Iterator[None]:
    """What is written in the block is taken back where it raises; the transaction around it goes on."""
    database.execute("SAVEPOINT one_of_many")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK TO one_of_many")
        raise
    finally:
        database.execute("RELEASE one_of_many")
