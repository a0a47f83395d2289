"""Schema 0005: rules that are asked before a study is complete, that wait, and on what terms results are sent.

A *look* is one time that rules were asked about a study: look 0 of a revision when it is complete, further ones
while it grows after that revision, or when the time of a rule that waited is over.
"""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make it; a crash half-way leaves nothing, and a second run on what is done changes nothing.

    A table is created again where a UNIQUE changes. That goes with foreign keys off only, which SQLite takes outside
    of transactions only: hence a transaction of its own (https://www.sqlite.org/lang_altertable.html, section 7).
    """
    if "look" in {column.name for column in database["decisions"].columns}:
        return
    database.execute("PRAGMA foreign_keys=OFF")
    try:
        with database.atomic():
            for statement in _STATEMENTS:
                database.execute(statement)
    finally:
        database.execute("PRAGMA foreign_keys=ON")


_STATEMENTS = (
    "ALTER TABLE jobs ADD COLUMN look INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN terms TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE series ADD COLUMN due_at TEXT",
    "ALTER TABLE series ADD COLUMN completed_at TEXT",
    "UPDATE series SET completed_at=(SELECT completed_at FROM studies AS s"
    " WHERE s.study_instance_uid=series.study_instance_uid AND s.status='complete')",
    """
    CREATE TABLE looks (
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        revision INTEGER NOT NULL,
        look INTEGER NOT NULL,
        rules TEXT NOT NULL,
        growing TEXT,
        asked_at TEXT NOT NULL,
        decided_at TEXT,
        PRIMARY KEY (study_instance_uid, revision, look)
    ) STRICT
    """,
    "CREATE INDEX looks_undecided ON looks (asked_at) WHERE decided_at IS NULL",
    """
    CREATE TABLE timers (
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        rule TEXT NOT NULL,
        kind TEXT NOT NULL,
        since TEXT NOT NULL,
        due_at TEXT NOT NULL,
        decision INTEGER REFERENCES decisions,
        PRIMARY KEY (study_instance_uid, rule, kind)
    ) STRICT
    """,
    "CREATE INDEX timers_by_time ON timers (kind, due_at)",
    """
    CREATE TABLE new_facts (
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        series_instance_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        look INTEGER NOT NULL DEFAULT 0,
        facts BLOB NOT NULL,
        PRIMARY KEY (study_instance_uid, series_instance_uid, revision, look)
    ) STRICT
    """,
    "INSERT INTO new_facts (study_instance_uid, series_instance_uid, revision, facts)"
    " SELECT study_instance_uid, series_instance_uid, revision, facts FROM series_facts",
    "DROP TABLE series_facts",
    "ALTER TABLE new_facts RENAME TO series_facts",
    """
    CREATE TABLE new_decisions (
        id INTEGER PRIMARY KEY,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        revision INTEGER NOT NULL,
        look INTEGER NOT NULL DEFAULT 0,
        rule TEXT NOT NULL,
        rule_set TEXT NOT NULL REFERENCES rule_sets,
        outcome TEXT NOT NULL,
        trace TEXT NOT NULL,
        decided_at TEXT NOT NULL,
        UNIQUE (study_instance_uid, revision, look, rule)
    ) STRICT
    """,
    "INSERT INTO new_decisions (id, study_instance_uid, revision, rule, rule_set, outcome, trace, decided_at)"
    " SELECT id, study_instance_uid, revision, rule, rule_set, outcome, trace, decided_at FROM decisions",
    "DROP TABLE decisions",
    "ALTER TABLE new_decisions RENAME TO decisions",
)
