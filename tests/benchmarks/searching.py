"""How long `pacsnode studies` looks for studies among a million: each kind of question, also those that find nothing.

python -m tests.benchmarks.searching [STUDIES]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from node.clock import to_text
from node.desk import search
from node.desk.search import StudyQuestion
from node.ledger.database import FILE, Database, Ledger
from node.ledger.study_words import Mark, folded
from tests.benchmarks.figures import table

GOAL = 0.3
STUDIES = 1_000_000
"""Of which half are CTs that a rule matched, over a thousand days."""
_ROUNDS = 5
_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_STEP = timedelta(days=1000) / STUDIES


@dataclass(frozen=True, slots=True)
class Searched:
    """A question, how many it found (at most 20), and the median of its seconds."""

    what: str
    found: int
    seconds: float


def measure(folder: Path, count: int = STUDIES) -> list[Searched]:
    """Fill a ledger, and ask."""
    folder.mkdir(parents=True, exist_ok=True)
    _fill(Ledger(folder / FILE), count)
    ledger = Ledger(folder / FILE)
    asked = [_ask(ledger, what, question) for what, question in questions(count)]
    ledger.close()
    return asked


def questions(count: int) -> Iterator[tuple[str, StudyQuestion]]:
    """Rare and frequent, alone and together, and pairs that never meet."""
    day = _received(count, count // 2)
    yield "the newest", StudyQuestion()
    yield "an accession number", StudyQuestion(accession=f"A{count // 3}")
    yield "a Patient ID", StudyQuestion(patient=f"P-{count // 3}")
    yield "a frequent name", StudyQuestion(patient="kim")
    yield "two frequent words of a name", StudyQuestion(patient="kim minsu")
    yield "a frequent name on one day long ago", StudyQuestion(patient="kim", date=f"{day:%Y-%m-%d}")
    yield "a modality on one day long ago", StudyQuestion(modality="MR", date=f"{day:%Y-%m-%d}")
    yield "a modality in half of the time", StudyQuestion(modality="MR", date=f"..{day:%Y-%m-%d}")
    yield "a rule and an outcome", StudyQuestion(rule="chest-ct", outcome="findings")
    yield "a rule and a modality that it never has", StudyQuestion(rule="chest-ct", modality="MR")
    yield "a plugin and no such outcome", StudyQuestion(plugin="lung_density", outcome="not-applicable")
    yield "what no plugin had a job on", StudyQuestion(outcome="none")
    yield "what failed", StudyQuestion(state="failed")
    yield "what is held, of a modality", StudyQuestion(state="held", modality="CT")


def show(found: Sequence[Searched]) -> str:
    """For people."""
    rows = [(each.what, str(each.found), f"{each.seconds * 1000:.1f}") for each in found]
    return table(["Looked for", "Found", f"ms (goal {GOAL * 1000:.0f})"], rows)


def goal(found: Sequence[Searched]) -> list[str]:
    """The row of the page of goals."""
    slowest = max(each.seconds for each in found)
    verdict = "met" if slowest <= GOAL else f"missed by {slowest - GOAL:.2f} s"
    return ["looking for studies", "slowest question, s", f"≤ {GOAL:g}", f"{slowest:.2f}", verdict]


def _ask(ledger: Ledger, what: str, question: StudyQuestion) -> Searched:
    taken = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        found, _more = search.search(ledger, question, 20)
        taken.append(time.perf_counter() - begin)
    return Searched(what, len(found), statistics.median(taken))


def _received(count: int, number: int) -> datetime:
    return _NOW - (count - number) * _STEP


def _fill(ledger: Ledger, count: int) -> None:
    """Rows as the stages would write them, without a journal: it takes a minute."""
    with ledger.transaction() as database:
        database.execute("INSERT INTO rule_sets VALUES ('r','[]','t')")
    database = ledger.database
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF"):
        database.conn.execute(f"PRAGMA {pragma}")
    for trigger in ("decisions_marked", "decisions_marked_later", "jobs_marked", "jobs_marked_again"):
        database.conn.execute(f"DROP TRIGGER {trigger}")
    database.conn.execute("BEGIN IMMEDIATE")
    for start in range(0, count, 10_000):
        numbers = range(start, min(count, start + 10_000))
        _studies(database, count, numbers)
        _jobs(database, count, numbers)
    database.conn.execute("COMMIT")
    ledger.close()


def _names(number: int) -> tuple[str, str, str, str]:
    """Study, patient's name, description, modality."""
    family = ("Kim", "Lee", "Park", "Choi", "Jung")[number % 5] if number % 3 else f"Name{number % 997}"
    given = ("Minsu", "Anna", "Jiho")[number % 7 % 3] if number % 2 else f"Given{number % 1009}"
    modality = "CT" if number % 2 else "MR"
    return f"1.2.410.200001.9.{number}", f"{family}^{given}", f"{modality} Chest routine", modality


def _studies(database: Database, count: int, numbers: range) -> None:
    rows, words = [], []
    for number in numbers:
        uid, name, description, modality = _names(number)
        received = _received(count, number)
        at = to_text(received)
        hold = "two patients" if number % 100_000 == 1 else None
        row = (uid, f"P-{number}", "", f"A{number}", "complete", 1, 1, hold, at, at, "none", at, at)
        rows.append((*row, name, f"{received:%Y%m%d}", "1200", modality, description))
        marks = [Mark.UID.of(uid[::-1]), Mark.MODALITY.of(modality)]
        if modality == "CT":
            marks += [Mark.RULE.of("chest-ct"), Mark.PLUGIN.of("lung_density"), Mark.OUTCOME.of(_outcome(number))]
        words += [(word, at, uid) for word in (*marks, *folded(f"{name} P-{number} A{number} {description}"))]
    database.conn.executemany(
        "INSERT INTO studies (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status, revision,"
        " decided_revision, hold, first_received_at, last_received_at, last_association, due_at, completed_at,"
        " patient_name, study_date, study_time, modalities, description) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        rows,
    )
    database.conn.executemany("INSERT INTO study_words VALUES (?,?,?)", words)


def _outcome(number: int) -> str:
    return "failed" if number % 501 == 0 else "findings" if number % 51 == 0 else "no_findings"


def _jobs(database: Database, count: int, numbers: range) -> None:
    rows = []
    for number in numbers:
        uid, _, _, modality = _names(number)
        at = to_text(_received(count, number))
        if modality == "CT":
            rows.append((f"{number:08}", uid, str(number), _outcome(number), at, at, at, at))
    database.conn.executemany(
        "INSERT INTO jobs (id, decision, study_instance_uid, revision, rule, step, subject, inputs_digest, round,"
        " plugin, parameters, inputs, destinations, mode, priority, on_correction, status, outcome, not_before,"
        " images_complete_at, asked, created_at, finished_at) VALUES (?,1,?,1,'chest-ct','','',?,1,'lung_density','{}',"
        "'[]','[]','shadow',0,'hold','reported',?,?,?,'[]',?,?)",
        rows,
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(Path(scratch), int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES)))
