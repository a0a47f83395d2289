"""Waiting for an answer that goes into an archive: complete when all of it is there and nothing more comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

import structlog

from node.errors import NodeError
from node.ledger import box_answers
from node.ledger.attempts import Attempt
from node.ledger.boxes import BoxAttempt
from node.ledger.job import Job
from node.run.boxes.abroad import Abroad, ArchivedSeries
from node.run.boxes.completing import SETTLED, AnswerTaker, use_of
from node.run.catalogue import SitePlugin
from node.stage import Node

_MOVE_SECONDS = 600.0
log = structlog.get_logger(__name__)


@dataclass
class _ArchiveLook:
    """What an archive had at the last look, and since when, on the monotonic clock."""

    series: Sequence[ArchivedSeries] = ()
    since: float = 0.0
    fetched: Sequence[ArchivedSeries] = ()


@dataclass
class ArchiveWait:
    """For the stage of one box; what it has seen is found again after a restart."""

    node: Node
    abroad: Abroad
    completing: AnswerTaker
    _seen: dict[str, _ArchiveLook] = field(default_factory=dict)

    def look(self, attempt: Attempt, job: Job, plugin: SitePlugin, known: BoxAttempt) -> bool:
        """Ask the archive, and end the attempt where the answer is complete; whether it is."""
        try:
            found = self.abroad.new(job, known)
        except NodeError as error:
            log.warning("run.archive-not-asked", job=job.id, error=str(error))
            return False
        seen = self._seen.setdefault(attempt.id, _ArchiveLook())
        if list(seen.series) != found:
            seen.series, seen.since = found, self.node.clock.monotonic()
        if not self._is_complete(seen, plugin):
            return False
        return (
            self._fetched(attempt, job, plugin, seen) if self.abroad.fetches else self._told(attempt, job, plugin, seen)
        )

    def _is_complete(self, seen: _ArchiveLook, plugin: SitePlugin) -> bool:
        use = use_of(plugin)
        kinds = {each.kind for each in seen.series}
        if not seen.series or not set(use.expects) <= kinds:
            return False
        quiet = SETTLED if use.expects else timedelta(seconds=use.quiet_seconds)
        return self.node.clock.monotonic() - seen.since >= quiet.total_seconds()

    def _told(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, seen: _ArchiveLook, missing: tuple[str, ...] = ()
    ) -> bool:
        where = self.abroad.name_for(job)
        self.abroad.note(attempt.id, seen.series, where)
        self.completing.elsewhere(attempt, job, plugin, seen.series, where, missing)
        self._seen.pop(attempt.id, None)
        return True

    def _fetched(self, attempt: Attempt, job: Job, plugin: SitePlugin, seen: _ArchiveLook) -> bool:
        """Have it sent once; complete when all of it is here."""
        if list(seen.fetched) != list(seen.series):
            try:
                self.abroad.fetch(job, attempt.id, seen.series, _MOVE_SECONDS)
            except NodeError as error:
                log.warning("run.answer-not-fetched", job=job.id, error=str(error))
                return False
            seen.fetched = seen.series
            return False
        here = len(box_answers.of_attempt(self.node.ledger.database, attempt.id))
        if here < sum(each.instances or 1 for each in seen.series):
            return False
        return self.completing.if_complete(attempt, job, plugin)

    def at_deadline(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, known: BoxAttempt | None, box: str, zone: ZoneInfo
    ) -> None:
        """Its time is over: what came is reported, and what did not."""
        if self.abroad.fetches or known is None or known.sent_at is None:
            self.completing.at_deadline(attempt, job, plugin, known, box, zone)
            return
        found: Sequence[ArchivedSeries] = ()
        try:
            found = self.abroad.new(job, known)
        except NodeError as error:
            log.warning("run.archive-not-asked", job=job.id, error=str(error))
        if not found:
            self.completing.at_deadline(attempt, job, plugin, known, box, zone)
            return
        assert attempt.deadline_at is not None, attempt.id
        by = f"{attempt.deadline_at.astimezone(zone):%Y-%m-%d %H:%M}"
        kinds = {each.kind for each in found}
        missing = [each for each in use_of(plugin).expects if each not in kinds]
        if missing:
            self.completing.tell_silence(job, box, by)
        told = tuple(f"{box} did not deliver {each.value.upper()} by {by}." for each in missing)
        self._told(attempt, job, plugin, _ArchiveLook(found), told)
