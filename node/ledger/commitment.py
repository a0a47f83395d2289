"""What a request for storage commitment is: a row of `commitments`, and its items."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class CommitmentStatus(StrEnum):
    """Where a request for storage commitment stands."""

    WAITING = "waiting"
    """What was received before it may not be indexed yet."""
    AT_ARCHIVE = "at_archive"
    """What is stored here has still to be committed by the archive that it goes through."""
    DECIDED = "decided"
    """To be reported at `not_before`, on a new association."""
    OFFERED = "offered"
    """The association of the request is still open: its receiver is to report on it."""
    REPORTED = "reported"
    """The requester has taken the report."""
    DEAD = "dead"
    """It could not be reported for too long, or was refused: kept, and reported again only by `retry`."""


OPEN = (CommitmentStatus.WAITING, CommitmentStatus.AT_ARCHIVE, CommitmentStatus.DECIDED, CommitmentStatus.OFFERED)


@dataclass(frozen=True, slots=True)
class Commitment:
    """One row of `commitments`."""

    id: int
    entry: str
    """Name of the message in the journal."""
    transaction_uid: str
    requester: str
    """Calling AE title of the N-ACTION."""
    called_ae_title: str
    """What it called us: what we call ourselves when we report."""
    association: str
    contents: str
    """Digest of the references."""
    status: CommitmentStatus
    through: str | None
    """The destination whose own commitment is needed."""
    attempts: int
    """Reports begun on associations of our own."""
    refusals: int
    not_before: datetime
    """When the archive is asked again, or the report tried."""
    put_off_at: datetime | None
    """When `not_before` was written."""
    waited: timedelta
    """For how long the archive is asked, or the report tried, by `not_before`: the sum of the pauses."""
    error: str | None
    requested_at: datetime
    taken_at: datetime
    decided_at: datetime | None
    reported_at: datetime | None

    def tried_for(self, now: datetime) -> timedelta:
        """`waited`, without what is still to come of the last pause; a clock that was set changes nothing of it."""
        if self.put_off_at is None:
            return self.waited
        pause = max(timedelta(), self.not_before - self.put_off_at)
        return max(timedelta(), self.waited - min(pause, max(timedelta(), self.not_before - now)))


@dataclass(frozen=True, slots=True)
class CommitmentItem:
    """One row of `commitment_items`."""

    position: int
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str | None
    """Where it is known here."""
    failure: int | None
    """Failure reason (0008,1197); 0 where it is committed, None while that is open."""
    archive_said: int | None
    """The failure reason in the archive's last report on it."""


References = Sequence[tuple[str, str]]
"""SOP class UID and SOP instance UID of each."""


def digest_of(references: References) -> str:
    """Equal for equal sets of references."""
    return hashlib.sha256("\n".join(sorted(" ".join(pair) for pair in references)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class NewCommitment:
    """What an AE asks for."""

    entry: str
    """Of the journal."""
    transaction_uid: str
    requester: str
    called_ae_title: str
    association: str
    requested_at: datetime
    references: References
    through: str | None
    """The destination that is asked, too."""
    keep: timedelta | None = None
    """For how long retention keeps what success is reported of; None: for ever."""
