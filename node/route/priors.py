"""Rules that want an earlier study: ask for it with the decision, make the jobs when it is here, or will not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from node.ledger import decisions, earlier_studies, events, fetches, gone_images, instances, jobs, looks, studies
from node.ledger.database import Database, Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.fetches import Fetch, FetchStatus
from node.ledger.instances import Instance
from node.route.asking import Evaluation, RulesInForce, kept_rule
from node.route.new_jobs import Plugins, RoleInstances, new_job
from rules import engine, operators, values
from rules.decision import Decision, Input
from rules.facts import SeriesFacts, StudyFacts
from rules.model import Rule

PATIENCE = timedelta(minutes=30)
"""So long a job waits for the earlier study."""


def ask(database: Database, at: datetime, seen: StudyFacts, verdict: Decision, decision: int) -> bool:
    """Put down that the rule's jobs wait for an earlier study; false where it wants none."""
    prior = verdict.fetch
    if prior is None:
        return False
    chosen = {each.series_instance_uid for run in verdict.runs for each in run.inputs}
    series = [each for each in seen.series if each.series_instance_uid in chosen]
    latest = values.day(_text(series, "StudyDate")) or seen.received_at.date()
    count, unit = values.duration(prior.within) or (0, "days")
    earliest = values.move(latest, -count, unit) or latest
    wanted = {
        "earliest": f"{earliest:%Y%m%d}",
        "latest": f"{latest:%Y%m%d}",
        "modalities": sorted({each.modality for each in series}) if "Modality" in prior.same else [],
        "body_parts": _texts(series, "BodyPartExamined") if "BodyPartExamined" in prior.same else [],
        "descriptions": [*prior.description],
    }
    if "StudyDescription" in prior.same and (described := _text(series, "StudyDescription")):
        wanted["descriptions"] = [described]
    fetches.overtaken(database, at, seen.study_instance_uid, verdict.rule.name)
    fetches.ask(
        database,
        at,
        decision=decision,
        study=seen.study_instance_uid,
        rule=verdict.rule.name,
        source=prior.source,
        wanted=wanted,
        deadline=at + PATIENCE,
    )
    return True


def _text(series: list[SeriesFacts], keyword: str) -> str:
    return next(iter(_texts(series, keyword)), "")


def _texts(series: list[SeriesFacts], keyword: str) -> list[str]:
    found = (each.instances[0].attributes.get(keyword) for each in series)
    return sorted({str(element.values[0]).strip(values.PADDING) for element in found if element and element.values})


def decide(ledger: Ledger, fetch: Fetch, plugins: Plugins, now: datetime, zone: ZoneInfo) -> int:
    """Make the jobs that waited for a fetch that has ended; how many."""
    rule = kept_rule(ledger.database, fetch.decision)
    study = studies.get(ledger.database, fetch.study_instance_uid)
    decision = decisions.get(ledger.database, fetch.decision)
    assert study is not None, fetch.study_instance_uid
    if rule is None or rule.prior is None or study.revision != decision.revision:
        with ledger.transaction() as database:
            fetches.followed_up(database, fetch.id)  # the newer revision has asked for its own
        return 0
    look = looks.get(ledger.database, study.study_instance_uid, decision.revision, decision.look)
    asked = Evaluation(study, RulesInForce((), "", ""), (rule,), look)
    with ledger.snapshot() as database:
        arrived = gone_images.arrivals(database, study.study_instance_uid)
        seen = asked.facts(database, arrived, now, zone)
        by_uid = gone_images.counting(database, study.study_instance_uid)
        found = _chosen(database, fetch, rule, now, zone)
    runs = engine.first_runs(rule, seen) if found or rule.prior.missing == "run" else ()
    with ledger.transaction() as database:
        if not asked.still_holds(database, arrived):
            return 0  # it grows: the next revision asks for its own
        made = 0
        for run in runs:
            job = new_job(database, now, asked.as_seen, rule, run, by_uid, plugins, zone, found)
            new = replace(job, revision=study.revision, look=asked.number)
            made += jobs.enqueue(database, now, fetch.decision, new, run.not_before) is not None
        if not made:
            outcome = DecisionOutcome.UNCHANGED if runs else DecisionOutcome.NOT_MATCHED
            decisions.set_outcome(database, fetch.decision, outcome)
        _record(database, now, fetch, found, made)
        fetches.followed_up(database, fetch.id)
    return made


def _record(database: Database, now: datetime, fetch: Fetch, found: list[RoleInstances], made: int) -> None:
    events.record(
        database,
        now,
        EventKind.DECISION_PRIOR,
        study=fetch.study_instance_uid,
        rule=fetch.rule,
        prior=fetch.prior_study,
        handed_over=bool(found),
        runs=made,
        severity=_severity(fetch, found),
        reason=_why(fetch, found),
    )


def _facts(database: Database, study: str, now: datetime, zone: ZoneInfo) -> StudyFacts:
    """Of the earlier study as far as it is here: of a series of which images were removed, nothing is compared with."""
    row = studies.get(database, study)
    assert row is not None, study
    here = instances.arrivals(database, study)
    seen = Evaluation(row, RulesInForce((), "", ""), ()).facts(database, here, now, zone)
    gone = gone_images.series(database, study)
    return replace(seen, series=tuple(each for each in seen.series if each.series_instance_uid not in gone))


def _chosen(database: Database, fetch: Fetch, rule: Rule, now: datetime, zone: ZoneInfo) -> list[RoleInstances]:
    """The series of the earlier studies that the rule would choose there, under its role: the newest study first."""
    assert rule.prior is not None, rule.name
    fetched = fetch.prior_study if fetch.status is FetchStatus.FETCHED else None
    found = _series_of(database, fetched, rule, now, zone) if fetched else []
    for study in _others(database, fetch, rule):
        if len(found) >= rule.prior.count:
            break
        if study != fetched:
            found += _series_of(database, study, rule, now, zone, fetch.wanted["body_parts"])
    return found


def _series_of(
    database: Database, study: str, rule: Rule, now: datetime, zone: ZoneInfo, body_parts: Sequence[str] = ()
) -> list[RoleInstances]:
    """The one series that the rule would choose there; none of another body part than one of these."""
    seen = _facts(database, study, now, zone)
    chosen = engine.prior_series(rule, seen)
    by_uid = {each.sop_instance_uid: each for each in instances.of_study(database, study)}
    parts = {each.series_instance_uid: _text([each], "BodyPartExamined") for each in seen.series}
    fit = (each for each in chosen if not body_parts or parts[each.series_instance_uid] in ("", *body_parts))
    return [_given(each, by_uid) for each in fit]


def _others(database: Database, fetch: Fetch, rule: Rule) -> list[str]:
    """Earlier studies that are here, where the rule wants several: those that are like it as `same` and so on say."""
    assert rule.prior is not None, rule.name
    study = studies.get(database, fetch.study_instance_uid)
    if rule.prior.count == 1 or study is None:
        return []
    wanted = fetch.wanted
    accepted = [operators.wildcard(each) for each in wanted["descriptions"]]
    found = []
    for uid in earlier_studies.here(database, study, wanted["earliest"]):
        other = studies.get(database, uid)
        if other is None or (wanted["modalities"] and not {*other.modalities.split("\\")} & {*wanted["modalities"]}):
            continue
        if not accepted or any(fits(other.description.strip()) for fits in accepted):
            found.append(uid)
    return found


def _given(chosen: Input, by_uid: dict[str, Instance]) -> RoleInstances:
    return chosen.role, chosen.series_instance_uid, [by_uid[uid] for uid in chosen.sop_instance_uids]


def _severity(fetch: Fetch, found: list[RoleInstances]) -> Severity:
    return Severity.WARNING if fetch.status is FetchStatus.FETCHED and not found else Severity.INFO


def _why(fetch: Fetch, found: list[RoleInstances]) -> str | None:
    if fetch.status is FetchStatus.FETCHED:
        return None if found else "the earlier study has no series that the rule would choose"
    return fetch.error
