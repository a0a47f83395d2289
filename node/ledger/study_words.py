"""The words that studies are found by: of the patient's name, Patient ID, accession number and description, and marks.

Words are folded: neither case nor accents count. A search is for whole words, all of which a study must have. What last
received something comes first: that is the order of the key, so a page costs as much as it shows. A *mark* is a word
that no text can have (`rule:chest-ct`): whatever else studies are looked for by is found in the same way. Marks of
rules, plugins and outcomes follow the rows of decisions and jobs by triggers (schema 0035).
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

from node.ledger.connection import Database


class Mark(StrEnum):
    """What a mark says of its study."""

    UID = "uid"
    """Its UID backwards: a beginning of that is an end of the UID."""
    MODALITY = "modality"
    """A modality of its series."""
    RULE = "rule"
    """A rule that matched it, or waits for more of it."""
    PLUGIN = "plugin"
    """A plugin that has, or had, a job on it."""
    OUTCOME = "outcome"
    """What came of a job that no other supersedes."""

    def of(self, value: str) -> str:
        """The word."""
        return f"{self}:{value}"


_LONGEST = 64
_MOST = 64
"""Words of one study."""
_OF_JOBS = " AND ".join(f"word NOT GLOB '{mark}:*'" for mark in (Mark.RULE, Mark.PLUGIN, Mark.OUTCOME))
AFTER_ALL = "\x7f"
"""After whatever a UID can be made of."""


def folded(text: str) -> list[str]:
    """The words of a text without case, accents and punctuation, each once, in their order."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(each for each in decomposed if not unicodedata.combining(each))
    return list(dict.fromkeys(word[:_LONGEST] for word in re.findall(r"[^\W_]+", plain)))


def write(database: Database, study: str) -> None:
    """The words of a study are those of its row from now on."""
    found = database.execute(
        "SELECT last_received_at, modalities, patient_name, patient_id, accession_number, description FROM studies"
        " WHERE study_instance_uid=?",
        [study],
    ).fetchall()
    for received_at, modalities, *texts in found:
        marks = [Mark.UID.of(study[::-1]), *(Mark.MODALITY.of(each) for each in modalities.split("\\") if each)]
        words = [*marks, *folded(" ".join(texts))[:_MOST]]
        database.execute(f"DELETE FROM study_words WHERE study_instance_uid=? AND {_OF_JOBS}", [study])  # noqa: S608 - our own text
        rows = [(word, received_at, study) for word in words]
        database.conn.executemany("INSERT INTO study_words VALUES (?,?,?)", rows)


def moved(database: Database, study: str) -> None:
    """The study has received something: its words go to its new place in the order."""
    database.execute(
        "UPDATE study_words SET last_received_at=(SELECT last_received_at FROM studies WHERE study_instance_uid=:study)"
        " WHERE study_instance_uid=:study",
        {"study": study},
    )


def ending(database: Database, end: str, limit: int) -> list[str]:
    """Studies whose UID ends so, the one that last received something first."""
    backwards = Mark.UID.of(end[::-1])
    sql = "SELECT study_instance_uid FROM study_words WHERE word>=? AND word<? ORDER BY last_received_at DESC LIMIT ?"
    return [study for (study,) in database.execute(sql, [backwards, backwards + AFTER_ALL, limit]).fetchall()]
