"""The results of a study on their way to a destination: are they sound, whose are they, send them in their order.

What got no answer, or was tried twice in vain, goes when nothing else is due, on a connection of its own: it keeps
nothing else back (`node.ledger.silences`, `node.deliver.policy.Patience`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog
from pydicom import dcmread

from node.config.destinations import Destination
from node.deliver import adopting, identity
from node.deliver.contact import Contact, DestinationFailure
from node.deliver.copies import Copies
from node.deliver.earlier_results import EarlierResultsCheck
from node.deliver.identity import IdentityVerdict
from node.deliver.policy import SLOW, TROUBLES, Answer, Patience
from node.deliver.preparing import FileToSend
from node.deliver.refusal import REFUSALS, kinds_with_fallbacks, settle_refusal
from node.deliver.settling import OPEN, STAGE, is_it_there, item_of, settle
from node.deliver.ways.archive import Archive, Kind, NotAdmittedError, NotReachedError, Sender
from node.dicom.part10 import kind_of
from node.dicom.transcoding import acceptable
from node.dicom.values import value_text
from node.errors import NodeError, PermanentError, TransientError, is_of_the_machine
from node.items import Item, Items
from node.ledger import deliveries, identities, objects
from node.ledger.database import Database
from node.ledger.delivery import Delivery
from node.ledger.event_kinds import Severity
from node.ledger.identities import IdentityStatus
from node.outcome import AnswerReading
from node.stage import Node
from node.store.durable import sha256_of
from node.wake import Stage

log = structlog.get_logger(__name__)

_SAID = (AnswerReading.RETRY, AnswerReading.RETRY_SLOWLY)
"""Answers that take no time: the other results of a set are few, and each gets its own record."""
_UNFORESEEN: Answer | None = Answer(AnswerReading.UNKNOWN, "unforeseen")
"""Instead of an answer: the object is settled, and what the peer says next may be about it."""
_LATE = timedelta(minutes=1)
"""By which a question may come after its pause: as much of the time counts."""
_MOST_REFUSING = 5
"""Studies in a row of which everything was refused for now: then the destination takes nothing at all."""


class ResultSender:
    """Sends results, for one thread."""

    def __init__(self, name: str, node: Node, copies: Copies) -> None:
        self.name = name
        self._ledger = node.ledger
        self._data = node.store.data
        self._clock = node.clock
        self._wakes = node.wakes
        self._items = Items(STAGE, node)
        self._copies = copies
        self._earlier_results = EarlierResultsCheck(name, node)
        self._refusing, self._refusal = 0, ""
        self._question: Callable[[], None] | None = None
        self.begin()

    def begin(self) -> None:
        """A run begins."""
        self._patience = self._patience_to_ask = Patience()

    def deliver_by(self, destination: Destination, archive: Archive) -> None:
        """From now on: how the destination is treated, and the way to it."""
        self._destination, self._archive = destination, archive

    def send(self, study: str, due: Sequence[Delivery], contact: Contact) -> DestinationFailure | None:
        """Send these of one study; an unexpected exception costs these alone.

        Returns why it ended where that is about the destination as a whole: what is left of them is as it was.
        """
        item = self._item_of_study(study, due)
        return self._items.handle(item, partial(self._deliver, study, list(due), contact), otherwise=None)

    def send_alone(self, delivery: Delivery, contact: Contact, patience: Patience) -> DestinationFailure | None:
        """As `send`, of one that was set aside: what becomes of it says nothing about the others."""
        own = self._patience, self._patience_to_ask
        self._patience, self._patience_to_ask = patience, Patience()
        try:
            return self.send(delivery.study_instance_uid, [delivery], contact)
        finally:
            self._patience, self._patience_to_ask = own

    def put_off(self, those: Sequence[Delivery], error: NodeError) -> None:
        """None of these could be tried; each waits, or is given up, by its own age."""
        answer = Answer(
            AnswerReading.RETRY_SLOWLY if isinstance(error, PermanentError) else AnswerReading.RETRY, str(error)
        )
        now = self._clock.now()

        def wait(database: Database, delivery: Delivery) -> None:
            if deliveries.is_waiting(database, delivery.id):
                settle(database, now, delivery, answer, self._destination)

        self._ledger.settle_each(those, wait)

    def _item_of_study(self, study: str, due: Sequence[Delivery]) -> Item:
        """What concerns all that is due of a study: the question whose it is, the connection."""

        def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
            for delivery in _open(database, due):
                deliveries.wait(database, now, delivery.id, again, why, severity=Severity.INFO)

        def give_up(database: Database, now: datetime, why: str) -> None:
            for delivery in _open(database, due):
                deliveries.dead(database, now, delivery.id, why)

        return Item(f"study:{study} to {self.name}", study, put_off=put_off, give_up=give_up)

    def _deliver(self, study: str, due: list[Delivery], contact: Contact) -> DestinationFailure | None:
        sound = [
            each
            for each in due
            if self._items.handle(item_of(each), partial(self._is_sound, each), otherwise=False, last=False)
        ]
        current = adopting.set_aside(self._ledger, self._clock.now(), sound)
        if len(current) < len(sound):
            self._wakes.wake(Stage.RESULTS)
        if not current:
            return None
        sound = current
        try:
            if self._identity_agrees(study, sound, contact):
                certain = self._earlier_results.to_send(self._archive, self._destination, study, sound)
                return self._send_on_connections(certain, contact)
        except (NotReachedError, NotAdmittedError) as error:
            return DestinationFailure(error)
        except (TransientError, PermanentError) as error:  # an answer about this study: the others may fare better
            log.warning("deliver.not-now", destination=self.name, study=study, error=str(error))
            self.put_off(sound, error)
        return None

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

    def _identity_agrees(self, study: str, due: list[Delivery], contact: Contact) -> bool:
        if self._destination.identity_check == "none":
            return True
        header = dcmread(self._data / due[0].file, stop_before_pixels=True, specific_tags=list(adopting.KEYWORDS))
        ours = {keyword: value_text(header.get(keyword)) for keyword in adopting.KEYWORDS}
        verdict, text, silent = self._ask(study, ours, contact)
        now = self._clock.now()
        with self._ledger.transaction() as database:
            before = identities.get(database, study, self.name)
            longest = self._pause(before.waited, silent=True) + _LATE if before is not None else timedelta()
            step = adopting.answered(database, now, study, self.name, self._destination, verdict, longest)
            known = step.known
            overdue = known.waited >= self._destination.wait_for_study
            if verdict.status is IdentityStatus.ABSENT and overdue and not known.alerted:
                identities.alerted(database, now, study, self.name, text)
        again = now + self._pause(known.waited, silent=silent)

        def stop(database: Database, delivery: Delivery) -> None:
            if not deliveries.is_waiting(database, delivery.id):
                return
            if verdict.status is IdentityStatus.DIFFERS and step.until is None:
                deliveries.hold(database, now, delivery.id, step.why)
            elif step.until is not None:
                deliveries.wait(database, now, delivery.id, step.until, step.why, severity=Severity.INFO)
            else:
                deliveries.wait(database, now, delivery.id, again, text, severity=Severity.INFO)

        if verdict.status is not IdentityStatus.AGREES:
            self._ledger.settle_each(due, stop)
        if step.adopted:
            self._wakes.wake(Stage.RESULTS)
        return verdict.status is IdentityStatus.AGREES

    def _pause(self, age: timedelta, *, silent: bool) -> timedelta:
        """Until the destination is asked again; seldom where it keeps silent about this study, as that takes time."""
        pause = self._destination.retry.pause(age)
        return max(pause, SLOW) if silent and age >= SLOW else pause

    def _ask(self, study: str, ours: Mapping[str, str], contact: Contact) -> tuple[IdentityVerdict, str, bool]:
        """What the destination says of the study, in words why that is not enough, and whether it said nothing."""
        try:
            answers = self._archive.find_study(study, adopting.KEYWORDS)
        except NotReachedError:
            raise
        except TransientError as error:  # it answers, but not this: a person is notified where that continues
            self._patience_to_ask.note(Answer(AnswerReading.UNKNOWN, str(error)))
            if self._patience_to_ask.ends_destination or contact.asks_in_vain:
                contact.question_unanswered(error)
            return IdentityVerdict(IdentityStatus.ABSENT), str(error), True
        contact.question_answered()
        self._patience_to_ask = Patience()
        return identity.compare(ours, answers), f"{self.name} does not have the study yet", False

    # --- sending ----------------------------------------------------------------------------------

    def _send_on_connections(self, due: list[Delivery], contact: Contact) -> DestinationFailure | None:
        """Send them in their order; a connection that died is opened again for the others.

        Raises as `Archive.connect` does.
        """
        left = due
        while left:
            self._question = None
            with self._archive.connect(kinds_with_fallbacks(self._data / each.file for each in left)) as sender:
                rest, why = self._send_all(sender, left, contact)
            if self._question is not None:  # after the connection: some archives allow one at a time
                self._question()
            if len(rest) == len(left):
                return DestinationFailure(
                    NotReachedError(f"{self.name} breaks off connections before anything can be sent"), True
                )
            if why and (self._patience.ends_destination or contact.is_probing):
                return DestinationFailure(NotReachedError(why), True)
            if why and self._patience.ends_study:
                self.put_off(rest, TransientError(why))
                return None
            left = rest
        if self._refusing >= _MOST_REFUSING:
            self._refusing = 0
            return DestinationFailure(NotReachedError(self._refusal), True)
        return None

    def _send_all(self, sender: Sender, due: list[Delivery], contact: Contact) -> tuple[list[Delivery], str]:
        """Send them on this connection as far as it goes; those that were not tried, and what was in the way."""
        why = ""
        refused, stored = False, False
        for number, delivery in enumerate(due):
            if not sender.is_open or (why and (self._patience.ends_study or contact.is_probing)):
                return due[number:], why
            answer = self._items.handle(item_of(delivery), partial(self._send, sender, delivery, contact), _UNFORESEEN)
            if answer is _UNFORESEEN or self._question is not None:
                return due[number + 1 :], ""
            why = ""
            if answer is None:
                continue
            if answer.reading in _SAID:
                refused, self._refusal = True, answer.text
                why = answer.text if contact.is_probing else ""
            else:
                self._patience.note(answer)
                why = answer.text if answer.reading is AnswerReading.UNKNOWN else ""
                stored |= answer.reading not in TROUBLES
        self._refusing = self._refusing + 1 if refused and not stored else 0
        return [], why

    def _send(self, sender: Sender, delivery: Delivery, contact: Contact) -> Answer | None:
        """One object, each step in a transaction of its own: a crash between them sends the same UID again.

        The answer; None where it was held or stopped since it was read.
        """
        with self._ledger.transaction() as database:
            if not deliveries.is_waiting(database, delivery.id):
                return None
            delivery = deliveries.sending(database, self._clock.now(), delivery.id)
        own = kind_of(self._data / delivery.file)
        answer = self._store(sender, delivery, own)
        contact.object_answered(answer)
        if answer.reading is AnswerReading.ASK:
            self._question = partial(self._settle_asked, delivery, answer)
            return answer
        log.info("deliver.answer", destination=self.name, delivery=delivery.id, job=delivery.job, answer=answer.text)
        with self._ledger.transaction() as database:
            if answer.reading in REFUSALS:
                settle_refusal(database, self._clock.now(), delivery, answer, sender, own[1])
            else:
                settle(database, self._clock.now(), delivery, answer, self._destination)
        if answer.reading in REFUSALS:
            self._wakes.wake(Stage.RESULTS)  # a report is re-encoded in another class
        return answer

    def _settle_asked(self, delivery: Delivery, answer: Answer) -> None:
        """It says that it has the object already: whether it does decides."""
        made = objects.get(self._ledger.database, delivery.item)
        answer = is_it_there(self._archive, delivery, made.series_instance_uid if made else "", answer)
        log.info("deliver.answer", destination=self.name, delivery=delivery.id, job=delivery.job, answer=answer.text)
        with self._ledger.transaction() as database:
            settle(database, self._clock.now(), delivery, answer, self._destination)

    def _store(self, sender: Sender, delivery: Delivery, own: Kind) -> Answer:
        """Send the file; where the destination does not take its transfer syntax, a copy in one that it takes."""
        file = self._data / delivery.file
        syntax = acceptable(sender.accepts, own)
        if syntax in (None, own[1]):  # refused in whatever form: the way says so in its words
            return sender.store(file)
        ready = self._copies.make(FileToSend(file, self._copies.target(delivery.id), transfer_syntax=syntax))
        if isinstance(ready, Answer):
            return ready
        try:
            return sender.store(ready.target)
        finally:
            self._copies.discard(ready)


def _open(database: Database, due: Iterable[Delivery]) -> list[Delivery]:
    """Those that wait or are found being sent."""
    return [each for each in due if deliveries.get(database, each.id).status in OPEN]
