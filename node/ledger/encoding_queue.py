"""Jobs whose result is still to be made into objects."""

from __future__ import annotations

from datetime import datetime

from node.clock import from_text
from node.ledger.connection import Database
from node.ledger.job import COLUMNS, Job, JobStatus, from_row
from node.ledger.rows import query
from node.ledger.unreadable import readable


def unreported(database: Database) -> list[Job]:
    """Jobs whose objects are still to be made, oldest outcome first; none of a study that is held.

    What was computed from another result names the objects of that one, so these are made first.
    """
    sql = (
        f"SELECT {COLUMNS} FROM jobs JOIN studies USING (study_instance_uid)"  # noqa: S608 - our own columns
        " WHERE jobs.status=? AND studies.hold IS NULL AND NOT EXISTS (SELECT 1 FROM job_results"
        " JOIN jobs AS source ON source.id=job_results.source WHERE job_results.job=jobs.id AND source.status=?)"
        " ORDER BY priority DESC, finished_at"
    )
    return readable(database, "jobs", query(database, sql, [JobStatus.ENDED, JobStatus.ENDED]), from_row)


def being_encoded(database: Database) -> list[tuple[Job, datetime]]:
    """Jobs whose objects are being made, and since when; the longest first. Not those that wait for their next try."""
    rows = query(
        database,
        f"SELECT {COLUMNS}, max(events.at) AS since FROM jobs"  # noqa: S608 - our own columns
        " JOIN events ON events.study_instance_uid=jobs.study_instance_uid AND events.job=jobs.id"
        " WHERE jobs.status=? AND events.kind='job.encoding'"
        " AND NOT EXISTS (SELECT 1 FROM defects WHERE defects.job=jobs.id AND defects.stage='results')"
        " GROUP BY jobs.id ORDER BY since",
        [JobStatus.ENDED],
    )
    return readable(
        database,
        "jobs",
        rows,
        lambda row: (from_row(row), from_text(row["since"])),
    )


def results_to_encode(database: Database) -> list[str]:
    """The folders of results whose objects are still to be made, relative to the data folder."""
    rows = query(
        database, "SELECT result FROM jobs WHERE status=? AND result IS NOT NULL ORDER BY rowid", [JobStatus.ENDED]
    )
    return [row["result"] for row in rows]
