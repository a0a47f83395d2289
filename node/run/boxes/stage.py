"""The stage of one box: sends it what jobs give it, finds what its answers belong to, ends attempts.

    starting ──laid out, sent──► running ──complete answer──► answered
        └──────────┴── deadline, refused ──► failed

How attempts are looked at, `node.run.elsewhere.stage` says.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from node.config.models import Configuration
from node.dimse import scu
from node.errors import NodeError, PermanentError, TransientError
from node.items import Item
from node.ledger import attempts, box_answers, box_doubts, boxes, contacts, events, jobs, studies
from node.ledger.attempts import Attempt, AttemptFailureKind, AttemptState
from node.ledger.box_answers import BoxAnswer
from node.ledger.box_doubts import BoxDoubtAnswer
from node.ledger.boxes import BoxAttempt
from node.ledger.connection import Database
from node.ledger.contacts import ContactKind
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job
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
from node.run.elsewhere.stage import StageElsewhere, pause_after
from node.stage import Node
from node.wake import Stage

_LOOK = timedelta(seconds=5)
"""Between two looks at an attempt of which something has come."""
_LOOK_ABROAD = timedelta(seconds=15)
"""Between two questions to the archive where an answer goes."""
_SOON = timedelta(seconds=0.5)
"""Until the next look at an attempt whose time is over while something that came is still to be indexed."""
_A_WHILE = timedelta(minutes=5)
"""Until the next look at an attempt that waits for a person."""
_AS_SENT = BoxDoubtAnswer.TAKEN_AS_SENT
_INDEXING_SECONDS = 120.0
"""How long an attempt whose time is over waits for what has come to be indexed."""
log = structlog.get_logger(__name__)


class BoxStage(StageElsewhere):
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
        super().__init__(name, node, Stage.BOX, boxes.place_of(name), plugins_of)
        self._over_since: dict[str, float] = {}
        """Attempts whose time is over, and since when, on the monotonic clock."""
        self._abroad = Abroad(node, name, archive_of)
        self._preparing = BoxInputs(node, self._settler, self._reader, name, self._abroad)
        self._completing = AnswerTaker(node, self._settler, self._reader, self._preparing)
        self._fetching = ArchiveWait(node, self._abroad, self._completing)
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Call the box as it says, from the next attempt on."""
        super().use(configuration)
        self._box = configuration.boxes[self._name]
        self._ae_title = configuration.node.ae_title
        self._abroad.use(configuration)

    def _take_in(self) -> None:
        """What came from the box since the last look."""
        self._preparing.begin()
        for each in box_answers.new(self._node.ledger.database, self._name):
            self._items.handle(Item(f"answer:{each.receipt}"), partial(self._find_attempt, each), None)

    # --- attempts ---------------------------------------------------------------------------------

    def _look_at(self, attempt: Attempt, job: Job, plugin: SitePlugin) -> None:
        known = boxes.get(self._node.ledger.database, attempt.id)
        if self._is_over(attempt) and self._answer_may_wait(attempt):
            self._look_again(attempt, _SOON)
        elif self._is_over(attempt):
            ending = self._fetching if self._abroad.is_used else self._completing
            ending.at_deadline(attempt, job, plugin, known, self._name, self._zone)
        elif known is None or known.sent_at is None:
            doubt = box_doubts.get(self._node.ledger.database, job.id)
            if doubt is not None and doubt.answer is None:
                self._look_again(attempt, _A_WHILE)
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
        self._look_again(attempt, pause_after(known.tries))

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

    def _answer_may_wait(self, attempt: Attempt) -> bool:
        """Whether something that has come is still to be indexed: receivers take answers while the node starts again.

        For some time only: what cannot be indexed ends no wait.
        """
        now = self._node.clock.monotonic()
        since = self._over_since.setdefault(attempt.id, now)
        return now - since < _INDEXING_SECONDS and bool(self._node.store.waiting())

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

    def _ask_whether_there(self) -> None:
        """By C-ECHO."""
        peer, error = peer_of(self._box, self._ae_title), None
        try:
            scu.echo(peer)
        except NodeError as problem:
            error = str(problem)
        with self._node.ledger.transaction() as database:
            contacts.asked(database, self._node.clock.now(), ContactKind.BOX, self._name, error)
