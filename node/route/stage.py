"""The route stage: every complete revision is held against the rules, and what matches becomes jobs.

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
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog

from node.clock import Clock
from node.errors import NotFoundError, TransientError
from node.ledger import decisions, events, facts, instances, jobs, studies
from node.ledger.database import Database, Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.events import Severity
from node.ledger.instances import Arrived, Instance
from node.ledger.jobs import JobInput, NewJob
from node.ledger.rows import to_json
from node.ledger.studies import Study, StudyStatus
from node.route.facts import study_facts
from node.signal import Room, Signal
from plugins.manifest import ParameterError
from rules import engine
from rules.engine import Decision, Run
from rules.facts import UNFIT_MARKS
from rules.model import Rule, rule_set_digest

PRIORITIES = {"routine": 0, "high": 10, "urgent": 20}
IDLE_SECONDS = 60.0
AGAIN_SECONDS = 5.0
_MOST_NAMED = 30
_log = structlog.get_logger(__name__)


class Plugins(Protocol):
    """What routing must know of the plugins (`node.run.catalogue.Catalogue`)."""

    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        """All parameters of a job, defaults included; NotFoundError, ParameterError."""
        ...


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
        self, ledger: Ledger, clock: Clock, signal: Signal, rules: Sequence[Rule], plugins: Plugins, zone: ZoneInfo
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._signal = signal
        self._zone = zone
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
        return delay

    def _decide(self, study: Study) -> None:
        rule_set, plugins = self._in_force
        uid = study.study_instance_uid
        current = instances.arrivals(self._ledger.database, uid)
        records = facts.columns_of_study(self._ledger.database, uid, study.revision)
        seen = study_facts(study, records, current, self._clock.now(), self._zone)
        verdicts = engine.decide(rule_set.rules, seen)
        unfit = {
            each.sop_instance_uid: sorted(each.marks & UNFIT_MARKS)
            for series in seen.series
            for each in series.instances
            if each.marks & UNFIT_MARKS
        }
        traces = [_trace(verdict, unfit) for verdict in verdicts]
        queued = 0
        with self._ledger.transaction() as database:
            if not _unchanged(database, study, current):
                return
            by_uid = {instance.sop_instance_uid: instance for instance in instances.of_study(database, uid)}
            at = self._clock.now()
            decisions.keep_rule_set(database, at, rule_set.digest, rule_set.content)
            for verdict, trace in zip(verdicts, traces, strict=True):
                decision = _record(database, at, study, rule_set, verdict, trace)
                new = [self._new_job(database, study, verdict.rule, run, by_uid, plugins) for run in verdict.runs]
                made = sum(jobs.enqueue(database, at, decision, each) is not None for each in new)
                if new and not made:
                    decisions.set_outcome(database, decision, DecisionOutcome.UNCHANGED)
                queued += made
            studies.decided(database, at, uid, study.revision)
        if queued:
            self._signal.wake(Room.RUN)

    def _new_job(
        self, database: Database, study: Study, rule: Rule, run: Run, by_uid: Mapping[str, Instance], plugins: Plugins
    ) -> NewJob:
        assert study.completed_at is not None, study.study_instance_uid
        parameters = self._parameters(database, study, rule.name, run, plugins)
        chosen = [(each, [by_uid[uid] for uid in each.sop_instance_uids]) for each in run.inputs]
        return NewJob(
            study_instance_uid=study.study_instance_uid,
            revision=study.revision,
            rule=rule.name,
            step=run.step,
            subject="study" if run.subject == study.study_instance_uid else run.subject,
            plugin=run.plugin,
            parameters=parameters,
            inputs=tuple(
                JobInput(each.role, each.series_instance_uid, tuple(sorted(one.receipt for one in found)))
                for each, found in chosen
            ),
            inputs_digest=jobs.digest_of(
                run.plugin,
                parameters,
                [(each.role, one.sop_instance_uid, one.digest) for each, found in chosen for one in found],
            ),
            destinations=run.destinations,
            mode=run.mode,
            priority=PRIORITIES[run.priority],
            on_correction=run.on_correction,
            images_complete_at=study.completed_at,
            asked=rule.description,
        )

    def _parameters(self, database: Database, study: Study, rule: str, run: Run, plugins: Plugins) -> dict[str, Any]:
        """All parameters of the run.

        Where the plugin or a parameter cannot be used (a manifest that changed after the configuration was
        checked) the job is made all the same: it will end as failed, which the radiologist sees.
        """
        try:
            return dict(plugins.parameters_for(run.plugin, run.parameters))
        except (NotFoundError, ParameterError) as error:
            events.record(
                database, self._clock.now(), "decision.plugin-unusable", study=study.study_instance_uid,
                severity=Severity.ALERT, rule=rule, plugin=run.plugin, error=str(error),
            )  # fmt: skip
            return dict(run.parameters)

    def _give_up(self, study: Study, error: Exception) -> None:
        """A defect of ours: a person is told, and the study is not tried again until it changes."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}"
        frames = traceback.format_tb(error.__traceback__)  # without the message: it may hold a patient's data
        _log.error("route.failed", study=study.study_instance_uid, place=place, frames=frames)
        with self._ledger.transaction() as database:
            at = self._clock.now()
            events.record(
                database, at, "study.decision-failed", study=study.study_instance_uid, severity=Severity.ALERT,
                revision=study.revision, error=place,
            )  # fmt: skip
            studies.decided(database, at, study.study_instance_uid, study.revision)


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


def _unchanged(database: Database, study: Study, current: Sequence[Arrived]) -> bool:
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
