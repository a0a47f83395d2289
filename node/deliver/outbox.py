"""One destination's outbox: what is due is sent, on as many associations as the destination allows.

Who sends what next is in `node.deliver.turn_queue`. Where the destination is not reached, a breaker is open and nothing
that waits is touched (`node.deliver.breaker`); while it is paused or outside of its hours, the gate is closed
(`node.deliver.gate`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from node.config.models import Configuration
from node.config.values import span_text
from node.deliver.breaker import Breaker
from node.deliver.gate import DestinationGate
from node.deliver.lane import Lane, SharedState
from node.deliver.policy import Patience
from node.deliver.settling import STAGE
from node.deliver.turn_queue import TurnQueue
from node.deliver.ways import registry
from node.deliver.ways.registry import ArchiveOf
from node.items import Item, Items
from node.ledger import deliveries, late, outages, turns
from node.ledger.clock_changes import DueTimes
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.old_deliveries import AgeLimit
from node.ledger.outages import OutageScope
from node.stage import Node, NodeStage

_IDLE = timedelta(minutes=1)
_LEAST_SECONDS = 0.5
"""Between two runs: what is due by then has become so while this one ran."""

_MEANWHILE = 5.0
"""Seconds between two looks at images while results cannot be asked about."""


class Outbox(NodeStage):
    """Delivers to one destination; one thread calls `run_once`."""

    def __init__(
        self, name: str, node: Node, configuration: Configuration, archive_of: ArchiveOf = registry.archive_of
    ) -> None:
        self.name = name
        self._node = node
        self._ledger = node.ledger
        self._clock = node.clock
        self._archive_of = archive_of
        self._items = Items(STAGE, node)
        self._due_times = DueTimes(node.ledger, node.clock, "deliveries", name)
        self._gate = DestinationGate(name, node)
        breaker, queries = Breaker(name, node), Breaker(name, node, OutageScope.QUERY)
        queue = TurnQueue(name, node, self._gate, breaker, queries)
        self._shared = SharedState(queue, breaker, queries, Patience())
        self._lanes = [Lane(name, node, self._shared)]
        self._swept = False
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Deliver to this destination as it says, from the next run on: an association under way is finished."""
        destination, title = configuration.destinations[self.name], configuration.node.ae_title
        self._next = destination, self._archive_of(destination, title), title, configuration.node.zone

    def run_once(self) -> float:
        """Send what is due; seconds until something may be due again."""
        self._take_up()
        with self._ledger.transaction() as database:
            deliveries.interrupted(database, self._clock.now(), self.name)
        self._due_times.keep()
        doubtful = self._settle_late()
        self._look_at_outages()
        self._shared.queue.begin(doubtful, asks=self._destination.identity_check != "none")
        self._run_lanes()
        if self._shared.breaker.has_failed:
            self._give_up_old()
        return self._seconds()

    def close(self) -> None:
        """End the processes that make copies in another form."""
        self._shared.queue.end()
        for lane in self._lanes:
            lane.close()

    def _take_up(self) -> None:
        """The configuration, and what the outbox that this one follows left: not before that one has ended."""
        self._destination, archive, title, zone = self._next
        if not self._swept:
            self._lanes[0].sweep()
            self._swept = True
        while len(self._lanes) < self._destination.associations:
            self._lanes.append(Lane(self.name, self._node, self._shared))
        for lane in self._lanes:
            lane.deliver_by(self._destination, archive, title)
        self._gate.use(self._destination.hours, zone)

    # --- what has become of it while it waited --------------------------------------------------------

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

    def _look_at_outages(self) -> None:
        """Where one lasts: is it an alert by now, or is there nothing left that it keeps from being sent?"""
        breakers = self._shared.breaker, self._shared.queries
        for each in breakers:
            each.refresh()
        if not any(each.is_open for each in breakers):
            return
        if not turns.is_waiting(self._ledger.database, self.name):
            for each in breakers:
                each.close()
            return
        with self._ledger.transaction() as database:
            outages.raise_if_long(database, self._clock.now(), self.name)

    def _give_up_old(self) -> None:
        """What has waited for too long, its age and that of the outage together, is a dead letter."""
        outage = outages.get(self._ledger.database, self.name)
        if outage is None:
            return
        now, longest = self._clock.now(), self._destination.retry.give_up_after
        limit, why = AgeLimit(outage, longest, now), f"{outage.why}; tried for {span_text(longest)}"

        def end(database: Database, delivery: Delivery) -> None:
            if deliveries.get(database, delivery.id).status is DeliveryStatus.WAITING:
                deliveries.dead(database, now, delivery.id, why)

        self._ledger.settle_each(limit.results(self._ledger.database), end)
        for old in limit.images(self._ledger.database):
            for _ in old.parts:
                with self._ledger.transaction() as database:
                    limit.give_up(database, now, old, why)

    # --- sending --------------------------------------------------------------------------------------

    def _run_lanes(self) -> None:
        """Send all that is due; the first lane is this thread's. Raises what ended any of them."""
        queue, raised = self._shared.queue, list[BaseException]()

        def run(lane: Lane) -> None:
            try:
                lane.run()
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the stage
                raised.append(error)
                queue.end()

        threads = [
            threading.Thread(target=run, args=(lane,), name=f"deliver-{self.name}-{number}", daemon=True)
            for number, lane in enumerate(self._helpers(), 2)
        ]
        for thread in threads:
            thread.start()
        run(self._lanes[0])
        for thread in threads:
            thread.join()
        if raised:
            raise raised[0]

    def _helpers(self) -> Sequence[Lane]:
        """The other lanes: none where nothing is due, or where one try tells whether the destination is there."""
        due = turns.next_due_at(self._ledger.database, self.name)
        if self._shared.breaker.is_open or due is None or due > self._clock.now():
            return ()
        return self._lanes[1 : self._destination.associations]

    def _seconds(self) -> float:
        """Until something may be due: by its own time, that of the destination, and its hours."""
        now = self._clock.now()
        if self._shared.queue.is_cut_short:
            return 0.0
        if self._gate.least_priority() != 0:
            opens = self._gate.opens_at()
            return _until(opens, now) if opens is not None else _IDLE.total_seconds()
        if (again := self._shared.breaker.next_try()) is not None:
            return _until(again, now)
        seconds = _until(turns.next_due_at(self._ledger.database, self.name), now)
        if (again := self._shared.queries.next_try()) is not None:  # the results that wait for it are due all the while
            return min(_until(again, now), max(seconds, _MEANWHILE))
        return seconds


def _until(at: datetime | None, now: datetime) -> float:
    wait = _IDLE if at is None else min(_IDLE, at - now)
    return max(_LEAST_SECONDS, wait.total_seconds())


def _hold(database: Database, now: datetime, why: str, delivery_id: int) -> None:
    deliveries.hold(database, now, delivery_id, f"whether it has become too late is not known: {why}")
