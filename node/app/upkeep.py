"""Upkeep by the calendar: what nobody waits for, at an hour of the night when little else happens."""

from __future__ import annotations

from datetime import time
from functools import partial

import structlog

from node.app.schedule import Schedule
from node.ledger import defects
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
