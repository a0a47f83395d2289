"""The outbox of notifications: what is due, to whom, by which channels, and what came of it.

A message is sent at least once by each channel that the person has: a crash between sending and writing that down
sends it again, under the same Message-ID or Idempotency-Key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog

from node.config.models import Configuration
from node.errors import NodeError, PermanentError, TransientError
from node.items import Item, Items
from node.ledger import acknowledgements, escalations, notices, notifications
from node.ledger.clock_changes import DueTimes
from node.ledger.database import Database
from node.ledger.notifications import Notification, NotificationStatus
from node.notify import channels
from node.notify.channels import Channel
from node.notify.message import compose
from node.notify.words import Message
from node.stage import Node, NodeStage
from node.wake import Stage

log = structlog.get_logger(__name__)

_IDLE = timedelta(minutes=1)
_PATIENCE = 5.0
"""Seconds that a run waits for slow servers; what others are to get is sent by the next run."""


class _SenderThread(threading.Thread):
    """A piece of work in a thread of its own."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="notify-servers", daemon=True)
        self._work = work
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - raised again by the stage's own thread
            self.error = error

    def join(self, timeout: float | None = None) -> None:
        super().join(None if timeout is None else max(0.0, timeout))


class NotifyStage(NodeStage):
    """The stage; one thread calls `run_once`, which has a thread for each server that gets something."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self._ledger = node.ledger
        self._clock = node.clock
        self._items = Items(Stage.NOTIFY, node)
        self._due_times = DueTimes(node.ledger, node.clock, "notifications")
        self._under_way: dict[frozenset[object], _SenderThread] = {}
        """Exchanges with each set of servers: a slow one holds up what it is to get, and nothing else."""
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Notify its people by its servers from the next notification on."""
        self._configuration = configuration

    def run_once(self) -> float:
        """Send what is due; seconds until something may be due again."""
        self._due_times.keep()
        if not self._busy():
            with self._ledger.transaction() as database:
                notifications.interrupted(database, self._clock.now())
        self._look_for_silence()
        groups: dict[frozenset[object], list[Notification]] = {}
        for each in notifications.due(self._ledger.database, self._clock.now()):
            groups.setdefault(frozenset(self._servers(each).values()), []).append(each)
        for servers, due in groups.items():
            if servers not in self._under_way:
                self._under_way[servers] = _SenderThread(partial(self._notify_all, due))
        ends = time.monotonic() + _PATIENCE
        for exchanges in self._under_way.values():
            exchanges.join(ends - time.monotonic())
        if self._busy():
            return 1.0
        database = self._ledger.database
        times = (notifications.next_due_at(database), escalations.next_due_at(database))
        wait = min([_IDLE, *(each - self._clock.now() for each in times if each is not None)])
        return max(1.0, wait.total_seconds())

    def _look_for_silence(self) -> None:
        """Hand what nobody has acknowledged to the next person; notify of results that are overdue."""
        now = self._clock.now()
        with self._ledger.transaction() as database:
            escalations.bound(database, now)
        for number in escalations.due(self._ledger.database, now):
            with self._ledger.transaction() as database:
                acknowledgements.hand_on(database, now, number)
        for job in notices.overdue(self._ledger.database, now):
            with self._ledger.transaction() as database:
                notices.of_lateness(database, now, job)

    def _busy(self) -> bool:
        """Whether an exchange is still under way; what broke a thread, other than its items, is raised here."""
        ended = [servers for servers, exchanges in self._under_way.items() if not exchanges.is_alive()]
        errors = [self._under_way.pop(servers).error for servers in ended]
        for error in errors:
            if error is not None:
                raise error
        return bool(self._under_way)

    def _servers(self, notification: Notification) -> dict[str, object]:
        """What the person's ways lead through, by their names."""
        person = self._configuration.people.get(notification.person)
        ways = channels.of(person, self._configuration) if person else {}
        return {name: self._configuration.notify.mail if name == "email" else person.webhook for name in ways if person}

    def _notify_all(self, due: Sequence[Notification]) -> None:
        """Those for the same servers, one after the other."""
        silent: dict[object, str] = {}
        for each in due:
            self._items.handle(_item(each), partial(self._notify, each, silent), None)

    def _notify(self, notification: Notification, silent: dict[object, str]) -> None:
        """Bring one to its person.

        `silent`: servers that did not answer in this run, and why, so that none is waited for twice.
        """
        configuration = self._configuration
        person = configuration.people.get(notification.person)
        ways = channels.of(person, configuration) if person else {}
        servers = self._servers(notification)
        open_ways = [servers[name] for name in ways if name not in notification.sent_by]
        if open_ways and all(server in silent for server in open_ways):
            self._wait_untried(notification, "; ".join(silent[server] for server in open_ways))
            return
        if not self._begin(notification):
            return
        if person is None or not ways:
            nobody = f"the configuration has no way to {notification.person} (people)"
            self._settle(notification, [PermanentError(nobody)])
            return
        message = compose(
            self._ledger.database,
            notification,
            configuration.node.ae_title,
            configuration.node.zone,
            accession_number=configuration.notify.accession_number,
            language=configuration.notify.language,
        )
        problems: list[NodeError] = []
        unforeseen: list[Exception] = []
        for name, way in ways.items():
            if name not in notification.sent_by:
                try:
                    problem = self._send(notification, message, name, way, silent.get(servers[name]))
                except Exception as error:  # noqa: BLE001 - raised again below: first the person's other ways
                    self._items.let_through(error)
                    unforeseen.append(error)
                    continue
                problems += [problem] if problem else []
                if isinstance(problem, TransientError):
                    silent[servers[name]] = str(problem)
        if unforeseen:
            raise unforeseen[0]
        self._settle(notification, problems)

    def _send(
        self, notification: Notification, message: Message, name: str, way: Channel, silent: str | None
    ) -> NodeError | None:
        """By one channel; what was in its way, None where it has taken it."""
        try:
            if silent:
                raise TransientError(silent)
            way(message)
        except (TransientError, PermanentError) as error:
            log.warning("notify.not-sent", notification=notification.id, channel=name, error=str(error))
            return error
        log.info("notify.taken", notification=notification.id, channel=name)
        with self._ledger.transaction() as database:
            notifications.taken(database, self._clock.now(), notification.id, name)
        return None

    def _wait_untried(self, notification: Notification, why: str) -> None:
        """It was another one that its servers did not answer: it waits, and goes before that one next time."""
        now, retry = self._clock.now(), self._configuration.notify.retry
        age = notification.waited
        with self._ledger.transaction() as database:
            if notifications.get(database, notification.id).status is not NotificationStatus.WAITING:
                return
            if age >= retry.give_up_after:
                notifications.dead(database, now, notification.id, why)
            else:
                notifications.wait(database, now, notification.id, now + retry.pause(age), why)

    def _begin(self, notification: Notification) -> bool:
        """Claim it; false where it was cancelled since it was read."""
        with self._ledger.transaction() as database:
            if notifications.get(database, notification.id).status is not NotificationStatus.WAITING:
                return False
            notifications.sending(database, self._clock.now(), notification.id)
        return True

    def _settle(self, notification: Notification, problems: Sequence[NodeError]) -> None:
        """Sent, or again later, or given up; nothing where it was cancelled while it was being sent."""
        now, retry = self._clock.now(), self._configuration.notify.retry
        age = notification.waited
        why = "; ".join(map(str, problems))
        with self._ledger.transaction() as database:
            if notifications.get(database, notification.id).status is not NotificationStatus.SENDING:
                return
            if not problems:
                notifications.sent(database, now, notification.id)
            elif age >= retry.give_up_after or all(isinstance(each, PermanentError) for each in problems):
                notifications.dead(database, now, notification.id, why)
            else:
                notifications.wait(database, now, notification.id, now + retry.pause(age), why)


_OPEN = (NotificationStatus.SENDING, NotificationStatus.WAITING)


def _item(notification: Notification) -> Item:
    """After an unexpected exception: later in its own row, and a dead letter in the end."""

    def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
        if notifications.get(database, notification.id).status in _OPEN:
            notifications.wait(database, now, notification.id, again, why)

    def give_up(database: Database, now: datetime, why: str) -> None:
        if notifications.get(database, notification.id).status in _OPEN:
            notifications.dead(database, now, notification.id, why)

    study, job = notification.study_instance_uid, notification.job
    return Item(f"notification:{notification.id}", study, job, put_off=put_off, give_up=give_up)
