"""Schema 0017: deliveries of any kind by any way, withdrawals, pauses, and counts that are kept.

`pins` and `assessments` have no reader yet, and nothing writes them: they are made with the others, so that what comes
to need them alters nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `ledger.tallies` reads this module, and needs no more of it than what is counted
    from sqlite_utils import Database

COUNTED = {
    "studies": ("'studies'", "''"),
    "instances": ("'instances'", "''"),
    "jobs": ("'jobs'", "''"),
    "notifications": ("'notifications'", "''"),
    "commitments": ("'commitments'", "''"),
    "deliveries": ("'deliveries of ' || {row}.kind", "{row}.destination"),
    "withdrawals": ("'withdrawals'", "{row}.destination"),
}
"""Tables whose rows are counted by their status: under which name and which place, as SQL over a `{row}`."""


def migrate(database: Database) -> None:
    """Make it; rows that are there keep what they say."""
    for statement in (*_DELIVERIES, *_TABLES, *_TO_WITHDRAW):
        database.execute(statement)
    for table in COUNTED:
        for statement in triggers(table):
            database.execute(statement)
        database.execute(f"INSERT INTO tallies {counting(table)}")


def triggers(table: str, counted: Mapping[str, tuple[str, str]] = COUNTED) -> Iterator[str]:
    """What keeps the tallies of a table: whichever statement changes its rows, in the same transaction."""
    name, place = counted[table]
    new, old = (f"{name.format(row=row)}, {place.format(row=row)}, {row}.status" for row in ("NEW", "OLD"))
    more = f"INSERT INTO tallies VALUES ({new}, 1) ON CONFLICT (name, place, status) DO UPDATE SET n=n+1;"  # noqa: S608 - as below
    fewer = f"UPDATE tallies SET n=n-1 WHERE (name, place, status)=({old});"  # noqa: S608 - our own text
    changed = f"({new}) IS NOT ({old})"
    columns = "status, kind, destination" if table == "deliveries" else "status"
    yield f"CREATE TRIGGER {table}_tallied_in AFTER INSERT ON {table} BEGIN {more} END"
    yield f"CREATE TRIGGER {table}_tallied_out AFTER DELETE ON {table} BEGIN {fewer} END"
    yield f"CREATE TRIGGER {table}_tallied AFTER UPDATE OF {columns} ON {table} WHEN {changed} BEGIN {fewer} {more} END"


def counting(table: str, counted: Mapping[str, tuple[str, str]] = COUNTED) -> str:
    """The query that gives what the tallies of a table have to be: name, place, status, how many."""
    name, place = (each.format(row=table) for each in counted[table])
    return f"SELECT {name}, {place}, status, count(*) FROM {table} GROUP BY 1, 2, 3"  # noqa: S608 - our own text


_DELIVERIES = (
    "ALTER TABLE deliveries RENAME COLUMN sop_instance_uid TO item",
    "ALTER TABLE deliveries ADD COLUMN kind TEXT NOT NULL DEFAULT 'object'",
    "ALTER TABLE deliveries ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE deliveries ADD COLUMN waited REAL NOT NULL DEFAULT 0",
    "ALTER TABLE deliveries ADD COLUMN put_off_at TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE deliveries ADD COLUMN answer TEXT",
    "ALTER TABLE deliveries ADD COLUMN commitment TEXT NOT NULL DEFAULT 'none'",
    "ALTER TABLE deliveries ADD COLUMN commit_by TEXT",
    "UPDATE deliveries SET kind='image' WHERE receipt IS NOT NULL",
    "UPDATE deliveries SET priority=(SELECT priority FROM jobs WHERE jobs.id=deliveries.job) WHERE job IS NOT NULL",
    "UPDATE deliveries SET answer=printf('dimse:%04X', dimse_status) WHERE dimse_status IS NOT NULL",
    "UPDATE deliveries SET waited=max(0, (julianday(not_before)-julianday(enqueued_at))*86400) WHERE status='waiting'",
    "ALTER TABLE deliveries DROP COLUMN dimse_status",
    *(
        f"DROP INDEX {name}"
        for name in ("deliveries_of_images", "results_by_status", "results_by_destination", "results_by_class")
    ),
    "CREATE INDEX jobs_cancelled ON jobs (rule) WHERE status='cancelled'",
    "CREATE INDEX deliveries_of_images ON deliveries (destination, study_instance_uid, status) WHERE kind='image'",
    "CREATE INDEX images_by_turn ON deliveries (destination, status, priority DESC, id) WHERE kind='image'",
    "CREATE INDEX results_by_status ON deliveries (status) WHERE kind<>'image'",
    "CREATE INDEX results_by_turn ON deliveries (destination, status, priority DESC, not_before, id)"
    " WHERE kind<>'image'",
    "CREATE INDEX results_by_class ON deliveries (destination, sop_class_uid, status) WHERE kind<>'image'",
)

_LISTED = (
    "INSERT OR IGNORE INTO withdrawals (item, destination, study_instance_uid, delivery, reason, by, status, listed_at)"
    " SELECT deliveries.item, deliveries.destination, deliveries.study_instance_uid, deliveries.id,"
    " json_extract(events.detail, '$.reason'), 'node', 'listed', events.at"
    " FROM events, json_each(events.detail, '$.objects') AS object JOIN deliveries"
    " ON deliveries.study_instance_uid=events.study_instance_uid AND deliveries.status='delivered'"
    " AND deliveries.destination=json_extract(object.value, '$.destination')"
)
_TO_WITHDRAW = (
    f"{_LISTED} AND deliveries.item=json_extract(object.value, '$.sop_instance_uid')"
    " WHERE events.kind='study.to-withdraw' ORDER BY events.id",
    # images were only counted: those are meant that do not count any more
    f"{_LISTED} AND deliveries.kind='image' AND json_extract(object.value, '$.images') IS NOT NULL"
    " JOIN instances ON instances.receipt=deliveries.receipt AND instances.status<>'current'"
    " WHERE events.kind='study.to-withdraw' ORDER BY events.id",
)
"""What was to be withdrawn, as far as events have told of it: a person has to say that it was seen to."""

_TABLES = (
    """
    CREATE TABLE withdrawals (
        id INTEGER PRIMARY KEY,
        item TEXT NOT NULL,
        destination TEXT NOT NULL,
        study_instance_uid TEXT NOT NULL,
        delivery INTEGER NOT NULL REFERENCES deliveries,
        reason TEXT NOT NULL,
        by TEXT NOT NULL,
        status TEXT NOT NULL,
        note INTEGER REFERENCES deliveries,
        listed_at TEXT NOT NULL,
        ended_at TEXT
    ) STRICT
    """,
    "CREATE UNIQUE INDEX withdrawals_open ON withdrawals (item, destination) WHERE status IN ('listed', 'sent')",
    "CREATE INDEX withdrawals_listed ON withdrawals (study_instance_uid, destination, reason) WHERE status='listed'",
    "CREATE INDEX withdrawals_by_study ON withdrawals (study_instance_uid)",
    "CREATE INDEX withdrawals_by_delivery ON withdrawals (delivery)",
    "CREATE INDEX withdrawals_by_note ON withdrawals (note) WHERE note IS NOT NULL",
    """
    CREATE TABLE pauses (
        what TEXT NOT NULL,
        name TEXT NOT NULL,
        by TEXT NOT NULL,
        since TEXT NOT NULL,
        why TEXT NOT NULL,
        PRIMARY KEY (what, name)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE pins (
        id INTEGER PRIMARY KEY,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        why TEXT NOT NULL,
        by TEXT NOT NULL,
        since TEXT NOT NULL,
        until TEXT
    ) STRICT
    """,
    "CREATE INDEX pins_by_study ON pins (study_instance_uid)",
    """
    CREATE TABLE assessments (
        id INTEGER PRIMARY KEY,
        job TEXT NOT NULL REFERENCES jobs,
        finding TEXT,
        verdict TEXT NOT NULL,
        reason TEXT NOT NULL,
        by TEXT NOT NULL,
        role TEXT NOT NULL,
        at TEXT NOT NULL,
        source TEXT NOT NULL,
        supersedes INTEGER REFERENCES assessments
    ) STRICT
    """,
    "CREATE INDEX assessments_by_job ON assessments (job)",
    "CREATE INDEX assessments_superseding ON assessments (supersedes) WHERE supersedes IS NOT NULL",
    """
    CREATE TABLE tallies (
        name TEXT NOT NULL,
        place TEXT NOT NULL,
        status TEXT NOT NULL,
        n INTEGER NOT NULL,
        PRIMARY KEY (name, place, status)
    ) STRICT, WITHOUT ROWID
    """,
)
