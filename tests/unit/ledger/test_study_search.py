"""Whatever studies are looked for by, the search finds those that have all of it, the newest first."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database as SchemaDatabase

from node.clock import to_text
from node.ledger import studies, study_search, study_words
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.schema.migrations import migrations
from node.ledger.studies import Description
from node.ledger.study_search import StudySearch, StudyState
from node.ledger.study_words import Mark, folded

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
T = to_text(NOW)
RULES, PLUGINS, OUTCOMES = ("chest", "head"), ("density", "bleed"), ("findings", "failed", None)


@dataclass
class Sample:
    """A study as a person would look for it."""

    uid: str
    at: datetime
    name: str = ""
    number: str = ""
    accession: str = ""
    date: str = ""
    modality: str = "CT"
    held: bool = False
    jobs: list[tuple[str, str, str | None, bool]] = field(default_factory=list)
    """Rule, plugin, outcome, and whether it was run again without an end so far."""

    @property
    def last_jobs(self) -> list[tuple[str, str, str | None]]:
        """Rule, plugin and outcome of those that no other supersedes."""
        return [(rule, plugin, None if again else outcome) for rule, plugin, outcome, again in self.jobs]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """One without a study."""
    made = Ledger(tmp_path / "ledger.db")
    with made.transaction() as database:
        database.execute("INSERT INTO rule_sets VALUES ('r','[]','t')")
    yield made
    made.close()


def insert_job(database: Database, study: str, number: str, rule: str, plugin: str, supersedes: str | None) -> None:
    """A queued job, and the decision that made it."""
    decision = database.execute(
        "INSERT INTO decisions (study_instance_uid, revision, look, rule, rule_set, outcome, trace, decided_at)"
        f" VALUES (?,1,(SELECT count(*) FROM decisions),?,'r','not_matched','{{}}','{T}')",
        [study, rule],
    ).lastrowid
    database.execute("UPDATE decisions SET outcome='matched' WHERE id=?", [decision])
    database.execute(
        "INSERT INTO jobs (id, decision, study_instance_uid, revision, rule, step, subject, inputs_digest, round,"
        " supersedes, plugin, parameters, inputs, destinations, mode, priority, on_correction, status, not_before,"
        f" images_complete_at, asked, created_at) VALUES (?,?,?,1,?,'','',?,1,?,?,'{{}}','[]','[]','shadow',0,'hold',"
        f"'queued','{T}','{T}','[]','{T}')",
        [number, decision, study, rule, number, supersedes, plugin],
    )


def enter(database: Database, sample: Sample) -> None:
    """What the stages would write of it."""
    studies.received(
        database,
        NOW,
        study=sample.uid,
        patient_id=sample.number,
        issuer_of_patient_id="",
        accession_number=sample.accession,
        association="a",
        received_at=sample.at,
        due_at=NOW,
    )
    said = Description(sample.name, sample.date, "", "", frozenset({sample.modality}))
    studies.described(database, sample.uid, said)
    if sample.held:
        studies.hold(database, NOW, sample.uid, "odd")
    for place, (rule, plugin, outcome, again) in enumerate(sample.jobs):
        number = f"{sample.uid}-{place}"
        insert_job(database, sample.uid, number, rule, plugin, None)
        database.execute("UPDATE jobs SET outcome=?, status='reported' WHERE id=?", [outcome, number])
        if again:
            insert_job(database, sample.uid, f"{number}-again", rule, plugin, number)


def make(chance: random.Random, number: int) -> Sample:
    """A study by chance."""
    work = [
        (chance.choice(RULES), chance.choice(PLUGINS), chance.choice(OUTCOMES), chance.random() < 0.3)
        for _ in range(chance.randrange(3))
    ]
    return Sample(
        uid=f"1.2.{number * 7919}",
        at=NOW + timedelta(seconds=chance.randrange(1000)),
        name=chance.choice(("Kim^Minsu=김민수", "Müller^Anna", "Kim^Anna", "")),
        number=chance.choice(("KR-001", "17", "kim")),
        accession=chance.choice(("", "A1", f"A{number}")),
        date=f"202603{chance.randrange(1, 9):02}",
        modality=chance.choice(("CT", "MR")),
        held=chance.random() < 0.1,
        jobs=work,
    )


def wishes(chance: random.Random) -> Iterator[tuple[dict[str, Any], Callable[[Sample], bool]]]:
    """Fields of a search, and what they ask of a study."""
    rule, plugin = chance.choice(RULES), chance.choice(PLUGINS)
    name = chance.choice(("kim", "anna kim", "김민수", "KR 001"))
    accession = chance.choice(("A1", "A9", "none"))
    since = NOW + timedelta(seconds=chance.randrange(1000))
    yield {"patient": folded(name)}, lambda s: {*folded(name)} <= {*folded(f"{s.name} {s.number}")}
    yield {"accession": accession}, lambda s: s.accession == accession
    yield {"dates": ("20260303", "20260305")}, lambda s: "20260303" <= s.date <= "20260305"
    yield {"since": since}, lambda s: s.at >= since
    yield {"words": [Mark.MODALITY.of("MR")]}, lambda s: s.modality == "MR"
    yield {"words": [Mark.RULE.of(rule)]}, lambda s: any(each[0] == rule for each in s.jobs)
    yield {"words": [Mark.PLUGIN.of(plugin)]}, lambda s: any(each[1] == plugin for each in s.jobs)
    yield {"words": [Mark.OUTCOME.of("failed")]}, lambda s: any(each[2] == "failed" for each in s.last_jobs)
    yield {"without_jobs": True}, lambda s: not s.jobs
    yield {"state": StudyState.HELD}, lambda s: s.held
    yield {"state": StudyState.FAILED}, lambda s: any(each[2] == "failed" for each in s.last_jobs)
    yield {"state": StudyState.IN_ANALYSIS}, lambda s: any(each[3] for each in s.jobs)
    yield {"state": StudyState.RECEIVING}, lambda _: True


def both(first: dict[str, Any], second: dict[str, Any]) -> StudySearch:
    """A search for both."""
    words = [*first.get("words", ()), *second.get("words", ())]
    return replace(StudySearch(**{**first, **second}), words=words)


@pytest.mark.parametrize("seed", range(6))
def test_a_search_finds_what_reading_all_studies_would_find(ledger: Ledger, seed: int) -> None:
    """Any one wish and any two together, over studies by chance, in the order of their last instance."""
    chance = random.Random(seed)
    samples = [make(chance, number) for number in range(1, 60)]
    with ledger.transaction() as database:
        for sample in samples:
            enter(database, sample)
    newest = sorted(samples, key=lambda each: (each.at, each.uid), reverse=True)
    for (first, holds), (second, also) in itertools.product([*wishes(chance)], repeat=2):
        if first != second and {*first} & {*second} - {"words"}:
            continue  # a search has one state
        right = [each.uid for each in newest if holds(each) and also(each)]
        wanted = both(first, second)
        assert [each.study_instance_uid for each in study_search.find(ledger.database, wanted, 99)] == right, wanted
        assert [each.study_instance_uid for each in study_search.find(ledger.database, wanted, 3)] == right[:3]
        assert [*_by_pages(ledger.database, wanted, 7)] == right


def _by_pages(database: Database, wanted: StudySearch, size: int) -> Iterator[str]:
    """All that is found, page by page."""
    after = None
    while page := study_search.find(database, wanted, size, after):
        yield from (each.study_instance_uid for each in page)
        after = page[-1].last_received_at, page[-1].study_instance_uid


def test_a_job_that_ran_again_counts_by_its_last_round(ledger: Ledger) -> None:
    """From the moment it is queued again, and by what came of it in the end."""
    failed, done = Mark.OUTCOME.of("failed"), Mark.OUTCOME.of("findings")
    with ledger.transaction() as database:
        enter(database, Sample("1.1", NOW, jobs=[("chest", "density", "failed", False)]))
        assert _marked(database, failed)
        insert_job(database, "1.1", "again", "chest", "density", "1.1-0")
        assert not _marked(database, failed)
        database.execute("UPDATE jobs SET outcome='findings' WHERE id='again'")
        assert _marked(database, done)
        assert study_search.states(database, "1.1") == [StudyState.RECEIVING, StudyState.IN_ANALYSIS]
        studies.set_patient(database, "1.1", patient_id="new", issuer_of_patient_id="", accession_number="")
        assert _marked(database, done)


def _marked(database: Database, mark: str) -> bool:
    return bool(study_search.find(database, StudySearch(words=[mark]), 1))


NAMES = {
    "4.44": ["1.2.4.44"],
    "44": ["1.2.3.44", "1.2.4.44"],
    "1.2.4": ["1.2.4.44", "1.2.4.45"],
    "1.2.4.44": ["1.2.4.44"],
    "ACC-5": ["1.2.4.45"],
    "acc-5": [],
    "2.4.4": [],
    "%": [],
}


def test_a_uid_is_found_by_its_beginning_and_its_end(ledger: Ledger) -> None:
    """And an accession number as a whole; nothing else matches by a part."""
    with ledger.transaction() as database:
        for number, uid in enumerate(("1.2.3.44", "1.2.4.44", "1.2.4.45")):
            enter(database, Sample(uid, NOW, accession=f"ACC-{3 + number}"))
    found = {
        text: sorted(each.study_instance_uid for each in studies.matching(ledger.database, text)) for text in NAMES
    }
    assert found == NAMES


PAGES = [
    "SEARCH found USING COVERING INDEX studies_by_arrival ((last_received_at,study_instance_uid)<(?,?))",
    "SEARCH study_words USING PRIMARY KEY (word=? AND (last_received_at,study_instance_uid)<(?,?))",
]
_SMALL = ("timers", "fetches", "results_by_status", "jobs_in_trouble", "studies_held", "CONSTANT", "SCAN found", "(")


def test_no_search_reads_all_studies(ledger: Ledger) -> None:
    """Whatever is asked for begins at an index, and looks the rest up; by arrival alone it reads what it shows."""
    asked: list[str] = []
    ledger.database.conn.set_trace_callback(asked.append)
    for wish, _ in wishes(random.Random(1)):
        study_search.find(ledger.database, StudySearch(**wish), 20)
    studies.matching(ledger.database, "1.2.3")
    ledger.database.conn.set_trace_callback(None)
    selects = [sql for sql in asked if sql.startswith("SELECT")]
    steps = [step for sql in selects for *_, step in ledger.database.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
    assert len(steps) > 20
    scans = {step for step in steps if step.startswith("SCAN")}
    assert {each for each in scans if not any(word in each for word in _SMALL)} == set()


def test_a_later_page_begins_where_the_one_before_ended(ledger: Ledger) -> None:
    """By arrival and by word the index is entered at the last study of the page before; nothing is read and skipped."""
    asked: list[str] = []
    ledger.database.conn.set_trace_callback(asked.append)
    for wanted in (StudySearch(), StudySearch(words=["kim"])):
        study_search.find(ledger.database, wanted, 20, (NOW, "1.2.3"))
    ledger.database.conn.set_trace_callback(None)
    plans = [[*ledger.database.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()] for sql in asked if "study.*" in sql]
    assert [plan[0][3] for plan in plans] == PAGES


def test_studies_of_an_earlier_schema_are_marked(tmp_path: Path) -> None:
    """By rule, plugin, the last outcome, modality and the end of their UID."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(SchemaDatabase(connection), stop_before="0035_search")
    connection.execute("PRAGMA foreign_keys=OFF")  # the rows around these are of no interest here
    connection.execute(
        "INSERT INTO studies (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status, revision,"
        " decided_revision, first_received_at, last_received_at, last_association, due_at, modalities)"
        f" VALUES ('1.2.77','P','','A7','complete',1,1,'{T}','{T}','a','{T}','CT\\SR')"
    )
    database = Database(connection)
    insert_job(database, "1.2.77", "one", "chest", "density", None)
    connection.execute("UPDATE jobs SET outcome='failed' WHERE id='one'")
    insert_job(database, "1.2.77", "two", "chest", "density", "one")
    connection.execute("UPDATE jobs SET outcome='findings' WHERE id='two'")
    connection.close()
    ledger = Ledger(path)
    marks = {word for (word,) in ledger.database.execute("SELECT word FROM study_words").fetchall()}
    wanted = {"rule:chest", "plugin:density", "outcome:findings", "modality:CT", "modality:SR", "uid:77.2.1", "p", "a7"}
    assert marks == wanted
    assert study_words.ending(ledger.database, "2.77", 5) == ["1.2.77"]
