"""The ledger's rows that a face is given, by name: it reads their values here, and never the ledger itself."""

from __future__ import annotations

from node.ledger.commitments import Commitment, CommitmentStatus
from node.ledger.commitments import Item as CommitmentItem
from node.ledger.decisions import Decision
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import Event
from node.ledger.fetches import Fetch
from node.ledger.forwards import Standing as ImagesStanding
from node.ledger.identities import Identity
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobStatus
from node.ledger.notifications import UNSENT, Notification
from node.ledger.rule_versions import Version
from node.ledger.studies import Series, Study

__all__ = [
    "UNSENT",
    "Commitment",
    "CommitmentItem",
    "CommitmentStatus",
    "Decision",
    "Delivery",
    "DeliveryStatus",
    "Event",
    "Fetch",
    "Identity",
    "ImagesStanding",
    "InstanceStatus",
    "Job",
    "JobStatus",
    "Notification",
    "Series",
    "Study",
    "Version",
]
