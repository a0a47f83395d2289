"""Results that wait for, or are at, a destination which has the study under another patient or order than the images.

Once that identity was adopted (`node.ledger.adoptions`), each result is re-encoded under it: other objects, other
UIDs. What waited takes no other way out; what was delivered is listed for withdrawal since the adoption. One job at a
time, in one transaction once its files are durable: after a crash, what is not done yet is found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from node.config.models import Configuration
from node.errors import PermanentError
from node.items import Item, Items
from node.ledger import adoptions, deliveries, encodings, jobs, objects
from node.ledger.adoptions import UNSENT, Adoption
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.job import Job
from node.results.adopted import AdoptedIdentity
from node.results.encoded import EncodedSet
from node.results.making import ObjectMaker, SetRequest
from node.stage import Node

log = structlog.get_logger(__name__)

_Made = list[tuple[SetRequest, EncodedSet]]


def identity_of(adoption: Adoption) -> AdoptedIdentity:
    """As the encoder needs it."""
    return AdoptedIdentity.of(adoption.number, adoption.identity)


@dataclass(frozen=True, slots=True)
class AdoptedResults:
    """What the stage `results` does about adopted identities."""

    node: Node
    making: ObjectMaker
    items: Items

    def run_once(self, configuration: Configuration) -> int:
        """Re-encode what waits for it; how many results are in the outbox now."""
        made = 0
        for adoption in adoptions.open_ones(self.node.ledger.database):
            left = False
            for job in adoptions.to_re_encode(self.node.ledger.database, adoption):
                key = f"job:{job} as {adoption.destination} has it"
                give_up = partial(self._give_up, adoption, job)
                item = Item(key, adoption.study_instance_uid, job, give_up=give_up)
                done = self.items.handle(item, partial(self._replace, adoption, job, configuration), otherwise=None)
                made += done is True
                left = left or done is None
            if not left:
                self._close(adoption)
        return made

    def _close(self, adoption: Adoption) -> None:
        with self.node.ledger.transaction() as database:
            adoptions.close(database, adoption)

    def _replace(self, adoption: Adoption, job_id: str, configuration: Configuration) -> bool:
        """Whether it is re-encoded; False where that cannot be, which is recorded."""
        database = self.node.ledger.database
        job = jobs.get(database, job_id)
        outdated = adoptions.to_re_encode(database, adoption).get(job_id, [])
        try:
            made = self._encode(job, adoption, outdated, configuration)
        except PermanentError as error:
            self._refuse(adoption, job, str(error))
            return False
        with self.node.ledger.transaction() as database:
            if adoptions.newest(database, adoption.study_instance_uid, adoption.destination) != adoption:
                return False  # another identity was adopted meanwhile
            self._enqueue(database, job, adoption, made)
            _end(database, self.node.clock.now(), outdated, adoption)
        log.warning("results.re-encoded-as-adopted", job=job_id, destination=adoption.destination)
        return True

    def _encode(
        self, job: Job, adoption: Adoption, outdated: Sequence[Delivery], configuration: Configuration
    ) -> _Made:
        """Every set of the job that the destination was to get, under the adopted identity."""
        database, adopted = self.node.ledger.database, identity_of(adoption)
        found = (objects.get(database, each.item) for each in outdated)
        names = dict.fromkeys(each.encoding for each in found if each is not None)
        kept = [encodings.get(database, job.id, name) for name in names]
        wanted = [SetRequest.of(each).under(adopted) for each in kept if each is not None]
        if not wanted:
            raise PermanentError("how it was encoded is not known: pacsnode retry makes the job again")
        images = self.making.images(job)
        return [(each, self.making.whole_set(job, each, images, configuration)) for each in wanted]

    def _enqueue(self, database: Database, job: Job, adoption: Adoption, made: _Made) -> None:
        now = self.node.clock.now()
        for wanted, encoded in made:
            encodings.insert(database, wanted.kept(job, encoded.missing))
            for one in encoded:
                row = self.making.row(job, wanted, one, now)
                objects.insert(database, row)
                deliveries.enqueue(
                    database,
                    now,
                    sop_instance_uid=row.sop_instance_uid,
                    sop_class_uid=row.sop_class_uid,
                    study=job.study_instance_uid,
                    job=job.id,
                    file=row.file,
                    destination=adoption.destination,
                )

    def _refuse(self, adoption: Adoption, job: Job, why: str) -> None:
        with self.node.ledger.transaction() as database:
            self._give_up(adoption, job.id, database, self.node.clock.now(), why)

    def _give_up(self, adoption: Adoption, job_id: str, database: Database, at: datetime, why: str) -> None:
        """Dead letters, and not tried again under this identity unless a person has one of them sent."""
        reason = f"it cannot be re-encoded under the patient and order that {adoption.destination} has: {why}"
        log.error("results.not-re-encoded", job=job_id, destination=adoption.destination, error=why)
        _dead(adoptions.to_re_encode(database, adoption).get(job_id, []), database, at, reason)
        adoptions.refuse(database, adoption, job_id)
        jobs.refused_for(database, at, jobs.get(database, job_id), {adoption.destination: reason})


def _end(database: Database, at: datetime, outdated: Sequence[Delivery], adoption: Adoption) -> None:
    """What waited under the older identity is never sent; what was being sent when another was adopted, is listed."""
    reason = f"re-encoded under the patient and order that {adoption.destination} has"
    now = [deliveries.get(database, each.id) for each in outdated]
    for each in now:
        if each.status in UNSENT:
            deliveries.stop(database, at, each.id, DeliveryStatus.SUPERSEDED, reason)
    adoptions.list_for_withdrawal(database, at, adoption, [each for each in now if _came_late(each, adoption)])


def _came_late(delivery: Delivery, adoption: Adoption) -> bool:
    return (
        delivery.status is DeliveryStatus.DELIVERED
        and delivery.sent_at is not None
        and (delivery.sent_at >= adoption.at)
    )


def _dead(outdated: Sequence[Delivery], database: Database, at: datetime, why: str) -> None:
    for each in outdated:
        status = deliveries.get(database, each.id).status
        if status in (DeliveryStatus.WAITING, DeliveryStatus.REFUSED):
            deliveries.dead(database, at, each.id, why)
        elif status is DeliveryStatus.HELD:
            deliveries.stop(database, at, each.id, DeliveryStatus.CANCELLED, why)
