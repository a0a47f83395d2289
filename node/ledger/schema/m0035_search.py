"""Schema 0035: studies are found by the end of their UID, accession number, date, modality, rule, plugin and outcome.

The marks of rules, plugins and outcomes are kept by triggers: whichever statement changes a decision or a job, the
study can be found by it in the same transaction.
"""

from __future__ import annotations

from sqlite_utils import Database

from node.ledger import connection, study_words

_MARK = "INSERT OR IGNORE INTO study_words SELECT {word}, last_received_at, study_instance_uid FROM studies"
_OF_NEW = " WHERE study_instance_uid=NEW.study_instance_uid;"
_LAST_JOB = "NOT EXISTS (SELECT 1 FROM jobs AS later WHERE later.supersedes=jobs.id)"
_UNMARKED = (
    "DELETE FROM study_words WHERE study_instance_uid=NEW.study_instance_uid AND word GLOB 'outcome:*'"  # noqa: S608 - our own text
    " AND NOT EXISTS"
    " (SELECT 1 FROM jobs WHERE jobs.study_instance_uid=NEW.study_instance_uid AND 'outcome:' || outcome=word"
    f" AND {_LAST_JOB});"
)
_MATCHED = "NEW.outcome IN ('matched', 'unchanged', 'waiting')"
_RULE, _PLUGIN, _OUTCOME = (_MARK.format(word=f"'{name}:' || NEW.{name}") for name in ("rule", "plugin", "outcome"))
_STATEMENTS = (
    "CREATE INDEX studies_by_accession ON studies (accession_number)",
    "CREATE INDEX studies_by_date ON studies (study_date)",
    f"CREATE TRIGGER decisions_marked AFTER INSERT ON decisions WHEN {_MATCHED} BEGIN {_RULE}{_OF_NEW} END",
    f"CREATE TRIGGER decisions_marked_later AFTER UPDATE OF outcome ON decisions WHEN {_MATCHED}"
    f" BEGIN {_RULE}{_OF_NEW} END",
    f"CREATE TRIGGER jobs_marked AFTER INSERT ON jobs BEGIN {_RULE}{_OF_NEW} {_PLUGIN}{_OF_NEW} END",
    f"CREATE TRIGGER jobs_marked_again AFTER INSERT ON jobs WHEN NEW.supersedes IS NOT NULL BEGIN {_UNMARKED} END",
    "CREATE TRIGGER jobs_marked_outcome AFTER UPDATE OF outcome ON jobs WHEN NEW.outcome IS NOT OLD.outcome"
    f" BEGIN {_UNMARKED} {_OUTCOME}{_OF_NEW.replace(';', ' AND NEW.outcome IS NOT NULL')}"
    f" AND {_LAST_JOB.replace('jobs.id', 'NEW.id')}; END",
)
_ENDED = f"SELECT study_instance_uid AS study, outcome FROM jobs WHERE outcome IS NOT NULL AND {_LAST_JOB}"  # noqa: S608 - our own text
_THERE = (
    (
        "rule",
        "SELECT study_instance_uid AS study, rule FROM decisions WHERE outcome IN ('matched','unchanged','waiting')",
    ),
    ("rule", "SELECT study_instance_uid AS study, rule FROM jobs"),
    ("plugin", "SELECT study_instance_uid AS study, plugin FROM jobs"),
    ("outcome", _ENDED),
)


def migrate(database: Database) -> None:
    """Make it, and mark the studies that are there; a hundred thousand take about a quarter of a minute."""
    for statement in _STATEMENTS:
        database.execute(statement)
    ours = connection.Database(database.conn)
    for (study,) in database.execute("SELECT study_instance_uid FROM studies").fetchall():
        study_words.write(ours, study)
    for name, rows in _THERE:
        database.execute(
            f"INSERT OR IGNORE INTO study_words SELECT DISTINCT '{name}:' || {name}, last_received_at, study"  # noqa: S608 - our own text
            f" FROM ({rows}) JOIN studies ON study_instance_uid=study"
        )
