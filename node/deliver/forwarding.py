"""Received images on their way to a destination: a study at a time, from the files as they were received.

An image to which no answer comes ends its connection, and nothing else: the others of the study go on another one.

The data set that leaves is the one that came, byte for byte. It is another only where the rule overwrites
attributes (`node.dicom.coercion`) or the destination refuses the transfer syntax (`node.dicom.transcoding`),
and then in a copy that is gone afterwards. Which patient the study belongs to is not asked: it may not be there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from node.config.destinations import Destination
from node.deliver.contact import Contact, DestinationFailure
from node.deliver.copies import Copies
from node.deliver.policy import TROUBLES, Answer, GiveUp, Patience, TryAgain, after
from node.deliver.preparing import Coercion, FileToSend, fallbacks
from node.deliver.settling import STAGE, is_it_there, is_rejection, item_of, settle
from node.deliver.ways.archive import MOST_KINDS, Archive, Kind, NotAdmittedError, NotReachedError, Sender
from node.dicom.transcoding import acceptable, with_fallbacks
from node.dicom.uids import named
from node.errors import NodeError, PermanentError, TransientError, is_of_the_machine
from node.items import Item, Items
from node.ledger import decisions, deliveries, forwards, forwards_due, hold_parts, image_turns
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import Severity
from node.ledger.forwards_due import DueImages
from node.ledger.image_turns import Image
from node.outcome import AnswerReading
from node.stage import Node
from node.store import intact
from node.store.intact import DamagedError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How the turn of a study's images ended."""

    progressed: bool = True
    """False where nothing that is due of the study can be sent in this run."""
    failure: DestinationFailure | None = None
    """Where that is about the destination as a whole: what is left of them is as it was."""


class ImageForwarder:
    """The images of one destination, for one thread."""

    def __init__(self, name: str, node: Node, copies: Copies) -> None:
        self.name = name
        self._ledger = node.ledger
        self._data_folder = node.store
        self._clock = node.clock
        self._items = Items(STAGE, node)
        self._copies = copies
        self._question: Callable[[], None] | None = None
        self._breaks_off = self._yielded = False
        self.begin()

    def deliver_by(self, destination: Destination, archive: Archive, ae_title: str) -> None:
        """From now on: how the destination is treated, the way to it, and our AE title."""
        self._destination, self._archive, self._ae_title = destination, archive, ae_title

    def send(self, due: Sequence[Image], contact: Contact) -> TurnEnd:
        """Send images of one study, as many as fit into one connection, in their order."""
        return self._send_study(due, contact, self._patience)

    def send_alone(self, delivery: Delivery, contact: Contact, patience: Patience) -> TurnEnd:
        """Send an image that was set aside, on a connection of its own."""
        return self._send_study([image_turns.image(self._ledger.database, delivery)], contact, patience)

    def begin(self) -> None:
        """A run begins."""
        self._patience = Patience()

    def put_off_set_aside(self, error: NodeError) -> None:
        """The images that were set aside wait."""
        self._put_off(error, set_aside=(True,))

    def _send_study(self, due: Sequence[Image], contact: Contact, patience: Patience) -> TurnEnd:
        """Send images of one study, on as many connections as that takes."""
        batch, kinds = _within_one_connection(due)
        study = batch[0].delivery.study_instance_uid
        item = Item(
            f"images:{study} to {self.name}",
            study,
            put_off=partial(self._later, study),
            give_up=partial(self._dead, study),
        )
        work = partial(self._send_batch, study, batch, kinds, contact, patience)
        return self._items.handle(item, work, otherwise=TurnEnd(progressed=False))

    def _send_batch(
        self, study: str, batch: Sequence[Image], kinds: set[Kind], contact: Contact, patience: Patience
    ) -> TurnEnd:
        try:
            left, why = self._send_on_connections(batch, kinds, contact, patience)
        except (NotReachedError, NotAdmittedError) as error:
            return TurnEnd(progressed=False, failure=DestinationFailure(error, stores_nothing=self._breaks_off))
        except (TransientError, PermanentError) as error:
            log.warning("deliver.forward-not-now", destination=self.name, study=study, error=str(error))
            self._put_off(error, study)
            return TurnEnd()
        if why and (patience.ends_destination or contact.is_probing):
            patience.in_a_row = 0
            log.warning("deliver.forward-no-answers", destination=self.name, error=why)
            return TurnEnd(progressed=False, failure=DestinationFailure(NotReachedError(why), stores_nothing=True))
        if left and why:
            self._put_off(TransientError(why), study, (False,))
        return TurnEnd()

    def _later(self, study: str, database: Database, now: datetime, again: datetime, why: str) -> bool:
        """Some of the study's images; whether others are left."""
        due, left = self._some(study, database, now)
        if due is not None:
            forwards_due.put_off(database, now, due, self.name, again, why, severity=Severity.INFO)
        return left

    def _dead(self, study: str, database: Database, now: datetime, why: str) -> bool:
        """As `_later`."""
        due, left = self._some(study, database, now)
        if due is not None:
            forwards_due.give_up(database, now, due, self.name, why)
        return left

    def _some(self, study: str, database: Database, now: datetime) -> tuple[DueImages | None, bool]:
        """Images of the study that one transaction changes; whether others are left after it."""
        deliveries.interrupted(database, now, self.name, study)
        due = forwards_due.all_due(database, self.name, now, study)
        return (due[0], len(due) > 1 or len(due[0].parts) > 1) if due else (None, False)

    def _put_off(self, error: NodeError, study: str | None = None, set_aside: Container[bool] = (False, True)) -> None:
        """None of what is due, of this study or of all, could be tried: it waits, or is given up, by its age."""
        answer = Answer(
            AnswerReading.RETRY_SLOWLY if isinstance(error, PermanentError) else AnswerReading.RETRY, str(error)
        )
        now = self._clock.now()
        for due in forwards_due.all_due(self._ledger.database, self.name, now, study):
            if due.set_aside not in set_aside:
                continue
            step = after(0, due.waited, answer, self._destination.retry, now)
            for _ in due.parts:
                with self._ledger.transaction() as database:
                    self._settle_due(database, now, due, answer, step)

    def _settle_due(
        self, database: Database, now: datetime, due: DueImages, answer: Answer, step: TryAgain | GiveUp
    ) -> None:
        if isinstance(step, GiveUp):
            forwards_due.give_up(database, now, due, self.name, step.reason)
        else:
            forwards_due.put_off(database, now, due, self.name, step.at, answer.text, rejected=is_rejection(answer))

    # --- sending ----------------------------------------------------------------------------------

    def _send_on_connections(
        self, batch: Sequence[Image], kinds: set[Kind], contact: Contact, patience: Patience
    ) -> tuple[Sequence[Image], str]:
        """Send them in their order; those that are left, and why. A connection that died is opened again.

        They are left without a reason where something more urgent is next.
        """
        left, why = batch, ""
        self._breaks_off = False
        while left:
            self._question = None
            with self._archive.connect(kinds) as sender:
                rest, why = self._send_all(sender, left, contact, patience)
            if self._question is not None:  # after the connection: some archives allow one at a time
                self._question()
            if self._yielded:
                return rest, ""
            if len(rest) == len(left):
                self._breaks_off = True
                raise NotReachedError(f"{self.name} breaks off connections before anything can be sent")
            left = rest
            if why and (patience.ends_study or contact.is_probing):
                break
        return left, why

    def _send_all(
        self, sender: Sender, batch: Sequence[Image], contact: Contact, patience: Patience
    ) -> tuple[Sequence[Image], str]:
        """Send them on this connection as far as it goes; those that were not tried, and what was in the way.

        One transaction writes what became of an image and that the next one begins: so after a crash at most
        one is sent that was there already, under the same UID.
        """
        answered: tuple[Delivery, Answer] | None = None
        why = ""
        self._yielded = False
        for number, image in enumerate(batch):
            self._yielded = sender.is_open and contact.must_yield()
            if self._yielded or not sender.is_open or (why and (patience.ends_study or contact.is_probing)):
                self._write_down(answered)
                return batch[number:], why
            item = item_of(image.delivery)
            ready = self._items.handle(item, partial(self._prepare, sender, image), None, last=False)
            if ready is None:
                continue
            begun = self._write_down(answered, image.delivery, ready if isinstance(ready, Answer) else None)
            answered = None
            if begun is None and isinstance(ready, FileToSend):
                self._copies.discard(ready)  # somebody held or cancelled it meanwhile
            elif begun is not None and isinstance(ready, FileToSend):
                answer = self._items.handle(item, partial(self._send, sender, image, ready), None)
                if answer is None:  # it waits; what the peer says next may be about it: the others need another one
                    return batch[number + 1 :], ""
                contact.object_answered(answer)
                if answer.reading is AnswerReading.ASK:
                    self._question = partial(self._settle_asked, begun, image, answer)
                    return batch[number + 1 :], ""
                answered = begun, answer
                patience.note(answer)
                why = answer.text if answer.reading in TROUBLES else ""
        self._write_down(answered)
        return [], why

    def _settle_asked(self, delivery: Delivery, image: Image, answer: Answer) -> None:
        """It says that it has the image already: whether it does decides."""
        self._write_down((delivery, is_it_there(self._archive, delivery, image.series_instance_uid, answer)))

    def _write_down(
        self, answered: tuple[Delivery, Answer] | None, next_one: Delivery | None = None, instead: Answer | None = None
    ) -> Delivery | None:
        """What became of one, and that the next one begins; or what is said of that one instead of sending it."""
        with self._ledger.transaction() as database:
            if answered is not None:
                self._settle(database, *answered)
            if next_one is None or not _still_waits(database, next_one):
                return None
            if instead is not None:
                self._settle(database, next_one, instead)
                return None
            return deliveries.sending(database, self._clock.now(), next_one.id)

    def _settle(self, database: Database, delivery: Delivery, answer: Answer) -> None:
        now = self._clock.now()
        settle(database, now, delivery, answer, self._destination)
        forwards.record_if_done(database, now, delivery.study_instance_uid, self.name)

    def _send(self, sender: Sender, image: Image, ready: FileToSend) -> Answer:
        try:
            answer = sender.store(ready.target)
        finally:
            self._copies.discard(ready)
        if answer.reading is not AnswerReading.STORED:
            log.info("deliver.forward-answer", destination=self.name, delivery=image.delivery.id, answer=answer.text)
        return answer

    # --- the file ---------------------------------------------------------------------------------

    def _prepare(self, sender: Sender, image: Image) -> FileToSend | Answer:
        """The file to send (its `target`), or why there is none; the received one, where nothing has to change."""
        delivery = image.delivery
        syntax = acceptable(sender.accepts, (delivery.sop_class_uid, image.transfer_syntax_uid))
        if syntax is None:
            asked = f"{named(delivery.sop_class_uid)} in transfer syntax {named(image.transfer_syntax_uid)}"
            told = f"{self.name} accepts no {asked}"
            others = fallbacks(delivery.sop_class_uid, image.transfer_syntax_uid)
            more = (
                ", nor in one that it could be brought into without loss"
                if others
                else (", and it cannot be brought into another one without loss")
            )
            return Answer(AnswerReading.KIND_REFUSED, told + more)
        try:
            source = self._data_folder.find(delivery.receipt or "")
            intact.verify(source, image.digest, image.transfer_syntax_uid)
        except OSError as error:
            if is_of_the_machine(error):
                raise
            return Answer(AnswerReading.DEAD_LETTER, f"{delivery.receipt}: the image cannot be read: {error}")
        except DamagedError as error:
            return Answer(AnswerReading.DEAD_LETTER, str(error))
        changed = syntax != image.transfer_syntax_uid
        if not changed and not delivery.coerce:
            return FileToSend(source, source)
        target = self._copies.target(delivery.id)
        return self._copies.make(FileToSend(source, target, self._coercion(image), syntax if changed else None))

    def _coercion(self, image: Image) -> Coercion | None:
        delivery = image.delivery
        if not delivery.coerce or delivery.decision is None:
            return None
        decided = decisions.get(self._ledger.database, delivery.decision)
        return Coercion(delivery.coerce, decided.decided_at, self._ae_title, image.calling_ae_title)


def _within_one_connection(due: Sequence[Image]) -> tuple[list[Image], set[Kind]]:
    """As many of them, in their order, as their kinds and what these could be brought into fit into a connection."""
    kinds: set[Kind] = set()
    batch = []
    for image in due:
        sop_class = image.delivery.sop_class_uid
        more = with_fallbacks((sop_class, image.transfer_syntax_uid))
        if len(kinds | more) > MOST_KINDS:
            break
        kinds |= more
        batch.append(image)
    return batch, kinds


def _still_waits(database: Database, delivery: Delivery) -> bool:
    """False where somebody held, cancelled or replaced it since it was read."""
    now = deliveries.get(database, delivery.id)
    still = now.status is DeliveryStatus.WAITING and now.receipt == delivery.receipt
    return still and not hold_parts.are_left(database, now.study_instance_uid)
