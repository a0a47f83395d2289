"""Whom alerts are sent to, and how many messages that are at most.

Alerts of one kind and cause are one to people (`node.ledger.alert_causes`): one message when the first of them begins,
one an hour at most that has those which joined, one when the last is over.

A message at the beginning, one each `alerts.repeat` while nobody has acknowledged it, one at the end. No more than
`alerts.per_hour` in an hour, a quarter of which critical alerts alone may use; then one that says how many others there
are. In a maintenance window only critical ones are sent: what began meanwhile is sent at its end if it still holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from node.clock import Clock
from node.config.alerting import Alerts
from node.config.models import Configuration
from node.ledger import alert_notifications
from node.ledger.alert_kinds import AlertSeverity
from node.ledger.alert_notifications import AlertGroup
from node.ledger.alerts import Alert
from node.ledger.database import Database
from node.ledger.notifications import Occasion
from node.stage import Node
from node.wake import Stage

log = structlog.get_logger(__name__)
_HOUR = timedelta(hours=1)
_FOR_CRITICAL = 4
"""One message in this many is for critical alerts only."""


class ElapsedTime(Protocol):
    """For how long something has been so."""

    def of(self, number: int, what: str, since: datetime) -> timedelta:
        """For how long `what` of row `number` has been so since this moment."""
        ...


class HourlyBudget:
    """How many messages went out in the last hour, on the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: list[float] = []
        self._summaries: list[float] = []

    def remember(self, database: Database) -> None:
        """Those of an earlier process."""
        now = self._clock.now()
        for occasion, _, at in alert_notifications.sent_since(database, now - _HOUR):
            ago = max(0.0, (now - at).total_seconds())
            (self._summaries if occasion is Occasion.MORE_ALERTS else self._sent).append(self._clock.monotonic() - ago)

    def left(self, per_hour: int, severity: AlertSeverity) -> int:
        """How many more may go out now."""
        self._sent = self._recent(self._sent)
        kept = 0 if severity is AlertSeverity.CRITICAL else per_hour // _FOR_CRITICAL
        return per_hour - kept - len(self._sent)

    def spend(self) -> None:
        """One goes out."""
        self._sent.append(self._clock.monotonic())

    def may_sum_up(self) -> bool:
        """Whether the last message that says how many more there are was an hour ago."""
        self._summaries = self._recent(self._summaries)
        return not self._summaries

    def sum_up(self) -> None:
        """Such a message goes out."""
        self._summaries.append(self._clock.monotonic())

    def _recent(self, times: Collection[float]) -> list[float]:
        begins = self._clock.monotonic() - _HOUR.total_seconds()
        return [each for each in times if each > begins]


class AlertMessages:
    """Enqueues what people are to be notified of; the stage `notify` sends it."""

    def __init__(self, node: Node, elapsed: ElapsedTime) -> None:
        self._ledger = node.ledger
        self._clock = node.clock
        self._wakes = node.wakes
        self._elapsed = elapsed
        self._budget = HourlyBudget(node.clock)
        self._budget.remember(node.ledger.database)

    def send(self, configuration: Configuration) -> None:
        """All that is due by this configuration."""
        settings, now = configuration.alerts, self._clock.now()
        quiet = settings.is_quiet(now.astimezone(configuration.node.zone))
        wanted = [AlertSeverity.CRITICAL] if quiet or settings.severity == "critical" else list(AlertSeverity)
        self._pass_over(settings, set(AlertSeverity) - set(wanted), now)
        if not settings.to:
            return
        self._join(now)
        left_out: list[tuple[Alert, Occasion]] = []
        sent = 0
        for group, occasion in self._due(settings, wanted):
            if occasion is Occasion.ALERT_ENDS and not alert_notifications.is_over(self._ledger.database, group):
                self._end_silently(group, now)
            elif self._budget.left(settings.per_hour, group.alerts[0].severity) > 0:
                self._tell(group, occasion, settings, now)
                sent += 1
            elif occasion is not Occasion.ALERT_LASTS:  # one that lasts is sent again later
                left_out += [(each, occasion) for each in group.alerts]
        sent += self._sum_up(settings, left_out, wanted, now)
        if sent:
            log.info("app.alerts-told", messages=sent)
            self._wakes.wake(Stage.NOTIFY)

    def _join(self, now: datetime) -> None:
        with self._ledger.reading() as database:
            fresh = alert_notifications.begun(database, list(AlertSeverity))
        if fresh:
            with self._ledger.transaction() as database:
                alert_notifications.join(database, now)

    def _due(self, settings: Alerts, wanted: Collection[AlertSeverity]) -> Iterator[tuple[AlertGroup, Occasion]]:
        """Critical ones first, so that they are within the hour's number."""
        database = self._ledger.database
        for severity in (each for each in (AlertSeverity.CRITICAL, AlertSeverity.WARNING) if each in wanted):
            for group in alert_notifications.begun(database, [severity]):
                yield group, Occasion.ALERT_BEGINS
            for group in alert_notifications.ended(database, [severity]):
                yield group, Occasion.ALERT_ENDS
            for group in alert_notifications.joined(database, [severity]):
                if self._is_ago(group, _HOUR):
                    yield group, Occasion.ALERT_BEGINS
            for group in alert_notifications.lasting(database, [severity]):
                if self._is_ago(group, settings.repeat):
                    yield group, Occasion.ALERT_LASTS

    def _is_ago(self, group: AlertGroup, time: timedelta) -> bool:
        """Whether the last message about this cause was so long ago."""
        last = group.last.last_told_at or group.last.opened_at
        return self._elapsed.of(group.last.id, "told", last) >= time

    def _tell(self, group: AlertGroup, occasion: Occasion, settings: Alerts, now: datetime) -> None:
        self._budget.spend()
        with self._ledger.transaction() as database:
            alert_notifications.tell(database, now, group, occasion, settings.to)

    def _end_silently(self, group: AlertGroup, now: datetime) -> None:
        """Others of the same cause are open: the end is sent with the last of them."""
        with self._ledger.transaction() as database:
            alert_notifications.note(database, now, group.alerts, Occasion.ALERT_ENDS)

    def _pass_over(self, settings: Alerts, silent: Collection[AlertSeverity], now: datetime) -> None:
        """What began and ended while nobody was to be notified of it: nobody is, later on."""
        severities = silent if settings.to else list(AlertSeverity)
        if severities and (over := alert_notifications.missed(self._ledger.database, severities)):
            with self._ledger.transaction() as database:
                alert_notifications.pass_over(database, now, over)

    def _sum_up(
        self,
        settings: Alerts,
        left_out: Collection[tuple[Alert, Occasion]],
        wanted: Collection[AlertSeverity],
        now: datetime,
    ) -> int:
        """One message of all that is left out, once an hour; how many that are."""
        missed = alert_notifications.missed(self._ledger.database, wanted)
        begins = [alert for alert, occasion in left_out if occasion is Occasion.ALERT_BEGINS]
        ends = [alert for alert, occasion in left_out if occasion is Occasion.ALERT_ENDS]
        every = [*begins, *ends, *missed]
        if not every or not self._budget.may_sum_up():
            return 0
        self._budget.sum_up()
        with self._ledger.transaction() as database:
            alert_notifications.note(database, now, begins, Occasion.ALERT_BEGINS)
            alert_notifications.note(database, now, [*ends, *missed], Occasion.ALERT_ENDS)
            numbers = {"begun": len(begins) + len(missed), "ended": len(ends) + len(missed)}
            alert_notifications.tell_of_more(database, now, every[-1], settings.to, **numbers)
        return 1
