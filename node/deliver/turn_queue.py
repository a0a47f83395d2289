"""Who sends what next: one turn is the results, or a part of the images, of one study.

A study has one turn at a time, so what belongs to it keeps its order whatever number of associations there are. The
most urgent is next; among equals results come before images, and what was set aside comes last, alone.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from node.deliver.breaker import Breaker
from node.deliver.gate import DestinationGate
from node.ledger import image_turns, silences, turns
from node.ledger.delivery import Delivery
from node.ledger.image_turns import Image, StudyDue
from node.ledger.turns import ResultDue
from node.stage import Node

BATCH = 1000
"""Images in one turn."""
_OVERDUE = timedelta(minutes=5)
"""After this long what was set aside is tried although other images are still due."""
_LONGEST_RUN = 30.0
"""Seconds after which no turn begins: then a change of the configuration is taken up."""
_LOOK_AGAIN = 0.5
"""Seconds after which a thread that has nothing to do looks again."""
_FIRST_LOOK = 10
"""Results that are looked at for whose turn is next."""


class TurnKind(StrEnum):
    """What is sent in a turn."""

    RESULTS = "results"
    IMAGES = "images"
    SET_ASIDE = "set aside"
    """One object that got no answer, or was tried twice in vain."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one thread sends next."""

    kind: TurnKind
    study: str
    priority: int
    results: tuple[Delivery, ...] = ()
    images: tuple[Image, ...] = ()
    alone: Delivery | None = None


class TurnQueue:
    """The turns of one run at one destination; shared by the threads that deliver there."""

    def __init__(self, name: str, node: Node, gate: DestinationGate, breaker: Breaker, queries: Breaker) -> None:
        self._name = name
        self._ledger = node.ledger
        self._clock = node.clock
        self._gate = gate
        self._breaker = breaker
        self._queries = queries
        self._changed = threading.Condition()
        self._claimed: set[str] = set()
        self._served: set[int] = set()
        self.begin((), asks=True)

    def begin(self, doubtful: Collection[int], *, asks: bool) -> None:
        """A run begins; no thread of the run before is left. `doubtful`: results that are not sent in it.

        `asks`: whether results need a C-FIND first.
        """
        self._doubtful, self._asks = frozenset(doubtful), asks
        self._probes = self._breaker.is_open
        self._ends = self._clock.monotonic() + _LONGEST_RUN
        self._tried: set[int] = set()
        self._passed: set[str] = set()
        self._first_image: dict[str, int] = {}
        self._images_since_aside = False
        self._is_aside_taken = False
        self._over = False
        self._look = _FIRST_LOOK

    def take(self) -> Turn | None:
        """The next turn; None where there is none and nobody works on one any more. Waits meanwhile."""
        with self._changed:
            while True:
                turn = self._next()
                if turn is not None:
                    self._claimed.add(turn.study)
                    return turn
                if self._over or not self._claimed:
                    return None
                self._changed.wait(_LOOK_AGAIN)

    def done(self, turn: Turn, *, progressed: bool) -> None:
        """The turn is over. `progressed`: false where nothing that is due of these images can be sent in this run."""
        with self._changed:
            self._claimed.discard(turn.study)
            self._served.discard(threading.get_ident())
            self._tried.update(each.id for each in turn.results)
            if turn.alone is not None:
                self._is_aside_taken = False
                self._tried.add(turn.alone.id)
            if turn.kind is TurnKind.IMAGES and not progressed:
                self._passed.add(turn.study)
            self._changed.notify_all()

    def give_back(self, turn: Turn) -> None:
        """The turn could not begin for want of an association: others may take it."""
        with self._changed:
            self._claimed.discard(turn.study)
            self._served.discard(threading.get_ident())
            self._is_aside_taken &= turn.alone is None
            self._changed.notify_all()

    def end(self) -> None:
        """No turn begins any more, and images that are being sent are left for the next run."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    @property
    def is_cut_short(self) -> bool:
        """Whether the run ended by its length, or because the destination answers again: others may be due."""
        return self._clock.monotonic() >= self._ends or (self._probes and not self._breaker.is_open)

    def served(self) -> None:
        """The destination answered this thread in its turn."""
        self._served.add(threading.get_ident())

    @property
    def are_others_served(self) -> bool:
        """Whether the destination answers other threads in their turns: then it is not down, it has no more for us."""
        return bool(self._served - {threading.get_ident()})

    def must_yield(self, turn: Turn) -> bool:
        """Whether what is left of the turn has to wait: something more urgent is next, or nothing may go any more."""
        least = self._gate.least_priority()
        if self._over or least is None or turn.priority < least:
            return True
        with self._changed:
            others = self._claimed - {turn.study}
            more = turn.priority + 1
            result = self._result({*others, turn.study}, more)
            return result is not None or self._images(others | {turn.study}, more) is not None

    # --- which is next ----------------------------------------------------------------------------

    def _next(self) -> Turn | None:
        least = self._gate.least_priority()
        if self._over or least is None or self.is_cut_short or self._breaker.next_try() is not None:
            return None
        if self._images_since_aside and (turn := self._aside(_OVERDUE, least)) is not None:
            return turn
        result, images = self._result(self._claimed, least), self._images(self._claimed, least)
        if result is not None and (images is None or result.priority >= images.priority):
            return self._turn_of_results(result)
        if images is not None:
            return self._turn_of_images(images)
        return self._aside(timedelta(), least)

    def _result(self, but: Collection[str], least: int) -> ResultDue | None:
        """That whose study is next: studies that the destination was asked about in vain come after all others."""
        if self._asks and self._queries.next_try() is not None:
            return None
        return self._result_of(but, least, absent=False) or self._result_of(but, least, absent=True)

    def _result_of(self, but: Collection[str], least: int, *, absent: bool) -> ResultDue | None:
        while True:
            now, limit = self._clock.now(), self._look
            found = turns.studies_due(self._ledger.database, self._name, now, limit, absent=absent, least=least)
            for each in found.results:
                if each.study not in but and each.delivery not in self._tried and each.delivery not in self._doubtful:
                    return each
            if len(found.results) < limit:
                return None
            self._look *= 2  # those that were tried are still due: their time is kept elsewhere

    def _turn_of_results(self, first: ResultDue) -> Turn:
        least = self._gate.least_priority() or 0
        due = turns.due(self._ledger.database, self._name, self._clock.now(), first.study, least=least)
        those = tuple(each for each in due if each.id not in self._doubtful and each.id not in self._tried)
        self._tried.add(first.delivery)  # where its row cannot be read it is not among them
        return Turn(TurnKind.RESULTS, first.study, first.priority, results=those)

    def _images(self, but: Collection[str], least: int) -> StudyDue | None:
        return image_turns.next_study(
            self._ledger.database, self._name, self._clock.now(), {*but, *self._passed}, least
        )

    def _turn_of_images(self, next_one: StudyDue) -> Turn | None:
        study = next_one.study_instance_uid
        images = image_turns.of_study(self._ledger.database, self._name, self._clock.now(), study, BATCH)
        if not images or self._first_image.get(study) == images[0].delivery.id:
            self._passed.add(study)  # none can be read, or the turn before came no further
            return self._next()
        self._first_image[study] = images[0].delivery.id
        self._images_since_aside = True
        return Turn(TurnKind.IMAGES, study, next_one.priority, images=tuple(images))

    def _aside(self, overdue: timedelta, least: int) -> Turn | None:
        """The object that was set aside and waits longest, where no other such is on its way."""
        if self._is_aside_taken:
            return None
        found = silences.set_aside(self._ledger.database, self._name, self._clock.now() - overdue)
        if found is None or found.id in self._tried or found.id in self._doubtful or found.priority < least:
            return None
        if found.study_instance_uid in self._claimed or (not found.is_image and self._asks_in_vain()):
            return None
        self._images_since_aside, self._is_aside_taken = False, True
        return Turn(TurnKind.SET_ASIDE, found.study_instance_uid, found.priority, alone=found)

    def _asks_in_vain(self) -> bool:
        return self._asks and self._queries.next_try() is not None
