"""Schema 0016: alerts are rows, events name their actor, and what was asked of events again has rows of its own."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the tables and fill them from the history.

    Each alert that an event has told of becomes an open one; the node closes those that are over soon after its start.
    """
    for statement in (*_TABLES, *_FROM_EVENTS):
        database.execute(statement)
    for kind, (place, severity) in _ALERTS.items():
        for event in {kind, *_ALSO.get(kind, ())}:
            database.execute(_OPEN.format(place=place), {"kind": kind, "severity": severity, "event": event})
    for statement in _EVENTS:
        database.execute(statement)


_TABLES = (
    """
    CREATE TABLE alerts (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        place TEXT NOT NULL,
        severity TEXT NOT NULL,
        study TEXT,
        detail TEXT NOT NULL,
        opened_at TEXT NOT NULL,
        last_at TEXT NOT NULL,
        times INTEGER NOT NULL,
        closed_at TEXT,
        closed_by TEXT,
        acknowledged_by TEXT,
        acknowledged_at TEXT,
        owner TEXT,
        note TEXT
    ) STRICT
    """,
    "CREATE UNIQUE INDEX alerts_open ON alerts (kind, place) WHERE closed_at IS NULL",
    "CREATE INDEX alerts_by_study ON alerts (study) WHERE study IS NOT NULL",
    """
    CREATE TABLE said (
        kind TEXT NOT NULL,
        place TEXT NOT NULL,
        what TEXT NOT NULL,
        PRIMARY KEY (place, kind, what)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE failing_stages (stage TEXT PRIMARY KEY, since TEXT NOT NULL, error TEXT NOT NULL) STRICT",
    "CREATE TABLE refused_configurations (file TEXT PRIMARY KEY, content TEXT NOT NULL, at TEXT NOT NULL) STRICT",
    """
    CREATE TABLE file_checks (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        program TEXT NOT NULL,
        images INTEGER NOT NULL,
        results INTEGER NOT NULL,
        examples TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE rule_versions (
        id INTEGER PRIMARY KEY,
        digest TEXT NOT NULL,
        since TEXT NOT NULL,
        by TEXT NOT NULL,
        rules INTEGER NOT NULL,
        added TEXT NOT NULL,
        removed TEXT NOT NULL,
        changed TEXT NOT NULL
    ) STRICT
    """,
    "ALTER TABLE encodings ADD COLUMN missing TEXT NOT NULL DEFAULT '[]'",
)

_FROM_EVENTS = (
    "INSERT INTO file_checks (at, program, images, results, examples) SELECT at, json_extract(detail, '$.program'),"
    " coalesce(json_extract(detail, '$.images'), 0), coalesce(json_extract(detail, '$.results'), 0),"
    " coalesce(json_extract(detail, '$.examples'), '[]')"
    " FROM events WHERE study_instance_uid IS NULL AND kind IN ('files.checked', 'files.missing') ORDER BY id",
    "INSERT INTO rule_versions (digest, since, by, rules, added, removed, changed)"
    " SELECT json_extract(detail, '$.digest'), json_extract(detail, '$.since'), json_extract(detail, '$.by'),"
    " json_extract(detail, '$.rules'), json_extract(detail, '$.added'), json_extract(detail, '$.removed'),"
    " json_extract(detail, '$.changed')"
    " FROM events WHERE study_instance_uid IS NULL AND kind='rules.in-force' ORDER BY id",
    "INSERT INTO refused_configurations (file, content, at)"
    " SELECT json_extract(detail, '$.file'), json_extract(detail, '$.content'), at"
    " FROM events WHERE kind='rules.refused' AND id=(SELECT max(id) FROM events WHERE study_instance_uid IS NULL"
    "  AND kind IN ('rules.in-force', 'rules.refused'))",
    "INSERT OR IGNORE INTO said (kind, place, what) SELECT kind, 'configuration', json_extract(detail, '$.since')"
    " FROM events WHERE study_instance_uid IS NULL AND kind='configuration.in-force'",
    "INSERT OR IGNORE INTO said (kind, place, what) SELECT kind, 'configuration', json_extract(detail, '$.content')"
    " FROM events WHERE id=(SELECT max(id) FROM events WHERE study_instance_uid IS NULL"
    "  AND kind='configuration.needs-restart')",
    "UPDATE encodings SET missing=(SELECT json_extract(detail, '$.parts') FROM events"
    "  WHERE events.job=encodings.job AND kind='job.objects-missing' AND json_extract(detail, '$.encoding')=name"
    "  ORDER BY id DESC LIMIT 1)"
    " WHERE EXISTS (SELECT 1 FROM events WHERE events.job=encodings.job AND kind='job.objects-missing'"
    "  AND json_extract(detail, '$.encoding')=name AND json_extract(detail, '$.parts') IS NOT NULL)",
    "INSERT OR IGNORE INTO said (kind, place, what) SELECT kind, job, receipt.value"
    " FROM events, json_each(detail, '$.receipts') AS receipt WHERE kind='instance.damaged' AND job IS NOT NULL",
)

_STUDY, _JOB = "study_instance_uid", "job"
_ITEM = "json_extract(detail, '$.stage') || ' ' || json_extract(detail, '$.item')"
_AT_DESTINATION = "json_extract(detail, '$.destination') || ' ' || study_instance_uid"
_OF_RULE = "study_instance_uid || ' ' || json_extract(detail, '$.rule')"
_NOTIFICATION = "json_extract(detail, '$.notification')"
_ALERTS = {
    "receipt.not-readable": ("'incoming/' || json_extract(detail, '$.receipt') || '.dcm'", "warning"),
    "receipt.not-indexed": (_ITEM, "critical"),
    "instance.correction": (_STUDY, "critical"),
    "instance.conflict": (_STUDY, "critical"),
    "instance.unreadable": ("coalesce(study_instance_uid, '')", "warning"),
    "instance.marked": (_STUDY, "critical"),
    "instance.damaged": ("coalesce(job, study_instance_uid)", "critical"),
    "rejection.ignored": (_STUDY, "warning"),
    "study.held": (_STUDY, "critical"),
    "study.to-withdraw": (_STUDY, "critical"),
    "study.not-completed": (_ITEM, "critical"),
    "study.not-looked-at": (_ITEM, "warning"),
    "study.decision-failed": (f"coalesce({_ITEM}, {_OF_RULE})", "critical"),
    "decision.in-doubt": (_OF_RULE, "warning"),
    "decision.plugin-unusable": (_OF_RULE, "critical"),
    "fetch.failed": ("json_extract(detail, '$.source')", "warning"),
    "job.follow-up-failed": (_ITEM, "critical"),
    "job.objects-missing": (_JOB, "warning"),
    "job.postponed": (_JOB, "warning"),
    "job.refused": (_JOB, "critical"),
    "job.refused-for": (_JOB, "critical"),
    "job.unreportable": (_JOB, "critical"),
    "delivery.waits": ("json_extract(detail, '$.destination')", "warning"),
    "delivery.held": (_AT_DESTINATION, "critical"),
    "delivery.dead": (_AT_DESTINATION, "critical"),
    "delivery.delivered-though-held": (_AT_DESTINATION, "critical"),
    "forward.left-out": (_AT_DESTINATION, "warning"),
    "identity.differs": (_AT_DESTINATION, "critical"),
    "identity.overdue": (_AT_DESTINATION, "critical"),
    "commitment.unreadable": ("json_extract(detail, '$.message') || '.unreadable'", "warning"),
    "commitment.waits": (
        "(SELECT requester FROM commitments WHERE commitments.id=json_extract(detail, '$.commitment'))",
        "warning",
    ),
    "commitment.dead": ("CAST(json_extract(detail, '$.commitment') AS TEXT)", "warning"),
    "commitment.archive-late": ("json_extract(detail, '$.through')", "warning"),
    "notification.waits": (f"CAST({_NOTIFICATION} AS TEXT)", "warning"),
    "notification.dead": (f"CAST({_NOTIFICATION} AS TEXT)", "critical"),
    "item.failed": (_ITEM, "critical"),
    "stage.failing": ("json_extract(detail, '$.stage')", "critical"),
    "rules.refused": ("json_extract(detail, '$.file')", "warning"),
    "files.missing": ("'data'", "critical"),
}
_ALSO = {"delivery.dead": ("forward.dead",), "delivery.waits": ("forward.waits",)}
"""Kinds of events that told of the same condition."""
_OPEN = """
    INSERT INTO alerts (kind, place, severity, study, detail, opened_at, last_at, times)
    SELECT :kind, place, :severity, study, (SELECT detail FROM events WHERE id=newest), first_at, last_at, times
    FROM (
        SELECT place, max(study_instance_uid) AS study, max(id) AS newest, min(at) AS first_at, max(at) AS last_at,
            count(*) AS times
        FROM (SELECT *, {place} AS place FROM events WHERE severity='alert' AND kind=:event) GROUP BY place
    )
    WHERE place IS NOT NULL
    ON CONFLICT (kind, place) WHERE closed_at IS NULL DO UPDATE SET times=alerts.times+excluded.times,
        opened_at=min(alerts.opened_at, excluded.opened_at),
        detail=CASE WHEN excluded.last_at>alerts.last_at THEN excluded.detail ELSE alerts.detail END,
        last_at=max(alerts.last_at, excluded.last_at)
"""

_EVENTS = (
    "UPDATE alerts SET study=NULL WHERE kind IN ('delivery.waits', 'fetch.failed')",
    "UPDATE alerts SET detail=json_set(detail, '$.revision', (SELECT revision FROM studies"
    " WHERE study_instance_uid=study)) WHERE kind IN ('decision.in-doubt', 'decision.plugin-unusable')",
    "ALTER TABLE events ADD COLUMN actor TEXT NOT NULL DEFAULT 'node'",
    "DROP TRIGGER events_are_append_only",
    "UPDATE events SET severity='warning' WHERE severity='alert'",
    "UPDATE events SET actor='os:' || json_extract(detail, '$.by')"
    " WHERE (kind LIKE '%.again' OR kind='study.released') AND json_extract(detail, '$.by') IS NOT NULL",
    "CREATE TRIGGER events_are_append_only BEFORE UPDATE ON events"
    " BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
)
