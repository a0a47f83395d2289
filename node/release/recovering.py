"""A node that starts while an upgrade is open that nobody works on any more: it was killed, or the power went."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import structlog

from node import __version__
from node.store import upgrade_record
from node.store.upgrade_record import UpgradeStep

log = structlog.get_logger(__name__)


def at_start(data: Path) -> list[str]:
    """Finish the upgrade, or go back; lines that say which. Called with the data folder locked, before the ledger.

    Raises `NodeError` where the ledger of before cannot be restored: nothing is started then.
    """
    record = upgrade_record.read(data)
    if record is None or upgrade_record.is_held(data):
        return []  # the process that carries it out has started us
    if record.step in (UpgradeStep.STOPPING, UpgradeStep.COPYING):
        outcome = f"the upgrade to {record.after} was cut short before anything was changed: this is {__version__}"
    elif __version__ != record.after:
        from node.release import ledgers

        done = ledgers.put_back(data, "node")
        outcome = f"the upgrade to {record.after} was cut short: gone back to {__version__}; {done}"
    elif record.step is UpgradeStep.GOING_BACK:
        log.warning("release.starts-the-one-before", reason=record.reason)
        os.execv(record.command, [record.command, *sys.argv[1:]])  # noqa: S606 - the same command, of another release
    else:
        outcome = f"the upgrade from {record.before} was cut short: finished by this start of {__version__}"
    upgrade_record.end(data, record, outcome)
    log.warning("release.upgrade-ended", outcome=outcome)
    return [outcome]
