"""Received images on their way to a destination: one association a study, from the files as they were received.

The data set that leaves is the one that came, byte for byte. It is another only where the rule overwrites
attributes (`node.deliver.coercion`) or the destination refuses the transfer syntax (`node.deliver.transcoding`),
and then in a copy that is gone afterwards. Whose study it is, is not asked: it may not be there yet.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence

import structlog

from node.clock import Clock
from node.config.models import Destination
from node.deliver.archive import Archive, Kind, Sender
from node.deliver.policy import Answer, GiveUp, after
from node.deliver.preparing import MEMORY, Coercion, Order, fallbacks, prepare
from node.deliver.settling import is_it_there, settle, severity
from node.dimse.contexts import MAXIMUM_CONTEXTS
from node.dimse.scu import BusyError, RejectedError, UnreachableError
from node.dimse.status import Reading
from node.errors import NodeError, PermanentError, TransientError
from node.ledger import decisions, deliveries, forwards
from node.ledger.database import Database, Ledger
from node.ledger.deliveries import Delivery, DeliveryStatus
from node.ledger.forwards import Image
from node.processes import CallCancelledError, ChildError, Pool
from node.spool import Spool, read_arrival, sha256_of

log = structlog.get_logger(__name__)

BATCH = 1000
"""Images in one association: results that are due meanwhile wait no longer than these take."""
_PREPARE_SECONDS = 600.0
_STOPS = (Reading.RETRY, Reading.RETRY_SLOWLY, Reading.UNKNOWN)
"""Answers that are not about this image: the others of the association would be answered alike."""


class Forwarding:
    """The images of one destination; used by its outbox alone."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        archive: Archive,
        ledger: Ledger,
        spool: Spool,
        clock: Clock,
        ae_title: str,
    ) -> None:
        self.name = name
        self._destination = destination
        self._archive = archive
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._ae_title = ae_title
        self._children = Pool(1)
        self._copies = spool.outgoing / name
        self._swept = False

    def run_once(self) -> bool:
        """Send the images of one study that are due; whether it is worth asking again at once."""
        if not self._swept:  # not before the outbox that this one follows has ended: it may be sending one
            shutil.rmtree(self._copies, ignore_errors=True)  # copies of a node that died: they are made again
            self._swept = True
        due = forwards.next_images(self._ledger.database, self.name, self._clock.now(), BATCH)
        if not due:
            return False
        study = due[0].delivery.study_instance_uid
        batch, kinds = _within_one_association(due)
        try:
            with self._archive.connect(kinds) as sender:
                left = self._send_all(sender, batch)
        except (UnreachableError, BusyError, RejectedError) as error:
            log.warning("forward.unreachable", destination=self.name, error=str(error))
            self._put_off(forwards.due_since(self._ledger.database, self.name, self._clock.now()), error)
            return False
        except (TransientError, PermanentError) as error:
            log.warning("forward.not-now", destination=self.name, study=study, error=str(error))
            self._put_off([study], error)
            return True
        if left is not None:
            self._put_off([study], TransientError(left))
        return True

    def close(self) -> None:
        """End the process that prepares images."""
        self._children.close()

    def _put_off(self, studies: Iterable[str], error: NodeError) -> None:
        """None of what is due of these could be tried: it waits, or is given up, by the age of its oldest image."""
        answer = Answer(Reading.RETRY_SLOWLY if isinstance(error, PermanentError) else Reading.RETRY, str(error))
        now = self._clock.now()
        with self._ledger.transaction() as database:
            since = forwards.due_since(database, self.name, now)
            for study in studies:
                if study not in since:
                    continue
                step = after(0, since[study], answer, self._destination.retry, now)
                if isinstance(step, GiveUp):
                    forwards.give_up(database, now, study, self.name, step.reason)
                else:
                    forwards.put_off(database, now, study, self.name, step.at, answer.text, severity(answer))

    # --- sending ----------------------------------------------------------------------------------

    def _send_all(self, sender: Sender, batch: Sequence[Image]) -> str | None:
        """Send them in their order; why the rest has to wait, where it has to.

        One transaction writes what became of an image and that the next one begins: so after a crash at most
        one is sent that was there already, under the same UID.
        """
        answered: tuple[Delivery, Answer] | None = None
        for image in batch:
            ready = self._prepare(sender, image)
            begun = self._write_down(answered, image.delivery, ready if isinstance(ready, Answer) else None)
            answered = None
            if begun is not None and isinstance(ready, Order):
                answer = self._send(sender, image, ready)
                answered = begun, answer
                if not sender.is_open or answer.reading in _STOPS:
                    self._write_down(answered)
                    return answer.text
        if answered is not None:
            self._write_down(answered)
        return None

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
        settle(database, now, delivery, answer, self._destination.retry)
        forwards.record_if_done(database, now, delivery.study_instance_uid, self.name)

    def _send(self, sender: Sender, image: Image, ready: Order) -> Answer:
        try:
            answer = sender.store(ready.target)
        finally:
            if ready.target != ready.source:
                ready.target.unlink(missing_ok=True)
        if answer.reading is Reading.ASK:
            answer = is_it_there(self._archive, image.delivery, image.series_instance_uid, answer)
        if answer.reading is not Reading.STORED:
            log.info("forward.answer", destination=self.name, delivery=image.delivery.id, answer=answer.text)
        return answer

    # --- the file ---------------------------------------------------------------------------------

    def _prepare(self, sender: Sender, image: Image) -> Order | Answer:
        """The file to send (its `target`), or why there is none; the received one, where nothing has to change."""
        delivery = image.delivery
        syntax = _acceptable(sender, image)
        if syntax is None:
            told = f"{self.name} accepts no {delivery.sop_class_uid} in transfer syntax {image.transfer_syntax_uid}"
            others = fallbacks(delivery.sop_class_uid, image.transfer_syntax_uid)
            more = ", nor in one that it could be brought into without loss" if others else (
                ", and it cannot be brought into another one without loss"
            )  # fmt: skip
            return Answer(Reading.CONTEXT_REFUSED, told + more)
        try:
            source = self._spool.find(delivery.receipt or "")
            if sha256_of(source, read_arrival(source)[1]) != image.digest:
                return Answer(Reading.DEAD_LETTER, f"{source.name} is not what was received (its SHA-256 differs)")
        except OSError as error:
            return Answer(Reading.DEAD_LETTER, f"{delivery.receipt}: the image cannot be read: {error}")
        except ValueError as error:
            return Answer(Reading.DEAD_LETTER, str(error))
        changed = syntax != image.transfer_syntax_uid
        if not changed and not delivery.coerce:
            return Order(source, source)
        target = self._copies / f"{delivery.id}.dcm"
        return self._carry_out(Order(source, target, self._coercion(image), syntax if changed else None))

    def _coercion(self, image: Image) -> Coercion | None:
        delivery = image.delivery
        if not delivery.coerce or delivery.decision is None:
            return None
        decided = decisions.get(self._ledger.database, delivery.decision)
        return Coercion(delivery.coerce, decided.decided_at, self._ae_title, image.calling_ae_title)

    def _carry_out(self, order: Order) -> Order | Answer:
        """Make the copy, in a child process: what a stranger sent is parsed and decoded there."""
        self._copies.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._children.call(prepare, order, deadline=_PREPARE_SECONDS, memory=MEMORY)
        except PermanentError as error:
            return Answer(Reading.DEAD_LETTER, str(error))
        except TransientError as error:
            return Answer(Reading.RETRY, str(error))
        except CallCancelledError:
            return Answer(Reading.RETRY, "the node is stopping")
        except ChildError as error:
            return Answer(Reading.RETRY_FEW, f"{order.source.name}: the process that changes it died of it ({error})")
        return order


def _within_one_association(due: Sequence[Image]) -> tuple[list[Image], set[Kind]]:
    """As many of them, in their order, as their kinds and what these could be brought into fit into an association."""
    kinds: set[Kind] = set()
    batch = []
    for image in due:
        sop_class = image.delivery.sop_class_uid
        more = {(sop_class, image.transfer_syntax_uid)}
        more |= {(sop_class, syntax) for syntax in fallbacks(sop_class, image.transfer_syntax_uid)}
        if len(kinds | more) > MAXIMUM_CONTEXTS:
            break
        kinds |= more
        batch.append(image)
    return batch, kinds


def _still_waits(database: Database, delivery: Delivery) -> bool:
    """False where somebody held, cancelled or replaced it since it was read."""
    now = deliveries.get(database, delivery.id)
    return now.status is DeliveryStatus.WAITING and now.receipt == delivery.receipt


def _acceptable(sender: Sender, image: Image) -> str | None:
    """Its own transfer syntax, else the first one that it can be brought into and the destination takes."""
    sop_class, own = image.delivery.sop_class_uid, image.transfer_syntax_uid
    return next((each for each in (own, *fallbacks(sop_class, own)) if sender.accepts(sop_class, each)), None)
