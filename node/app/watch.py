"""What no transition of the ledger meets: the disk, certificates, work that piles up, callers and destinations.

Looked at every few seconds; what holds is kept as a row while it does (`node.ledger.conditions`), with an alert.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from node.config.models import Configuration
from node.desk import certificates
from node.ledger import backlog, conditions, refused_callers
from node.ledger.alert_kinds import AlertKind
from node.stage import Node
from node.store.health import Load, load_of, refusing_associations, trouble

log = structlog.get_logger(__name__)

LOW_SPACE = 5 * 2**30
"""Bytes that are free below which the disk is nearly full, unless twice the reserve of `node.limits` is more."""
_CERTIFICATES_EVERY = 3600.0
_LOOK = 10.0
"""Seconds between two looks."""
_PLACE = "data"
_LONG_WAIT = timedelta(hours=1)
"""A job that could start and has not for this long is a backlog."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Something that holds now."""

    kind: AlertKind
    place: str
    detail: Mapping[str, Any] = field(default_factory=dict)


class Watch:
    """One thread looks."""

    def __init__(self, node: Node) -> None:
        self._ledger = node.ledger
        self._clock = node.clock
        self._data = node.store.data
        self._looked_at = float("-inf")
        self._certificates: tuple[Sight, ...] = ()
        self._read_at = float("-inf")
        self._read_for: Configuration | None = None

    def look(self, configuration: Configuration) -> None:
        """Keep what holds now, drop what does not."""
        monotonic, now = self._clock.monotonic(), self._clock.now()
        if monotonic - self._looked_at < _LOOK:
            return
        self._looked_at = monotonic
        seen = {(each.kind.value, each.place): each for each in self._sights(configuration, now)}
        noted = conditions.noted(self._ledger.database)
        for key in seen.keys() - noted:
            with self._ledger.transaction() as database:
                conditions.begins(database, now, seen[key].kind, seen[key].place, seen[key].detail)
        if over := noted - seen.keys():
            with self._ledger.transaction() as database:
                conditions.over(database, over)

    def _sights(self, configuration: Configuration, now: datetime) -> Iterator[Sight]:
        yield from self._storage(configuration)
        yield from self._tls(configuration, now)
        database = self._ledger.database
        if waiting := backlog.longest_ready(database, now, now - _LONG_WAIT):
            yield Sight(AlertKind.BACKLOG_HIGH, "run", {"jobs": waiting})
        for caller in refused_callers.persistent(database, now):
            place = f"{caller.calling_ae_title}@{caller.address}"
            yield Sight(AlertKind.CALLERS_REFUSED, place, {"reason": caller.reason, "times": caller.times})

    def _storage(self, configuration: Configuration) -> Iterator[Sight]:
        limits, failed = configuration.node.limits, trouble(self._data)
        try:
            load = load_of(self._data)
        except OSError as error:
            yield Sight(AlertKind.RECEPTION_REFUSED, _PLACE, {"reason": error.strerror or "the disk cannot be read"})
            return
        reason = failed.reason if failed is not None else refusing_associations(load, limits)
        if reason:
            yield Sight(AlertKind.RECEPTION_REFUSED, _PLACE, {"reason": reason})
        if load.free_bytes < max(LOW_SPACE, 2 * limits.free_space):
            yield Sight(AlertKind.DISK_LOW, _PLACE, {"reason": _free(load, limits.free_space)})
        if load.waiting > limits.waiting_objects // 2:
            yield Sight(AlertKind.BACKLOG_HIGH, "index", {"reason": f"{load.waiting} objects wait to be indexed"})

    def _tls(self, configuration: Configuration, now: datetime) -> tuple[Sight, ...]:
        """Read now and then: the files are other people's, and days count."""
        monotonic = self._clock.monotonic()
        if self._read_for is not configuration or monotonic - self._read_at >= _CERTIFICATES_EVERY:
            ends, ended = AlertKind.CERTIFICATE_ENDS, AlertKind.CERTIFICATE_ENDED
            self._certificates = tuple(
                Sight(ended if severity == "alert" else ends, key, {"reason": text})
                for key, severity, text in certificates.reminders(configuration, now)
            )
            self._read_for, self._read_at = configuration, monotonic
        return self._certificates


def _free(load: Load, reserve: int) -> str:
    return f"{load.free_bytes / 2**30:.1f} GiB are free; below {reserve / 2**30:.1f} GiB modalities are refused"
