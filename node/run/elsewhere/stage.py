"""The stage of one system that works on jobs elsewhere: looks at the attempts there when they are due, ends them.

Everything is a row before it is done: a node that died goes on where it was. An attempt waits without a thread and
without a slot of this machine; a system that hangs holds up no other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from node.clock import Jumps
from node.config.models import Configuration
from node.errors import NotFoundError
from node.items import Item, Items
from node.ledger import attempts, jobs
from node.ledger.attempts import Attempt, AttemptFailureKind
from node.ledger.job import Job, JobStatus
from node.processes.pool import CallCancelledError, ChildPool
from node.run.catalogue import Catalogue, SitePlugin
from node.run.retry import AttemptFailure
from node.run.settle import Settler
from node.stage import Node, NodeStage
from node.wake import Stage

_IDLE = 30.0
_LEAST = 0.5
_ASK_SECONDS = 60.0
"""Between two questions whether it is there."""
_FIRST, _LONGEST = timedelta(seconds=5), timedelta(minutes=5)
"""Between two tries at a system that does not take what it is sent."""


class StageElsewhere(NodeStage):
    """The stage for one such system; one thread calls `run_once`."""

    def __init__(
        self, name: str, node: Node, where: Stage, place: str, plugins_of: Callable[[Configuration], Catalogue]
    ) -> None:
        """`name` of the system, as the configuration calls it; `place` of its attempts."""
        self._name, self._node, self._place = name, node, place
        self._plugins_of = plugins_of
        self._settler = Settler(node)
        self._reader = ChildPool(1)
        self._items = Items(where, node)
        self._jumps = Jumps(node.clock)
        self._asked_at = float("-inf")
        self._is_closed = False

    def use(self, configuration: Configuration) -> None:
        """Do as it says, from the next attempt on."""
        self._zone = configuration.node.zone
        self._catalogue = self._plugins_of(configuration)

    def close(self) -> None:
        """Send nothing more; what is under way is taken up by the next start."""
        self._is_closed = True
        self._reader.close()

    def run_once(self) -> float:
        """Do what is due; seconds until something may be due again."""
        self._keep_time()
        try:
            self._take_in()
            for attempt in attempts.open_at(self._node.ledger.database, self._place):
                if self._is_due(attempt) and not self._is_closed:
                    self._handle(attempt)
        except CallCancelledError:
            return _IDLE
        monotonic = self._node.clock.monotonic()
        if monotonic - self._asked_at >= _ASK_SECONDS and not self._is_closed:
            self._asked_at = monotonic
            self._ask_whether_there()
        return self._delay()

    @abstractmethod
    def _take_in(self) -> None:
        """What comes before the attempts are looked at."""

    @abstractmethod
    def _look_at(self, attempt: Attempt, job: Job, plugin: SitePlugin) -> None:
        """Do the next thing for an attempt that is due."""

    @abstractmethod
    def _ask_whether_there(self) -> None:
        """Note whether it answers: `status` shows it, and a system that is down for long is an alert."""

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

    def _delay(self) -> float:
        now = self._node.clock.now()
        looks = [
            min(each.look_at or now, each.deadline_at or now)
            for each in attempts.open_at(self._node.ledger.database, self._place)
        ]
        return max(_LEAST, min([_IDLE, *((look - now).total_seconds() for look in looks)]))

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
        self._look_at(attempt, job, plugin)

    def _is_wanted(self, job: Job) -> bool:
        """Whether somebody still waits for it, and the node is not being stopped."""
        return not self._is_closed and jobs.get(self._node.ledger.database, job.id).status is JobStatus.RUNNING

    def _look_again(self, attempt: Attempt, after: timedelta) -> None:
        with self._node.ledger.transaction() as database:
            attempts.look_again(database, attempt.id, self._node.clock.now() + after)

    def _fail(self, job: Job, kind: AttemptFailureKind, why: str) -> None:
        self._settler.failed(job, AttemptFailure(kind, why), None)


def pause_after(tries: int) -> timedelta:
    """The pause after this many tries in vain, at least one.

    >>> pause_after(2)
    datetime.timedelta(seconds=10)
    """
    factor: int = 2 ** min(tries - 1, 10)
    return min(_FIRST * factor, _LONGEST)
