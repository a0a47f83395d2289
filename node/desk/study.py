"""One study: what arrived, what was decided, run, sent and told, and all that happened, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.desk import find, plain
from node.ledger import (
    commitments,
    decisions,
    deliveries,
    events,
    fetches,
    forwards,
    identities,
    jobs,
    notifications,
    objects,
    studies,
)
from node.ledger.commitments import Commitment, Item
from node.ledger.database import Ledger
from node.ledger.decisions import Decision
from node.ledger.delivery import Delivery
from node.ledger.events import Event
from node.ledger.fetches import Fetch
from node.ledger.forwards import Standing
from node.ledger.identities import Identity
from node.ledger.job import Job
from node.ledger.notifications import Notification
from node.ledger.studies import Series, Study


@dataclass(frozen=True, slots=True)
class StudyHistory:
    """A study and everything that the ledger holds about it, read at one moment."""

    study: Study
    series: Sequence[Series]
    decisions: Sequence[Decision]
    fetches: Sequence[Fetch]
    jobs: Sequence[Job]
    deliveries: Sequence[Delivery]
    """Of results."""
    kinds: Mapping[str, str]
    """What each result object is, by SOP Instance UID: sr, sc, seg."""
    images: Sequence[Standing]
    """Received images that rules forward."""
    notifications: Sequence[Notification]
    identities: Sequence[Identity]
    """What the identity checks at destinations said."""
    commitments: Sequence[tuple[Commitment, Sequence[Item]]]
    """Requests for storage commitment that name instances of it."""
    events: Sequence[Event]


def look(ledger: Ledger, name: str) -> StudyHistory:
    """The study that `name` names (`desk.find.study`), in one snapshot of the ledger; NotFoundError, UsageError."""
    with ledger.snapshot() as database:
        study = find.study(database, name)
        uid = study.study_instance_uid
        work = jobs.of_study(database, uid)
        made = [each for job in work for each in objects.of_job(database, job.id)]
        return StudyHistory(
            study=study,
            series=studies.series_of(database, uid),
            decisions=decisions.of_study(database, uid),
            fetches=fetches.of_study(database, uid),
            jobs=work,
            deliveries=deliveries.results_of_study(database, uid),
            kinds={each.sop_instance_uid: each.kind for each in made},
            images=forwards.of_study(database, uid),
            notifications=notifications.of_study(database, uid),
            identities=identities.of_study(database, uid),
            commitments=commitments.of_study(database, uid),
            events=events.of_study(database, uid),
        )


def for_scripts(found: StudyHistory, *, explain: bool, identify: bool) -> dict[str, Any]:
    """All of it with stable keys; traces of decisions only with `explain`, the patient only with `identify`."""
    return {
        "study": plain.study(found.study, identify=identify),
        "series": [plain.series(each) for each in found.series],
        "decisions": [plain.decision(each, explain=explain) for each in found.decisions],
        "fetches": [plain.fetch(each) for each in found.fetches],
        "jobs": [plain.job(each) for each in found.jobs],
        "deliveries": [plain.delivery(each) for each in found.deliveries],
        "images": [plain.images(each) for each in found.images],
        "notifications": [plain.notification(each) for each in found.notifications],
        "commitments": [plain.commitment(*each) for each in found.commitments],
        "identities": [plain.identity(each) for each in found.identities],
        "events": [plain.event(each) for each in found.events],
    }
