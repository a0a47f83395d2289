"""What `check` and `serve` say of how a site is looked after: deletion, backups, alerts and signs of life."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.config.models import Configuration
from node.config.retention import AGES
from node.config.values import duration_text

_MIB = 2**20


def lines(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """One for each; also where there is none, for what a site may take for granted."""
    yield "retention", _retention(configuration)
    yield "backup", _backup(configuration)
    yield "alerts", _alerts(configuration)
    if configuration.heartbeat is not None:
        yield "heartbeat", _heartbeat(configuration)


def plain(configuration: Configuration) -> dict[str, Any]:
    """The same for scripts."""
    retention, alerts, backup = configuration.retention, configuration.alerts, configuration.backup
    return {
        "retention": {name: duration_text(age) for name in AGES if (age := getattr(retention, name)) is not None},
        "backup": None if backup is None else {"to": str(backup.to), "at": f"{backup.at:%H:%M}", "keep": backup.keep},
        "alerts": {"to": list(alerts.to), "severity": alerts.severity},
    }


def _retention(configuration: Configuration) -> str:
    """`deletes unmatched after 2d, images after 30d, daily at 03:15`."""
    settings = configuration.retention
    if not settings.deletes:
        return "nothing is deleted"
    ages = [f"{name} after {duration_text(age)}" for name in AGES if (age := getattr(settings, name)) is not None]
    until = f" until {settings.until:%H:%M}" if settings.until else ""
    daily = [f"deletes {', '.join(ages)}, each day from {settings.at:%H:%M}{until}"] if ages else []
    below = f"where less than {(settings.below or 0) // _MIB} MiB is free, deletes {', '.join(settings.first)} earlier"
    return "; ".join([*daily, *([below] if settings.below else [])])


def _backup(configuration: Configuration) -> str:
    settings = configuration.backup
    if settings is None:
        return "the node makes none by itself"
    return f"to {settings.to} each day at {settings.at:%H:%M}, the newest {settings.keep} are kept"


def _alerts(configuration: Configuration) -> str:
    settings = configuration.alerts
    if not settings.to:
        return "nobody is notified (pacsnode status shows them)"
    which = "critical ones" if settings.severity == "critical" else "all, critical ones at once"
    windows = f"; only critical ones {', '.join(map(str, settings.maintenance))}" if settings.maintenance else ""
    return f"{', '.join(settings.to)}: {which}, again each {duration_text(settings.repeat)}{windows}"


def _heartbeat(configuration: Configuration) -> str:
    settings = configuration.heartbeat
    if settings is None:
        return ""
    ways = [str(way) for way in (settings.url, settings.file) if way is not None]
    return f"{' and '.join(ways)}, each {duration_text(settings.every)} while every stage turns"
