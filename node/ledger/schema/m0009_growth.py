"""Indexes for what the stages and `status` ask again and again, so that its cost does not grow with the past."""

from __future__ import annotations

from sqlite_utils import Database

_INDEXES = (
    "CREATE INDEX studies_undecided ON studies (completed_at) WHERE status='complete' AND decided_revision < revision",
    "CREATE INDEX studies_held ON studies (last_received_at) WHERE hold IS NOT NULL",
    "CREATE INDEX studies_by_completion ON studies (completed_at)",
    # of those alone: an index of every status would be taken for searches by study and status, and does not help there
    "CREATE INDEX instances_not_current ON instances (status) WHERE status<>'current'",
    "CREATE INDEX jobs_superseding ON jobs (supersedes) WHERE supersedes IS NOT NULL",
    "CREATE INDEX jobs_in_trouble ON jobs (finished_at) WHERE status='unreportable' OR outcome='failed'",
    "CREATE INDEX results_by_status ON deliveries (status) WHERE receipt IS NULL",
    "CREATE INDEX results_by_destination ON deliveries (destination, status, receipt) WHERE receipt IS NULL",
)


def migrate(database: Database) -> None:
    """Make them; a ledger of a million instances needs some seconds."""
    for statement in _INDEXES:
        database.execute(statement)
