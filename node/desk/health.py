"""Whether the node lives, and whether it can take images: for a supervisor of machines, a load balancer, a watch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from node.clock import SystemClock
from node.config.models import Configuration
from node.errors import NodeError
from node.ledger.database import Ledger
from node.observe.receiver_meters import turned_at
from node.store import children, pulse
from node.store.health import cannot_write, load_of, refusing_associations
from node.store.meters import METERS

LONGEST_SILENCE = timedelta(minutes=3)
"""Of the node process, after which it does not work."""
_LONGEST_ROUND = 15.0
"""Seconds between two looks of a receiver for new connections, after which it does not answer."""
_RECEIVER = "receiver-"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What was looked at, each with the reason why it is not well; empty where it is."""

    checks: Mapping[str, str]

    @property
    def is_well(self) -> bool:
        """Whether all of it is."""
        return not any(self.checks.values())

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        checks = {name: {"ok": not why} | ({"reason": why} if why else {}) for name, why in self.checks.items()}
        return {"status": "ok" if self.is_well else "failing", "checks": checks}


Look = Callable[[Configuration, Ledger | None], HealthReport]


def alive(configuration: Configuration) -> HealthReport:
    """Whether every process that the supervisor keeps alive runs, and the node process turns."""
    data = configuration.node.data
    return HealthReport(dict(_processes(data)) | {"stages": _not_turning(data)})


def ready(configuration: Configuration, ledger: Ledger | None) -> HealthReport:
    """Whether images are taken and can be kept: receivers answer, the ledger and the disk can be written."""
    data = configuration.node.data
    return HealthReport(
        {"receivers": _deaf(data), "ledger": _ledger_trouble(ledger), "disk": _disk_trouble(configuration)}
    )


def _processes(data: Path) -> Iterator[tuple[str, str]]:
    said = children.last(data)
    if not said:
        yield "supervisor", "it has not said which processes run"
        return
    for name, pid in said.items():
        runs = pid is not None and psutil.pid_exists(pid)
        yield name, "" if runs else "it has ended, and is started again"


def _not_turning(data: Path) -> str:
    said = pulse.last(data)
    if said is None or SystemClock().now() - said.at > LONGEST_SILENCE:
        return "the node process does not turn: it has died, or hangs"
    return f"stages do no work: {', '.join(said.stuck)}" if said.stuck else ""


def _deaf(data: Path) -> str:
    """Why no receiver takes connections; empty where one does."""
    running = {name for name, pid in (children.last(data) or {}).items() if name.startswith(_RECEIVER) and pid}
    if not running:
        return "no receiver runs"
    rounds = turned_at(data / METERS)
    ages = [abs(time.time() - rounds[name]) for name in running & rounds.keys()]
    if not ages:
        return "no receiver has accepted connections yet"
    return f"no receiver has looked for connections for {min(ages):.0f} s" if min(ages) > _LONGEST_ROUND else ""


def _ledger_trouble(ledger: Ledger | None) -> str:
    if ledger is None:
        return "the ledger cannot be opened"
    try:
        with ledger.transaction():
            return ""
    except NodeError as error:
        return str(error)


def _disk_trouble(configuration: Configuration) -> str:
    data = configuration.node.data
    try:
        why = cannot_write(data) or refusing_associations(load_of(data), configuration.node.limits)
    except OSError as error:
        return f"the data folder cannot be read: {error.strerror}"
    return why or ""
