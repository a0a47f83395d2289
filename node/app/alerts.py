"""Alerts, from beginning to end: every few seconds each open one is asked whether its condition still holds.

An alert begins, for those whom the site has notified, when its condition has held for a while (`alerts.for`); a
critical one at once. It closes when the condition has been gone for twice as long, so that what comes and goes is one
alert. Periods are measured on the monotonic clock, and computed again from the rows at the start.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog

from node.app.alert_messages import AlertMessages
from node.app.watch import Watch
from node.clock import Clock
from node.config.alerting import Alerts
from node.config.models import Configuration
from node.ledger import alerts
from node.ledger.alert_kinds import AlertKind, AlertSeverity
from node.ledger.alerts import Alert
from node.stage import Node, NodeStage

log = structlog.get_logger(__name__)

_SECONDS = 5.0
_AT_ONCE = Alerts.model_validate({"for": "0s"})
"""Where no configuration is given: nobody is notified, and what is over closes at once."""


class ElapsedTimes:
    """For how long things have been so, whatever the wall clock says meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[tuple[int, str], tuple[datetime, float]] = {}

    def of(self, number: int, what: str, since: datetime) -> timedelta:
        """For how long `what` of this row has been so; `since` is what the row says."""
        key, now = (number, what), self._clock.monotonic()
        if key not in self._since or self._since[key][0] != since:
            before = max(0.0, (self._clock.now() - since).total_seconds())
            self._since[key] = since, now - before
        return timedelta(seconds=now - self._since[key][1])

    def keep(self, numbers: set[int]) -> None:
        """Forget all other rows."""
        self._since = {key: value for key, value in self._since.items() if key[0] in numbers}


class AlertSweep(NodeStage):
    """See `node.ledger.alerts`; whoever mended what was wrong, nobody has to remember the alert."""

    def __init__(self, node: Node, configuration: Configuration | None = None) -> None:
        self._ledger = node.ledger
        self._clock = node.clock
        self._elapsed = ElapsedTimes(node.clock)
        self._messages = AlertMessages(node, self._elapsed)
        self._watch = Watch(node)
        self._configuration = configuration

    def use(self, configuration: Configuration) -> None:
        """Notify its people from the next look on."""
        self._configuration = configuration

    def run_once(self) -> float:
        """Open what was noted of rows and what is seen outside of the ledger, close what is over, notify people;
        seconds until the next look."""
        now, configuration = self._clock.now(), self._configuration
        while (note := self._ledger.row_notes.first()) is not None:
            detail: dict[str, Any] = {"row": note.place, "digest": note.digest}
            log.error("app.row-unreadable", row=note.place)
            with self._ledger.transaction() as database:
                alerts.raised(database, now, AlertKind.LEDGER_ROW_UNREADABLE, note.place, study=note.study, **detail)
            self._ledger.row_notes.said(note)
        if configuration is not None:
            self._watch.look(configuration)
        settings = configuration.alerts if configuration is not None else _AT_ONCE
        over = set(alerts.over(self._ledger.database))
        known = alerts.every(self._ledger.database, closed=False)
        self._elapsed.keep({each.id for each in known})
        for alert in known:
            self._move(alert, now, settings, holds=alert.id not in over)
        if configuration is not None:
            self._messages.send(configuration)
        return _SECONDS

    def _move(self, alert: Alert, now: datetime, settings: Alerts, *, holds: bool) -> None:
        """One step of its life, in a transaction of its own."""
        if holds and alert.gone_since is not None:
            with self._ledger.transaction() as database:
                alerts.back(database, alert.id)
        if holds and alert.begun_at is None and self._has_lasted(alert, settings):
            with self._ledger.transaction() as database:
                alerts.begin(database, now, alert.id)
        if not holds and alert.begun_at is not None and settings.lasting:
            self._wait_for_end(alert, now, settings)
        elif not holds:
            self._close(alert, now)

    def _has_lasted(self, alert: Alert, settings: Alerts) -> bool:
        lasted = self._elapsed.of(alert.id, "open", alert.opened_at)
        return alert.severity is AlertSeverity.CRITICAL or lasted >= settings.lasting

    def _wait_for_end(self, alert: Alert, now: datetime, settings: Alerts) -> None:
        if alert.gone_since is None:
            with self._ledger.transaction() as database:
                alerts.gone(database, now, alert.id)
        elif self._elapsed.of(alert.id, "gone", alert.gone_since) >= 2 * settings.lasting:
            self._close(alert, now)

    def _close(self, alert: Alert, now: datetime) -> None:
        with self._ledger.transaction() as database:
            closed = alerts.close(database, now, alert.id)
        if closed:
            log.info("app.alert-closed", alert=alert.id)
