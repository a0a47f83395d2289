"""Looks at studies that are still being received, for rules that ask before they are complete.

A series counts as complete when nothing of it is in flight, all that came before is indexed, and it has been quiet
for the quiet period of its source; its association may go on with the next series. A rule that asks every so often
is asked when its timer is over and more has come. Nothing is looked at of a study that is held or being corrected.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from node.config.models import Configuration
from node.index.keeping import keep_facts, prepare
from node.index.recording import study_quiet
from node.ledger import instances, looks, replacements, studies, timers
from node.ledger.studies import OpenSeries, Study, StudyImages, StudyStatus
from node.ledger.timers import TimerKind
from node.stage import Node
from node.store.layout import InFlight
from rules.model import Rule

SERIES_COMPLETE = "series complete"


class Door(Protocol):
    """What was at the door at one moment (`node.index.completion.Doorstep`)."""

    @property
    def in_flight(self) -> tuple[InFlight, ...]:
        """Objects being received."""
        ...

    @property
    def at(self) -> float:
        """Monotonic seconds."""
        ...


@dataclass(frozen=True, slots=True)
class _DueLook:
    """What is to be looked at now, and for whom."""

    settled: tuple[str, ...]
    """Series that have just become complete."""
    rules: tuple[str, ...]
    again: tuple[tuple[str, timedelta], ...]
    """Rules that are asked every so often, and how often."""


class Looks:
    """Watches what is being received; one thread calls it."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self._configuration = configuration
        self._ledger = node.ledger
        self._clock = node.clock
        self._due: dict[tuple[str, str], float] = {}
        """Series → when it is quiet, in monotonic seconds."""
        self._seen: dict[str, frozenset[str]] = {}
        """Study → what had come of it at the last look."""

    def use(self, configuration: Configuration) -> None:
        """From now on, by this configuration."""
        self._configuration = configuration

    def arrived(self, study: str, series: str, quiet: timedelta) -> None:
        """An object of the series was indexed just now."""
        self._due[study, series] = self._clock.monotonic() + quiet.total_seconds()

    def forget(self, study: str) -> None:
        """It is complete."""
        self._seen.pop(study, None)
        self._due = {key: due for key, due in self._due.items() if key[0] != study}

    def look(self, study: Study, door: Door, *, unindexed: bool) -> bool:
        """Look at a study that is being received, if it is time to; whether there is something to be decided now."""
        early = [rule for rule in self._configuration.rules if rule.enabled and rule.decide != "complete"]
        if not early or study.hold is not None or study.images is StudyImages.PURGING:
            return False
        if replacements.are_pending(self._ledger.database, study.study_instance_uid):
            return False
        by_series = [rule.name for rule in early if rule.decide == SERIES_COMPLETE]
        settled = self._settled(study, door) if by_series and not unindexed else ()
        again = self._over(study.study_instance_uid, [rule for rule in early if rule.growing])
        rules = (*(by_series if settled else ()), *(name for name, _ in again))
        return bool(rules) and self._take(study, _DueLook(settled, rules, again))

    # --- series -----------------------------------------------------------------------------------

    def _settled(self, study: Study, door: Door) -> tuple[str, ...]:
        uid = study.study_instance_uid
        opened = studies.open_series(self._ledger.database, uid)
        quiet = [each.series_instance_uid for each in opened if self._quiet_at(study, each) <= door.at]
        return tuple(series for series in quiet if not _comes(uid, series, door.in_flight))

    def _quiet_at(self, study: Study, series: OpenSeries) -> float:
        """When it is quiet; at start, what its row leaves of the quiet period, but no more than that."""
        key = (study.study_instance_uid, series.series_instance_uid)
        if key not in self._due:
            quiet = study_quiet(self._ledger.database, key[0], self._configuration)
            left = (series.due_at or self._clock.now() + quiet) - self._clock.now()
            left = min(max(left, timedelta()), quiet)
            self._due[key] = self._clock.monotonic() + left.total_seconds()
        return self._due[key]

    # --- every so often ---------------------------------------------------------------------------

    def _over(self, study: str, rules: Collection[Rule]) -> tuple[tuple[str, timedelta], ...]:
        """The rules whose time has come, if more has come since; a rule that is new here gets its timer."""
        now, over = self._clock.now(), []
        for rule in rules:
            assert rule.growing is not None, rule.name
            timer = timers.get(self._ledger.database, study, TimerKind.GROWING, rule.name)
            if timer is None or timer.due_at > now + rule.growing:  # new, or somebody has set the clock back
                self._start(study, rule.name, now, rule.growing)
            elif timer.due_at <= now:
                over.append((rule.name, rule.growing))
        return tuple(over) if over and self._seen.get(study) != self._come(study) else ()

    def _start(self, study: str, rule: str, now: datetime, every: timedelta) -> None:
        with self._ledger.transaction() as database:
            timers.start(database, study, rule, TimerKind.GROWING, now, now + every)

    def _come(self, study: str) -> frozenset[str]:
        return instances.arrivals(self._ledger.database, study).receipts

    # --- the look ---------------------------------------------------------------------------------

    def _take(self, seen: Study, due: _DueLook) -> bool:
        study, now = seen.study_instance_uid, self._clock.now()
        come = self._come(study)
        number = looks.planned(self._ledger.database, now, study, seen.revision, due.rules).look
        prepared = prepare(self._ledger, study, seen.revision, number)
        with self._ledger.transaction() as database:
            row = studies.get(database, study)
            if row is None or row.status is not StudyStatus.RECEIVING or row.hold is not None:
                return False
            studies.series_completed(database, now, study, due.settled)
            growing = [each.series_instance_uid for each in studies.open_series(database, study)]
            look = looks.planned(database, now, study, row.revision, due.rules, growing)
            keep_facts(database, study, row.revision, look.look, prepared)
            looks.keep(database, look)
            for rule, every in due.again:
                timers.start(database, study, rule, TimerKind.GROWING, now, now + every)
        self._seen[study] = come
        return True


def _comes(study: str, series: str, in_flight: Collection[InFlight]) -> bool:
    """Whether an object that is on its way may be of this series."""
    return any(
        each.study_instance_uid in (None, study) and each.series_instance_uid in (None, series) for each in in_flight
    )
