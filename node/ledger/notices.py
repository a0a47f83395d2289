"""Who is notified of a result, and of what becomes of it later; what a job's terms say is what its rule said then.

A rule of mode shadow notifies nobody. Whoever was notified of a result is notified when it does not stand any more:
a newer one takes its place, its images were rejected or corrected, or it could not be reported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from node.clock import to_text
from node.ledger import escalations, jobs, notifications
from node.ledger.connection import Database
from node.ledger.decisions import StoredDecision
from node.ledger.escalations import Escalation
from node.ledger.job import OPEN, Job, JobOutcome
from node.ledger.notifications import BAD_NEWS, Notification, Occasion
from node.ledger.rows import placeholders, query
from node.ledger.terms import NoticeTerms
from rules.facts import CodeItem
from rules.model import Rule
from rules.results import FindingCondition, FindingFacts, MeasurementFacts, ResultFacts

SHADOW = "shadow"
_OCCASIONS = {
    JobOutcome.FINDINGS: Occasion.FINDINGS,
    JobOutcome.FAILED: Occasion.FAILURE,
    JobOutcome.NOT_APPLICABLE: Occasion.NOT_ANALYSED,
}
"""What a result is an occasion for; one without findings is none."""
WORDS = {
    Occasion.MATCH: "match",
    Occasion.FINDINGS: "findings",
    Occasion.FAILURE: "failure",
    Occasion.NOT_ANALYSED: "not_analysed",
    Occasion.LATE: "late",
}
"""As a rule writes them."""


def terms_of(rule: Rule) -> tuple[NoticeTerms, ...]:
    """What a rule says about the results of its jobs, as it is kept with each."""
    return tuple(
        NoticeTerms(
            on=each.on,
            whom=each.whom,
            text=each.text,
            finding=each.finding.model_dump(mode="json", exclude_defaults=True) if each.finding else None,
            within=each.acknowledge.total_seconds() if each.acknowledge else None,
            then=each.then,
        )
        for each in rule.notify
    )


def of_match(
    database: Database,
    at: datetime,
    rule: Rule,
    decision: StoredDecision,
    occasion: Occasion,
    opens: datetime | None = None,
) -> int:
    """A study was decided on: notify whom the rule tells on this occasion; how many were not notified of it before."""
    if rule.mode == SHADOW:
        return 0
    return _enqueue(database, at, decision, occasion, _on(terms_of(rule), occasion), opens)


def of_result(database: Database, at: datetime, job: Job) -> int:
    """The outcome of a job is known: notify whom its rule tells; how many were not notified of it before."""
    occasion = _OCCASIONS.get(job.outcome) if job.outcome else None
    return _of_job(database, at, job, occasion) if occasion else 0


def of_failure(database: Database, at: datetime, job: Job) -> int:
    """What was found cannot be reported: who was notified of it is, and whom the rule tells of failures."""
    told = withdraw(database, at, [job], "the result could not be reported")
    return told + _of_job(database, at, job, Occasion.FAILURE)


def of_lateness(database: Database, at: datetime, job: Job) -> int:
    """A result is late: notify whom the rule tells on `late`."""
    return _of_job(database, at, job, Occasion.LATE)


def overdue(database: Database, at: datetime) -> list[Job]:
    """Jobs without a result though their rule lets results expire by now, of which nobody was notified."""
    rows = query(
        database,
        "SELECT id FROM jobs WHERE status IN ('queued', 'running') AND json_extract(terms, '$.expires_at')<=?"
        " AND json_extract(terms, '$.notices') IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM notifications WHERE job=jobs.id AND occasion='late')",
        [to_text(at)],
    )
    found = [jobs.get(database, row["id"]) for row in rows]
    return [job for job in found if job.status in OPEN and job.mode != SHADOW and _on(job.terms.notices, Occasion.LATE)]


def supersede(database: Database, at: datetime, earlier: Collection[Job], newer: Job) -> int:
    """A newer result takes the place of these: who was notified of one is, unless the newer one's own message goes to
    the same person, which says so (`replaced`)."""
    reached = {each.person for each in _of_jobs(database, [newer.id]) if each.occasion not in BAD_NEWS}
    told = 0
    for job in earlier:
        whom = [name for name in _whom_it_may_have_reached(database, job.id) if name not in reached]
        escalate_no_more(database, [job.id])
        told += notifications.enqueue(database, at, job, Occasion.SUPERSEDED, whom, by_job=newer.id)
        reached.update(whom)
    return told


def withdraw(database: Database, at: datetime, those: Collection[Job], reason: str) -> int:
    """These results do not stand: who was notified of one is, in the transition's own transaction."""
    told = 0
    for job in those:
        escalate_no_more(database, [job.id])
        whom = _whom_it_may_have_reached(database, job.id)
        told += notifications.enqueue(database, at, job, Occasion.WITHDRAWN, whom, reason=reason)
    return told


def replaced(database: Database, about: Notification) -> Notification | None:
    """What the person was notified of before by a result that this one's takes the place of."""
    job = jobs.get(database, about.job) if about.job and about.occasion not in BAD_NEWS else None
    while job is not None and job.supersedes is not None:
        job = jobs.get(database, job.supersedes)
        before = [each for each in _of_jobs(database, [job.id]) if each.person == about.person]
        if found := [each for each in before if each.may_have_arrived and each.occasion not in BAD_NEWS]:
            return found[-1]
    return None


def taken_back(database: Database, about: Notification) -> Notification | None:
    """What the person was notified of before, and is not so any more; None where this takes nothing back."""
    if about.occasion not in BAD_NEWS or about.job is None:
        return None
    return next((each for each in _reached(database, about.job) if each.person == about.person), None)


def escalate_no_more(database: Database, those: Collection[str]) -> None:
    """Nobody else is notified of these jobs because of silence."""
    for each in _of_jobs(database, those):
        if each.escalate_at is not None and each.occasion not in BAD_NEWS:
            escalations.stop(database, each.id)


def text_of(job: Job, occasion: Occasion, person: str) -> str:
    """What the rule has to say to this person on this occasion."""
    meant = [each for each in _meant(job, occasion) if person in (*each.whom, *each.then)]
    return meant[0].text if meant else ""


def _of_job(database: Database, at: datetime, job: Job, occasion: Occasion) -> int:
    if job.mode == SHADOW:
        return 0
    return _enqueue(database, at, job, occasion, _meant(job, occasion))


def _meant(job: Job, occasion: Occasion) -> list[NoticeTerms]:
    facts = _facts(job) if occasion is Occasion.FINDINGS else None
    return [each for each in _on(job.terms.notices, occasion) if facts is None or _asks_for(each, facts)]


def _on(notices: Collection[NoticeTerms], occasion: Occasion) -> list[NoticeTerms]:
    return [each for each in notices if WORDS.get(occasion) in each.on]


def _enqueue(
    database: Database,
    at: datetime,
    about: StoredDecision | Job,
    occasion: Occasion,
    notices: Collection[NoticeTerms],
    opens: datetime | None = None,
) -> int:
    told = 0
    for each in notices:
        within = timedelta(seconds=each.within) if each.within else None
        escalation = Escalation(within, each.then) if within and each.then else None
        told += notifications.enqueue(database, at, about, occasion, each.whom, opens, escalation=escalation)
    return told


def _asks_for(notice: NoticeTerms, result: ResultFacts) -> bool:
    return notice.finding is None or FindingCondition.model_validate(notice.finding).holds(result)


def _facts(job: Job) -> ResultFacts:
    """What rules see of the result that is kept with the job."""
    assert job.outcome is not None, job.id
    return ResultFacts(
        job.outcome.value,
        tuple(
            FindingFacts(
                CodeItem(*each["code"]),
                each["present"],
                each["urgent"],
                tuple(MeasurementFacts(CodeItem(*one["concept"]), one["value"]) for one in each["measurements"]),
                each.get("score"),
            )
            for each in (job.found or {}).get("findings", ())
        ),
    )


def _whom_it_may_have_reached(database: Database, job: str) -> list[str]:
    return list(dict.fromkeys(each.person for each in _reached(database, job)))


def _reached(database: Database, job: str) -> Iterator[Notification]:
    for each in _of_jobs(database, [job]):
        if each.may_have_arrived and each.occasion not in BAD_NEWS:
            yield each


def _of_jobs(database: Database, those: Collection[str]) -> list[Notification]:
    sql = f"SELECT id FROM notifications WHERE job IN ({placeholders(those)}) ORDER BY id"  # noqa: S608 - placeholders
    return [notifications.get(database, row["id"]) for row in query(database, sql, list(those))]
