"""Schema 0041: versions of plugins that were withdrawn, and what each version that ever ran said of itself."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the tables; what ran before is known by its attempts, and is described as far as these say."""
    for statement in (*_TABLES, *_VERSIONS_OF_BEFORE):
        database.execute(statement)


_TABLES = (
    """
    CREATE TABLE recalls (
        id INTEGER PRIMARY KEY,
        plugin TEXT NOT NULL,
        version TEXT NOT NULL,
        reason TEXT NOT NULL,
        why TEXT NOT NULL,
        by TEXT NOT NULL,
        at TEXT NOT NULL,
        per_minute INTEGER NOT NULL,
        listed_at TEXT,
        ended_at TEXT,
        ended_by TEXT,
        ended_why TEXT
    ) STRICT
    """,
    "CREATE UNIQUE INDEX recalls_open ON recalls (plugin, version) WHERE ended_at IS NULL",
    """
    CREATE TABLE recalled_jobs (
        recall INTEGER NOT NULL REFERENCES recalls,
        job TEXT NOT NULL REFERENCES jobs,
        rests INTEGER NOT NULL,
        PRIMARY KEY (recall, job)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX recalled_jobs_by_job ON recalled_jobs (job)",
    "ALTER TABLE withdrawals ADD COLUMN recall INTEGER REFERENCES recalls",
    "ALTER TABLE withdrawals ADD COLUMN noted_at TEXT",
    "ALTER TABLE withdrawals ADD COLUMN refused_why TEXT",
    "CREATE INDEX withdrawals_sent ON withdrawals (note) WHERE status IN ('sent', 'refused')",
    "CREATE INDEX withdrawals_by_recall ON withdrawals (recall, status) WHERE recall IS NOT NULL",
    """
    CREATE TABLE plugin_versions (
        plugin TEXT NOT NULL,
        version TEXT NOT NULL,
        digest TEXT NOT NULL,
        algorithm TEXT NOT NULL,
        about TEXT NOT NULL,
        since TEXT NOT NULL,
        allowed_by TEXT NOT NULL,
        PRIMARY KEY (plugin, version, digest)
    ) STRICT, WITHOUT ROWID
    """,
    "ALTER TABLE commissionings ADD COLUMN by TEXT NOT NULL DEFAULT 'node'",
)
_VERSIONS_OF_BEFORE = (
    "INSERT OR IGNORE INTO plugin_versions SELECT replace(jobs.plugin, '_', '-'),"
    " json_extract(attempts.algorithm, '$.version'), coalesce(json_extract(attempts.algorithm,"
    " '$.software_digest'), ''), attempts.algorithm, '{}',"
    " attempts.started_at, '' FROM attempts JOIN jobs ON jobs.id=attempts.job"
    " WHERE attempts.state='answered' AND json_extract(attempts.algorithm, '$.version') IS NOT NULL"
    " ORDER BY attempts.started_at",
)
