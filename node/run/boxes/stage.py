"""The stage of one box: sends it what jobs give it, finds what its answers belong to, ends attempts.

    starting ──laid out, sent──► running ──complete answer──► answered
        └──────────┴── deadline, refused ──► failed

Everything is a row before it is done: a node that died goes on where it was. An attempt waits without a thread and
without a slot of this machine; a box that hangs holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from node.clock import Jumps
from node.config.models import Configuration
from node.dimse import scu
from node.errors import NodeError, NotFoundError, PermanentError, TransientError
from node.items import Item, Items
from node.ledger import attempts, box_answers, box_doubts, boxes, events, jobs, studies
from node.ledger.attempts import Attempt, AttemptFailureKind, AttemptState
from node.ledger.box_answers import BoxAnswer
from node.ledger.box_doubts import BoxDoubtAnswer
from node.ledger.boxes import BoxAttempt
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobStatus
from node.processes.pool import CallCancelledError, ChildPool
from node.run.boxes import matching, reading, sending
from node.run.boxes.abroad import Abroad, ArchiveOf
from node.run.boxes.calling import peer_of
from node.run.boxes.completing import AnswerTaker
from node.run.boxes.fetching import ArchiveWait
from node.run.boxes.in_form import InForm
from node.run.boxes.matching import AnswerMatch, MatchKind, SentAttempt
from node.run.boxes.preparing import BoxInputs
from node.run.boxes.reading import AnswerUnreadableError
from node.run.catalogue import Catalogue, SitePlugin
from node.run.retry import AttemptFailure
from node.run.settle import Settler
from node.stage import Node, NodeStage
from node.wake import Stage

_IDLE = 30.0
_LOOK = timedelta(seconds=5)
"""Between two looks at an attempt of which something has come."""
_LOOK_ABROAD = timedelta(seconds=15)
"""Between two questions to the archive where an answer goes."""
_LEAST = 0.5
_AS_SENT = BoxDoubtAnswer.TAKEN_AS_SENT
_FIRST, _LONGEST = timedelta(seconds=5), timedelta(minutes=5)
"""Between two tries at a box that does not take what it is sent."""
_ECHO_SECONDS = 60.0
_INDEXING_SECONDS = 120.0
"""How long an attempt whose time is over waits for what has come to be indexed."""
log = structlog.get_logger(__name__)


class BoxStage(NodeStage):
    """The stage for one box; one thread calls `run_once`."""

    def __init__(
        self,
        name: str,
        node: Node,
        configuration: Configuration,
        plugins_of: Callable[[Configuration], Catalogue],
        archive_of: ArchiveOf,
    ) -> None:
        """`name` of the box, as the configuration calls it; `archive_of` makes what is asked of a destination."""
        self._name, self._node = name, node
        self._place = boxes.place_of(name)
        self._plugins_of = plugins_of
        self._settler = Settler(node)
        self._reader = ChildPool(1)
        self._items = Items(Stage.BOX, node)
        self._jumps = Jumps(node.clock)
        self._asked_at = float("-inf")
        self._is_closed = False
        self._over_since: dict[str, float] = {}
        """Attempts whose time is over, and since when, on the monotonic clock."""
        self._abroad = Abroad(node, name, archive_of)
        self._preparing = BoxInputs(node, self._settler, self._reader, name, self._abroad)
        self._completing = AnswerTaker(node, self._settler, self._reader, self._preparing)
        self._fetching = ArchiveWait(node, self._abroad, self._completing)
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Call the box as it says, from the next attempt on."""
        self._box = configuration.boxes[self._name]
        self._ae_title, self._zone = configuration.node.ae_title, configuration.node.zone
        self._catalogue = self._plugins_of(configuration)
        self._abroad.use(configuration)

    def close(self) -> None:
        """Send nothing more; what is under way is taken up by the next start."""
        self._is_closed = True
        self._reader.close()

    def run_once(self) -> float:
        """Do what is due; seconds until something may be due again."""
        self._keep_time()
        self._preparing.begin()
        try:
            for each in box_answers.new(self._node.ledger.database, self._name):
                self._items.handle(Item(f"answer:{each.receipt}"), partial(self._find_attempt, each), None)
            for attempt in attempts.open_at(self._node.ledger.database, self._place):
                if self._is_due(attempt) and not self._is_closed:
                    self._handle(attempt)
        except CallCancelledError:
            return _IDLE
        self._echo()
        return self._delay()

    def _keep_time(self) -> None:
        """A clock that was set neither ends an attempt nor prolongs it."""
        by = self._jumps.by()
        if by:
            with self._node.ledger.transaction() as database:
                attempts.clock_was_set(database, self._place, by)

    def _is_due(self, attempt: Attempt) -> bool:
        now = self._node.clock.now()
        return attempt.look_at is None or attempt.look_at <= now or self._is_over(attempt)

    def _is_over(self, attempt: Attempt) -> bool:
        return attempt.deadline_at is not None and attempt.deadline_at <= self._node.clock.now()

    def _answer_may_wait(self, attempt: Attempt) -> bool:
        """Whether something that has come is still to be indexed: receivers take answers while the node starts again.

        For some time only: what cannot be indexed ends no wait.
        """
        now = self._node.clock.monotonic()
        since = self._over_since.setdefault(attempt.id, now)
        return now - since < _INDEXING_SECONDS and bool(self._node.store.waiting())

    def _delay(self) -> float:
        now = self._node.clock.now()
        looks = [
            min(each.look_at or now, each.deadline_at or now)
            for each in attempts.open_at(self._node.ledger.database, self._place)
        ]
        return max(_LEAST, min([_IDLE, *((look - now).total_seconds() for look in looks)]))

    # --- attempts ---------------------------------------------------------------------------------

    def _handle(self, attempt: Attempt) -> None:
        """An unexpected exception costs this job: tried often enough, it ends as failed, and that is reported."""
        job, key = jobs.get(self._node.ledger.database, attempt.job), f"attempt:{attempt.id}"
        if self._items.is_parked(key):
            end = Item(f"{key} end", job.study_instance_uid, job.id)
            if self._items.handle(end, partial(self._settler.unforeseen, job), otherwise=False):
                self._items.handled([key])
            return
        self._items.handle(Item(key, job.study_instance_uid, job.id), partial(self._go_on, attempt, job), None)

    def _go_on(self, attempt: Attempt, job: Job) -> None:
        try:
            plugin = self._catalogue.find(job.plugin)
        except NotFoundError as error:
            self._fail(job, AttemptFailureKind.INPUT, str(error))
            return
        known = boxes.get(self._node.ledger.database, attempt.id)
        if self._is_over(attempt) and self._answer_may_wait(attempt):
            self._look_again(attempt, timedelta(seconds=_LEAST))
        elif self._is_over(attempt):
            ending = self._fetching if self._abroad.is_used else self._completing
            ending.at_deadline(attempt, job, plugin, known, self._name, self._zone)
        elif known is None or known.sent_at is None:
            doubt = box_doubts.get(self._node.ledger.database, job.id)
            if doubt is not None and doubt.answer is None:
                self._look_again(attempt, _LONGEST)
            else:
                self._send(attempt, job, plugin, known, has_them=bool(doubt and doubt.answer is _AS_SENT))
        elif self._abroad.is_used and boxes.instances_of(self._node.ledger.database, attempt.id):
            if not self._fetching.look(attempt, job, plugin, known):
                self._look_again(attempt, _LOOK_ABROAD)
        elif not self._completing.if_complete(attempt, job, plugin):
            self._look_again(attempt, _LOOK)

    def _send(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, known: BoxAttempt | None, *, has_them: bool
    ) -> None:
        """Send what the box does not have; `has_them`: a person says that it has all from before a restore."""
        peer = peer_of(self._box, self._ae_title, plugin.box.calling_ae_title if plugin.box else None)
        try:
            files = self._preparing.files(attempt, job, plugin, known, peer.calling_ae_title)
        except TransientError as error:  # the archive cannot be asked what it has before
            log.warning("run.archive-not-asked", job=job.id, error=str(error))
            self._look_again(attempt, _LOOK_ABROAD)
            return
        except PermanentError as error:
            self._fail(job, AttemptFailureKind.INPUT, str(error))
            return
        if files is None:  # it is settled: its images are not what they were
            return
        if has_them:
            self._sent(attempt, job, 0)
            return
        in_form, wanted = InForm(self._reader, self._preparing.folder(job)), partial(self._is_wanted, job)
        course = sending.send_rest(self._node.ledger, attempt.id, files, peer, wanted, in_form)
        if not self._is_wanted(job):
            self._preparing.remove(job)
        elif course.refused:
            told = f"{self._name} refuses {course.refused} of {len(files)} images"
            self._preparing.remove(job)
            self._fail(job, AttemptFailureKind.REFUSED, f"{told}: {course.why}")
        elif course.left:
            self._not_sent(attempt, course)
        else:
            self._sent(attempt, job, len(files))

    def _not_sent(self, attempt: Attempt, course: sending.SendingCourse) -> None:
        with self._node.ledger.transaction() as database:
            boxes.broke_off(database, attempt.id, course.why)
        known = boxes.get(self._node.ledger.database, attempt.id)
        assert known is not None, attempt.id
        self._look_again(attempt, min(_FIRST * 2 ** min(known.tries - 1, 10), _LONGEST))

    def _sent(self, attempt: Attempt, job: Job, images: int) -> None:
        with self._node.ledger.transaction() as database:
            now = self._node.clock.now()
            boxes.taken_as_sent(database, attempt.id)
            boxes.sent(database, now, attempt.id)
            attempts.running(database, now, attempt, job.study_instance_uid, self._name)
            study = job.study_instance_uid
            events.record(database, now, EventKind.BOX_SENT, study=study, job=job.id, box=self._name, instances=images)
        self._preparing.remove(job)
        self._look_again(attempt, _LOOK)

    def _is_wanted(self, job: Job) -> bool:
        """Whether somebody still waits for it, and the node is not being stopped."""
        return not self._is_closed and jobs.get(self._node.ledger.database, job.id).status is JobStatus.RUNNING

    def _look_again(self, attempt: Attempt, after: timedelta) -> None:
        with self._node.ledger.transaction() as database:
            attempts.look_again(database, attempt.id, self._node.clock.now() + after)

    def _fail(self, job: Job, kind: AttemptFailureKind, why: str) -> None:
        self._settler.failed(job, AttemptFailure(kind, why), None)

    # --- answers ----------------------------------------------------------------------------------

    def _find_attempt(self, each: BoxAnswer) -> None:
        found = self._match(each)
        with self._node.ledger.transaction() as database:
            now = self._node.clock.now()
            if found.kind is MatchKind.ECHO:
                box_answers.echoed(database, each)
            elif found.kind is MatchKind.UNWANTED:
                box_answers.dismissed(database, now, [each], events.NODE)
            elif found.kind is MatchKind.ANSWER and found.attempt is not None:
                self._take(database, now, each, found.attempt)
            else:
                study = self._study_of(found.attempt) or self._known(each.study_instance_uid)
                box_answers.not_matched(database, now, each, found.why, found.attempt, study)
        log.info("run.box-answer", box=self._name, kind=found.kind, attempt=found.attempt)

    def _take(self, database: Database, now: datetime, each: BoxAnswer, attempt: str) -> None:
        box_answers.matched(database, each, attempt)
        row = attempts.get(database, attempt)
        assert row is not None, attempt
        if row.state is AttemptState.RUNNING:
            attempts.look_again(database, attempt, now)
        study = self._study_of(attempt)
        events.record(database, now, EventKind.BOX_ANSWERED, study=study, job=row.job, box=self._name)

    def _known(self, study: str) -> str | None:
        """The UID, if there is such a study: a box that gets images as received knows it."""
        return study if studies.get(self._node.ledger.database, study) else None

    def _study_of(self, attempt: str | None) -> str | None:
        """The study, by its true UID, that an attempt is about."""
        row = attempts.get(self._node.ledger.database, attempt) if attempt else None
        return jobs.get(self._node.ledger.database, row.job).study_instance_uid if row else None

    def _match(self, each: BoxAnswer) -> AnswerMatch:
        database = self._node.ledger.database
        if boxes.attempts_sent(database, self._name, [each.sop_instance_uid]):
            return AnswerMatch(MatchKind.ECHO)
        if box_answers.same_uid(database, each):
            why = "another object of the box has the same SOP Instance UID and other content"
            return AnswerMatch(MatchKind.UNKNOWN, None, why)
        try:
            (header,) = reading.read(self._reader, [self._node.store.find(each.receipt)])
        except AnswerUnreadableError as error:
            return AnswerMatch(MatchKind.UNKNOWN, None, str(error))
        except FileNotFoundError:
            return AnswerMatch(MatchKind.UNKNOWN, None, "its file is missing")
        counts = boxes.attempts_sent(database, self._name, header.references)
        by_image = [self._sent_attempt(name, count) for name, count in counts.items()]
        by_image.sort(key=lambda found: counts[found.attempt], reverse=True)
        of_study = [
            self._sent_attempt(name) for name in boxes.of_sent_study(database, self._name, header.study_instance_uid)
        ]
        return matching.match(header, each.called_ae_title, by_image, of_study)

    def _sent_attempt(self, name: str, referenced: int = 0) -> SentAttempt:
        database = self._node.ledger.database
        row, sent = attempts.get(database, name), boxes.get(database, name)
        assert row is not None, name
        assert sent is not None, name
        cancelled = row.state is AttemptState.CANCELLED
        title, patient = sent.calling_ae_title, sent.sent_patient_id
        study = row.sent_study_uid or ""
        return SentAttempt(name, row.ended_at is None, cancelled, study, patient, title, referenced)

    # --- whether it answers -----------------------------------------------------------------------

    def _echo(self) -> None:
        """C-ECHO once a minute: `status` shows it, and a box that is down for long is an alert."""
        monotonic = self._node.clock.monotonic()
        if monotonic - self._asked_at < _ECHO_SECONDS or self._is_closed:
            return
        self._asked_at = monotonic
        peer, error = peer_of(self._box, self._ae_title), None
        try:
            scu.echo(peer)
        except NodeError as problem:
            error = str(problem)
        with self._node.ledger.transaction() as database:
            boxes.asked(database, self._node.clock.now(), self._name, error)
