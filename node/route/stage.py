"""The route stage: every complete revision is held against the rules, and what matches becomes jobs and deliveries.

Facts are read and rules are asked outside any transaction; then one transaction writes all that comes
of it: a decision for each rule with its trace, the jobs, and that the revision is decided. If an
instance came to count, or ceased to, in between, nothing is written and the study is looked at again.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from node.clock import Clock
from node.errors import TransientError
from node.ledger import decisions, events, facts, instances, jobs, notifications, rule_history, studies
from node.ledger.database import Database, Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.events import Severity
from node.ledger.instances import Arrivals
from node.ledger.notifications import Occasion
from node.ledger.rows import to_json
from node.ledger.studies import Study, StudyStatus
from node.route import follow_ups, forwarding
from node.route.facts import study_facts
from node.route.forwarding import Destinations
from node.route.history import history
from node.route.new_jobs import Plugins, new_job
from node.signal import Room, Signal
from rules import engine
from rules.engine import Decision
from rules.facts import UNFIT_MARKS
from rules.model import Rule, rule_set_digest

IDLE_SECONDS = 60.0
AGAIN_SECONDS = 5.0
_MOST_NAMED = 30
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RuleSet:
    """The rules in force, with the digest under which decisions name them."""

    rules: tuple[Rule, ...]
    digest: str
    content: str

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> RuleSet:
        """The rule set of these rules."""
        content = to_json([rule.model_dump(mode="json") for rule in rules])
        return cls(tuple(rules), rule_set_digest(rules), content)


class Route:
    """Decides on what is complete; `rules` and `plugins` may be swapped between two runs (a reload)."""

    def __init__(
        self, ledger: Ledger, clock: Clock, signal: Signal, rules: Sequence[Rule], plugins: Plugins, zone: ZoneInfo,
        destinations: Destinations = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._clock = clock
        self._signal = signal
        self._zone = zone
        self._destinations = destinations
        self.use(rules, plugins)

    def use(self, rules: Sequence[Rule], plugins: Plugins) -> None:
        """Decide by these from the next study on."""
        self._in_force = (RuleSet.of(rules), plugins)

    def run_once(self) -> float:
        """Decide on every complete revision; returns the seconds until it wants to be called again."""
        delay = IDLE_SECONDS
        for study in studies.undecided(self._ledger.database):
            try:
                self._decide(study)
            except TransientError as error:
                _log.warning("route.postponed", study=study.study_instance_uid, error=str(error))
                delay = AGAIN_SECONDS
            except Exception as error:  # noqa: BLE001 - one study must not keep the others from their decisions
                self._give_up(study, error)
        return min(delay, self._follow_up())

    def _follow_up(self) -> float:
        """Decide on the steps that come after jobs which have ended since."""
        queued = 0
        for job in rule_history.not_followed_up(self._ledger.database):
            try:
                queued += follow_ups.decide(self._ledger, job, self._in_force[1], self._clock.now(), self._zone)
            except TransientError as error:
                _log.warning("route.postponed", job=job, error=str(error))
                return AGAIN_SECONDS
            except Exception as error:  # noqa: BLE001 - one job must not keep the others' later steps from being decided
                self._give_up_following(job, error)
        if queued:
            self._signal.wake(Room.RUN)
        return IDLE_SECONDS

    def _give_up_following(self, job_id: str, error: Exception) -> None:
        place, frames = _defect(error)
        _log.error("route.failed", job=job_id, place=place, frames=frames)
        with self._ledger.transaction() as database:
            job = jobs.get(database, job_id)
            events.record(
                database, self._clock.now(), "job.follow-up-failed", study=job.study_instance_uid, job=job_id,
                severity=Severity.ALERT, error=place,
            )  # fmt: skip
            rule_history.followed_up(database, job_id)

    def _decide(self, study: Study) -> None:
        rule_set, plugins = self._in_force
        uid = study.study_instance_uid
        current = instances.arrivals(self._ledger.database, uid)
        records = facts.columns_of_study(self._ledger.database, uid, study.revision)
        done = history(self._ledger.database, rule_set.rules, uid, self._clock.now(), self._zone)
        seen = study_facts(study, records, current, self._clock.now(), self._zone, done)
        verdicts = engine.decide(rule_set.rules, seen)
        unfit = {
            each.sop_instance_uid: sorted(each.marks & UNFIT_MARKS)
            for series in seen.series
            if series.unfit
            for each in series.instances
            if each.marks & UNFIT_MARKS
        }
        traces = [_trace(verdict, unfit) for verdict in verdicts]
        queued = told = forwarded = 0
        with self._ledger.transaction() as database:
            if not _unchanged(database, study, current):
                return
            by_uid = {instance.sop_instance_uid: instance for instance in instances.of_study(database, uid)}
            at = self._clock.now()
            decisions.keep_rule_set(database, at, rule_set.digest, rule_set.content)
            for verdict, trace in zip(verdicts, traces, strict=True):
                decision = _record(database, at, study, rule_set, verdict, trace)
                made = 0
                for run in verdict.runs:
                    new = new_job(database, at, study, verdict.rule, run, by_uid, plugins)
                    made += jobs.enqueue(database, at, decision, new, run.not_before) is not None
                sent = forwarding.enqueue(database, at, seen, verdict, decision, by_uid.values(), self._destinations)
                if (verdict.runs or verdict.forward) and not made + sent:
                    decisions.set_outcome(database, decision, DecisionOutcome.UNCHANGED)
                queued += made
                told += _notify(database, at, uid, verdict)
                forwarded += sent
            studies.decided(database, at, uid, study.revision)
        for room, count in ((Room.RUN, queued), (Room.NOTIFY, told), (Room.DELIVER, forwarded)):
            if count:
                self._signal.wake(room)

    def _give_up(self, study: Study, error: Exception) -> None:
        """A defect of ours: a person is told, and the study is not tried again until it changes."""
        place, frames = _defect(error)
        _log.error("route.failed", study=study.study_instance_uid, place=place, frames=frames)
        with self._ledger.transaction() as database:
            at = self._clock.now()
            events.record(
                database, at, "study.decision-failed", study=study.study_instance_uid, severity=Severity.ALERT,
                revision=study.revision, error=place,
            )  # fmt: skip
            studies.decided(database, at, study.study_instance_uid, study.revision)


def _defect(error: Exception) -> tuple[str, list[str]]:
    """Where it happened, and the frames; without the message, which may hold a patient's data."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}"
    return place, traceback.format_tb(error.__traceback__)


def _record(
    database: Database, at: datetime, study: Study, rule_set: RuleSet, verdict: Decision, trace: Mapping[str, Any]
) -> int:
    outcome = DecisionOutcome.MATCHED if verdict.matched else DecisionOutcome.NOT_MATCHED
    if verdict.problems:
        events.record(
            database, at, "decision.in-doubt", study=study.study_instance_uid, severity=Severity.ALERT,
            rule=verdict.rule.name, missing=len(verdict.problems),
        )  # fmt: skip
    return decisions.record(
        database, at, study=study.study_instance_uid, revision=study.revision, rule=verdict.rule.name,
        rule_set=rule_set.digest, outcome=outcome, trace=trace,
    )  # fmt: skip


def _notify(database: Database, at: datetime, study: str, verdict: Decision) -> int:
    """Tell whom the rule tells; how many were not told of it before."""
    waited = verdict.rule.wait.notify if verdict.rule.wait else None
    return sum(
        notifications.enqueue(
            database, at, study=study, rule=verdict.rule.name, whom=each.whom, text=each.text,
            occasion=Occasion.WAIT_OVER if each is waited else Occasion.MATCH,
        )
        for each in verdict.notify
    )  # fmt: skip


def _unchanged(database: Database, study: Study, current: Arrivals) -> bool:
    """Whether the study is still as the rules saw it; where not, its next completion or the next run decides."""
    now = studies.get(database, study.study_instance_uid)
    if now is None or now.status is not StudyStatus.COMPLETE or now.revision != study.revision:
        return False
    return instances.arrivals(database, study.study_instance_uid) == current


def _trace(verdict: Decision, unfit: Mapping[str, Sequence[str]]) -> Mapping[str, Any]:
    """The engine's trace, with the instances that no plugin is given and why."""
    if not unfit:
        return verdict.trace
    named = [{"sop_instance_uid": uid, "marks": list(marks)} for uid, marks in list(unfit.items())[:_MOST_NAMED]]
    return {**verdict.trace, "unfit_instances": named, "unfit_count": len(unfit)}
