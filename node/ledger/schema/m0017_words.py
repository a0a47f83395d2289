"""Schema 0017, second part: what a study is about, and the words that it is found by.

Studies that are there are described by the newest header that the ledger has of them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from node.ledger import connection, study_words

_STATEMENTS = (
    *(
        f"ALTER TABLE studies ADD COLUMN {name} TEXT NOT NULL DEFAULT ''"
        for name in ("patient_name", "study_date", "study_time", "modalities", "description")
    ),
    "ALTER TABLE studies ADD COLUMN images TEXT NOT NULL DEFAULT 'here'",
    """
    CREATE TABLE study_words (
        word TEXT NOT NULL,
        last_received_at TEXT NOT NULL,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        PRIMARY KEY (word, last_received_at, study_instance_uid)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX study_words_by_study ON study_words (study_instance_uid)",
)
_COLUMNS = {
    "patient_name": "PatientName",
    "study_date": "StudyDate",
    "study_time": "StudyTime",
    "description": "StudyDescription",
}
_MODALITIES = (
    "UPDATE studies SET modalities=coalesce((SELECT group_concat(modality, '\\') FROM (SELECT DISTINCT modality"
    " FROM series WHERE series.study_instance_uid=studies.study_instance_uid AND modality<>'' ORDER BY modality)), '')"
)


def migrate(database: Database) -> None:
    """Make it, and describe the studies that are there; a hundred thousand take about a minute."""
    for statement in (*_STATEMENTS, _MODALITIES):
        database.execute(statement)
    change = f"UPDATE studies SET {', '.join(f'{name}=?' for name in _COLUMNS)} WHERE study_instance_uid=?"  # noqa: S608 - our own columns
    for (study,) in database.execute("SELECT study_instance_uid FROM studies").fetchall():
        values = _known(database, study)
        database.execute(change, [*(values.get(keyword, "") for keyword in _COLUMNS.values()), study])
        study_words.write(connection.Database(database.conn), study)


def _known(database: Database, study: str) -> Mapping[str, str]:
    """First values of the study's attributes, as far as a header of it is kept and can be read."""
    facts = "SELECT facts FROM series_facts WHERE study_instance_uid=? ORDER BY revision DESC, look DESC LIMIT 1"
    header = "SELECT header FROM headers WHERE study_instance_uid=? LIMIT 1"
    for sql, read in ((facts, _of_facts), (header, _of_header)):
        for (blob,) in database.execute(sql, [study]).fetchall():
            try:
                return {keyword: value for keyword in _COLUMNS.values() if (value := read(blob, keyword))}
            except (zlib.error, ValueError, LookupError, TypeError):
                return {}  # it stays as nameless as it was: no reason not to start
    return {}


def _of_facts(blob: bytes, keyword: str) -> str:
    """Of a series record (`node.ledger.facts`): a line for the head, then one for each attribute."""
    head, *columns = zlib.decompress(blob).decode().split("\n")
    keywords = json.loads(head)["keywords"]
    return _first(json.loads(columns[keywords.index(keyword)])["values"][0]) if keyword in keywords else ""


def _of_header(blob: bytes, keyword: str) -> str:
    return _first(json.loads(zlib.decompress(blob)).get(keyword, ["", []]))


def _first(element: list[Any]) -> str:
    return str(element[1][0]) if element[1] else ""
