"""Stop rules: what has become of each plugin's jobs is counted, for each rule and scanner, and compared with limits.

A look every few seconds, at jobs that ended since the last: what is counted is in the ledger
(`node.ledger.stop_windows`), so that a restart neither forgets a job nor counts one twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Literal

import structlog

from node import exact_binomial
from node.config.models import Configuration
from node.config.stop_rules import StopRule
from node.items import Item, Items
from node.ledger import stop_windows, suspensions
from node.ledger.database import Database
from node.ledger.job import Job, JobOutcome
from node.ledger.plugin_names import key_of
from node.ledger.stop_windows import StopWindow, WatchedJob, WatchedPlace, WindowVerdict
from node.stage import Node, NodeStage

log = structlog.get_logger(__name__)

STAGE = "stop-rules"
_SECONDS = 5.0
_AT_A_LOOK = 500


class StopRules(NodeStage):
    """One thread calls `run_once`."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self._ledger = node.ledger
        self._clock = node.clock
        self._items = Items(STAGE, node)
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Count by its stop rules from the next job on."""
        self._rules: Mapping[str, StopRule] = configuration.stop_rules

    def run_once(self) -> float:
        """Count what has ended since; seconds until the next look."""
        found = stop_windows.to_watch(self._ledger.database, _AT_A_LOOK)
        for each in found:
            item = Item(f"job:{each.job.id}", each.job.study_instance_uid, each.job.id)
            self._items.handle(item, partial(self._count, each), otherwise=None)
        return _SECONDS

    def close(self) -> None:
        """Nothing is kept."""

    def _count(self, ended: WatchedJob) -> None:
        wanted = list(self._watching(ended)) if ended.counts else []
        scanner = suspensions.scanner_of(self._ledger.database, ended.job) if wanted else ""
        with self._ledger.transaction() as database:
            if not stop_windows.watched(database, ended.job.id):
                return
            for name, stop_rule, hit in wanted:
                plugin = key_of(ended.job.plugin)
                place = WatchedPlace(name, stop_rule.terms, plugin, ended.job.rule, scanner, ended.digest)
                window = stop_windows.count(database, self._clock.now(), place, ended.job.id, hit=hit)
                _judge(database, self._clock.now(), window, stop_rule)

    def _watching(self, ended: WatchedJob) -> Iterator[tuple[str, StopRule, bool]]:
        """The stop rules that count this job, and whether it is one of those they look for."""
        for name, stop_rule in self._rules.items():
            if key_of(stop_rule.plugin) == key_of(ended.job.plugin):
                hit = _is_hit(stop_rule, ended.job)
                if hit is not None:
                    yield name, stop_rule, hit


def _is_hit(stop_rule: StopRule, job: Job) -> bool | None:
    """None where the job says nothing of what is watched."""
    failed = job.outcome is JobOutcome.FAILED
    if stop_rule.watch == "failures":
        return failed
    if stop_rule.longer_than is not None:
        assert job.finished_at is not None, "it has ended"
        return None if failed else job.finished_at - job.images_complete_at > stop_rule.longer_than
    if job.outcome not in (JobOutcome.FINDINGS, JobOutcome.NO_FINDINGS):
        return None
    return any(each["present"] for each in (job.found or {}).get("findings", ()))


def _judge(database: Database, at: datetime, window: StopWindow, stop_rule: StopRule) -> None:
    """End the window where its jobs say so, whatever comes."""
    side = is_met(stop_rule, window.hits, window.jobs)
    if side is not None:
        why = _why_met(stop_rule, side, window.hits, window.jobs)
        stop_windows.met(database, at, window, why)
        log.warning("app.stop-rule-met", stop_rule=window.stop_rule, rule=window.rule, scanner=window.scanner)
        if stop_rule.then == "suspend":
            suspensions.begin(database, at, replace(window, verdict=WindowVerdict.MET), why)
    elif window.jobs >= stop_rule.jobs:
        stop_windows.end(database, at, window, WindowVerdict.KEPT)


def is_met(stop_rule: StopRule, hits: int, jobs: int) -> Literal["above", "below"] | None:
    """The limit that a window with these jobs is beyond, whatever the jobs say that it still lacks; None: it is not."""
    if stop_rule.above is not None and hits >= _least_above(stop_rule.jobs, stop_rule.above):
        return "above"
    if stop_rule.below is not None and _most(stop_rule, hits, jobs) <= _most_below(stop_rule.jobs, stop_rule.below):
        return "below"
    return None


def _why_met(stop_rule: StopRule, side: Literal["above", "below"], hits: int, jobs: int) -> str:
    """For people."""
    if side == "above":
        limit, bound = stop_rule.above, exact_binomial.limits(hits, stop_rule.jobs)[0]
    else:
        limit, bound = stop_rule.below, exact_binomial.limits(_most(stop_rule, hits, jobs), stop_rule.jobs)[1]
    cut = "" if jobs == stop_rule.jobs else f", whatever the other {stop_rule.jobs - jobs} of {stop_rule.jobs} say"
    return f"{hits} of {jobs} jobs {stop_rule.counted}{cut}: {side} {limit:.4g} (99 % limit {bound:.4f})"


def _most(stop_rule: StopRule, hits: int, jobs: int) -> int:
    """How many hits the window has in the end if all jobs that it still lacks are some."""
    return stop_rule.jobs - (jobs - hits)


_least_above = lru_cache(maxsize=64)(exact_binomial.least_above)
_most_below = lru_cache(maxsize=64)(exact_binomial.most_below)
