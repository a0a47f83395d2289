"""Rows that grow without end, and what of them may go: found outside of a transaction, removed a few at a time in one.

A class of `retention` is a list of rules, in an order in which no row goes before those that refer to it. A rule reads
its table a window of row numbers at a time, so no question takes long, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from node.clock import to_text
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.rows import one, placeholders, query

_WINDOW = 1000
"""Row numbers that are looked through at once."""
_SLICE = 200
"""Rows that go in one transaction."""


@dataclass(frozen=True, slots=True)
class RowRule:
    """Which rows of a table may go once they are old, and what goes with them."""

    table: str
    which: str
    """SQL over the row and `:before`."""
    with_it: tuple[str, ...] = ()
    """Statements that come first, with `{keys}` for the row numbers."""
    instead: str = ""
    """A statement in the place of the removal: what is kept of the row."""
    young: str = ""
    """SQL over the row and `:before`: from the first such row on all are too young, as rows are in order of time."""
    keeps_newest: bool = False
    """The newest row stays: it is asked what was last, or, of jobs, others keep its row number, which has no column."""


_GONE = (
    "EXISTS (SELECT 1 FROM studies WHERE studies.study_instance_uid={column} AND images='gone' AND hold IS NULL"
    " AND last_received_at<:before) AND NOT EXISTS (SELECT 1 FROM pins WHERE pins.study_instance_uid={column}"
    " AND (until IS NULL OR until>:now))"
)
"""The study is gone, old, neither held nor pinned."""


def _gone(table: str, column: str = "study_instance_uid") -> str:
    return _GONE.format(column=f"{table}.{column}")


def _settled(table: str) -> str:
    """Nothing waits to be sent, or for a person, of the study at the destination that a row names."""
    return (
        f"NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.study_instance_uid={table}.study_instance_uid"  # noqa: S608 - our own tables
        f" AND deliveries.destination={table}.destination"
        " AND status IN ('waiting', 'sending', 'held', 'refused', 'dead'))"
    )


_REFERRING = " AND ".join(
    f"NOT EXISTS (SELECT 1 FROM {table} AS other WHERE other.decision=decisions.id)"  # noqa: S608 - our own tables
    for table in ("jobs", "deliveries", "timers", "fetches", "notifications")
)
_THEIR_ATTEMPTS = "SELECT id FROM attempts WHERE job IN (SELECT id FROM jobs WHERE rowid IN ({keys}))"
FACTS = (
    RowRule("series_facts", _gone("series_facts")),
    RowRule("identities", f"{_settled('identities')} AND {_gone('identities')}"),
    RowRule("looks", f"decided_at IS NOT NULL AND {_gone('looks')}"),
    RowRule("fetches", f"followed_up=1 AND ended_at IS NOT NULL AND {_gone('fetches')}"),
    RowRule("decisions", f"decided_at<:before AND {_REFERRING} AND {_gone('decisions')}"),
    RowRule(
        "jobs",
        f"files='gone' AND finished_at<:before AND instr(inputs, '\",[\"')>0 AND {_gone('jobs')}",
        with_it=(f"DELETE FROM box_instances WHERE attempt IN ({_THEIR_ATTEMPTS})",),  # noqa: S608 - our own tables
        # which series it was given, without the receipts
        instead="UPDATE jobs SET inputs=(SELECT json_group_array(json_array(json_extract(value, '$[0]'),"
        " json_extract(value, '$[1]'), json('[]'))) FROM json_each(inputs)) WHERE rowid IN ({keys})",
    ),
)
"""What rules saw and said of studies whose images are gone, as far as nothing was made of it."""

_SENT_LONG_AGO = (
    "kind<>'image' AND status IN ('delivered', 'superseded', 'withheld', 'cancelled', 'replaced')"
    " AND commitment IN ('none', 'committed') AND coalesce(sent_at, enqueued_at)<:before"
    " AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id=deliveries.job AND files<>'gone')"
    " AND NOT EXISTS (SELECT 1 FROM withdrawals WHERE delivery=deliveries.id)"
    " AND NOT EXISTS (SELECT 1 FROM withdrawals WHERE note=deliveries.id)"
    " AND NOT EXISTS (SELECT 1 FROM deliveries AS refused WHERE refused.successor=deliveries.id)"
)
_NOTHING_LEFT = " AND ".join(
    f"NOT EXISTS (SELECT 1 FROM {table} AS other WHERE other.{column}=jobs.id)"  # noqa: S608 - our own tables
    for table, column in (
        ("deliveries", "job"),
        ("objects", "job"),
        ("assessments", "job"),
        ("notifications", "job"),
        ("jobs", "supersedes"),
        ("job_results", "source"),
    )
)
_ANSWERED = f"earlier.status NOT IN ('found', 'unknown') AND {_settled('earlier')}"
DELIVERED_OBJECTS = (
    RowRule(
        "withdrawals",
        "status NOT IN ('listed', 'sent', 'refused') AND ended_at<:before"
        " AND EXISTS (SELECT 1 FROM deliveries WHERE deliveries.id=delivery AND enqueued_at<:before)",
    ),
    RowRule(
        "deliveries",
        _SENT_LONG_AGO,
        with_it=("DELETE FROM said WHERE place IN (SELECT 'delivery:' || id FROM deliveries WHERE rowid IN ({keys}))",),
        young="enqueued_at>=:before",
    ),
    RowRule(
        "adoptions",
        f"open=0 AND at<:before AND {_gone('adoptions')} AND NOT EXISTS (SELECT 1 FROM deliveries"  # noqa: S608 - our own tables
        " WHERE deliveries.study_instance_uid=adoptions.study_instance_uid"
        " AND deliveries.destination=adoptions.destination AND kind<>'image')",
    ),
    RowRule(
        "studies",
        f"{_gone('studies')} AND EXISTS (SELECT 1 FROM earlier_results AS earlier"  # noqa: S608 - our own tables
        f" WHERE earlier.study_instance_uid=studies.study_instance_uid AND {_ANSWERED})",
        # of a table that has no row numbers
        instead="DELETE FROM earlier_results AS earlier WHERE study_instance_uid IN (SELECT study_instance_uid"  # noqa: S608 - our own tables
        f" FROM studies WHERE rowid IN ({{keys}})) AND {_ANSWERED}",
    ),
    RowRule(
        "objects",
        "made_at<:before AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.job=objects.job)"
        " AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id=objects.job AND files<>'gone')",
        young="made_at>=:before",
    ),
    RowRule(
        "jobs",
        f"files='gone' AND finished_at<:before AND status<>'unreportable' AND {_NOTHING_LEFT} AND {_gone('jobs')}",
        with_it=(
            "UPDATE jobs SET answered_by=NULL WHERE rowid IN ({keys})",
            "UPDATE looks SET answer=NULL WHERE answer IN (SELECT id FROM jobs WHERE rowid IN ({keys}))",
            # by these a box's answer is known again when a PACS sends it back
            f"UPDATE box_answers SET attempt=NULL WHERE attempt IN ({_THEIR_ATTEMPTS})",  # noqa: S608 - our own text
            *(
                f"DELETE FROM {table} WHERE attempt IN ({_THEIR_ATTEMPTS})"  # noqa: S608 - our own tables
                for table in ("box_instances", "box_series", "box_attempts", "service_attempts")
            ),
            *(
                f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM jobs WHERE rowid IN ({{keys}}))"  # noqa: S608 - our own tables
                for table, column in (
                    ("attempts", "job"),
                    ("encodings", "job"),
                    ("job_studies", "job"),
                    ("recalled_jobs", "job"),
                    ("job_results", "job"),
                    ("fetches", "job"),
                    ("returned_objects", "job"),
                    ("box_doubts", "job"),
                    ("said", "place"),
                )
            ),
        ),
        young="created_at>=:before",
        keeps_newest=True,
    ),
)
"""What was sent of results and when; then the jobs of which nothing else is left."""

_KEPT_PROMISE = (
    "EXISTS (SELECT 1 FROM commitments WHERE commitments.id=commitment AND (status NOT IN ('reported', 'dead')"
    " OR taken_at>=:before OR (failure=0 AND through IS NULL AND (keep_seconds IS NULL"
    " OR julianday(decided_at)+keep_seconds/86400.0>julianday(:now)))))"
)
HISTORY = (
    RowRule(
        "notifications",
        "status IN ('sent', 'cancelled') AND enqueued_at<:before AND escalate_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM notifications AS other WHERE other.digest_of=notifications.id)"
        " AND NOT EXISTS (SELECT 1 FROM notifications AS other WHERE other.escalated_from=notifications.id)",
        with_it=(
            "DELETE FROM said WHERE place IN (SELECT 'notification:' || id FROM notifications WHERE rowid IN ({keys}))",
        ),
        young="enqueued_at>=:before",
    ),
    RowRule(
        "alerts",
        "closed_at<:before AND NOT EXISTS (SELECT 1 FROM notifications WHERE alert=alerts.id)",
        young="opened_at>=:before",
    ),
    RowRule(
        "commitment_items",
        f"NOT {_KEPT_PROMISE} AND NOT EXISTS (SELECT 1 FROM studies"  # noqa: S608 - texts of ours
        " WHERE studies.study_instance_uid=commitment_items.study_instance_uid AND images<>'gone')",
    ),
    RowRule(
        "commitments",
        "status IN ('reported', 'dead') AND taken_at<:before"
        " AND NOT EXISTS (SELECT 1 FROM commitment_items WHERE commitment=commitments.id)",
        with_it=(
            "DELETE FROM archive_requests WHERE commitment IN ({keys})",
            "DELETE FROM said WHERE place IN (SELECT 'commitment:' || id FROM commitments WHERE rowid IN ({keys}))",
        ),
        young="taken_at>=:before",
    ),
    RowRule(
        "commit_batches",
        "ended_at<:before AND NOT EXISTS (SELECT 1 FROM deliveries WHERE commit_batch=commit_batches.id)",
        with_it=(
            "DELETE FROM archive_requests WHERE batch IN ({keys})",
            "DELETE FROM said WHERE place IN"
            " (SELECT 'commit-batch:' || id FROM commit_batches WHERE rowid IN ({keys}))",
        ),
        young="made_at>=:before",
    ),
    RowRule(
        "outages",
        "put_off_at<:before AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.destination=outages.destination"
        " AND status IN ('waiting', 'sending'))",
    ),
    RowRule(
        "backups",
        "ended_at<:before AND id<>(SELECT max(id) FROM backups AS other WHERE other.folder=backups.folder"
        " AND other.status=backups.status)",
    ),
    RowRule("refused_callers", "last_at<:before"),
    RowRule("retention_runs", "ended_at<:before", young="began_at>=:before", keeps_newest=True),
    RowRule("reindexings", "ended_at<:before", keeps_newest=True),
    RowRule("file_checks", "at<:before", keeps_newest=True),
    RowRule(
        "stop_windows",
        # over, or of a rule or scanner that has had no job since
        "(ended_at<:before OR (ended_at IS NULL AND begun_at<:before AND NOT EXISTS (SELECT 1 FROM jobs"
        " WHERE jobs.id=last_job AND finished_at>=:before)))"
        " AND NOT EXISTS (SELECT 1 FROM pauses WHERE what='suspension'"
        " AND name=CAST(stop_windows.id AS TEXT)) AND NOT EXISTS (SELECT 1 FROM alerts"
        " WHERE kind='plugin.stop-rule-met' AND place=CAST(stop_windows.id AS TEXT) AND closed_at IS NULL)",
    ),
    RowRule(
        "commissionings",
        "at<:before AND EXISTS (SELECT 1 FROM commissionings AS newer WHERE newer.plugin=commissionings.plugin"
        " AND newer.id>commissionings.id)",
    ),
)
"""What happened, once it is over: all but the events themselves (`node.ledger.positions`)."""


def remove(ledger: Ledger, rule: RowRule, before: datetime, now: datetime) -> Iterator[int]:
    """Remove what is old of one table, a slice at a time; yields how many rows each slice had."""
    values = {"before": to_text(before), "now": to_text(now)}
    for keys in found(ledger, rule, before, now):
        for first in range(0, len(keys), _SLICE):
            some = keys[first : first + _SLICE]
            with ledger.transaction() as database:
                still = _among(database, rule, some, values)
                _change(database, rule, still)
            yield len(still)


def found(ledger: Ledger, rule: RowRule, before: datetime, now: datetime) -> Iterator[list[int]]:
    """The row numbers of what is old enough, a window at a time."""
    values: dict[str, str | int] = {"before": to_text(before), "now": to_text(now), "after": -1}
    while True:
        with ledger.reading() as database:
            ends = one(database, _ENDS.format(table=rule.table, young=rule.young or "0"), values)
            if ends is None or ends["last"] is None:
                return
            last = ends["last"] if ends["young"] is None else ends["young"] - 1
            sql = f"SELECT rowid AS number FROM {rule.table} WHERE rowid>:after AND rowid<=:last AND {rule.which}"  # noqa: S608 - texts of ours
            rows = query(database, f"{sql} ORDER BY rowid", {**values, "last": last})
        if keys := [row["number"] for row in rows if not (rule.keeps_newest and row["number"] == ends["newest"])]:
            yield keys
        if ends["young"] is not None:
            return
        values["after"] = last


_ENDS = (
    "SELECT max(number) AS last, min(CASE WHEN {young} THEN number END) AS young, (SELECT max(rowid) FROM {table})"  # noqa: S608 - tables of ours
    " AS newest FROM (SELECT rowid AS number, * FROM {table} WHERE rowid>:after ORDER BY rowid LIMIT "
    f"{_WINDOW})"
)
"""Where a window ends, where in it the rows begin to be too young, and the newest row of all."""


def _among(database: Database, rule: RowRule, keys: Sequence[int], values: dict[str, str]) -> list[int]:
    """Those that may still go, now that nobody else writes."""
    named = {f"key{number}": key for number, key in enumerate(keys)}
    among = ",".join(f":{name}" for name in named)
    sql = f"SELECT rowid AS number FROM {rule.table} WHERE rowid IN ({among}) AND {rule.which}"  # noqa: S608 - texts of ours
    return [row["number"] for row in query(database, sql, {**values, **named})]


def _change(database: Database, rule: RowRule, keys: Sequence[int]) -> None:
    """Remove these, or what can be spared of them."""
    last = rule.instead or f"DELETE FROM {rule.table} WHERE rowid IN ({{keys}})"  # noqa: S608 - our own tables
    for statement in (*rule.with_it, last):
        database.execute(statement.format(keys=placeholders(keys)), [*keys])
