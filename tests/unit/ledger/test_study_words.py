"""Studies are found by words of name, Patient ID, accession number and description, the newest first."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database as SchemaDatabase

from node.clock import to_text
from node.ledger import studies, study_search, study_words
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.schema.migrations import migrations
from node.ledger.studies import Description
from node.ledger.study_search import StudySearch

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
T = to_text(NOW)


def receive(database: Database, uid: str, name: str = "", minutes: int = 0, **more: str) -> None:
    """An instance of a study has come."""
    at = NOW + timedelta(minutes=minutes)
    studies.received(
        database,
        at,
        study=uid,
        patient_id=more.get("patient_id", ""),
        issuer_of_patient_id="",
        accession_number=more.get("accession_number", ""),
        association="a",
        received_at=at,
        due_at=at,
    )
    text = more.get("description", "")
    studies.described(database, uid, Description(name, "20260301", "1200", text, frozenset({"CT"})))


def found(ledger: Ledger, text: str, limit: int = 9) -> list[str]:
    """Studies with the words of a text."""
    rows = study_search.find(ledger.database, StudySearch(words=study_words.folded(text)), limit)
    return [each.study_instance_uid for each in rows]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MÜLLER^Jürgen", ["muller", "jurgen"]),
        ("Strauß", ["strauss"]),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["yamada", "tarou", "山田", "太郎", "やまた", "たろう"]),
        ("Hong^Gildong=洪^吉洞=홍^길동", ["hong", "gildong", "洪", "吉洞", "홍", "길동"]),
        ("İstanbul", ["istanbul"]),
        ("O'Neill-Smith, A_B", ["o", "neill", "smith", "a", "b"]),
        ("2026-0302/17", ["2026", "0302", "17"]),
        ("\x1b[31m * % _ ' \"", ["31m"]),
        ("", []),
        ("x" * 1000, ["x" * 64]),
        ("CT ct Ct", ["ct"]),
    ],
)
def test_words_are_folded(text: str, words: list[str]) -> None:
    """Neither case, accents nor punctuation count; a decomposed text gives what the composed one gives."""
    wanted = [unicodedata.normalize("NFKD", word) for word in words]
    assert study_words.folded(text) == wanted
    assert study_words.folded(unicodedata.normalize("NFD", text)) == wanted


def test_a_study_has_all_of_the_words_and_the_newest_comes_first(ledger: Ledger) -> None:
    """Words of different attributes together; a part of a word is none."""
    with ledger.transaction() as database:
        receive(database, "1.1", "Müller^Anna", 1, patient_id="P-17", accession_number="A100", description="CT Thorax")
        receive(database, "1.2", "MULLER^BERND", 2, patient_id="P-18", description="CT Abdomen")
        receive(database, "1.3", "Meyer^Anna", 3, patient_id="P-17", description="MR Thorax")
    assert found(ledger, "muller") == ["1.2", "1.1"]
    assert found(ledger, "Müller thorax") == ["1.1"]
    assert found(ledger, "anna p-17") == ["1.3", "1.1"]
    assert found(ledger, "a100") == ["1.1"]
    assert found(ledger, "mull") == []
    assert found(ledger, "muller meyer") == []
    assert found(ledger, "muller", limit=1) == ["1.2"]


def test_a_study_that_grows_comes_first_and_is_named_by_what_is_known_in_the_end(ledger: Ledger) -> None:
    """The first instance may say nothing; what was said is not overwritten by another instance, but by a correction."""
    with ledger.transaction() as database:
        receive(database, "1.1")
        receive(database, "1.2", "Meyer^Anna", 1)
        receive(database, "1.1", "Meyer^Anna", 2)
        receive(database, "1.1", "Other^Name", 3)
    assert found(ledger, "anna") == ["1.1", "1.2"]
    assert found(ledger, "other") == []
    with ledger.transaction() as database:
        said = Description("Maier^Anna", "", "", "", frozenset({"SR"}))
        studies.described(database, "1.1", said, newest=True)
        studies.set_patient(database, "1.1", patient_id="P9", issuer_of_patient_id="", accession_number="A9")
    assert (found(ledger, "meyer"), found(ledger, "maier p9 a9")) == (["1.2"], ["1.1"])
    row = studies.get(ledger.database, "1.1")
    assert row is not None
    assert (row.patient_name, row.study_date, row.modalities) == ("Maier^Anna", "20260301", "CT\\SR")


def test_studies_of_an_earlier_ledger_are_found(tmp_path: Path) -> None:
    """By their rows, and by the newest header that is kept: packed, or on its own while the study is being received."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(SchemaDatabase(connection), stop_before="0017_words")
    connection.execute("PRAGMA foreign_keys=OFF")  # the rows around these are of no interest here
    for uid in ("1.1", "1.2", "1.3", "1.4"):
        connection.execute(
            "INSERT INTO studies (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status,"
            " revision, decided_revision, first_received_at, last_received_at, last_association, due_at)"
            f" VALUES (?,'P-{uid}','','A','complete',1,0,'{T}','{T}','a','{T}')",
            [uid],
        )
    series = "INSERT INTO series (series_instance_uid, study_instance_uid, modality, description, last_received_at)"
    connection.executemany(f"{series} VALUES (?,'1.1',?,'','t')", [("1.1.1", "SR"), ("1.1.2", "CT"), ("1.1.3", "CT")])
    head = {"series": "1.1.1", "size": 1, "instances": {}, "keywords": ["Modality", "PatientName"]}
    columns = [{"values": [["CS", ["CT"]]], "at": None}, {"values": [["PN", ["Müller^Anna"]]], "at": None}]
    text = "\n".join(map(json.dumps, [head, *columns]))
    facts = "INSERT INTO series_facts (study_instance_uid, series_instance_uid, revision, facts) VALUES (?,'s',1,?)"
    connection.execute(facts, ["1.1", zlib.compress(text.encode())])
    connection.execute(facts, ["1.3", b"damaged"])
    header = json.dumps({"PatientName": ["PN", ["Meyer^Anna"]], "StudyDescription": ["LO", ["Thorax"]]})
    connection.execute("INSERT INTO headers VALUES ('r','1.2',?)", [zlib.compress(header.encode())])
    connection.close()
    ledger = Ledger(path)
    assert found(ledger, "anna") == ["1.2", "1.1"]
    assert (found(ledger, "müller"), found(ledger, "thorax"), found(ledger, "p 1 3")) == (["1.1"], ["1.2"], ["1.3"])
    row = studies.get(ledger.database, "1.1")
    assert row is not None
    assert row.modalities == "CT\\SR"
    ledger.close()
