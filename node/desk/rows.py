"""The ledger's rows that a face is given, by name: it reads their values here, and never the ledger itself."""

from __future__ import annotations

from node.ledger.alerts import Alert
from node.ledger.attempts import Attempt
from node.ledger.commitment import Commitment, CommitmentStatus
from node.ledger.commitment import CommitmentItem as CommitmentItem
from node.ledger.commitment_counts import CommitmentCounts, StudyCommitment
from node.ledger.decisions import StoredDecision
from node.ledger.delivery import IN_TROUBLE, Delivery, DeliveryCommitment, DeliveryStatus
from node.ledger.durations import DurationHistogram, TimedStep
from node.ledger.events import Event
from node.ledger.fetches import Fetch
from node.ledger.forwards import ImageCount
from node.ledger.identities import Identity
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobStatus
from node.ledger.notifications import UNSENT, Notification
from node.ledger.pauses import Pausable, Pause
from node.ledger.recalled_results import RecalledResult
from node.ledger.recalls import RecallReason
from node.ledger.returned_objects import ReturnedObjectRow
from node.ledger.rule_versions import Version
from node.ledger.studies import Series, Study
from node.ledger.withdrawals import Withdrawals

__all__ = [
    "IN_TROUBLE",
    "UNSENT",
    "Alert",
    "Attempt",
    "Commitment",
    "CommitmentCounts",
    "CommitmentItem",
    "CommitmentStatus",
    "Delivery",
    "DeliveryCommitment",
    "DeliveryStatus",
    "DurationHistogram",
    "Event",
    "Fetch",
    "Identity",
    "ImageCount",
    "InstanceStatus",
    "Job",
    "JobStatus",
    "Notification",
    "Pausable",
    "Pause",
    "RecallReason",
    "RecalledResult",
    "ReturnedObjectRow",
    "Series",
    "StoredDecision",
    "Study",
    "StudyCommitment",
    "TimedStep",
    "Version",
    "Withdrawals",
]
