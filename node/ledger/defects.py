"""Items of stages whose handling raised an unexpected exception: how often, and when each is tried again.

A row is there from the first failure until the item is handled, ends in a dead letter of its own kind, or for good
where it has none: it is parked then, and tried again only by `retry`. `node.items` is the only writer but `retry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from node.clock import from_text, to_text
from node.errors import NotFoundError
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.due_times import MANY
from node.ledger.event_kinds import EventKind
from node.ledger.rows import moment, one, query
from node.ledger.unreadable import readable

_FORGOTTEN = timedelta(days=2)
"""After so long without a try the item has ended otherwise: cancelled, superseded, answered."""
_ENDED = "parked=0 AND last_at<?"


@dataclass(frozen=True, slots=True)
class Defect:
    """One row of `defects`."""

    id: int
    stage: str
    item: str
    """What the stage was handling: its kind and its key, `delivery:5`, `receipt:…`."""
    study_instance_uid: str | None
    job: str | None
    delivery: int | None
    times: int
    """Tries that failed, one after the other."""
    first_at: datetime
    last_at: datetime
    not_before: datetime | None
    """When it is tried again; None where the item's own row says so."""
    error: str
    """Kind of the exception and its place in the program; never its text, which may hold a patient's data."""
    parked: bool
    """Given up: tried again only by `retry`."""


def get(database: Database, stage: str, item: str) -> Defect | None:
    """What is known of an item; None where nothing is wrong with it."""
    row = one(database, "SELECT * FROM defects WHERE stage=? AND item=?", [stage, item])
    return _defect(row) if row else None


def failed(
    database: Database,
    at: datetime,
    stage: str,
    item: str,
    error: str,
    *,
    study: str | None = None,
    job: str | None = None,
    delivery: int | None = None,
) -> Defect:
    """It has failed once more; `put_off`, `park` or `settled` says what follows."""
    drop_forgotten(database, at)
    database.execute(
        "INSERT INTO defects (stage, item, study_instance_uid, job, delivery, times, first_at, last_at, error, parked)"
        " VALUES (?,?,?,?,?,1,?,?,?,0) ON CONFLICT (stage, item) DO UPDATE SET times=times+1,"
        " last_at=excluded.last_at, error=excluded.error, not_before=NULL,"
        " study_instance_uid=coalesce(excluded.study_instance_uid, study_instance_uid)",
        [stage, item, study, job, delivery, to_text(at), to_text(at), error],
    )
    found = get(database, stage, item)
    assert found is not None, item
    return found


def forgotten_since(database: Database, at: datetime) -> datetime | None:
    """Since when the first of those could be dropped that `drop_forgotten` would drop; None where there is none."""
    sql = f"SELECT min(last_at) AS t FROM defects WHERE {_ENDED}"  # noqa: S608 - our own text
    first = moment((one(database, sql, [to_text(at - _FORGOTTEN)]) or {}).get("t"))
    return None if first is None else first + _FORGOTTEN


def drop_forgotten(database: Database, at: datetime) -> int:
    """Forget some that must have ended otherwise, because nobody has tried them for days; how many."""
    some = f"SELECT id FROM defects WHERE {_ENDED} ORDER BY id LIMIT {MANY}"  # noqa: S608 - our own text
    sql = f"DELETE FROM defects WHERE id IN ({some})"  # noqa: S608 - our own text
    return int(database.execute(sql, [to_text(at - _FORGOTTEN)]).rowcount)


def put_off(database: Database, defect: Defect, not_before: datetime) -> None:
    """It is tried again then."""
    database.execute("UPDATE defects SET not_before=? WHERE id=?", [to_text(not_before), defect.id])


def park(database: Database, defect: Defect) -> None:
    """It is not tried again, unless somebody says `retry`."""
    database.execute("UPDATE defects SET parked=1, not_before=NULL WHERE id=?", [defect.id])


def settled(database: Database, stage: str, item: str) -> None:
    """It is handled, or it ended otherwise: nothing is wrong with it any more."""
    database.execute("DELETE FROM defects WHERE stage=? AND item=?", [stage, item])


def forget(database: Database, item: str) -> None:
    """A person says that it is to be tried again, whatever the stage: its tries start over."""
    database.execute("DELETE FROM defects WHERE item=?", [item])


def again(database: Database, at: datetime, number: int, by: str) -> Defect:
    """A person says: try it now; its tries start over. NotFoundError where there is no such defect."""
    row = one(database, "SELECT * FROM defects WHERE id=?", [number])
    if row is None:
        raise NotFoundError(f"there is no defect {number}: it was handled since, or never failed")
    database.execute("UPDATE defects SET times=0, parked=0, not_before=NULL WHERE id=?", [number])
    found = _defect(row)
    events.record(
        database,
        at,
        EventKind.ITEM_AGAIN,
        study=found.study_instance_uid,
        job=found.job,
        delivery=found.delivery,
        stage=found.stage,
        item=found.item,
        actor=by,
    )
    return found


def study_changed(database: Database, study: str, stage: str) -> None:
    """A new revision: what a stage could not do about the one before is tried again."""
    database.execute("DELETE FROM defects WHERE study_instance_uid=? AND stage=?", [study, stage])


def latest(database: Database, at: datetime, limit: int) -> list[Defect]:
    """Those that are given up, then those that are tried again; the newest first."""
    sql = "SELECT * FROM defects WHERE parked=1 OR last_at>=? ORDER BY parked DESC, id DESC LIMIT ?"
    return readable(database, "defects", query(database, sql, [to_text(at - _FORGOTTEN), limit]), _defect)


def of_stage(database: Database, stage: str) -> list[Defect]:
    """What a stage could not handle, oldest first."""
    return readable(
        database, "defects", query(database, "SELECT * FROM defects WHERE stage=? ORDER BY id", [stage]), _defect
    )


def _defect(row: Mapping[str, Any]) -> Defect:
    return Defect(
        **{
            **row,
            "first_at": from_text(row["first_at"]),
            "last_at": from_text(row["last_at"]),
            "not_before": moment(row["not_before"]),
            "parked": bool(row["parked"]),
        }
    )
