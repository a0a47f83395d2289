"""One study: what arrived, what was decided, run, sent and told, and all that happened, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.clock import SystemClock
from node.config.models import Configuration
from node.desk import assessing, destinations, find, plain, site, turnaround
from node.desk.computed_from import EarlierResultUse, computed_from
from node.errors import NotFoundError
from node.ledger import (
    alerts,
    assessments,
    attempts,
    commitment_counts,
    commitments,
    decisions,
    deliveries,
    events,
    fetches,
    forwards,
    gone_images,
    identities,
    jobs,
    notifications,
    objects,
    purges,
    returned_objects,
    studies,
    study_ends,
    withdrawals,
)
from node.ledger.alerts import Alert
from node.ledger.assessments import Assessment
from node.ledger.attempts import Attempt
from node.ledger.commitment import Commitment, CommitmentItem
from node.ledger.commitment_counts import StudyCommitment
from node.ledger.database import Database, Ledger
from node.ledger.decisions import StoredDecision
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import Event
from node.ledger.fetches import Fetch
from node.ledger.forwards import ImageCount
from node.ledger.identities import Identity
from node.ledger.job import Job, JobStatus
from node.ledger.notifications import Notification
from node.ledger.purges import Purge
from node.ledger.returned_objects import ReturnedObjectRow
from node.ledger.studies import Series, Study
from node.ledger.withdrawals import Withdrawals
from node.run import waiting

_TO_BE_SENT = (DeliveryStatus.WAITING, DeliveryStatus.SENDING)


@dataclass(frozen=True, slots=True)
class StudyHistory:
    """A study and everything that the ledger holds about it, read at one moment."""

    study: Study
    ended: bool
    """A person said that nothing more of it comes, and the node has not completed it yet."""
    series: Sequence[Series]
    decisions: Sequence[StoredDecision]
    fetches: Sequence[Fetch]
    jobs: Sequence[Job]
    attempts: Sequence[Attempt]
    """At its jobs, job by job."""
    returned: Sequence[ReturnedObjectRow]
    """DICOM objects that plugins returned, job by job."""
    deliveries: Sequence[Delivery]
    """Of results."""
    kinds: Mapping[str, str]
    """What each result object is, by SOP Instance UID: sr, sc, seg."""
    images: Sequence[ImageCount]
    """Received images that rules forward."""
    assessments: Sequence[Assessment]
    """What people said of its results."""
    withdrawals: Sequence[Withdrawals]
    """What was delivered and turned out wrong."""
    notifications: Sequence[Notification]
    identities: Sequence[Identity]
    """What the identity checks at destinations said."""
    commitments: Sequence[tuple[Commitment, Sequence[CommitmentItem]]]
    """Requests for storage commitment that name instances of it."""
    kept: Sequence[StudyCommitment]
    """How far destinations have committed themselves to what they got of it."""
    events: Sequence[Event]
    alerts: Sequence[Alert]
    """Open ones about it."""
    purges: Sequence[Purge]
    """When images of it were removed by retention, oldest first."""
    gone: Mapping[str, int]
    """Series → how many of its images count and are not here any more."""
    waits: Mapping[str, str]
    """Job → why it waits although its time has come."""
    hold_ups: Sequence[str]
    """Why what of it waits for a destination is not sent there now."""

    @property
    def computed_from(self) -> list[EarlierResultUse]:
        """The earlier results that its jobs work on."""
        return computed_from(self.jobs)

    @property
    def since_last_image(self) -> list[turnaround.Milestone]:
        """How long after the last image each step was taken."""
        reports = [each for each in self.deliveries if self.kinds.get(each.item) == "sr"]
        return turnaround.milestones(self.study, self.jobs, reports, self.notifications)


def search(ledger: Ledger, texts: Sequence[str]) -> list[Study]:
    """The study that one text names (`desk.find.study`), else those with all words of all texts; NotFoundError."""
    with ledger.snapshot() as database:
        if len(texts) == 1:
            try:
                return [find.study(database, texts[0])]
            except NotFoundError as unknown:
                try:
                    return find.studies_with(database, texts)
                except NotFoundError as error:
                    raise NotFoundError(f"{unknown}; and {error}") from error
        return find.studies_with(database, texts)


def look(ledger: Ledger, name: str, configuration: Configuration) -> StudyHistory:
    """The study that `name` names (`desk.find.study`), in one snapshot of the ledger; NotFoundError, UsageError."""
    data = configuration.node.data
    waits = waiting.noted(data) if site.running(data) else {}
    with ledger.snapshot() as database:
        study = find.study(database, name)
        uid = study.study_instance_uid
        work = jobs.of_study(database, uid)
        made = [each for job in work for each in objects.of_job(database, job.id)]
        results, images = deliveries.results_of_study(database, uid), forwards.of_study(database, uid)
        waiting_for = {each.destination for each in results if each.status in _TO_BE_SENT}
        waiting_for |= {each.destination for each in images if each.status in _TO_BE_SENT}
        held_up = destinations.hold_ups(database, configuration, SystemClock().now()) if waiting_for else {}
        return StudyHistory(
            study=study,
            ended=uid in study_ends.asked(database),
            series=studies.series_of(database, uid),
            decisions=decisions.of_study(database, uid),
            fetches=fetches.of_study(database, uid),
            jobs=work,
            attempts=[each for job in work for each in attempts.of_job(database, job.id)],
            returned=[each for job in work for each in returned_objects.of_job(database, job.id)],
            deliveries=results,
            kinds={each.sop_instance_uid: each.kind for each in made},
            images=images,
            assessments=assessments.of_study(database, uid),
            withdrawals=withdrawals.of_study(database, uid),
            notifications=notifications.of_study(database, uid),
            identities=identities.of_study(database, uid),
            commitments=commitments.of_study(database, uid),
            kept=commitment_counts.of_study(database, uid),
            events=events.of_study(database, uid),
            alerts=alerts.of_study(database, uid),
            purges=purges.of_study(database, uid),
            gone=Counter(each.series_instance_uid or "" for each in gone_images.stand_ins(database, uid).values()),
            waits=_waits(work, waits) | _for_images(database, work),
            hold_ups=destinations.sentences(held_up, waiting_for),
        )


def _waits(work: Sequence[Job], why: Mapping[str, str]) -> dict[str, str]:
    """Job → why it waits although its time has come."""
    now = SystemClock().now()
    ready = [job for job in work if job.status is JobStatus.QUEUED and job.not_before <= now]
    found = {job.id: why.get(job.plugin, why.get(waiting.OTHERS, "")) for job in ready}
    return {job: text for job, text in found.items() if text}


def _for_images(database: Database, work: Sequence[Job]) -> dict[str, str]:
    """Job → that it waits for images which were removed."""
    queued = [job for job in work if job.status is JobStatus.QUEUED]
    asked = {job.id: [each for each in fetches.of_job(database, job.id) if each.ended_at is None] for job in queued}
    return {job: f"its images were deleted: waits for {open_[0].source}" for job, open_ in asked.items() if open_}


def for_scripts(found: StudyHistory, *, explain: bool, identify: bool) -> dict[str, Any]:
    """All of it with stable keys; traces of decisions only with `explain`, the patient only with `identify`."""
    return {
        "study": plain.study(found.study, identify=identify),
        "series": [
            plain.series(each) | {"deleted": found.gone.get(each.series_instance_uid, 0)} for each in found.series
        ],
        "purges": [plain.purge(each) for each in found.purges],
        "decisions": [plain.decision(each, explain=explain) for each in found.decisions],
        "fetches": [plain.fetch(each) for each in found.fetches],
        "jobs": [
            plain.job(each)
            | {"waits": found.waits.get(each.id)}
            | {"computed_from": [one.plain() for one in found.computed_from if one.job == each.id]}
            for each in found.jobs
        ],
        "attempts": [plain.attempt(each) for each in found.attempts],
        "returned": [plain.returned(each) for each in found.returned],
        "deliveries": [plain.delivery(each) for each in found.deliveries],
        "hold_ups": list(found.hold_ups),
        "images": [plain.images(each) for each in found.images],
        "assessments": [assessing.plain(each) for each in found.assessments],
        "withdrawals": [plain.withdrawals(each) for each in found.withdrawals],
        "turnaround": [plain.milestone(each) for each in found.since_last_image],
        "notifications": [plain.notification(each) for each in found.notifications],
        "commitments": [plain.commitment(*each) for each in found.commitments],
        "destination_commitments": [plain.study_commitment(each) for each in found.kept],
        "identities": [plain.identity(each) for each in found.identities],
        "alerts": [plain.alert(each) for each in found.alerts],
        "events": [plain.event(each) for each in found.events],
    }
