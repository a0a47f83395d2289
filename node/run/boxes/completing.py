"""When the answer of a box is complete, and what becomes of it: a result like any other, or the word that none came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from node.ledger import alerts, box_answers, boxes, instances
from node.ledger.alert_kinds import AlertKind
from node.ledger.attempts import Attempt, AttemptCourse, AttemptFailureKind
from node.ledger.box_answers import BoxAnswer
from node.ledger.boxes import BoxAttempt, SentStatus
from node.ledger.job import Job
from node.processes.pool import ChildPool
from node.run import answer, inputs
from node.run.answer import AnswerToCheck
from node.run.boxes.abroad import ArchivedSeries, listed
from node.run.boxes.preparing import BoxInputs
from node.run.catalogue import SitePlugin
from node.run.elsewhere.inputs import notes_of
from node.run.inputs import InputChangedError, InputGoneError
from node.run.retry import AttemptFailure
from node.run.settle import Settler
from node.stage import Node
from node.store import intact
from node.store.intact import DamagedError
from plugins import exchange, object_files
from plugins.boxes import AnswerKind, BoxUse, kind_of
from plugins.contract import Code, Finding, Result, ResultStatus, ReturnedObject
from plugins.untrusted import ExchangeError

_ELSEWHERE = Code("answer-elsewhere", "99PACSNODE", "Answer of another system, in the archive")
"""The one finding of a report on an answer that did not come here: neither present nor absent."""
SETTLED = timedelta(seconds=5)
"""Without another object, once all kinds that are expected are there: a set of pages ends with its last one."""


class AnswerTaker:
    """For the stage of one box."""

    def __init__(self, node: Node, settler: Settler, reader: ChildPool, preparing: BoxInputs) -> None:
        self._node, self._settler, self._reader, self._preparing = node, settler, reader, preparing

    def if_complete(self, attempt: Attempt, job: Job, plugin: SitePlugin) -> bool:
        """End the attempt where its answer is complete; whether it is."""
        came = box_answers.of_attempt(self._node.ledger.database, attempt.id)
        if not came or not self._is_complete(attempt, came, use_of(plugin)):
            return False
        self._take(attempt, job, plugin, came, missing=())
        return True

    def _is_complete(self, attempt: Attempt, came: Sequence[BoxAnswer], use: BoxUse) -> bool:
        if not boxes.instances_of(self._node.ledger.database, attempt.id):
            return True  # a person has given it what it has
        if missing_of(came, use) or self._node.store.open_associations() & {each.association for each in came}:
            return False
        quiet = SETTLED if use.expects else timedelta(seconds=use.quiet_seconds)
        return self._node.clock.now() - max(each.received_at for each in came) >= quiet

    def at_deadline(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, known: BoxAttempt | None, box: str, zone: ZoneInfo
    ) -> None:
        """Its time is over: what came is taken, and the report says what did not."""
        assert attempt.deadline_at is not None, attempt.id
        by = f"{attempt.deadline_at.astimezone(zone):%Y-%m-%d %H:%M}"
        came = box_answers.of_attempt(self._node.ledger.database, attempt.id)
        missing = missing_of(came, use_of(plugin))
        if missing or not came:
            self.tell_silence(job, box, by)
        if came:
            told = tuple(f"{box} did not send {each.value.upper()} by {by}." for each in missing)
            self._take(attempt, job, plugin, came, missing=told)
        else:
            self._settler.unanswered(job, *self._silence(attempt, known, box, by), plugin)
        self._preparing.remove(job)

    def elsewhere(
        self,
        attempt: Attempt,
        job: Job,
        plugin: SitePlugin,
        came: Sequence[ArchivedSeries],
        where: str,
        missing: tuple[str, ...],
    ) -> None:
        """The box delivered its answer itself: the report of the node says so, and no more is known of it here."""
        box = boxes.box_at(attempt.place) or ""
        said = f"{box} delivered its answer to {where}: {listed(came)}. This report does not repeat it."
        course = AttemptCourse(None, (self._node.clock.now() - attempt.started_at).total_seconds())
        try:
            notes = notes_of(plugin, self._preparing.asked(attempt, job, plugin)[0])
        except (InputChangedError, InputGoneError):
            notes = ()  # the answer is there, whatever has become of the images since
        result = Result(ResultStatus.FINDINGS, said, (Finding(_ELSEWHERE),), quality=(*notes, *missing))
        self._settler.said(job, result, plugin, course)
        self._preparing.remove(job)

    def tell_silence(self, job: Job, box: str, by: str) -> None:
        """An alert: the box did not answer by then, or not completely."""
        with self._node.ledger.transaction() as database:
            study, now = job.study_instance_uid, self._node.clock.now()
            alerts.raised(database, now, AlertKind.BOX_SILENT, box, study=study, job=job.id, deadline=by)

    def _silence(self, attempt: Attempt, known: BoxAttempt | None, box: str, by: str) -> tuple[str, str]:
        """What a reader gets, and what the admin."""
        if known is not None and known.sent_at is not None:
            return f"No answer came from {box} by {by}.", f"nothing came from {box} by {by}"
        rows = boxes.instances_of(self._node.ledger.database, attempt.id)
        stored = sum(row.status is SentStatus.STORED for row in rows)
        why = f": {known.error}" if known is not None and known.error else ""
        detail = f"{box} took {stored} of {len(rows) or 'all'} images by {by}{why}"
        return f"The images could not be sent to {box} by {by}.", detail

    def _take(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, came: Sequence[BoxAnswer], missing: tuple[str, ...]
    ) -> None:
        """Make a result of what came, and have it judged as that of any plugin."""
        seconds = (self._node.clock.now() - attempt.started_at).total_seconds()
        course = AttemptCourse(None, seconds)
        try:
            order = self._order(attempt, job, plugin, came, missing)
            accepted = answer.accept(self._reader, order, lambda: False)
            self._settler.answered(job, accepted, course)
        except InputChangedError as error:
            self._settler.cancelled(job, str(error))
        except (InputGoneError, DamagedError, FileNotFoundError) as error:
            self._settler.failed(job, AttemptFailure(AttemptFailureKind.INPUT, str(error)), None, course)
        except ExchangeError as error:
            self._settler.failed(job, AttemptFailure(AttemptFailureKind.CONTRACT, str(error)), None, course)
        self._preparing.remove(job)

    def _order(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, came: Sequence[BoxAnswer], missing: tuple[str, ...]
    ) -> AnswerToCheck:
        asked, key = self._preparing.asked(attempt, job, plugin)
        request, translation = inputs.as_sent(asked, key)
        self._preparing.remove(job)
        folder = self._preparing.folder(job)
        copies = folder.resolve() / exchange.OUT / object_files.FOLDER
        copies.mkdir(parents=True, mode=0o700)
        files = [self._copied(each, copies / f"{number:06}.dcm") for number, each in enumerate(came, start=1)]
        objects = tuple(ReturnedObject(file) for file in files)
        exchange.write_result(folder, Result(ResultStatus.FINDINGS, summary_of(came), objects=objects, quality=missing))
        results = self._node.store.results / job.id
        order = AnswerToCheck(folder, request, asked.request, translation, plugin.manifest, results)
        return replace(order, notes=notes_of(plugin, asked))

    def _copied(self, each: BoxAnswer, target: Path) -> Path:
        row = instances.by_receipt(self._node.ledger.database, each.receipt)
        if row is None:
            raise InputGoneError(f"receipt {each.receipt}: the ledger does not know it any more")
        intact.copy(self._node.store.find(each.receipt), target, row.digest, row.transfer_syntax_uid)
        return target


def use_of(plugin: SitePlugin) -> BoxUse:
    """How a plugin of kind dicom uses its box."""
    use = plugin.manifest.runtime.box
    assert use is not None, "kind dicom names one"
    return use


def missing_of(came: Sequence[BoxAnswer], use: BoxUse) -> tuple[AnswerKind, ...]:
    """The kinds that are expected and have not come."""
    kinds = {kind_of(each.sop_class_uid) for each in came}
    return tuple(each for each in use.expects if each not in kinds)


def summary_of(came: Sequence[BoxAnswer]) -> str:
    """As in `CADBOX returned 3 objects: 1 SR, 2 SC.`"""
    kinds = Counter(kind_of(each.sop_class_uid) for each in came)
    listed = ", ".join(f"{count} {kind.value.upper()}" for kind, count in sorted(kinds.items()))
    return f"{came[0].box} returned {len(came)} object{'' if len(came) == 1 else 's'}: {listed}."
