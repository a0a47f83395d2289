"""Looking for studies: by patient, order, day, modality, rule, plugin, outcome, or what is under way with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from node.desk import find, plain
from node.errors import UsageError
from node.ledger import jobs, study_search
from node.ledger.database import Database, Ledger
from node.ledger.job import Job, JobOutcome
from node.ledger.studies import Study
from node.ledger.study_search import StudySearch, StudyState
from node.ledger.study_words import Mark, folded

STATES = {state.value: state for state in StudyState}
OUTCOMES = {outcome.value.replace("_", "-"): outcome for outcome in JobOutcome}
NO_JOBS = "none"
"""In place of an outcome: no plugin had a job on the study."""
_Value = TypeVar("_Value")
_DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")


@dataclass(frozen=True, slots=True)
class StudyQuestion:
    """What somebody asks for, as typed; whatever is empty does not count."""

    patient: str = ""
    accession: str = ""
    date: str = ""
    modality: str = ""
    rule: str = ""
    plugin: str = ""
    outcome: str = ""
    state: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class StudyLine:
    """A study in a list, with what is under way and what came of its jobs."""

    study: Study
    states: Sequence[StudyState]
    jobs: Sequence[Job]
    """Those that no other supersedes."""


def search(
    ledger: Ledger, question: StudyQuestion, limit: int, after: tuple[datetime, str] | None = None
) -> tuple[list[StudyLine], bool]:
    """The studies, the one that last received something first, and whether there are more; UsageError.

    `after`: only those behind this one, by its `last_received_at` and UID.
    """
    wanted = _search(question)
    with ledger.snapshot() as database:
        found = study_search.find(database, wanted, limit + 1, after)
        return [_line(database, each) for each in found[:limit]], len(found) > limit


def place(ledger: Ledger, name: str) -> tuple[datetime, str]:
    """Where the study of this name is in the order of a search; NotFoundError, UsageError."""
    with ledger.snapshot() as database:
        found = find.study(database, name)
    return found.last_received_at, found.study_instance_uid


def described(ledger: Ledger, found: Sequence[Study]) -> list[StudyLine]:
    """These studies as a list shows them."""
    with ledger.snapshot() as database:
        return [_line(database, each) for each in found]


def for_scripts(found: Sequence[StudyLine], *, more: bool, identify: bool) -> dict[str, Any]:
    """Studies that a search found; `more`: there are others behind them."""
    return {"studies": [_plain(each, identify) for each in found], "more": more}


def _plain(line: StudyLine, identify: bool) -> dict[str, Any]:
    work = [
        {"id": job.id, "rule": job.rule, "plugin": job.plugin, "status": job.status, "outcome": job.outcome}
        for job in line.jobs
    ]
    return plain.study(line.study, identify=identify) | {"states": list(line.states), "jobs": work}


def _line(database: Database, study: Study) -> StudyLine:
    uid = study.study_instance_uid
    work = jobs.of_study(database, uid)
    superseded = {job.supersedes for job in work}
    return StudyLine(study, study_search.states(database, uid), [job for job in work if job.id not in superseded])


def _search(question: StudyQuestion) -> StudySearch:
    patient = folded(question.patient)
    if question.patient and not patient:
        raise UsageError(f'--patient: "{question.patient}" has no letter or digit')
    state = _one_of("--state", STATES, question.state)
    marks = [
        (Mark.MODALITY, question.modality.strip().upper()),
        (Mark.RULE, question.rule),
        (Mark.PLUGIN, question.plugin),
        (Mark.OUTCOME, _outcome(question.outcome)),
    ]
    return StudySearch(
        words=[mark.of(value) for mark, value in marks if value],
        patient=patient,
        accession=question.accession.strip(),
        dates=_dates(question.date),
        since=question.since,
        state=state,
        without_jobs=question.outcome == NO_JOBS,
    )


def _outcome(text: str) -> str:
    if text == NO_JOBS:
        return ""
    return _one_of("--outcome", OUTCOMES, text.replace("_", "-"), NO_JOBS) or ""


def _one_of(option: str, known: Mapping[str, _Value], text: str, *others: str) -> _Value | None:
    if text and text not in known:
        raise UsageError(f'{option}: "{text}" is not one of {", ".join((*known, *others))}')
    return known[text] if text else None


def _dates(text: str) -> tuple[str, str] | None:
    """`2026-11-03`, or the first and the last day: `2026-11-01..2026-11-30`; either may be missing."""
    if not text:
        return None
    first, is_range, last = text.partition("..")
    earliest = _day(text, first) if first or not is_range else "0"
    return earliest, (_day(text, last) if last else "9") if is_range else earliest


def _day(text: str, part: str) -> str:
    found = _DAY.fullmatch(part.strip())
    if found is None:
        raise UsageError(f'--date: "{text}" is neither a day (2026-11-03) nor a period (2026-11-01..2026-11-30)')
    return "".join(found.groups())
