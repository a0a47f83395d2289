"""The outbox of notifications: what is due, to whom, by which channels, and what came of it.

A message is sent at least once by each channel that the person has: a crash between sending and writing that down
sends it again, under the same Message-ID or Idempotency-Key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog

from node.clock import Clock
from node.config.models import Configuration
from node.errors import NodeError, PermanentError, TransientError
from node.items import Item, Items
from node.ledger import notifications
from node.ledger.database import Database, Ledger
from node.ledger.notifications import Notification, NotificationStatus
from node.notify import channels
from node.notify.channels import Channel
from node.notify.message import Message, compose
from node.wake import Stage

log = structlog.get_logger(__name__)

_IDLE = timedelta(minutes=1)


class Notify:
    """The stage; one thread calls `run_once`, `configuration` may be swapped between two runs (a reload)."""

    def __init__(self, ledger: Ledger, clock: Clock, configuration: Configuration) -> None:
        self.configuration = configuration
        self._ledger = ledger
        self._clock = clock
        self._items = Items(Stage.NOTIFY, ledger, clock)

    def run_once(self) -> float:
        """Send what is due; seconds until something may be due again."""
        with self._ledger.transaction() as database:
            notifications.interrupted(database, self._clock.now())
        silent: dict[object, str] = {}
        for each in notifications.due(self._ledger.database, self._clock.now()):
            self._items.handle(_item(each), partial(self._notify, each, silent), None)
        next_at = notifications.next_due_at(self._ledger.database)
        wait = _IDLE if next_at is None else min(_IDLE, next_at - self._clock.now())
        return max(1.0, wait.total_seconds())

    def _notify(self, notification: Notification, silent: dict[object, str]) -> None:
        """Bring one to its person.

        `silent`: servers that did not answer in this run, and why, so that none is waited for twice.
        """
        configuration = self.configuration
        person = configuration.people.get(notification.person)
        ways = channels.of(person, configuration) if person else {}
        servers = {name: configuration.notify.mail if name == "email" else person.webhook for name in ways if person}
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
        now, retry = self._clock.now(), self.configuration.notify.retry
        age = now - notification.enqueued_at
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
        now, retry = self._clock.now(), self.configuration.notify.retry
        age = now - notification.enqueued_at
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
