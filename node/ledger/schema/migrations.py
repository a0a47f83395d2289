"""The ledger's tables. A change of the schema is a further migration, never an edit of one that shipped."""

from __future__ import annotations

import json
import sqlite3
import zlib
from typing import Any

from sqlite_utils import Database, Migrations

from node.ledger.rows import to_json
from node.ledger.schema import (
    m0001_first,
    m0005_looks,
    m0006_forwards,
    m0007_fetches,
    m0008_notifications,
    m0009_growth,
    m0010_fallbacks,
    m0011_mended,
    m0012_silences,
    m0013_defects,
    m0014_space,
    m0015_attempts,
    m0016_alerts,
    m0017_ways,
    m0017_words,
    m0018_refused_callers,
    m0019_reindexings,
    m0020_study_ends,
    m0021_revisions,
    m0022_notifications,
    m0023_due_times,
    m0024_identity,
    m0025_keys,
    m0026_commissionings,
    m0027_retention,
    m0028_gone,
    m0029_commit_batches,
    m0030_load,
    m0031_told,
    m0032_answers,
    m0033_restorations,
    m0035_search,
    m0036_returned,
    m0038_boxes,
    m0040_job_results,
    m0041_recalls,
    m0042_stop_rules,
    m0043_services,
    m0044_box_doubts,
    m0045_numbers,
    m0046_withdrawal_parts,
    m0050_measures,
    m0051_in_parts,
    m0053_audit,
    m0056_file_versions,
)
from node.ledger.schema.versions import SET

migrations = Migrations(SET)


migrations(name="0001_first")(m0001_first.migrate)


@migrations(name="0002_steps_after_steps")
def _steps_after_steps(database: Database) -> None:
    for statement in _STEPS_AFTER_STEPS:
        database.execute(statement)


_STEPS_AFTER_STEPS = (
    "ALTER TABLE jobs ADD COLUMN found TEXT",
    "ALTER TABLE jobs ADD COLUMN followed_up INTEGER NOT NULL DEFAULT 0",
    "UPDATE jobs SET followed_up=1 WHERE outcome IS NOT NULL",
    "CREATE INDEX jobs_by_rule ON jobs (rule, study_instance_uid)",
    "CREATE INDEX jobs_to_follow_up ON jobs (finished_at) WHERE followed_up=0 AND outcome IS NOT NULL",
)


@migrations(name="0003_facts_line_by_line")
def _facts_line_by_line(database: Database) -> None:
    """Series facts from one JSON document to a line for each attribute (`node.ledger.facts`)."""
    for rowid, blob in database.execute("SELECT rowid, facts FROM series_facts").fetchall():
        lines = _lines(json.loads(zlib.decompress(blob)))
        database.execute("UPDATE series_facts SET facts=? WHERE rowid=?", [zlib.compress(lines.encode(), 6), rowid])


@migrations(name="0004_commitments")
def _commitments(database: Database) -> None:
    for statement in _COMMITMENTS.split(";"):
        if statement.strip():
            database.execute(statement)


_COMMITMENTS = """
CREATE TABLE commitments (
    id INTEGER PRIMARY KEY,
    entry TEXT NOT NULL UNIQUE,
    transaction_uid TEXT NOT NULL,
    requester TEXT NOT NULL,
    called_ae_title TEXT NOT NULL,
    association TEXT NOT NULL,
    contents TEXT NOT NULL,
    status TEXT NOT NULL,
    through TEXT,
    attempts INTEGER NOT NULL,
    refusals INTEGER NOT NULL,
    not_before TEXT NOT NULL,
    error TEXT,
    requested_at TEXT NOT NULL,
    taken_at TEXT NOT NULL,
    decided_at TEXT,
    reported_at TEXT
) STRICT;
CREATE INDEX commitments_by_status ON commitments (status, not_before);
CREATE INDEX commitments_by_transaction ON commitments (requester, transaction_uid);

CREATE TABLE commitment_items (
    commitment INTEGER NOT NULL REFERENCES commitments,
    position INTEGER NOT NULL,
    sop_class_uid TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    study_instance_uid TEXT,
    failure INTEGER,
    archive_said INTEGER,
    PRIMARY KEY (commitment, position)
) STRICT;
CREATE INDEX commitment_items_by_sop ON commitment_items (sop_instance_uid);
CREATE INDEX commitment_items_by_study ON commitment_items (study_instance_uid);

CREATE TABLE archive_requests (
    transaction_uid TEXT PRIMARY KEY,
    commitment INTEGER NOT NULL REFERENCES commitments,
    asked_at TEXT NOT NULL,
    answered_at TEXT
) STRICT;
"""


def _lines(old: dict[str, Any]) -> str:
    rows, columns = old["instances"], old["columns"]
    names = ("receipt", "sop_instance_uid", "sop_class_uid", "transfer_syntax_uid", "frames", "marks")
    head = {
        "series": old["series"],
        "size": len(rows),
        "instances": {name: {"values": [row[name] for row in rows], "at": list(range(len(rows)))} for name in names},
        "keywords": list(columns),
    }
    return "\n".join(to_json(part) for part in (head, *columns.values()))


migrations(name="0005_looks", transactional=False)(m0005_looks.migrate)
migrations(name="0006_forwarded_images")(m0006_forwards.migrate)
migrations(name="0007_fetches")(m0007_fetches.migrate)
migrations(name="0008_notifications")(m0008_notifications.migrate)
migrations(name="0009_what_grows")(m0009_growth.migrate)
migrations(name="0010_fallbacks")(m0010_fallbacks.migrate)
migrations(name="0011_what_was_edited")(m0011_mended.migrate)
migrations(name="0012_silences")(m0012_silences.migrate)
migrations(name="0013_defects")(m0013_defects.migrate)
migrations(name="0014_space", transactional=False)(m0014_space.migrate)
migrations(name="0015_attempts")(m0015_attempts.migrate)
migrations(name="0016_alerts")(m0016_alerts.migrate)
migrations(name="0017_ways")(m0017_ways.migrate)
migrations(name="0017_words")(m0017_words.migrate)
migrations(name="0018_refused_callers")(m0018_refused_callers.migrate)
migrations(name="0019_reindexings")(m0019_reindexings.migrate)
migrations(name="0020_study_ends")(m0020_study_ends.migrate)
migrations(name="0021_revisions")(m0021_revisions.migrate)
migrations(name="0022_notifications")(m0022_notifications.migrate)
migrations(name="0023_due_times")(m0023_due_times.migrate)
migrations(name="0024_identity")(m0024_identity.migrate)
migrations(name="0025_keys")(m0025_keys.migrate)
migrations(name="0026_commissionings")(m0026_commissionings.migrate)
migrations(name="0027_retention")(m0027_retention.migrate)
migrations(name="0028_gone")(m0028_gone.migrate)
migrations(name="0029_commit_batches")(m0029_commit_batches.migrate)
migrations(name="0030_load")(m0030_load.migrate)
migrations(name="0031_told")(m0031_told.migrate)
migrations(name="0032_answers")(m0032_answers.migrate)
migrations(name="0033_restorations")(m0033_restorations.migrate)
migrations(name="0035_search")(m0035_search.migrate)
migrations(name="0036_returned")(m0036_returned.migrate)
migrations(name="0038_boxes")(m0038_boxes.migrate)
migrations(name="0040_job_results")(m0040_job_results.migrate)
migrations(name="0041_recalls")(m0041_recalls.migrate)
migrations(name="0042_stop_rules")(m0042_stop_rules.migrate)
migrations(name="0043_services")(m0043_services.migrate)
migrations(name="0044_box_doubts")(m0044_box_doubts.migrate)
migrations(name="0045_numbers")(m0045_numbers.migrate)
migrations(name="0046_withdrawal_parts")(m0046_withdrawal_parts.migrate)
migrations(name="0050_measures")(m0050_measures.migrate)
migrations(name="0051_in_parts")(m0051_in_parts.migrate)
migrations(name="0053_audit")(m0053_audit.migrate)
migrations(name="0056_file_versions")(m0056_file_versions.migrate)


def apply(connection: sqlite3.Connection) -> None:
    """Bring the ledger of this connection up to date."""
    migrations.apply(Database(connection))
