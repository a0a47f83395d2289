"""The node in numbers, for /metrics: read in one short snapshot, and without counting a row.

What is counted are tallies and histograms that the ledger keeps anyhow. The oldest of each queue is found by an index.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from node.config.models import Configuration
from node.config.sections import paths_by_key
from node.dimse.certificates import ends_at
from node.errors import NodeError
from node.ledger import audit_marks, durations, queue_ages, tallies
from node.ledger.alert_kinds import AlertKind, AlertSeverity
from node.ledger.database import FILE, Database, Ledger
from node.ledger.delivery import DeliveryKind
from node.ledger.durations import BOUNDS, DurationHistogram, TimedStep
from node.store import children, pulse
from node.store.callers import open_callers
from node.store.health import Load, load_of, oldest_waiting
from node.store.pulse import Pulse

__all__ = ["BOUNDS", "LedgerFigures", "NodeFigures", "of", "of_ledger", "severity_of"]

_ASSOCIATIONS = "associations"
"""In the data folder (`node.store.layout`)."""


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """What the ledger says, all at one moment."""

    studies: Mapping[str, int]
    instances: Mapping[str, int]
    notifications: Mapping[str, int]
    """Each by status."""
    jobs: Mapping[str, Mapping[str, int]]
    """By plugin and status."""
    deliveries: Mapping[DeliveryKind, Mapping[str, Mapping[str, int]]]
    """By destination and status."""
    alerts: Mapping[str, Mapping[str, int]]
    """By kind, and whether somebody has acknowledged them: `open`, `acknowledged`."""
    steps: Mapping[TimedStep, Sequence[DurationHistogram]]
    audit_waiting: Mapping[str, int]
    """Of the audit trail: events that are not in its files (`file`), entries that a server has not (`syslog`)."""
    oldest_job: datetime | None
    oldest_results: Mapping[str, datetime]
    oldest_images: Mapping[str, datetime]
    """By destination: since when the oldest has waited."""


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """What is to be seen of the node from outside of its other processes."""

    children: Mapping[str, int | None]
    """Each process that the supervisor keeps alive, and its id; None while it does not run."""
    pulse: Pulse | None
    load: Load
    disk_bytes: int
    """Size of the file system of the data folder."""
    ledger_bytes: int
    """Of the ledger and its write-ahead log."""
    oldest_object: float | None
    """When the object arrived that has waited for longest to be indexed; seconds since 1970."""
    open_associations: int
    certificates: Mapping[str, datetime]
    """By the key that names its file: when a certificate ends."""
    ledger: LedgerFigures | None
    """None where the ledger cannot be read."""


def of(configuration: Configuration, ledger: Ledger | None) -> NodeFigures:
    """Look. Raises OSError where the data folder cannot be read."""
    data = configuration.node.data
    return NodeFigures(
        children=children.last(data) or {},
        pulse=pulse.last(data),
        load=load_of(data),
        disk_bytes=shutil.disk_usage(data).total,
        ledger_bytes=sum(_size(data / f"{FILE}{end}") for end in ("", "-wal")),
        oldest_object=oldest_waiting(data),
        open_associations=open_callers(data / _ASSOCIATIONS).total(),
        certificates=dict(_certificates(configuration)),
        ledger=_of_ledger(ledger) if ledger is not None else None,
    )


def severity_of(kind: str) -> str:
    """Of alerts of a kind; `warning` of one that an earlier release knew."""
    return AlertKind(kind).severity if kind in set(AlertKind) else AlertSeverity.WARNING


def _of_ledger(ledger: Ledger) -> LedgerFigures | None:
    try:
        with ledger.snapshot() as database:
            return of_ledger(database)
    except NodeError:  # damaged, or its disk refuses: the other figures are needed all the more
        return None


def of_ledger(database: Database) -> LedgerFigures:
    """What the ledger says."""
    return LedgerFigures(
        studies=tallies.of(database, "studies"),
        instances=tallies.of(database, "instances"),
        notifications=tallies.of(database, "notifications"),
        jobs=tallies.by_place(database, "jobs"),
        deliveries={kind: tallies.by_place(database, f"deliveries of {kind}") for kind in DeliveryKind},
        alerts=tallies.by_place(database, "alerts"),
        steps={step: durations.of(database, step) for step in TimedStep},
        audit_waiting=audit_marks.waiting(database),
        oldest_job=queue_ages.oldest_job(database),
        oldest_results=queue_ages.oldest_results(database),
        oldest_images=queue_ages.oldest_images(database),
    )


def _certificates(configuration: Configuration) -> list[tuple[str, datetime]]:
    found = [(".".join(key), ends_at(file)) for key, file in paths_by_key(configuration) if key[-1] == "certificate"]
    return [(key, end) for key, end in found if end is not None]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
