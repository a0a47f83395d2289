"""The route stage: every complete revision is checked against the rules, and what matches becomes jobs and deliveries.

So is what has come of a study that grows, for rules that ask for it, and a study on which a rule waited too long.

Facts are read and rules are asked outside any transaction; then one transaction writes all that comes
of it: a decision for each rule with its trace, the jobs, and that the revision is decided. If an
instance came to count, or ceased to, in between, nothing is written and the study is looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from node.clock import SteadyClock
from node.config.models import Configuration
from node.errors import TransientError
from node.items import Item, Items
from node.ledger import (
    alerts,
    decisions,
    fetches,
    forward_parts,
    forwards,
    gone_images,
    gone_rules,
    jobs,
    looks,
    notices,
    notifications,
    rule_history,
    studies,
    timers,
)
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Database, slices
from node.ledger.decisions import DecisionOutcome
from node.ledger.event_kinds import EventKind
from node.ledger.instances import Arrivals, Instance
from node.ledger.job import Job, JobStatus, NewJob
from node.ledger.looks import Look
from node.ledger.notifications import Occasion
from node.ledger.studies import Study, StudyStatus
from node.ledger.timers import TimerKind
from node.route import answers, follow_ups, forwarding, priors
from node.route.asking import Evaluation, RulesInForce
from node.route.new_jobs import Plugins, new_job
from node.stage import Node, NodeStage
from node.wake import Stage
from rules import engine
from rules.decision import Decision
from rules.facts import UNFIT_MARKS, StudyFacts
from rules.timing import opening

IDLE_SECONDS = 60.0
AGAIN_SECONDS = 5.0
_LEAST_SECONDS = 1.0
_MOST_NAMED = 30
log = structlog.get_logger(__name__)


class RouteStage(NodeStage):
    """Decides on what is complete; one thread calls `run_once`."""

    def __init__(
        self, node: Node, configuration: Configuration, plugins_of: Callable[[Configuration], Plugins]
    ) -> None:
        self._ledger = node.ledger
        self._clock = node.clock
        self._wakes = node.wakes
        self._plugins_of = plugins_of
        self._timer = SteadyClock(node.clock)
        self._items = Items(Stage.ROUTE, node)
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Decide by its rules, plugins and destinations from the next study on."""
        rule_set, plugins = RulesInForce.of(configuration.rules), self._plugins_of(configuration)
        self._in_force = (rule_set, plugins)
        self._destinations, self._zone = configuration.destinations, configuration.node.zone

    def run_once(self) -> float:
        """Decide on all that is to be decided; returns the seconds until it wants to be called again."""
        delay = IDLE_SECONDS if self._enqueue_parts() else AGAIN_SECONDS
        for item, find in self._to_ask():
            try:
                self._items.handle(item, partial(self._decide, find), None)
            except TransientError as error:
                log.warning("route.postponed", study=item.study, error=str(error))
                delay = AGAIN_SECONDS
        seconds = min(delay, self._follow_up(), self._until_next_wait_is_over())
        self._cancel_of_gone_rules()
        return seconds

    def _cancel_of_gone_rules(self) -> None:
        """What is queued of a rule that was disabled or removed since it was decided does not run: an alert."""
        names = {rule.name for rule in self._in_force[0].rules if rule.enabled}
        gone = gone_rules.queued(self._ledger.database, names)
        untold = Counter(rule for _, rule in gone)
        for part in slices(gone):
            with self._ledger.transaction() as database:
                gone_rules.cancel(database, self._clock.now(), part, untold)
            untold.clear()  # the first part has opened the alerts

    def _to_ask(self) -> Iterator[tuple[Item, Callable[[], Evaluation | None]]]:
        """Complete revisions, then looks at studies that grow, then waits that are over; and what is asked of each."""
        database = self._ledger.database
        for study in studies.undecided(database):
            uid = study.study_instance_uid
            yield _item(f"study:{uid}", uid), partial(self._at_revision, study)
        for look in looks.undecided(database):
            uid = look.study_instance_uid
            yield _item(f"look:{uid}", uid), partial(self._at_look, look)
        for timer in timers.waits_over(database, self._timer.now()):
            uid = timer.study_instance_uid
            yield _item(f"wait:{uid} {timer.rule}", uid), partial(self._at_end_of_wait, timer)

    def _at_revision(self, study: Study) -> Evaluation:
        forwarding.end_loop(self._ledger, self._clock.now(), study, self._destinations)
        rule_set = self._in_force[0]
        return Evaluation(study, rule_set, rule_set.rules)

    def _at_look(self, look: Look) -> Evaluation | None:
        """None where it is past: the study is complete by now, and was decided as a whole."""
        study = studies.get(self._ledger.database, look.study_instance_uid)
        assert study is not None, look.study_instance_uid
        if look.growing is not None and (study.status is StudyStatus.COMPLETE or study.revision != look.revision):
            with self._ledger.transaction() as database:
                looks.decided(database, self._clock.now(), look)
            return None
        if look.answer is not None and study.status is StudyStatus.COMPLETE and study.revision != look.revision:
            with self._ledger.transaction() as database:
                answers.moved(database, self._clock.now(), look, study.revision)
            return None
        rule_set = self._in_force[0]
        return Evaluation(study, rule_set, tuple(rule for rule in rule_set.rules if rule.name in look.rules), look)

    def _at_end_of_wait(self, timer: timers.Timer) -> Evaluation | None:
        """The rule is asked once more, in the version that began to wait; None where that cannot be read any more."""
        database = self._ledger.database
        study = studies.get(database, timer.study_instance_uid)
        assert study is not None, timer.study_instance_uid
        assert timer.decision is not None, "a wait begins with a decision"
        try:
            rule_set = RulesInForce.kept(database, decisions.get(database, timer.decision).rule_set)
        except ValueError as error:  # a later program may not understand the rule as it was then
            self._end_wait(timer, error)
            return None
        rules = tuple(rule for rule in rule_set.rules if rule.name == timer.rule)
        look = looks.planned(database, self._clock.now(), study.study_instance_uid, study.revision, [timer.rule])
        return Evaluation(study, rule_set, rules, look)

    def _end_wait(self, timer: timers.Timer, error: ValueError) -> None:
        """Nothing is decided: a person has to know."""
        log.error("route.failed", study=timer.study_instance_uid, rule=timer.rule, error=type(error).__name__)
        with self._ledger.transaction() as database:
            alerts.raised(
                database,
                self._clock.now(),
                AlertKind.STUDY_DECISION_FAILED,
                f"{timer.study_instance_uid} {timer.rule}",
                study=timer.study_instance_uid,
                rule=timer.rule,
                error="the rule, as it was when it began to wait, cannot be read any more",
            )
            timers.stop(database, timer.study_instance_uid, TimerKind.WAIT, timer.rule)

    def _until_next_wait_is_over(self) -> float:
        """What is over by now was asked just now: it is put off, or became due meanwhile."""
        over = timers.next_wait_over(self._ledger.database)
        return IDLE_SECONDS if over is None else max(_LEAST_SECONDS, (over - self._timer.now()).total_seconds())

    def _follow_up(self) -> float:
        """Decide on the steps that come after jobs which have ended since, and on fetches that have."""
        database, queued = self._ledger.database, 0
        try:
            for job in rule_history.not_followed_up(database):
                study = jobs.get(database, job).study_instance_uid
                item = Item(f"job:{job} later steps", study, job, event=EventKind.JOB_FOLLOW_UP_FAILED)
                queued += self._items.handle(item, partial(self._after_job, job), otherwise=0)
            for fetch in fetches.to_follow_up(database):
                item = _item(f"fetch:{fetch.id} jobs", fetch.study_instance_uid)
                queued += self._items.handle(item, partial(self._after_fetch, fetch), otherwise=0)
        except TransientError as error:
            log.warning("route.postponed", error=str(error))
            return AGAIN_SECONDS
        finally:
            if queued:
                self._wakes.wake(Stage.RUN)
        return IDLE_SECONDS

    def _after_job(self, job: str) -> int:
        rules, plugins = self._in_force
        return follow_ups.decide(self._ledger, job, plugins, rules.rules, self._clock.now(), self._zone)

    def _after_fetch(self, fetch: fetches.Fetch) -> int:
        return priors.decide(self._ledger, fetch, self._in_force[1], self._clock.now(), self._zone)

    def _decide(self, find: Callable[[], Evaluation | None]) -> None:
        asked = find()
        if asked is None:
            return
        plugins, study = self._in_force[1], asked.as_seen
        with self._ledger.snapshot() as database:
            current = gone_images.arrivals(database, study.study_instance_uid)
            seen = asked.facts(database, current, self._timer.now(), self._zone)
            by_uid = gone_images.counting(database, study.study_instance_uid)
        verdicts = engine.decide(asked.rules, seen)
        unfit = {
            each.sop_instance_uid: sorted(each.marks & UNFIT_MARKS)
            for series in seen.series
            if series.unfit
            for each in series.instances
            if each.marks & UNFIT_MARKS
        }
        traces = [_trace(verdict, unfit, seen if asked.look else None) for verdict in verdicts]
        found = list(zip(verdicts, traces, strict=True))
        for room, count in self._write(asked, current, seen, by_uid, found, plugins).items():
            if count:
                self._wakes.wake(room)
        self._enqueue_parts()

    def _enqueue_parts(self) -> bool:
        """What decisions forward and is not in the outbox yet, some at a time; false where it has to wait."""
        try:
            for number, study in forward_parts.waiting(self._ledger.database):
                item = _item(f"forward-part:{number}", study)
                self._items.handle(item, partial(self._enqueue_part, number), None)
                self._wakes.wake(Stage.DELIVER)
        except TransientError as error:
            log.warning("route.forward-postponed", error=str(error))
            return False
        return True

    def _enqueue_part(self, number: int) -> None:
        with self._ledger.transaction() as database:
            forwards.enqueue_part(database, self._clock.now(), number)

    def _write(
        self,
        asked: Evaluation,
        current: Arrivals,
        seen: StudyFacts,
        by_uid: Mapping[str, Instance],
        verdicts: Sequence[tuple[Decision, Mapping[str, Any]]],
        plugins: Plugins,
    ) -> Counter[Stage]:
        """All that comes of decisions, in one transaction; how much that is for whom."""
        work: Counter[Stage] = Counter()
        with self._ledger.transaction() as database:
            if not asked.still_holds(database, current):
                return work
            at = self._clock.now()
            decisions.keep_rule_set(database, at, asked.rule_set.digest, asked.rule_set.content)
            for verdict, trace in verdicts:
                decision = _record(database, at, asked, verdict, trace)
                waits = priors.ask(database, at, seen, verdict, decision)
                made = 0 if waits else _enqueue(database, at, asked, verdict, decision, by_uid, plugins, self._zone)
                here = [each for each in by_uid.values() if each.receipt not in current.gone]
                sent = forwarding.enqueue(database, at, seen, verdict, decision, here, self._destinations)
                if (verdict.runs or verdict.forward) and not made + sent + waits:
                    decisions.set_outcome(database, decision, DecisionOutcome.UNCHANGED)
                told = _notify(database, at, seen, verdict, decision)
                work.update({Stage.RUN: made, Stage.DELIVER: sent, Stage.NOTIFY: told, Stage.FETCH: int(waits)})
                _start_timer(database, seen, verdict, decision)
            self._end(database, at, asked, {each.rule.name for each, _ in verdicts if each.waits_until})
        return work

    def _end(self, database: Database, at: datetime, asked: Evaluation, waiting: Collection[str] = ()) -> None:
        """It is decided: not to be asked again about this, but for the rules that wait."""
        uid = asked.study.study_instance_uid
        if asked.look is not None:
            for name in set(asked.look.rules).difference(waiting):
                timers.stop(database, uid, TimerKind.WAIT, name)
            if not asked.growing and asked.look.answer is None:  # planned when its wait was over, and kept only now
                looks.keep(database, asked.look)
            looks.decided(database, at, asked.look)
        else:
            timers.stop_others(database, uid, TimerKind.WAIT, waiting)
            studies.decided(database, at, uid, asked.study.revision)


def _item(key: str, study: str) -> Item:
    """What is decided on; parked where that fails too often: `retry` and a new revision have it decided again."""
    return Item(key, study, event=EventKind.STUDY_DECISION_FAILED)


def _record(database: Database, at: datetime, asked: Evaluation, verdict: Decision, trace: Mapping[str, Any]) -> int:
    outcome = DecisionOutcome.MATCHED if verdict.matched else DecisionOutcome.NOT_MATCHED
    if verdict.waits_until is not None:
        outcome = DecisionOutcome.WAITING
    study = asked.study
    if verdict.problems:
        alerts.raised(
            database,
            at,
            AlertKind.DECISION_IN_DOUBT,
            f"{study.study_instance_uid} {verdict.rule.name}",
            study=study.study_instance_uid,
            rule=verdict.rule.name,
            revision=study.revision,
            missing=len(verdict.problems),
        )
    return decisions.record(
        database,
        at,
        study=study.study_instance_uid,
        revision=study.revision,
        look=asked.number,
        rule=verdict.rule.name,
        rule_set=asked.rule_set.digest,
        outcome=outcome,
        trace=trace,
    )


def _enqueue(
    database: Database,
    at: datetime,
    asked: Evaluation,
    verdict: Decision,
    decision: int,
    by_uid: Mapping[str, Instance],
    plugins: Plugins,
    zone: ZoneInfo,
) -> int:
    """The jobs of a decision; how many there were none of before."""
    made = 0
    for run in verdict.runs:
        new = new_job(database, at, asked.as_seen, verdict.rule, run, by_uid, plugins, zone)
        new = replace(new, revision=asked.study.revision, look=asked.number, asked=_as_asked(asked, new))
        job = jobs.enqueue(database, at, decision, new, run.not_before)
        made += job is not None
        if job is not None and job.supersedes is not None:
            _overtake(database, at, job)
    return made


def _as_asked(asked: Evaluation, new: NewJob) -> str:
    """The question as readers see it: they have to know where it was about a part of the images."""
    growing = asked.look.growing if asked.look else None
    if growing and any(each.series_instance_uid in growing for each in new.inputs):
        return f"{new.asked or new.rule} (on the images that had come so far)"
    return new.asked


def _overtake(database: Database, at: datetime, job: Job) -> None:
    """What was decided while the study grew, and has not begun, is of no use once more has come."""
    assert job.supersedes is not None, job.id
    earlier = jobs.get(database, job.supersedes)
    if earlier.look > 0 and earlier.status is JobStatus.QUEUED and earlier.attempts == 0:
        jobs.cancel(database, at, earlier.id, f"more of the study has come: job {job.id}")


def _start_timer(database: Database, seen: StudyFacts, verdict: Decision, decision: int) -> None:
    """A rule that waits does so from when its `when` first held."""
    if verdict.waits_until is not None:
        study, rule = seen.study_instance_uid, verdict.rule.name
        since = seen.history[rule].waiting_since or seen.completed_at
        timers.start(database, study, rule, TimerKind.WAIT, since, verdict.waits_until, decision)


def _notify(database: Database, at: datetime, seen: StudyFacts, verdict: Decision, decision: int) -> int:
    """Tell whom the rule tells, of a match in its hours, or of a study that it cannot analyse; how many were not told
    of it before."""
    rule, about = verdict.rule, decisions.get(database, decision)
    if verdict.not_analysed:
        if not seen.complete:  # what it lacks may still come
            return 0
        return notices.of_match(database, at, rule, about, Occasion.NOT_ANALYSED)
    waited = rule.wait.notify if rule.wait else None
    if waited is not None and waited in verdict.notify:
        return notifications.enqueue(database, at, about, Occasion.WAIT_OVER, waited.whom)
    opens = opening(rule.hours, seen.now) if rule.hours else None
    return notices.of_match(database, at, rule, about, Occasion.MATCH, opens) if verdict.notify else 0


def _trace(verdict: Decision, unfit: Mapping[str, Sequence[str]], seen: StudyFacts | None) -> Mapping[str, Any]:
    """The engine's trace, with the instances that no plugin is given and why, and what was seen at a look."""
    trace = dict(verdict.trace)
    if unfit:
        named = [{"sop_instance_uid": uid, "marks": list(marks)} for uid, marks in list(unfit.items())[:_MOST_NAMED]]
        trace |= {"unfit_instances": named, "unfit_count": len(unfit)}
    if seen is not None:
        trace["seen"] = {
            "complete": seen.complete,
            "series": {each.series_instance_uid: len(each.instances) for each in seen.series},
            "growing": [each.series_instance_uid for each in seen.series if not each.complete],
        }
    return trace
