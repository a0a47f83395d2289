"""One association's worth of work at a destination: take a turn, send it, take the next one."""

from __future__ import annotations

from dataclasses import dataclass

from node.config.destinations import Destination
from node.deliver.breaker import Breaker
from node.deliver.contact import DestinationFailure, is_final
from node.deliver.copies import Copies
from node.deliver.forwarding import ImageForwarder
from node.deliver.policy import Answer, Patience
from node.deliver.results import ResultSender
from node.deliver.turn_queue import Turn, TurnKind, TurnQueue
from node.deliver.ways.archive import Archive
from node.errors import NodeError, TransientError
from node.ledger import silences
from node.stage import Node


@dataclass(frozen=True, slots=True)
class SharedState:
    """What the lanes of one destination share."""

    queue: TurnQueue
    breaker: Breaker
    queries: Breaker
    """Whether C-FIND is answered."""
    set_aside: Patience
    """With what was set aside: one of these is on its way at a time."""


class Lane:
    """Sends to one destination, one turn after the other, for one thread."""

    def __init__(self, name: str, node: Node, shared: SharedState) -> None:
        self._name = name
        self._ledger = node.ledger
        self._clock = node.clock
        self._shared = shared
        self._copies = Copies(node.store.outgoing / name)
        self._results = ResultSender(name, node, self._copies)
        self._images = ImageForwarder(name, node, self._copies)

    def deliver_by(self, destination: Destination, archive: Archive, ae_title: str) -> None:
        """From now on: how the destination is treated, the way to it, and our AE title."""
        self._destination = destination
        self._results.deliver_by(destination, archive)
        self._images.deliver_by(destination, archive, ae_title)

    def run(self) -> None:
        """Send until no turn is left, or none of this lane can be sent any more."""
        self._results.begin()
        self._images.begin()
        queue = self._shared.queue
        while (turn := queue.take()) is not None:
            progressed, is_left_to_others = False, False
            try:
                progressed, failure = self._send(turn, _TurnContact(self._shared, turn, self._destination))
                is_left_to_others = failure is not None and queue.are_others_served
                if failure is not None and not is_left_to_others:
                    retry = self._destination.retry
                    self._shared.breaker.failed(failure.error, retry, stores_nothing=failure.stores_nothing)
            finally:
                if not is_left_to_others:
                    queue.done(turn, progressed=progressed)
            if is_left_to_others:  # the destination accepts no more associations than the others have
                queue.give_back(turn)
                return

    def sweep(self) -> None:
        """Delete the copies that a node that died left."""
        self._copies.sweep()

    def close(self) -> None:
        """End the process that makes copies in another form."""
        self._copies.close()

    def _send(self, turn: Turn, contact: _TurnContact) -> tuple[bool, DestinationFailure | None]:
        """Whether it is worth asking for more of the same study, and why it ended where nothing more can be sent."""
        if turn.alone is not None:
            return True, self._send_alone(turn, contact)
        if turn.kind is TurnKind.IMAGES:
            end = self._images.send(turn.images, contact)
            return end.progressed, end.failure
        if not turn.results:
            return True, None
        return True, self._results.send(turn.study, turn.results, contact)

    def _send_alone(self, turn: Turn, contact: _TurnContact) -> DestinationFailure | None:
        assert turn.alone is not None
        patience = self._shared.set_aside
        if turn.alone.is_image:
            failure = self._images.send_alone(turn.alone, contact, patience).failure
        else:
            failure = self._results.send_alone(turn.alone, contact, patience)
        if failure is None and patience.ends_study:
            patience.in_a_row = 0
            self._set_aside_waits(TransientError(f"{self._name} did not answer what was tried before it, either"))
        return failure

    def _set_aside_waits(self, error: NodeError) -> None:
        """Two that were set aside got no answer in a row: the others may get none, and each takes time."""
        self._images.put_off_set_aside(error)
        those = silences.results_set_aside(self._ledger.database, self._name, self._clock.now())
        self._results.put_off(those, error)


class _TurnContact:
    """See `node.deliver.contact.Contact`."""

    def __init__(self, shared: SharedState, turn: Turn, destination: Destination) -> None:
        self._shared = shared
        self._turn = turn
        self._destination = destination

    @property
    def is_probing(self) -> bool:
        return self._shared.breaker.is_open

    @property
    def asks_in_vain(self) -> bool:
        return self._shared.queries.is_open

    def must_yield(self) -> bool:
        return self._shared.queue.must_yield(self._turn)

    def question_unanswered(self, error: NodeError) -> None:
        self._shared.queries.failed(error, self._destination.retry)

    def question_answered(self) -> None:
        self._shared.queue.served()
        self._shared.breaker.answered(stored=False)
        self._shared.queries.answered(stored=False)

    def object_answered(self, answer: Answer) -> None:
        if answer.code is not None:
            self._shared.queue.served()
            self._shared.breaker.answered(stored=is_final(answer))
