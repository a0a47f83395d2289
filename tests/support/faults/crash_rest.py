"""What a run of the crash matrix leaves, and when nothing of it is under way any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.errors import NodeError
from node.ledger import deliveries, job_files, jobs, notifications, purges, retention_runs, studies
from node.ledger.connection import Database
from node.ledger.delivery import DeliveryCommitment, DeliveryStatus
from node.ledger.job import OPEN
from node.ledger.notifications import NotificationStatus
from node.ledger.studies import StudyImages, StudyStatus
from tests.support.faults.crash_plan import CrashPlan, Feature
from tests.support.sites.site import Site

OBJECTS = 3
"""Of each study: the SR, its summary page, the plugin's picture."""


@dataclass
class Journey:
    """What a run leaves for the checks."""

    plan: CrashPlan
    site: Site
    archive: Path
    files: Mapping[str, Path]
    """SOP Instance UID → the file that was sent."""
    studies: Sequence[str]
    told: Sequence[Mapping[str, Any]]
    """What the person was told."""
    backups: Path
    second: Site
    """For a node that starts from the backup."""
    killed: list[str] = field(default_factory=list)
    """What became of each kill."""
    seconds: float = 0.0
    """From the last fault until nothing was under way."""
    lost: int = 0
    """Objects that were answered with success and are not indexed, and results that the archive does not have."""
    said: str = ""
    """By `status --check`, the last time."""
    twice: int = 0
    """Results that the archive has with more than one content, or in more than one file."""

    def kept(self) -> Iterator[tuple[str, str]]:
        """SOP Instance UID and SHA-256 of the data set of each object that the archive kept, in order."""
        log = self.archive / "kept.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            uid, digest = line.split()
            yield uid, digest

    def has(self, feature: Feature) -> bool:
        """Whether the run has it."""
        return feature in self.plan.features


def is_at_rest(journey: Journey, study: str) -> bool:
    """Complete, decided, no job open, all delivered, committed and told; raises where only a person could go on."""
    try:
        rows = journey.site.ledger.database
        found = studies.get(rows, study)
        if found is None or found.status is not StudyStatus.COMPLETE or found.decided_revision < found.revision:
            return False
        assert found.hold is None, found.hold
        work = jobs.of_study(rows, study)
        if not work or any(job.status in OPEN for job in work):
            return False
        return _is_delivered(journey, rows, study) and _is_told(journey, rows, study)
    except NodeError:
        return False


def _is_delivered(journey: Journey, rows: Database, study: str) -> bool:
    sent = deliveries.of_study(rows, study)
    stuck = [each for each in sent if each.status in (DeliveryStatus.HELD, DeliveryStatus.DEAD)]
    assert not stuck, [(each.status, each.hold or each.error) for each in stuck]
    over = {DeliveryStatus.DELIVERED, *([DeliveryStatus.SUPERSEDED] if journey.has(Feature.ADOPT) else [])}
    arrived = [each for each in sent if each.status is DeliveryStatus.DELIVERED]
    if {each.status for each in sent} - over or sum(not each.is_image for each in arrived) < OBJECTS:
        return False
    wanted = DeliveryCommitment.COMMITTED if journey.has(Feature.COMMIT) else DeliveryCommitment.NONE
    return {each.commitment for each in arrived} == {wanted}


def _is_told(journey: Journey, rows: Database, study: str) -> bool:
    said = [each.status for each in notifications.of_study(rows, study)]
    assert NotificationStatus.DEAD not in said
    return said == [NotificationStatus.SENT] * journey.has(Feature.NOTIFY)


def is_gone(journey: Journey) -> bool:
    """Retention has removed images and results of all studies, and is not at work."""
    try:
        rows = journey.site.ledger.database
        found = [studies.get(rows, study) for study in journey.studies]
        files = [row[0] for row in rows.execute("SELECT files FROM jobs").fetchall()]
        busy = retention_runs.under_way(rows) or purges.under_way(rows) or job_files.under_way(rows)
    except NodeError:
        return False
    images = {each.images for each in found if each is not None}
    return images == {StudyImages.GONE} and set(files) == {"gone"} and not busy
