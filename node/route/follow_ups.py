"""Steps that come after others: once a step has its result, the rule that decided says what is run next.

Decided by the version of the rules that decided on the study, whatever is in force by then. Later
steps of a job that has been superseded are left to the newer job's result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from node.ledger import events, gone_images, job_results, job_studies, jobs, looks, rule_history, studies
from node.ledger.database import Database, Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.instances import Instance, InstanceStatus
from node.ledger.job import Job, JobOutcome, JobStatus, UsedResult
from node.route import answers
from node.route.asking import Evaluation, RulesInForce, kept_rule
from node.route.new_jobs import WHOLE_STUDY, Plugins, RoleInstances, new_job
from rules import engine
from rules.decision import FollowUp
from rules.facts import CodeItem
from rules.model import Rule
from rules.results import FindingFacts, MeasurementFacts, ResultFacts


def decide(
    ledger: Ledger, job_id: str, plugins: Plugins, in_force: Sequence[Rule], now: datetime, zone: ZoneInfo
) -> int:
    """Decide on the steps that come after a job that has ended; returns how many jobs that made.

    Where a vendor's box has answered in it, those of the rules `in_force` are asked that see answers.
    """
    job = jobs.get(ledger.database, job_id)
    study = studies.get(ledger.database, job.study_instance_uid)
    rule = _rule(ledger.database, job)
    assert study is not None, job.study_instance_uid
    found: tuple[FollowUp, ...] = ()
    look = looks.get(ledger.database, study.study_instance_uid, job.revision, job.look)
    asked = Evaluation(study, RulesInForce((), "", ""), (rule,) if rule else (), look)
    with ledger.snapshot() as database:
        arrived = gone_images.arrivals(database, study.study_instance_uid)
        by_uid = gone_images.counting(database, study.study_instance_uid)
        newest = rule is not None and rule_history.is_newest(database, job_id)
        known = {**job_results.newest(database, job), job.step: job}
        seen = asked.facts(database, arrived, now, zone) if newest else None
    if rule and seen:
        subject = "" if job.subject == WHOLE_STUDY else job.subject
        results = {step: _result(each) for step, each in known.items()}
        found = engine.follow_up(rule, seen, results, subject, job.step)
    with ledger.transaction() as database:
        if look is None and studies.get(database, study.study_instance_uid) != study:
            return 0  # it grows, or was corrected: the next run sees it as it is then
        if not arrived.receipts <= gone_images.arrivals(database, study.study_instance_uid).receipts:
            return 0
        if found and _ids({**job_results.newest(database, job), job.step: job}) != _ids(known):
            return 0  # a step was cancelled or begins again meanwhile: the next run sees it
        made = sum(
            _enqueue(database, now, asked, job, rule, each, known, by_uid, plugins, zone) for each in found if rule
        )
        rule_history.followed_up(database, job_id)
        if rule_history.is_newest(database, job_id):
            answers.plan(database, now, job, in_force)
    return made


def _ids(known: Mapping[str, Job]) -> dict[str, str]:
    return {step: each.id for step, each in known.items()}


def _enqueue(
    database: Database,
    now: datetime,
    asked: Evaluation,
    job: Job,
    rule: Rule,
    follow_up: FollowUp,
    known: Mapping[str, Job],
    by_uid: Mapping[str, Instance],
    plugins: Plugins,
    zone: ZoneInfo,
) -> bool:
    made, study = None, asked.as_seen
    if follow_up.run:
        uses = [
            UsedResult(name, known[step].id, job_results.digest(known[step]))
            for name, step in follow_up.run.results.items()
        ]
        prior = _prior(database, rule, job)
        new = new_job(database, now, study, rule, follow_up.run, by_uid, plugins, zone, prior, uses)
        new = replace(new, revision=asked.study.revision if asked.look is None else job.revision, look=asked.number)
        made = jobs.enqueue(database, now, job.decision, new, follow_up.run.not_before)
        if made is not None and uses:
            _overtake(database, now, made)
    events.record(
        database,
        now,
        EventKind.DECISION_FOLLOW_UP,
        study=study.study_instance_uid,
        job=job.id,
        rule=rule.name,
        step=follow_up.step,
        after=follow_up.after,
        runs=follow_up.run is not None,
        why=follow_up.why,
        clauses=[f"{'+' if each.passed else '-'} {each.text}: {each.why}" for each in follow_up.clauses],
    )
    return made is not None


def _overtake(database: Database, at: datetime, job: Job) -> None:
    """What waits to work on a result that is not the newest any more is not begun."""
    earlier = jobs.get(database, job.supersedes) if job.supersedes else None
    if earlier is not None and earlier.status is JobStatus.QUEUED:
        jobs.cancel(database, at, earlier.id, f"an earlier step has another result: job {job.id}")


def _prior(database: Database, rule: Rule, job: Job) -> list[RoleInstances]:
    """What the step before was given of an earlier study, as far as that still counts, removed or not."""
    given = []
    studies_of = job_studies.earlier(database, job.id)
    for each in job.inputs:
        if rule.prior and each.role == rule.prior.role:
            rows = gone_images.by_receipt(database, studies_of, each.series_instance_uid, each.receipts)
            left = [row for row in rows if row.status is InstanceStatus.CURRENT]
            given += [(each.role, each.series_instance_uid, left)] if left else []
    return given


def _rule(database: Database, job: Job) -> Rule | None:
    """The rule of the job, in the version that decided on it; None where no step comes after it."""
    return kept_rule(database, job.decision)


def _result(job: Job) -> ResultFacts:
    assert job.outcome is not None, job.id
    return result_facts(job.outcome, job.found or {})


def result_facts(outcome: JobOutcome, found: Mapping[str, Any]) -> ResultFacts:
    """What rules see of a result; `found` as the ledger keeps it (`node.run.found`)."""
    return ResultFacts(outcome.value, tuple(map(_finding, found.get("findings", ()))))


def _finding(kept: Mapping[str, Any]) -> FindingFacts:
    measured = (MeasurementFacts(CodeItem(*each["concept"]), each["value"]) for each in kept["measurements"])
    return FindingFacts(CodeItem(*kept["code"]), kept["present"], kept["urgent"], tuple(measured), kept.get("score"))
