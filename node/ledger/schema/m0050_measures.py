"""Schema 0050: how long things took, jobs counted by plugin, open alerts counted by kind, and the oldest of a queue.

`durations` is a histogram for each step of the pipeline. Like tallies it is kept by triggers, in the transaction that
takes the step: nobody counts rows to know it, a restart forgets nothing, and what retention removes stays counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from node.ledger.schema import m0017_ways

if TYPE_CHECKING:  # as in m0017_ways: `ledger.tallies` reads this module
    from sqlite_utils import Database

BOUNDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 86400.0)
"""Upper bounds of the histograms, in seconds; what took longer is in the bucket after the last."""
COUNTED = {**m0017_ways.COUNTED, "jobs": ("'jobs'", "{row}.plugin")}
"""As in schema 0017, with the place of a job."""
_STATE = (
    "CASE WHEN {row}.closed_at IS NOT NULL OR {row}.gone_since IS NOT NULL THEN NULL"
    " WHEN {row}.acknowledged_at IS NOT NULL THEN 'acknowledged' ELSE 'open' END"
)
"""Of an alert, for whoever counts; none of one that is over, or whose condition has ended."""
COUNTING_ALERTS = (
    f"SELECT 'alerts', kind, {_STATE.format(row='alerts')} AS state, count(*) FROM alerts WHERE closed_at IS NULL"  # noqa: S608 - our own text
    " GROUP BY kind, state HAVING state IS NOT NULL"
)
"""What the tallies of alerts have to be."""


def migrate(database: Database) -> None:
    """Make it; what happened before is in no histogram."""
    for name in ("jobs_tallied_in", "jobs_tallied_out", "jobs_tallied"):
        database.execute(f"DROP TRIGGER {name}")
    database.execute("DELETE FROM tallies WHERE name='jobs'")
    for statement in (*_TABLES, *m0017_ways.triggers("jobs", COUNTED), *_ALERTS, *_timing()):
        database.execute(statement)
    for query in (m0017_ways.counting("jobs", COUNTED), COUNTING_ALERTS):
        database.execute(f"INSERT INTO tallies {query}")


_TABLES = (
    """
    CREATE TABLE durations (
        step TEXT NOT NULL,
        place TEXT NOT NULL,
        outcome TEXT NOT NULL,
        bucket INTEGER NOT NULL,
        n INTEGER NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (step, place, outcome, bucket)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX results_by_age ON deliveries (destination, enqueued_at) WHERE kind<>'image' AND status='waiting'",
    "CREATE INDEX jobs_by_age ON jobs (created_at) WHERE status='queued'",
)
_NEW, _OLD = _STATE.format(row="NEW"), _STATE.format(row="OLD")
_MORE = (
    f"INSERT INTO tallies SELECT 'alerts', NEW.kind, {_NEW}, 1 WHERE {_NEW} IS NOT NULL"
    " ON CONFLICT (name, place, status) DO UPDATE SET n=n+1;"
)
_FEWER = f"UPDATE tallies SET n=n-1 WHERE (name, place, status)=('alerts', OLD.kind, {_OLD});"  # noqa: S608 - our own text
_ALERTS = (
    f"CREATE TRIGGER alerts_tallied_in AFTER INSERT ON alerts BEGIN {_MORE} END",
    f"CREATE TRIGGER alerts_tallied_out AFTER DELETE ON alerts BEGIN {_FEWER} END",
    "CREATE TRIGGER alerts_tallied AFTER UPDATE OF closed_at, gone_since, acknowledged_at ON alerts"
    f" WHEN ({_NEW}) IS NOT ({_OLD}) BEGIN {_FEWER} {_MORE} END",
)


def _timing() -> Iterator[str]:
    """A trigger for each step: its name, when it fires, since when and until when it took, and where."""
    plugin = "(SELECT plugin FROM jobs WHERE id=NEW.job)"
    ended = "{0} ON {1} WHEN OLD.{0} IS NOT NEW.{0} AND NEW.{0} IS NOT NULL"
    sent = f"UPDATE OF {ended.format('sent_at', 'deliveries')}"
    yield _trigger("index", "INSERT ON instances", "NEW.received_at", "'now'")
    yield _trigger(
        "complete", f"UPDATE OF {ended.format('completed_at', 'studies')}", "NEW.last_received_at", "NEW.completed_at"
    )
    yield _trigger(
        "wait",
        "INSERT ON attempts WHEN NEW.number=1",
        "(SELECT created_at FROM jobs WHERE id=NEW.job)",
        "NEW.started_at",
        plugin,
    )
    yield _trigger("run", f"UPDATE OF {ended.format('ended_at', 'attempts')}", "NEW.started_at", "NEW.ended_at", plugin)
    yield _trigger(
        "job",
        f"UPDATE OF {ended.format('outcome', 'jobs')}",
        "NEW.created_at",
        "NEW.finished_at",
        "NEW.plugin",
        "NEW.outcome",
    )
    yield _trigger(
        "encode", f"UPDATE OF {ended.format('encoded_at', 'jobs')}", "NEW.finished_at", "NEW.encoded_at", "NEW.plugin"
    )
    yield _trigger("forward", f"{sent} AND NEW.kind='image'", "NEW.enqueued_at", "NEW.sent_at", "NEW.destination")
    yield _trigger("deliver", f"{sent} AND NEW.kind<>'image'", "NEW.enqueued_at", "NEW.sent_at", "NEW.destination")
    yield _trigger(
        "turnaround",
        f"{sent} AND NEW.job IS NOT NULL",
        "(SELECT images_complete_at FROM jobs WHERE id=NEW.job)",
        "NEW.sent_at",
        "NEW.destination",
    )


def _trigger(step: str, fires: str, since: str, until: str, place: str = "''", outcome: str = "''") -> str:
    """Seconds below zero, of a clock that was set back, count as none."""
    bucket = " ".join(f"WHEN s<={bound} THEN {number}" for number, bound in enumerate(BOUNDS))
    return (
        f"CREATE TRIGGER timed_{step} AFTER {fires} BEGIN INSERT INTO durations"  # noqa: S608 - our own text
        f" SELECT '{step}', coalesce({place}, ''), {outcome}, CASE {bucket} ELSE {len(BOUNDS)} END, 1, s"
        f" FROM (SELECT max(0.0, coalesce((julianday({until})-julianday({since}))*86400.0, 0.0)) AS s) WHERE true"
        " ON CONFLICT (step, place, outcome, bucket) DO UPDATE SET n=n+1, seconds=seconds+excluded.seconds; END"
    )
