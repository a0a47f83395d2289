"""Schema 0028: what is asked of a study whose images were removed.

A purge keeps what tells whose the images were and how they came. A job keeps a digest of which SOP instances it works
on, whatever their encoding: by that it is known again when they come again. A fetch can be of removed images that a job
needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlite_utils import Database

from node.ledger.job import images_digest_of

_STATEMENTS = (
    "ALTER TABLE purges ADD COLUMN witness TEXT",
    "ALTER TABLE purges ADD COLUMN sources TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE purges ADD COLUMN senders TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE purges ADD COLUMN corrected INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE gone_series ADD COLUMN counted INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN images_digest TEXT",
    # made again, because a decision has one fetch of an earlier study, and any number for jobs of it
    "ALTER TABLE fetches RENAME TO fetches_before",
    """
    CREATE TABLE fetches (
        id INTEGER PRIMARY KEY,
        decision INTEGER NOT NULL REFERENCES decisions,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        rule TEXT NOT NULL,
        source TEXT NOT NULL,
        wanted TEXT NOT NULL,
        status TEXT NOT NULL,
        prior_study TEXT,
        attempts INTEGER NOT NULL,
        not_before TEXT NOT NULL,
        deadline TEXT NOT NULL,
        error TEXT,
        asked_at TEXT NOT NULL,
        requested_at TEXT,
        expected INTEGER,
        ended_at TEXT,
        followed_up INTEGER NOT NULL DEFAULT 0,
        job TEXT REFERENCES jobs
    ) STRICT
    """,
    "INSERT INTO fetches SELECT *, NULL FROM fetches_before",
    "DROP TABLE fetches_before",
    "CREATE INDEX fetches_by_status ON fetches (status, not_before)",
    "CREATE INDEX fetches_by_study ON fetches (study_instance_uid)",
    "CREATE INDEX fetches_by_prior ON fetches (prior_study) WHERE prior_study IS NOT NULL",
    "CREATE INDEX fetches_by_decision ON fetches (decision)",
    "CREATE UNIQUE INDEX fetches_of_priors ON fetches (decision) WHERE job IS NULL",
    "CREATE INDEX fetches_by_job ON fetches (job)",
)
_MANY = 500


def migrate(database: Database) -> None:
    """Make them, and digest the images of the jobs that are there; a thousand jobs take about two seconds."""
    for statement in _STATEMENTS:
        database.execute(statement)
    jobs = "SELECT id, plugin, parameters, inputs, identity FROM jobs"
    for job, plugin, parameters, inputs, identity in database.execute(jobs).fetchall():
        chosen = json.loads(inputs)
        uids = dict(_uids(database, [receipt for _, _, receipts in chosen for receipt in receipts]))
        images = [(role, uids.get(receipt, "")) for role, _, receipts in chosen for receipt in receipts]
        if all(uid for _, uid in images):
            digest = images_digest_of(plugin, json.loads(parameters), images, identity)
            database.execute("UPDATE jobs SET images_digest=? WHERE id=?", [digest, job])


def _uids(database: Database, receipts: list[str]) -> Iterator[tuple[str, str]]:
    """(receipt, SOP Instance UID) of those that have a row."""
    for start in range(0, len(receipts), _MANY):
        some = receipts[start : start + _MANY]
        marks = ",".join("?" for _ in some)
        sql = f"SELECT receipt, sop_instance_uid FROM instances WHERE receipt IN ({marks})"  # noqa: S608 - only question marks
        yield from database.execute(sql, some).fetchall()
