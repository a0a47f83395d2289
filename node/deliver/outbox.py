"""One destination's outbox: what is due, whose it is, send it, write down what came of it.

Results first; then received images that a rule forwards, one association's worth, and from the beginning. What
got no answer, or was tried twice in vain, goes when nothing else is due, on an association of its own: it keeps
nothing else back (`node.ledger.silences`, `node.deliver.policy.Patience`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

import structlog
from pydicom import dcmread

from node.clock import Clock
from node.config.models import Destination
from node.deliver import identity
from node.deliver.forwarding import Forwarding
from node.deliver.identity import Verdict
from node.deliver.policy import SLOW, Answer, Patience
from node.deliver.refusal import REFUSALS, kinds_with_fallbacks, settle_refusal
from node.deliver.settling import OPEN, STAGE, is_it_there, item_of, settle
from node.deliver.ways.archive import Archive, Sender
from node.dimse.scu import BusyError, RejectedError, UnreachableError
from node.dimse.status import Reading
from node.dimse.storage_scu import kind_of
from node.errors import NodeError, PermanentError, TransientError, is_of_the_machine
from node.items import Item, Items
from node.ledger import deliveries, identities, late, objects, silences
from node.ledger.database import Database, Ledger
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import Severity
from node.ledger.identities import IdentityStatus
from node.store.durable import sha256_of
from node.store.layout import Spool
from node.wake import Stage, Wakes

log = structlog.get_logger(__name__)

_IDLE = timedelta(minutes=1)
_SAID = (Reading.RETRY, Reading.RETRY_SLOWLY)
"""Answers that take no time: the other results of a set are few, and each gets its own record."""
_OVERDUE = timedelta(minutes=5)
"""After this long what was set aside is tried although other images are still due."""
_LEAST_SECONDS = 0.5
"""Between two runs: what is due by then has become so while this one ran."""
_UNFORESEEN: Answer | None = Answer(Reading.UNKNOWN, "unforeseen")
"""Instead of an answer: the object is settled, and what the peer says next may be about it."""


class Outbox:
    """Delivers to one destination; not for use by two threads at once."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        archive: Archive,
        ledger: Ledger,
        spool: Spool,
        clock: Clock,
        wakes: Wakes,
        ae_title: str = "PACSNODE",
    ) -> None:
        self.name = name
        self._destination = destination
        self._archive = archive
        self._ledger = ledger
        self._data = spool.data
        self._clock = clock
        self._wakes = wakes
        self._patience = self._patience_to_ask = Patience()
        self._patience_for_set_aside = Patience()
        self._items = Items(STAGE, ledger, clock)
        self._forwarding = Forwarding(name, destination, archive, ledger, spool, clock, ae_title)

    def run_once(self) -> float:
        """Send what is due; seconds until something may be due again."""
        with self._ledger.transaction() as database:
            deliveries.interrupted(database, self._clock.now(), self.name)
        doubtful = self._settle_late()
        reached = self._send_results(doubtful)
        more = self._forwarding.run_once()
        if reached and self._send_set_aside(self._clock.now() - (_OVERDUE if more else timedelta()), doubtful):
            return 0.0
        if more:
            return 0.0
        next_at = deliveries.next_due_at(self._ledger.database, self.name)
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

    def _settle_expired(self, found: late.Expired) -> bool:
        with self._ledger.transaction() as database:
            if deliveries.get(database, found.delivery).status is DeliveryStatus.WAITING:
                late.settle(database, self._clock.now(), self.name, found)
        return True

    def _item_of_study(self, study: str, due: list[Delivery]) -> Item:
        """What concerns all that is due of a study: the question whose it is, the association."""

        def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
            for delivery in _open(database, due):
                deliveries.wait(database, now, delivery.id, again, why, severity=Severity.INFO)

        def give_up(database: Database, now: datetime, why: str) -> None:
            for delivery in _open(database, due):
                deliveries.dead(database, now, delivery.id, why)

        return Item(f"study:{study} to {self.name}", study, put_off=put_off, give_up=give_up)

    def close(self) -> None:
        """End the process that prepares images."""
        self._forwarding.close()

    def _send_results(self, doubtful: Container[int]) -> bool:
        """Send the results that are due, a study at a time; false where the destination could not be reached."""
        self._patience, self._patience_to_ask = Patience(), Patience()
        due = deliveries.due(self._ledger.database, self.name, self._clock.now())
        due = [each for each in due if each.id not in doubtful]
        for study, of_study in groupby(due, key=lambda delivery: delivery.study_instance_uid):
            if not self._handle_study(study, list(of_study)):
                return False
        return True

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
        if delivery.receipt is not None:
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
        due = deliveries.due(self._ledger.database, self.name, self._clock.now(), set_aside=True)
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
                self._send_on_associations(sound)
        except (UnreachableError, BusyError, RejectedError) as error:
            log.warning("deliver.unreachable", destination=self.name, error=str(error))
            due = deliveries.due(self._ledger.database, self.name, self._clock.now(), set_aside=True)
            self._wait_together(due, error)
            return False
        except (TransientError, PermanentError) as error:  # an answer about this study: the others may fare better
            log.warning("deliver.not-now", destination=self.name, study=study, error=str(error))
            self._wait_together(sound, error)
        return True

    def _is_sound(self, delivery: Delivery) -> bool:
        """Whether the file is what was recorded; a damaged one is a dead letter, not a surprise for the PACS."""
        made = objects.get(self._ledger.database, delivery.sop_instance_uid)
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
        ours = {keyword: str(header.get(keyword) or "") for keyword in identity.KEYWORDS}
        verdict, text, silent = self._ask(study, ours)
        now = self._clock.now()
        with self._ledger.transaction() as database:
            known = identities.answered(database, now, study, self.name, verdict.status, verdict.detail)
            due = _still_waiting(database, due)
            if verdict.status is IdentityStatus.DIFFERS:
                reason = f"{self.name} has this study under another {verdict.detail}"
                for delivery in due:
                    deliveries.hold(database, now, delivery.id, reason)
            elif verdict.status is IdentityStatus.ABSENT:
                again = now + self._pause(now - known.waiting_since, silent=silent)
                for delivery in due:
                    deliveries.wait(database, now, delivery.id, again, text, severity=Severity.INFO)
                if now - known.waiting_since >= self._destination.wait_for_study and not known.alerted:
                    identities.alerted(database, now, study, self.name, text)
        if self._patience_to_ask.ends_destination:
            raise UnreachableError(text)
        return verdict.status is IdentityStatus.AGREES

    def _pause(self, age: timedelta, *, silent: bool) -> timedelta:
        """Until the destination is asked again; seldom where it keeps silent about this study, as that takes time."""
        pause = self._destination.retry.pause(age)
        return max(pause, SLOW) if silent and age >= SLOW else pause

    def _ask(self, study: str, ours: Mapping[str, str]) -> tuple[Verdict, str, bool]:
        """What the destination says of the study, in words why that is not enough, and whether it said nothing."""
        try:
            answers = self._archive.find_study(study, identity.KEYWORDS)
        except (UnreachableError, BusyError):
            raise
        except TransientError as error:  # it answers, but not this: a person is notified where that continues
            self._patience_to_ask.note(Answer(Reading.UNKNOWN, str(error)))
            return Verdict(IdentityStatus.ABSENT), str(error), True
        self._patience_to_ask = Patience()
        return identity.compare(ours, answers), f"{self.name} does not have the study yet", False

    # --- sending ----------------------------------------------------------------------------------

    def _send_on_associations(self, due: list[Delivery]) -> None:
        """Send them in their order; an association that died is opened again for the others.

        Raises as `Archive.connect` does; UnreachableError also where the destination answers nothing at all.
        """
        left = due
        while left:
            with self._archive.connect(kinds_with_fallbacks(self._data / each.file for each in left)) as sender:
                rest, why = self._send_all(sender, left)
            if len(rest) == len(left):
                raise UnreachableError(f"{self.name} breaks off associations before anything can be sent")
            if why and self._patience.ends_destination:
                raise UnreachableError(why)
            if why and self._patience.ends_study:
                self._wait_together(rest, TransientError(why))
                return
            left = rest

    def _send_all(self, sender: Sender, due: list[Delivery]) -> tuple[list[Delivery], str]:
        """Send them on this association as far as it goes; those that were not tried, and what was in the way."""
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
                why = answer.text if answer.reading is Reading.UNKNOWN else ""
        return [], why

    def _send(self, sender: Sender, delivery: Delivery) -> Answer | None:
        """One object, each step in a transaction of its own: a crash between them sends the same UID again.

        The answer; None where it was held or stopped since it was read.
        """
        with self._ledger.transaction() as database:
            if not _still_waiting(database, [delivery]):
                return None
            delivery = deliveries.sending(database, self._clock.now(), delivery.id)
        answer = sender.store(self._data / delivery.file)
        if answer.reading is Reading.ASK:
            made = objects.get(self._ledger.database, delivery.sop_instance_uid)
            answer = is_it_there(self._archive, delivery, made.series_instance_uid if made else "", answer)
        log.info("deliver.answer", destination=self.name, delivery=delivery.id, job=delivery.job, answer=answer.text)
        syntax = kind_of(self._data / delivery.file)[1] if answer.reading in REFUSALS else ""
        with self._ledger.transaction() as database:
            if answer.reading in REFUSALS:
                settle_refusal(database, self._clock.now(), delivery, answer, sender, syntax)
            else:
                settle(database, self._clock.now(), delivery, answer, self._destination.retry)
        if answer.reading in REFUSALS:
            self._wakes.wake(Stage.RESULTS)  # a report is re-encoded in another class
        return answer

    def _wait_together(self, those: list[Delivery], error: NodeError) -> None:
        """None of these could be tried; each waits, or is given up, by its own age."""
        answer = Answer(Reading.RETRY_SLOWLY if isinstance(error, PermanentError) else Reading.RETRY, str(error))
        now = self._clock.now()
        with self._ledger.transaction() as database:
            for delivery in _still_waiting(database, those):
                settle(database, now, delivery, answer, self._destination.retry)


def _open(database: Database, due: Iterable[Delivery]) -> list[Delivery]:
    """Those that wait or are found being sent."""
    return [each for each in due if deliveries.get(database, each.id).status in OPEN]


def _hold(database: Database, now: datetime, why: str, delivery_id: int) -> None:
    deliveries.hold(database, now, delivery_id, f"whether it has become too late is not known: {why}")


def _still_waiting(database: Database, due: Iterable[Delivery]) -> list[Delivery]:
    """Those that nobody held, superseded or cancelled since they were read."""
    return [d for d in due if deliveries.get(database, d.id).status is DeliveryStatus.WAITING]
