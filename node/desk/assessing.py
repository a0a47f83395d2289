"""Verdicts of radiologists on results: agree, disagree, amend; of a result as a whole, or of one finding of it.

A verdict changes nothing of a result and sends nothing. It is kept with who gave it, and shown beside the result.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from node.config.models import Configuration
from node.desk import for_readers
from node.desk.actor import Actor
from node.desk.for_readers import ReaderResult, ResultState
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.errors import NotFoundError, UsageError
from node.ledger import assessments, jobs
from node.ledger.assessments import Assessment, NewAssessment
from node.ledger.assessments import Verdict as Verdict
from node.ledger.database import Ledger

OTHER = "other"
"""A reason that needs words."""
REASONS = (
    "false positive",
    "missed finding",
    "wrong place",
    "wrong measurement",
    "poor image quality",
    OTHER,
)
"""What is usually said against a result."""
_LONGEST = 500
"""Characters of somebody's own words."""
_IN_WORDS = {Verdict.ACCEPT: "you agree", Verdict.REJECT: "you disagree", Verdict.AMEND: "you amend it"}
_ON_RESULTS = (ResultState.READABLE, ResultState.PICTURES)


@dataclass(frozen=True, slots=True)
class VerdictForm:
    """What somebody says, as a face sends it."""

    job: str
    finding: str
    """Tracking Unique Identifier; empty: the result as a whole."""
    verdict: str
    reason: str = ""
    """One of `REASONS`."""
    words: str = ""
    """More, in one's own words."""


def assess(ledger: Ledger, configuration: Configuration, said: VerdictForm, at: datetime, by: Actor) -> ActionOutcome:
    """Record a verdict.

    Raises UsageError where it is none or has no reason, NotFoundError where readers have no such result or finding.
    """
    require(by, Right.ASSESS)
    verdict = _verdict(said.verdict)
    reason = _reason(verdict, said.reason, said.words)
    result = _result(ledger, configuration, said.job)
    about = f"{result.algorithm}{_finding(result, said.finding)}"
    new = NewAssessment(said.finding or None, verdict, reason, str(by), str(by.role or ""))
    with ledger.transaction() as database:
        last = assessments.newest(database, said.job, new.finding, new.by)
        is_known = last is not None and (last.verdict, last.reason) == (verdict, reason)
        made = last if last is not None and is_known else assessments.record(database, at, result.job, new)
    sentence = f"{_IN_WORDS[verdict]}: {about}{f' ({reason})' if reason else ''}"
    return ActionOutcome(sentence + ("; that was known" if is_known else ""), plain(made))


def plain(row: Assessment) -> dict[str, Any]:
    """A verdict for scripts."""
    return asdict(row)


def _verdict(text: str) -> Verdict:
    try:
        return Verdict(text)
    except ValueError:
        raise UsageError(f'"{text}" is not a verdict: {", ".join(Verdict)}') from None


def _reason(verdict: Verdict, reason: str, words: str) -> str:
    """As it is kept: `wrong place: it is in the upper lobe`."""
    reason, words = reason.strip(), " ".join(words.split())
    if reason and reason not in REASONS:
        raise UsageError(f'"{reason}" is not a reason: {", ".join(REASONS)}')
    if len(words) > _LONGEST:
        raise UsageError(f"that is {len(words)} characters: at most {_LONGEST} are kept")
    if verdict is Verdict.AMEND and not words:
        raise UsageError("say what has to be amended")
    if verdict is Verdict.REJECT and not words and reason in ("", OTHER):
        raise UsageError("say why you disagree")
    return ": ".join(part for part in (reason, words) if part)


def _result(ledger: Ledger, configuration: Configuration, job: str) -> ReaderResult:
    """What readers have of this job; NotFoundError, the same where the job is for evaluation alone."""
    unknown = NotFoundError("readers have no such result")
    with ledger.reading() as database:
        try:
            study = jobs.get(database, job).study_instance_uid
        except NotFoundError:
            raise unknown from None
    found = next((each for each in for_readers.look(ledger, configuration, study).results if each.job.id == job), None)
    if found is None or found.state not in _ON_RESULTS:
        raise unknown
    return found


def _finding(result: ReaderResult, finding: str) -> str:
    """What the report calls the finding; NotFoundError where it has none of this UID."""
    if not finding:
        return ""
    report = for_readers.report(result)
    groups = [each for each in report.findings if each.tracking_uid == finding] if report else []
    if not groups:
        raise NotFoundError("the report has no such finding")
    return f", {groups[0].tracking_identifier or 'finding'}"
