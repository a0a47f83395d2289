"""The node in one line, for Nagios, Icinga and their like (Monitoring Plugins Development Guidelines).

0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: neither the configuration nor the ledger can be read. Alerts that somebody has
acknowledged do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from node.clock import SystemClock
from node.config.models import Configuration
from node.config.problems import ConfigurationError, printable
from node.desk import site
from node.desk.health import LONGEST_SILENCE
from node.errors import NodeError
from node.ledger import alerts, tallies
from node.ledger.alert_kinds import AlertSeverity
from node.ledger.database import Database
from node.ledger.delivery import DeliveryKind
from node.store import pulse
from node.store.health import Load, cannot_write, load_of, refusing_associations

_NAMED = 3
"""Kinds of alerts in the line."""


class ServiceState(IntEnum):
    """The exit code, and the word in the line."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class ServiceCheck:
    """What a monitor gets."""

    state: ServiceState
    text: str
    figures: str = ""

    @property
    def line(self) -> str:
        """State, text and performance data. The text has none of the characters that mean something in it."""
        text = printable(self.text.replace("|", "/").replace("\n", " "))
        return f"PACSNODE {self.state.name} - {text}{f' | {self.figures}' if self.figures else ''}"


def check(config: Path) -> ServiceCheck:
    """Look; raises nothing that the node can name."""
    try:
        configuration = site.known(config).configuration
        ledger = site.open_ledger(configuration)
        with ledger.snapshot() as database:
            return _look(configuration, database)
    except ConfigurationError as problem:
        return ServiceCheck(ServiceState.UNKNOWN, problem.problems[0].headline)
    except (NodeError, OSError) as error:
        return ServiceCheck(ServiceState.UNKNOWN, str(error))


def _look(configuration: Configuration, database: Database) -> ServiceCheck:
    data = configuration.node.data
    load, counts = load_of(data), alerts.count_open(database)
    figures = _figures(configuration, database, load, counts)
    critical, warnings = counts.get(AlertSeverity.CRITICAL, 0), counts.get(AlertSeverity.WARNING, 0)
    if dead := _dead(configuration):
        return ServiceCheck(ServiceState.CRITICAL, dead, figures)
    if refusing := cannot_write(data) or refusing_associations(load, configuration.node.limits):
        return ServiceCheck(ServiceState.CRITICAL, f"modalities are refused: {refusing}", figures)
    if critical:
        return ServiceCheck(ServiceState.CRITICAL, _alerts(database, AlertSeverity.CRITICAL, critical), figures)
    if warnings:
        return ServiceCheck(ServiceState.WARNING, _alerts(database, AlertSeverity.WARNING, warnings), figures)
    return ServiceCheck(ServiceState.OK, "it runs, and nothing needs a person", figures)


def _dead(configuration: Configuration) -> str | None:
    """Why it does no work; None where it does."""
    data = configuration.node.data
    if site.running(data) is None:
        return "the node does not run"
    said = pulse.last(data)
    if said is None or SystemClock().now() - said.at > LONGEST_SILENCE:
        return "the node process does not turn: it has died, or hangs"
    return f"stages do no work: {', '.join(said.stuck)}" if said.stuck else None


def _alerts(database: Database, severity: AlertSeverity, count: int) -> str:
    open_ones = alerts.every(database, closed=False)
    kinds = dict.fromkeys(
        each.kind
        for each in open_ones
        if each.severity is severity and each.acknowledged_at is None and each.gone_since is None
    )
    named = ", ".join(list(kinds)[:_NAMED])
    others = len(kinds) - _NAMED
    more = f" and {others} other kind{'' if others == 1 else 's'}" if others > 0 else ""
    return f"{count} {severity} alert{'' if count == 1 else 's'}: {named}{more} (pacsnode alerts)"


def _figures(configuration: Configuration, database: Database, load: Load, counts: Mapping[AlertSeverity, int]) -> str:
    limits = configuration.node.limits
    jobs, waiting = tallies.of(database, "jobs"), _deliveries(database)
    figures = {
        "critical": f"{counts.get(AlertSeverity.CRITICAL, 0)};;0;0",
        "warning": f"{counts.get(AlertSeverity.WARNING, 0)};0;;0",
        "incoming": f"{load.waiting};{limits.waiting_objects // 2};{limits.waiting_objects};0",
        "free": f"{load.free_bytes}B;{2 * limits.free_space}:;{limits.free_space}:;0",
        "jobs_queued": f"{jobs.get('queued', 0)};;;0",
        "jobs_running": f"{jobs.get('running', 0)};;;0",
        "deliveries_waiting": f"{waiting['waiting'] + waiting['refused']};;;0",
        "deliveries_held": f"{waiting['held']};;;0",
        "deliveries_dead": f"{waiting['dead']};;;0",
    }
    return " ".join(f"{name}={value}" for name, value in figures.items())


def _deliveries(database: Database) -> Counter[str]:
    """How many are in each state, results and forwarded images together."""
    found: Counter[str] = Counter()
    for kind in DeliveryKind:
        found.update(tallies.of(database, f"deliveries of {kind}"))
    return found
