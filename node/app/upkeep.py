"""Upkeep by the calendar: what nobody waits for, at an hour of the night when little else happens."""

from __future__ import annotations

from datetime import time, timedelta
from functools import partial

import structlog

from node.app.schedule import Schedule
from node.backup.making import BackupCancelledError, BackupRun
from node.config.backup import BackupSettings
from node.config.models import Configuration
from node.errors import NodeError
from node.ledger import backups, defects, events
from node.stage import Node

log = structlog.get_logger(__name__)

_AT = time(3, 30)
"""Of the site, and not an hour that is skipped when clocks change."""


def enter(schedule: Schedule, node: Node) -> None:
    """Put the daily jobs into the calendar. One that was missed is made up for: the rows say since when."""
    waiting = defects.forgotten_since(node.ledger.database, node.clock.now())
    schedule.daily("forget-defects", _AT, partial(forget_defects, node), make_up_since=waiting)


def forget_defects(node: Node) -> None:
    """Drop the defects of items that ended otherwise; their alerts close with the next look of `node.app.alerts`."""
    dropped = 0
    while True:
        with node.ledger.transaction() as database:
            number = defects.drop_forgotten(database, node.clock.now())
        dropped += number
        if not number:
            break
    if dropped:
        log.info("app.defects-forgotten", number=dropped)


_BACKUP, _OVERDUE = "backup", "overdue-backup"
_TOO_LONG = timedelta(days=2)


def enter_backups(schedule: Schedule, node: Node, configuration: Configuration) -> None:
    """Put the backup of each day into the calendar, as the configuration says; again where that changes."""
    settings = configuration.backup
    if settings is None:
        schedule.forget(_BACKUP)
        schedule.forget(_OVERDUE)
        return
    last = backups.last_made(node.ledger.database, str(settings.to.resolve()))
    since = last.began_at if last is not None else None
    schedule.daily(_BACKUP, settings.at, partial(back_up, node, settings, schedule), make_up_since=since)
    later = settings.at.replace(hour=(settings.at.hour + 12) % 24)
    schedule.daily(_OVERDUE, later, partial(look_for_overdue_backup, node, settings), make_up_since=since)


def back_up(node: Node, settings: BackupSettings, schedule: Schedule) -> None:
    """The backup of the day; a failure is an alert until one succeeds."""
    run = BackupRun(node.store.data, settings.to, node.clock, by=events.NODE)
    try:
        made = run.make(settings.keep, schedule.closing.is_set)
    except BackupCancelledError:
        log.info("app.backup-stopped")
    except NodeError as error:
        log.error("app.backup-failed", reason=str(error))
        if not run.is_recorded:
            with node.ledger.transaction() as database:
                backups.not_begun(database, node.clock.now(), str(settings.to.resolve()), str(error))
    else:
        log.info("app.backup-made", name=made.name, files=made.files, copied=made.copied)


def look_for_overdue_backup(node: Node, settings: BackupSettings) -> None:
    """One that hangs, or never begins, does not fail: that none was made for two days is an alert."""
    now, folder = node.clock.now(), str(settings.to.resolve())
    last = backups.last_made(node.ledger.database, folder)
    since = last.began_at if last is not None else backups.first_tried(node.ledger.database)
    if since is not None and now - since > _TOO_LONG:
        with node.ledger.transaction() as database:
            backups.overdue(database, now, folder, since)
