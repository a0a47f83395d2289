"""How much of what was delivered the destinations have committed themselves to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from node.ledger import tallies
from node.ledger.connection import Database
from node.ledger.delivery import DeliveryCommitment, DeliveryKind
from node.ledger.rows import moment, query

CommitmentCounts = Mapping[DeliveryCommitment, int]
"""How many deliveries are in each state; those that nobody asks for are left out."""


@dataclass(frozen=True, slots=True)
class StudyCommitment:
    """Deliveries of a study to one destination that are in the same state, for the same reason."""

    destination: str
    kind: DeliveryKind
    commitment: DeliveryCommitment
    failure: int | None
    """The failure reason (0008,1197) in the destination's last report."""
    instances: int
    commit_by: datetime | None
    """When the first of them should be committed."""


def by_destination(database: Database, kind: DeliveryKind) -> dict[str, CommitmentCounts]:
    """The counts of each destination that is asked, or was."""
    found = tallies.by_place(database, f"commitment of deliveries of {kind}")
    return {place: {DeliveryCommitment(each): n for each, n in counts.items()} for place, counts in found.items()}


def of_study(database: Database, study: str) -> list[StudyCommitment]:
    """What was delivered of a study and its destination is asked for; one for each destination, kind and state."""
    rows = query(
        database,
        "SELECT destination, kind, commitment, commit_failure, count(*) AS n, min(commit_by) AS by FROM deliveries"
        " WHERE study_instance_uid=? AND commitment<>'none' GROUP BY 1, 2, 3, 4 ORDER BY min(id)",
        [study],
    )
    return [
        StudyCommitment(
            row["destination"],
            DeliveryKind(row["kind"]),
            DeliveryCommitment(row["commitment"]),
            row["commit_failure"],
            row["n"],
            moment(row["by"]),
        )
        for row in rows
    ]
