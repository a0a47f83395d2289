"""Looking for studies by whatever they are known by, the one that last received something first.

A search begins with the narrowest of what is asked (`_starts`) and checks the rest study by study, so that it costs
what it shows, or what the narrowest has. Nothing is counted beyond `_ENOUGH`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.clock import to_text
from node.ledger import studies
from node.ledger.connection import Database
from node.ledger.rows import query
from node.ledger.studies import Study
from node.ledger.study_words import folded
from node.ledger.unreadable import readable

_ENOUGH = 20_000
"""Studies from which on it makes no difference how many more there are."""


class StudyState(StrEnum):
    """What is under way with a study, or stops it. A study may be in several, and in none once all is done."""

    RECEIVING = "receiving"
    """Instances arrive, or its quiet period has not passed."""
    WAITING = "waiting"
    """A rule waits for more of it, or for an earlier study."""
    IN_ANALYSIS = "in-analysis"
    """A job on it is queued, runs, or is being encoded."""
    UNSENT = "unsent"
    """A result waits for its destination."""
    HELD = "held"
    """It, or a result of it, is held until a person decides."""
    FAILED = "failed"
    """A job that no other supersedes has failed, or a result is a dead letter."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows that say that their study is in a state: which, and by which index one finds all of them, or a study's."""

    table: str
    condition: str
    of_all: str
    of_one: str

    @property
    def all(self) -> str:
        """The studies in this state."""
        return f"SELECT study_instance_uid FROM {self.table} INDEXED BY {self.of_all} WHERE {self.condition}"  # noqa: S608 - our own text

    def of(self, study: str) -> str:
        """The condition that a study is."""
        by = f"{self.table} INDEXED BY {self.of_one}"
        return f"EXISTS (SELECT 1 FROM {by} WHERE {self.table}.study_instance_uid={study} AND {self.condition})"  # noqa: S608 - our own text


def _deliveries(condition: str) -> _Rows:
    return _Rows("deliveries", f"{condition} AND kind<>'image'", "results_by_status", "deliveries_by_study")


_KEY = "sqlite_autoindex_studies_1"
_LAST_JOB = "NOT EXISTS (SELECT 1 FROM jobs AS later WHERE later.supersedes=jobs.id)"
_OF = {
    StudyState.RECEIVING: (_Rows("studies", "status='receiving'", "studies_by_status", _KEY),),
    StudyState.WAITING: (
        _Rows("timers", "kind='wait'", "timers_by_time", "sqlite_autoindex_timers_1"),
        _Rows("fetches", "status IN ('seeking', 'arriving')", "fetches_by_status", "fetches_by_study"),
    ),
    StudyState.IN_ANALYSIS: (
        _Rows("jobs", "status IN ('queued', 'running', 'ended')", "jobs_by_status", "jobs_by_study"),
    ),
    StudyState.UNSENT: (_deliveries("status IN ('waiting', 'sending')"),),
    StudyState.HELD: (_Rows("studies", "hold IS NOT NULL", "studies_held", _KEY), _deliveries("status='held'")),
    StudyState.FAILED: (
        _Rows(
            "jobs",
            f"(status='unreportable' OR outcome='failed') AND {_LAST_JOB}",
            "jobs_in_trouble",
            "jobs_by_study",
        ),
        _deliveries("status='dead'"),
    ),
}
"""What puts a study into each state; SQLite, which has no statistics, would often begin at the wrong end."""


@dataclass(frozen=True, slots=True)
class StudySearch:
    """What a study must have, all of it; whatever is empty does not count."""

    words: Sequence[str] = ()
    """Folded words of its texts, and marks (`node.ledger.study_words`)."""
    patient: Sequence[str] = ()
    """Folded words of its patient's name and Patient ID."""
    accession: str = ""
    dates: tuple[str, str] | None = None
    """The first and the last Study Date, as DICOM writes them."""
    since: datetime | None = None
    """It received something then or later."""
    state: StudyState | None = None
    without_jobs: bool = False
    """No plugin had a job on it."""


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a search can begin: studies as `found`, in some order."""

    source: str
    values: Sequence[str]
    ordered: bool = False
    """Whether they come by what last received something."""
    word: str = ""
    """The one that they have."""


def find(database: Database, wanted: StudySearch, limit: int, after: tuple[datetime, str] | None = None) -> list[Study]:
    """The studies, the one that last received something first.

    `after`: only those behind this one, by its `last_received_at` and UID: the last one of the page before. A study
    that has received something meanwhile is before it, in the first page.
    """
    start = _narrowest(database, wanted)
    conditions = [*_conditions(wanted, start), *_behind(start, after)]
    of = "found" if start.ordered else "study"
    text = "".join(f" AND {condition}" for condition, _ in conditions)
    sql = (
        f"SELECT study.* FROM {start.source} CROSS JOIN studies AS study"  # noqa: S608 - our own text
        f" WHERE study.study_instance_uid=found.study_instance_uid{text}"
        f" ORDER BY {of}.last_received_at DESC, {of}.study_instance_uid DESC LIMIT ?"
    )
    database.conn.create_function("of_patient", 2, _check_of(wanted.patient))
    values = [*start.values, *(value for _, values in conditions for value in values), limit]
    return readable(database, "studies", query(database, sql, values), studies.of_row)


def states(database: Database, study: str) -> list[StudyState]:
    """The states that a study is in."""
    return [state for state in StudyState if database.execute(f"SELECT {_is_in(state, '?1')}", [study]).fetchone()[0]]


def _check_of(patient: Sequence[str]) -> Callable[[str, str], bool]:
    wanted = set(patient)

    def check(name: str, number: str) -> bool:
        return wanted <= set(folded(f"{name} {number}"))

    return check


def _narrowest(database: Database, wanted: StudySearch) -> _Start:
    starts = [*_starts(wanted)]
    if not starts:
        return _Start("studies AS found INDEXED BY studies_by_arrival", (), ordered=True)
    return min(starts, key=lambda each: _how_many(database, each)) if len(starts) > 1 else starts[0]


def _starts(wanted: StudySearch) -> Iterator[_Start]:
    if wanted.accession:
        yield _Start(_of_studies("accession_number=?"), (wanted.accession,))
    for word in (*wanted.words, *wanted.patient):
        # the key's own order: a page costs what it shows
        yield _Start("(SELECT * FROM study_words WHERE word=?) AS found", (word,), ordered=True, word=word)
    if wanted.dates:
        yield _Start(_of_studies("study_date BETWEEN ? AND ?"), wanted.dates)
    if wanted.state:
        those = " UNION ALL ".join(each.all for each in _OF[wanted.state])
        yield _Start(f"(SELECT DISTINCT study_instance_uid FROM ({those})) AS found", ())  # noqa: S608 - our own text


def _of_studies(condition: str) -> str:
    return f"(SELECT study_instance_uid FROM studies WHERE {condition}) AS found"  # noqa: S608 - our own text


def _how_many(database: Database, start: _Start) -> int:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {start.source} LIMIT {_ENOUGH})"  # noqa: S608 - our own text
    ((number,),) = database.execute(sql, [*start.values]).fetchall()
    return int(number)


def _conditions(wanted: StudySearch, start: _Start) -> Iterator[tuple[str, Sequence[str]]]:
    """What is left to be checked of each study, as far as can be before its row is read."""
    known = "found" if start.ordered else "study"
    for word in {*wanted.words, *wanted.patient} - {start.word}:
        yield (
            f"EXISTS (SELECT 1 FROM study_words AS other WHERE other.word=? AND other.last_received_at="  # noqa: S608 - our own text
            f"{known}.last_received_at AND other.study_instance_uid={known}.study_instance_uid)",
            (word,),
        )
    if wanted.since:
        yield f"{known}.last_received_at>=?", (to_text(wanted.since),)
    if wanted.accession:
        yield "study.accession_number=?", (wanted.accession,)
    if wanted.dates:
        yield "study.study_date BETWEEN ? AND ?", wanted.dates
    if wanted.state:
        yield _is_in(wanted.state, "study.study_instance_uid"), ()
    if wanted.without_jobs:
        yield "NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.study_instance_uid=study.study_instance_uid)", ()
    if wanted.patient:
        yield "of_patient(study.patient_name, study.patient_id)", ()


def _behind(start: _Start, after: tuple[datetime, str] | None) -> Iterator[tuple[str, Sequence[str]]]:
    if after:
        known = "found" if start.ordered else "study"
        # of the key's order, so that a page begins where the one before ended
        yield f"({known}.last_received_at, {known}.study_instance_uid)<(?, ?)", (to_text(after[0]), after[1])


def _is_in(state: StudyState, study: str) -> str:
    """The condition that a study is in this state."""
    return f"({' OR '.join(each.of(study) for each in _OF[state])})"
