"""Plugins that fail one job after the other: then it is the plugin, and not a study."""

from __future__ import annotations

from datetime import datetime

from node.clock import to_text
from node.ledger import alerts
from node.ledger.alert_conditions import still_true
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.job import Job, JobOutcome


def noted(database: Database, at: datetime, job: Job) -> None:
    """A job has ended: an alert where it is one more failure of its plugin in a row."""
    if job.outcome is not JobOutcome.FAILED:
        return
    if still_true(database, AlertKind.PLUGIN_FAILING, job.plugin, detail="{}", last=to_text(at)):
        alerts.raised(database, at, AlertKind.PLUGIN_FAILING, job.plugin, plugin=job.plugin, job=job.id)
