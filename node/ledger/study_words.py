"""The words that studies are found by: of the patient's name, Patient ID, accession number and description.

Words are folded: neither case nor accents count. A search is for whole words, all of which a study must have. What last
received something comes first: that is the order of the key, so a page costs as much as it shows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from node.ledger.connection import Database

_LONGEST = 64
_MOST = 64
"""Words of one study."""
_ENOUGH = 1000
"""Studies with a word, from which on it makes no difference how many more there are."""


def folded(text: str) -> list[str]:
    """The words of a text without case, accents and punctuation, each once, in their order."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(each for each in decomposed if not unicodedata.combining(each))
    return list(dict.fromkeys(word[:_LONGEST] for word in re.findall(r"[^\W_]+", plain)))


def write(database: Database, study: str) -> None:
    """The words of a study are those of its row from now on."""
    found = database.execute(
        "SELECT last_received_at, patient_name, patient_id, accession_number, description FROM studies"
        " WHERE study_instance_uid=?",
        [study],
    ).fetchall()
    for received_at, *texts in found:
        words = folded(" ".join(texts))[:_MOST]
        database.execute("DELETE FROM study_words WHERE study_instance_uid=?", [study])
        rows = [(word, received_at, study) for word in words]
        database.conn.executemany("INSERT INTO study_words VALUES (?,?,?)", rows)


def moved(database: Database, study: str) -> None:
    """The study has received something: its words go to its new place in the order."""
    database.execute(
        "UPDATE study_words SET last_received_at=(SELECT last_received_at FROM studies WHERE study_instance_uid=:study)"
        " WHERE study_instance_uid=:study",
        {"study": study},
    )


def search(database: Database, words: Sequence[str], limit: int) -> list[str]:
    """Studies that have all of these folded words, the one that last received something first."""
    if not words:
        return []
    rarest, *others = sorted(words, key=lambda word: _how_many(database, word))
    also = "".join(
        " AND EXISTS (SELECT 1 FROM study_words AS other WHERE other.word=?"
        " AND other.last_received_at=found.last_received_at AND other.study_instance_uid=found.study_instance_uid)"
        for _ in others
    )
    sql = (
        f"SELECT study_instance_uid FROM study_words AS found WHERE word=?{also}"  # noqa: S608 - our own text
        " ORDER BY last_received_at DESC, study_instance_uid DESC LIMIT ?"
    )
    return [study for (study,) in database.execute(sql, [rarest, *others, limit]).fetchall()]


def _how_many(database: Database, word: str) -> int:
    sql = "SELECT count(*) FROM (SELECT 1 FROM study_words WHERE word=? LIMIT ?)"
    ((number,),) = database.execute(sql, [word, _ENOUGH]).fetchall()
    return int(number)
