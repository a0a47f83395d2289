"""Work that waits for longer than it should, as the rows have it."""

from __future__ import annotations

from datetime import datetime

from node.clock import to_text
from node.ledger.connection import Database
from node.ledger.rows import one


def longest_ready(database: Database, at: datetime, since: datetime) -> int:
    """How many jobs could have started at this moment, `since`, and have not begun yet; none of what is paused or held.

    Not those of a clock that was wrong: their time is not before they were made.
    """
    row = one(
        database,
        "SELECT count(*) AS n FROM jobs JOIN studies USING (study_instance_uid) WHERE jobs.status='queued'"
        " AND not_before<=:since AND created_at<=:at AND studies.hold IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM pauses WHERE what='plugin' AND name=jobs.plugin)"
        " AND NOT EXISTS (SELECT 1 FROM pauses WHERE what='rule' AND name=jobs.rule)",
        {"since": to_text(since), "at": to_text(at)},
    )
    return int(row["n"]) if row else 0
