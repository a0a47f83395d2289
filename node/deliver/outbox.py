"""One destination's outbox: what is due, whose it is, send it, write down what came of it.

Results first; then received images that a rule forwards, one connection's worth, and from the beginning. What
got no answer, or was tried twice in vain, goes when nothing else is due, on a connection of its own: it keeps
nothing else back (`node.ledger.silences`, `node.deliver.policy.Patience`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial

import structlog
from pydicom import dcmread

from node.config.models import Configuration
from node.deliver import identity
from node.deliver.copies import Copies, acceptable
from node.deliver.earlier_results import EarlierResultsCheck
from node.deliver.forwarding import ImageForwarder
from node.deliver.identity import IdentityVerdict
from node.deliver.policy import SLOW, Answer, Patience
from node.deliver.preparing import FileToSend
from node.deliver.refusal import REFUSALS, kinds_with_fallbacks, settle_refusal
from node.deliver.settling import OPEN, STAGE, is_it_there, item_of, settle
from node.deliver.ways import registry
from node.deliver.ways.archive import Kind, NotAdmittedError, NotReachedError, Sender
from node.deliver.ways.registry import ArchiveOf
from node.dicom.part10 import kind_of
from node.dicom.values import value_text
from node.errors import NodeError, PermanentError, TransientError, is_of_the_machine
from node.items import Item, Items
from node.ledger import deliveries, identities, late, objects, pauses, silences, turns
from node.ledger.clock_changes import DueTimes
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import Severity
from node.ledger.identities import IdentityStatus
from node.ledger.pauses import Pausable
from node.outcome import AnswerReading
from node.stage import Node, NodeStage
from node.store.durable import sha256_of
from node.wake import Stage

log = structlog.get_logger(__name__)

_IDLE = timedelta(minutes=1)
_SAID = (AnswerReading.RETRY, AnswerReading.RETRY_SLOWLY)
"""Answers that take no time: the other results of a set are few, and each gets its own record."""
_AT_A_TIME = 10
"""Results that are looked at for whose turn is next."""
_OVERDUE = timedelta(minutes=5)
"""After this long what was set aside is tried although other images are still due."""
_LEAST_SECONDS = 0.5
"""Between two runs: what is due by then has become so while this one ran."""
_UNFORESEEN: Answer | None = Answer(AnswerReading.UNKNOWN, "unforeseen")
"""Instead of an answer: the object is settled, and what the peer says next may be about it."""


class Outbox(NodeStage):
    """Delivers to one destination; one thread calls `run_once`."""

    def __init__(
        self, name: str, node: Node, configuration: Configuration, archive_of: ArchiveOf = registry.archive_of
    ) -> None:
        self.name = name
        self._ledger = node.ledger
        self._data = node.store.data
        self._clock = node.clock
        self._wakes = node.wakes
        self._archive_of = archive_of
        self._patience = self._patience_to_ask = Patience()
        self._patience_for_set_aside = Patience()
        self._items = Items(STAGE, node)
        self._due_times = DueTimes(node.ledger, node.clock, "deliveries", name)
        self._copies = Copies(node.store.outgoing / name)
        self._swept = False
        self._earlier_results = EarlierResultsCheck(name, node)
        self._forwarding = ImageForwarder(name, node, self._copies)
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Deliver to this destination as it says, from the next run on: an association under way is finished."""
        destination, title = configuration.destinations[self.name], configuration.node.ae_title
        self._next = destination, self._archive_of(destination, title), title

    def run_once(self) -> float:
        """Send what is due; seconds until something may be due again."""
        if not self._swept:  # not before the outbox that this one follows has ended: it may be sending one
            self._copies.sweep()
            self._swept = True
        self._destination, self._archive, title = self._next
        self._forwarding.deliver_by(self._destination, self._archive, title)
        with self._ledger.transaction() as database:
            deliveries.interrupted(database, self._clock.now(), self.name)
        self._due_times.keep()
        doubtful = self._settle_late()
        if pauses.get(self._ledger.database, Pausable.DESTINATION, self.name) is not None:
            return _IDLE.total_seconds()
        reached = self._send_results(doubtful)
        more = self._forwarding.run_once()
        if reached and self._send_set_aside(self._clock.now() - (_OVERDUE if more else timedelta()), doubtful):
            return 0.0
        if more:
            return 0.0
        next_at = turns.next_due_at(self._ledger.database, self.name)
        wait = _IDLE if next_at is None else min(_IDLE, next_at - self._clock.now())
        return max(_LEAST_SECONDS, wait.total_seconds())

    def _settle_late(self) -> set[int]:
        """What has become too late while it waited; returns those of which that is not known now.

        They are not sent meanwhile, and are held in the end.
        """
        doubtful: set[int] = set()
        for found in late.expired(self._ledger.database, self._clock.now(), self.name):
            item = Item(
                f"expiry:{found.delivery}",
                found.study_instance_uid,
                found.job,
                found.delivery,
                give_up=partial(_hold, delivery_id=found.delivery),
            )
            if not self._items.handle(item, partial(self._settle_expired, found), otherwise=False):
                doubtful.add(found.delivery)
        return doubtful

    def _settle_expired(self, found: late.ExpiredDelivery) -> bool:
        with self._ledger.transaction() as database:
            if deliveries.get(database, found.delivery).status is DeliveryStatus.WAITING:
                late.settle(database, self._clock.now(), self.name, found)
        return True

    def _item_of_study(self, study: str, due: list[Delivery]) -> Item:
        """What concerns all that is due of a study: the question whose it is, the connection."""

        def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
            for delivery in _open(database, due):
                deliveries.wait(database, now, delivery.id, again, why, severity=Severity.INFO)

        def give_up(database: Database, now: datetime, why: str) -> None:
            for delivery in _open(database, due):
                deliveries.dead(database, now, delivery.id, why)

        return Item(f"study:{study} to {self.name}", study, put_off=put_off, give_up=give_up)

    def close(self) -> None:
        """End the process that makes copies in another form."""
        self._copies.close()

    def _send_results(self, doubtful: Container[int]) -> bool:
        """Send the results that are due, a study at a time; false where the destination could not be reached."""
        self._patience, self._patience_to_ask = Patience(), Patience()
        tried: set[str] = set()
        while studies := self._next_studies(tried):
            for study in studies:
                due = turns.due(self._ledger.database, self.name, self._clock.now(), study)
                those = [each for each in due if each.id not in doubtful]
                if those and not self._handle_study(study, those):
                    return False
            tried.update(studies)
        return True

    def _next_studies(self, tried: Container[str]) -> list[str]:
        """The few whose turn is next and that were not tried in this run; empty where there are no more.

        A few only, and read again after them: what is urgent and came meanwhile waits for no others.
        """
        for absent in (False, True):
            limit = _AT_A_TIME
            while True:
                now = self._clock.now()
                found = turns.studies_due(self._ledger.database, self.name, now, limit, absent=absent)
                if fresh := [each for each in found.studies if each not in tried]:
                    return fresh
                if found.results < limit:
                    break
                limit *= 2  # those that were tried are still due: their time is kept elsewhere
        return []

    def _handle_study(self, study: str, those: list[Delivery]) -> bool:
        """Like `_deliver_study`; an unexpected exception costs these alone."""
        item = self._item_of_study(study, those)
        return self._items.handle(item, partial(self._deliver_study, study, those), otherwise=True)

    def _send_set_aside(self, due_before: datetime, doubtful: Container[int]) -> bool:
        """Send the object that was set aside and waits longest, alone; false where none was due by then."""
        delivery = silences.set_aside(self._ledger.database, self.name, due_before)
        if delivery is None or delivery.id in doubtful:
            return False
        patience = self._patience_for_set_aside
        if delivery.is_image:
            self._forwarding.send_alone(delivery, patience)
        else:
            self._patience, self._patience_to_ask = patience, Patience()
            self._handle_study(delivery.study_instance_uid, [delivery])
        if patience.ends_study:
            patience.in_a_row = 0
            self._set_aside_waits(TransientError(f"{self.name} did not answer what was tried before it, either"))
        return True

    def _set_aside_waits(self, error: NodeError) -> None:
        """Two that were set aside got no answer in a row: the others may get none, and each takes time."""
        self._forwarding.put_off_set_aside(error)
        due = turns.due(self._ledger.database, self.name, self._clock.now(), set_aside=True)
        self._wait_together([each for each in due if each.attempts > 1 or each.unanswered], error)

    def _deliver_study(self, study: str, due: list[Delivery]) -> bool:
        """Deliver one study's objects; false where the destination could not be reached, or is down as a whole."""
        sound = [
            each
            for each in due
            if self._items.handle(item_of(each), partial(self._is_sound, each), otherwise=False, last=False)
        ]
        if not sound:
            return True
        try:
            if self._identity_agrees(study, sound):
                retry = self._destination.retry
                self._send_on_connections(self._earlier_results.to_send(self._archive, retry, study, sound))
        except (NotReachedError, NotAdmittedError) as error:
            log.warning("deliver.unreachable", destination=self.name, error=str(error))
            due = turns.due(self._ledger.database, self.name, self._clock.now(), set_aside=True)
            self._wait_together(due, error)
            return False
        except (TransientError, PermanentError) as error:  # an answer about this study: the others may fare better
            log.warning("deliver.not-now", destination=self.name, study=study, error=str(error))
            self._wait_together(sound, error)
        return True

    def _is_sound(self, delivery: Delivery) -> bool:
        """Whether the file is what was recorded; a damaged one is a dead letter, not a surprise for the PACS."""
        made = objects.get(self._ledger.database, delivery.item)
        try:
            damaged = made is not None and sha256_of(self._data / delivery.file) != made.digest
            reason = f"{delivery.file} is not the file that was made (its SHA-256 differs)" if damaged else ""
        except OSError as error:
            if is_of_the_machine(error):
                raise
            reason = f"{delivery.file} cannot be read: {error.strerror}"
        if reason:
            with self._ledger.transaction() as database:
                deliveries.dead(database, self._clock.now(), delivery.id, reason)
        return not reason

    # --- identity ---------------------------------------------------------------------------------

    def _identity_agrees(self, study: str, due: list[Delivery]) -> bool:
        if self._destination.identity_check == "none":
            return True
        header = dcmread(self._data / due[0].file, stop_before_pixels=True, specific_tags=list(identity.KEYWORDS))
        ours = {keyword: value_text(header.get(keyword)) for keyword in identity.KEYWORDS}
        verdict, text, silent = self._ask(study, ours)
        now = self._clock.now()
        with self._ledger.transaction() as database:
            known = identities.answered(database, now, study, self.name, verdict.status, verdict.detail)
            overdue = now - known.waiting_since >= self._destination.wait_for_study
            if verdict.status is IdentityStatus.ABSENT and overdue and not known.alerted:
                identities.alerted(database, now, study, self.name, text)
        again = now + self._pause(now - known.waiting_since, silent=silent)

        def stop(database: Database, delivery: Delivery) -> None:
            if not _still_waiting(database, [delivery]):
                return
            if verdict.status is IdentityStatus.DIFFERS:
                deliveries.hold(database, now, delivery.id, verdict.reason(self.name))
            else:
                deliveries.wait(database, now, delivery.id, again, text, severity=Severity.INFO)

        if verdict.status is not IdentityStatus.AGREES:
            self._ledger.settle_each(due, stop)
        if self._patience_to_ask.ends_destination:
            raise NotReachedError(text)
        return verdict.status is IdentityStatus.AGREES

    def _pause(self, age: timedelta, *, silent: bool) -> timedelta:
        """Until the destination is asked again; seldom where it keeps silent about this study, as that takes time."""
        pause = self._destination.retry.pause(age)
        return max(pause, SLOW) if silent and age >= SLOW else pause

    def _ask(self, study: str, ours: Mapping[str, str]) -> tuple[IdentityVerdict, str, bool]:
        """What the destination says of the study, in words why that is not enough, and whether it said nothing."""
        try:
            answers = self._archive.find_study(study, identity.KEYWORDS)
        except NotReachedError:
            raise
        except TransientError as error:  # it answers, but not this: a person is notified where that continues
            self._patience_to_ask.note(Answer(AnswerReading.UNKNOWN, str(error)))
            return IdentityVerdict(IdentityStatus.ABSENT), str(error), True
        self._patience_to_ask = Patience()
        return identity.compare(ours, answers), f"{self.name} does not have the study yet", False

    # --- sending ----------------------------------------------------------------------------------

    def _send_on_connections(self, due: list[Delivery]) -> None:
        """Send them in their order; a connection that died is opened again for the others.

        Raises as `Archive.connect` does; NotReachedError also where the destination answers nothing at all.
        """
        left = due
        while left:
            with self._archive.connect(kinds_with_fallbacks(self._data / each.file for each in left)) as sender:
                rest, why = self._send_all(sender, left)
            if len(rest) == len(left):
                raise NotReachedError(f"{self.name} breaks off connections before anything can be sent")
            if why and self._patience.ends_destination:
                raise NotReachedError(why)
            if why and self._patience.ends_study:
                self._wait_together(rest, TransientError(why))
                return
            left = rest

    def _send_all(self, sender: Sender, due: list[Delivery]) -> tuple[list[Delivery], str]:
        """Send them on this connection as far as it goes; those that were not tried, and what was in the way."""
        why = ""
        for number, delivery in enumerate(due):
            if not sender.is_open or (why and self._patience.ends_study):
                return due[number:], why
            answer = self._items.handle(item_of(delivery), partial(self._send, sender, delivery), _UNFORESEEN)
            if answer is _UNFORESEEN:
                return due[number + 1 :], ""
            why = ""
            if answer is not None and answer.reading not in _SAID:
                self._patience.note(answer)
                why = answer.text if answer.reading is AnswerReading.UNKNOWN else ""
        return [], why

    def _send(self, sender: Sender, delivery: Delivery) -> Answer | None:
        """One object, each step in a transaction of its own: a crash between them sends the same UID again.

        The answer; None where it was held or stopped since it was read.
        """
        with self._ledger.transaction() as database:
            if not _still_waiting(database, [delivery]):
                return None
            delivery = deliveries.sending(database, self._clock.now(), delivery.id)
        own = kind_of(self._data / delivery.file)
        answer = self._store(sender, delivery, own)
        if answer.reading is AnswerReading.ASK:
            made = objects.get(self._ledger.database, delivery.item)
            answer = is_it_there(self._archive, delivery, made.series_instance_uid if made else "", answer)
        log.info("deliver.answer", destination=self.name, delivery=delivery.id, job=delivery.job, answer=answer.text)
        with self._ledger.transaction() as database:
            if answer.reading in REFUSALS:
                settle_refusal(database, self._clock.now(), delivery, answer, sender, own[1])
            else:
                settle(database, self._clock.now(), delivery, answer, self._destination.retry)
        if answer.reading in REFUSALS:
            self._wakes.wake(Stage.RESULTS)  # a report is re-encoded in another class
        return answer

    def _store(self, sender: Sender, delivery: Delivery, own: Kind) -> Answer:
        """Send the file; where the destination does not take its transfer syntax, a copy in one that it takes."""
        file = self._data / delivery.file
        syntax = acceptable(sender, own)
        if syntax in (None, own[1]):  # refused in whatever form: the way says so in its words
            return sender.store(file)
        ready = self._copies.make(FileToSend(file, self._copies.target(delivery.id), transfer_syntax=syntax))
        if isinstance(ready, Answer):
            return ready
        try:
            return sender.store(ready.target)
        finally:
            self._copies.discard(ready)

    def _wait_together(self, those: list[Delivery], error: NodeError) -> None:
        """None of these could be tried; each waits, or is given up, by its own age."""
        answer = Answer(
            AnswerReading.RETRY_SLOWLY if isinstance(error, PermanentError) else AnswerReading.RETRY, str(error)
        )
        now = self._clock.now()

        def wait(database: Database, delivery: Delivery) -> None:
            if _still_waiting(database, [delivery]):
                settle(database, now, delivery, answer, self._destination.retry)

        self._ledger.settle_each(those, wait)


def _open(database: Database, due: Iterable[Delivery]) -> list[Delivery]:
    """Those that wait or are found being sent."""
    return [each for each in due if deliveries.get(database, each.id).status in OPEN]


def _hold(database: Database, now: datetime, why: str, delivery_id: int) -> None:
    deliveries.hold(database, now, delivery_id, f"whether it has become too late is not known: {why}")


def _still_waiting(database: Database, due: Iterable[Delivery]) -> list[Delivery]:
    """Those that nobody held, superseded or cancelled since they were read."""
    return [d for d in due if deliveries.get(database, d.id).status is DeliveryStatus.WAITING]
