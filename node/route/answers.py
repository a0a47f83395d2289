"""What vendors' boxes answered, for rules that say `origin: answer`: a look at the study, at the revision that it has.

An answer makes no revision, and no other rule is asked. What such a rule does never asks one again: its jobs are
decided at a look that is about an answer, and the answer of one of them is not looked at. So there is no loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from node.ledger import attempts, boxes, jobs, looks, returned_objects, studies
from node.ledger.database import Database
from node.ledger.job import Job, JobOutcome
from node.ledger.looks import Look
from rules import engine
from rules.facts import AnswerFacts, StudyFacts
from rules.model import Rule

_ANSWERED = (JobOutcome.FINDINGS, JobOutcome.NO_FINDINGS)


def plan(database: Database, at: datetime, job: Job, rules: Sequence[Rule]) -> bool:
    """Have the rules asked that see what a box answered in this job; whether there are any."""
    names = [rule.name for rule in rules if engine.sees_answers(rule)]
    if not names or not _is_answer(database, job):
        return False
    study = studies.get(database, job.study_instance_uid)
    assert study is not None, job.study_instance_uid
    looks.keep(database, looks.planned(database, at, job.study_instance_uid, study.revision, names, answer=job.id))
    return True


def moved(database: Database, at: datetime, look: Look, revision: int) -> None:
    """The study has grown since: what the box answered is looked at as the study is now."""
    looks.decided(database, at, look)
    looks.keep(database, looks.planned(database, at, look.study_instance_uid, revision, look.rules, answer=look.answer))


def seen(database: Database, look: Look | None, facts: StudyFacts) -> StudyFacts:
    """The facts, with what the box answered where the look is about that."""
    if look is None or look.answer is None:
        return facts
    job = jobs.get(database, look.answer)
    findings = (job.found or {}).get("findings", ())
    present, unknown = (
        tuple(sorted({_code(each["code"]) for each in findings if each["present"] is state})) for state in (True, None)
    )
    modalities = tuple(sorted({each.modality for each in returned_objects.of_job(database, job.id)}))
    return replace(facts, origin="answer", answer=AnswerFacts(job.plugin, modalities, present, unknown))


def _is_answer(database: Database, job: Job) -> bool:
    """Whether a box answered in this job, and no rule that sees answers has asked for it."""
    if job.outcome not in _ANSWERED:
        return False
    last = attempts.last_of(database, job.id)
    if last is None or boxes.box_at(last.place) is None:
        return False
    asked = looks.get(database, job.study_instance_uid, job.revision, job.look)
    return asked is None or asked.answer is None


def _code(code: Sequence[str]) -> str:
    """As rules write codes: scheme, colon, value; `code` as the ledger keeps it."""
    return f"{code[1]}:{code[0]}"
