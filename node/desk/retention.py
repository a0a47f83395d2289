"""What retention would remove now, what it would keep and why, and for how many days the disk will do."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from node.clock import from_text
from node.config.models import Configuration
from node.config.retention import AGES, Retention
from node.desk.actions import ActionOutcome
from node.desk.actor import Actor
from node.desk.rights import Right, require
from node.errors import UsageError
from node.ledger import needed, old_rows, outdated, positions, retention_runs
from node.ledger.database import Ledger
from node.ledger.outdated import Amount
from node.ledger.purges import PurgeKind
from node.ledger.retention_runs import RetentionRun
from node.retain import leftovers, removal
from node.store.layout import DataFolder

_DAYS = 7
"""Over which the growth of the disk is measured."""
_SHORTEST = timedelta(hours=6)
"""A ledger that is younger says nothing of a day."""
_ROWS = {"facts": old_rows.FACTS, "delivered_objects": old_rows.DELIVERED_OBJECTS, "events": old_rows.HISTORY}
UNITS = {"unmatched": "studies", "images": "studies", "fetched": "studies", "results": "jobs", "work": "files"}
"""What is counted of a class; rows where it is not named here."""


@dataclass(frozen=True, slots=True)
class ClassOutlook:
    """One class of retention, as it is now."""

    name: str
    age: timedelta | None
    """None where it is kept for ever."""
    going: int
    """How many studies, jobs, files or rows would go (`UNITS`)."""
    bytes: int | None
    """Of their files; None where they are rows."""
    kept: Mapping[str, int]
    """How many are old enough and stay, by the first reason why."""


@dataclass(frozen=True, slots=True)
class RetentionOutlook:
    """What there is to say of a site's retention."""

    classes: Sequence[ClassOutlook]
    free: int
    """Bytes on the disk of the data folder."""
    stays_free: int
    """`node.limits.free_space`: with less, associations are refused."""
    below: int | None
    received_a_day: int | None
    """Bytes of images, on average of the last days; None where the ledger is too young to tell."""
    removed_a_day: int | None
    last: RetentionRun | None

    @property
    def days_left(self) -> int | None:
        """Until associations are refused, if it goes on like this; None where the disk does not fill, or is unknown."""
        if self.received_a_day is None or self.removed_a_day is None:
            return None
        growth = self.received_a_day - self.removed_a_day
        return max(0, int((self.free - self.stays_free) / growth)) if growth > 0 else None


def look(ledger: Ledger, configuration: Configuration, now: datetime) -> RetentionOutlook:
    """Ask of everything that is old enough whether it may go. Changes nothing; takes a millisecond for each study."""
    settings, data = configuration.retention, configuration.node.data
    received, removed = _a_day(ledger, now)
    return RetentionOutlook(
        [_class(ledger, data, settings, name, now) for name in AGES],
        shutil.disk_usage(data).free,
        configuration.node.limits.free_space,
        settings.below,
        received,
        removed,
        retention_runs.last(ledger.database),
    )


def begin(ledger: Ledger, configuration: Configuration, now: datetime, by: Actor) -> ActionOutcome:
    """Have what is old enough go now, whatever the time of day; UsageError where nothing is ever deleted."""
    require(by, Right.ACT)
    if not configuration.retention.deletes:
        raise UsageError("nothing is deleted: the configuration has no retention (docs/retention.md)")
    with ledger.transaction() as database:
        fresh = retention_runs.begin(database, now, str(by))
    sentence = "what is old enough and not needed goes now" if fresh else "a run is under way already"
    return ActionOutcome(f"{sentence}; pacsnode retention --dry-run shows what is left", {"began": fresh})


def for_scripts(found: RetentionOutlook) -> dict[str, Any]:
    """The same with stable keys."""
    return {
        "free_bytes": found.free,
        "stays_free_bytes": found.stays_free,
        "below_bytes": found.below,
        "received_bytes_a_day": found.received_a_day,
        "removed_bytes_a_day": found.removed_a_day,
        "days_left": found.days_left,
        "last_run": _run(found.last),
        "classes": [
            {
                "class": each.name,
                "age_seconds": int(each.age.total_seconds()) if each.age is not None else None,
                "going": each.going,
                "of": UNITS.get(each.name, "rows"),
                "bytes": each.bytes,
                "kept": dict(each.kept),
            }
            for each in found.classes
        ],
    }


def _run(run: RetentionRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {"began_at": run.began_at, "ended_at": run.ended_at, "asked_by": run.asked_by, "done": dict(run.done)}


def _class(ledger: Ledger, data: Path, settings: Retention, name: str, now: datetime) -> ClassOutlook:
    age: timedelta | None = getattr(settings, name)
    if age is None:
        return ClassOutlook(name, None, 0, None, {})
    before = now - age
    if name in _ROWS:
        rows = sum(len(keys) for rule in _ROWS[name] for keys in old_rows.found(ledger, rule, before, now))
        if name == "events":
            rows += positions.old(ledger.database, before)
        return ClassOutlook(name, age, rows, None, {})
    if name == "work":
        sizes = [removal.size(path) for path in leftovers.found(ledger, DataFolder(data), before)]
        return ClassOutlook(name, age, len(sizes), sum(each.bytes for each in sizes), {})
    return _files(ledger, data, name, age, now)


def _files(ledger: Ledger, data: Path, name: str, age: timedelta, now: datetime) -> ClassOutlook:
    """Studies with their images, or jobs with their results."""
    database, going, total = ledger.database, 0, Amount()
    kept: Counter[str] = Counter()
    results = name == "results"
    due = outdated.jobs(database, now - age) if results else outdated.studies(database, PurgeKind(name), now - age)
    for each in due:
        reasons = (needed.why_needed_job if results else needed.why_needed)(database, each, now)
        if reasons:
            kept[reasons[0].kind.sentence] += 1
            continue
        going += 1
        total += removal.size(data / "results" / each) if results else outdated.amount(database, each)
    return ClassOutlook(name, age, going, total.bytes, kept)


def _a_day(ledger: Ledger, now: datetime) -> tuple[int | None, int | None]:
    """Bytes that were received and removed on an average day of the last ones."""
    database = ledger.database
    first = outdated.first_received_at(database)
    since = max(now - timedelta(days=_DAYS), from_text(first)) if first else now
    if now - since < _SHORTEST:
        return None, None
    days = (now - since) / timedelta(days=1)
    received, removed = outdated.received_since(database, since), outdated.removed_since(database, since)
    return int(received / days), int(removed / days)
