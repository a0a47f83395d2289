"""The outbox of notifications: what is due, to whom, by which channels, and what came of it.

A message is sent at least once by each channel that the person has: a crash between sending and writing that down
sends it again, under the same Message-ID or Idempotency-Key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from node.clock import Clock
from node.config.models import Configuration
from node.errors import NodeError, PermanentError, TransientError
from node.ledger import notifications
from node.ledger.database import Ledger
from node.ledger.notifications import Notification, NotificationStatus
from node.notify import channels
from node.notify.channels import Channel
from node.notify.message import Message, compose

log = structlog.get_logger(__name__)

_IDLE = timedelta(minutes=1)


class Notify:
    """The stage; one thread calls `run_once`, `configuration` may be swapped between two runs (a reload)."""

    def __init__(self, ledger: Ledger, clock: Clock, configuration: Configuration) -> None:
        self.configuration = configuration
        self._ledger = ledger
        self._clock = clock

    def run_once(self) -> float:
        """Send what is due; seconds until something may be due again."""
        with self._ledger.transaction() as database:
            notifications.interrupted(database, self._clock.now())
        silent: dict[object, str] = {}
        for each in notifications.due(self._ledger.database, self._clock.now()):
            self._notify(each, silent)
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
            self._ledger.database, notification, configuration.node.ae_title, configuration.node.zone,
            accession_number=configuration.notify.accession_number,
        )  # fmt: skip
        problems = []
        for name, way in ways.items():
            if name not in notification.sent_by:
                problem = self._send(notification, message, name, way, silent.get(servers[name]))
                problems += [problem] if problem else []
                if isinstance(problem, TransientError):
                    silent[servers[name]] = str(problem)
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
            log.warning("notification.not-sent", notification=notification.id, channel=name, error=str(error))
            return error
        log.info("notification.taken", notification=notification.id, channel=name)
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
