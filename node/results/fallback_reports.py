"""Reports whose SOP class a destination refuses are re-encoded in one that it takes: another object, another UID.

The rest of the set was sent or will be, and stays what it is: the new report refers to the very objects that the
ledger has of it. What it cannot say in its class, it says as every report of that class does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from node.config.models import Configuration
from node.dicom import report_classes
from node.errors import PermanentError
from node.items import Item, Items
from node.ledger import deliveries, encodings, fallbacks, jobs, objects
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.objects import ResultObject
from node.results.making import ObjectMaker, SetRequest
from node.results.partial_sets import parts_missing
from node.stage import Node

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FallbackReports:
    """What the stage `results` does about refused reports; each in one transaction, once its file is durable."""

    node: Node
    making: ObjectMaker
    items: Items

    def run_once(self, configuration: Configuration) -> int:
        """Make each that waits; how many are in the outbox now."""
        made = 0
        for refused in fallbacks.waiting(self.node.ledger.database):
            item = Item(
                f"delivery:{refused.id}",
                refused.study_instance_uid,
                refused.job,
                refused.id,
                give_up=partial(_dead, refused),
            )
            made += self.items.handle(item, partial(self._replace, refused, configuration), otherwise=False)
        return made

    def _replace(self, refused: Delivery, configuration: Configuration) -> bool:
        try:
            report = self._report(refused, configuration)
        except PermanentError as error:
            self._give_up(refused, error)
            return False
        with self.node.ledger.transaction() as database:
            if deliveries.get(database, refused.id).status is not DeliveryStatus.REFUSED:
                return False  # held, cancelled or superseded meanwhile: nothing takes its place
            now = self.node.clock.now()
            objects.insert(database, report)
            successor = deliveries.enqueue(
                database,
                now,
                sop_instance_uid=report.sop_instance_uid,
                sop_class_uid=report.sop_class_uid,
                study=refused.study_instance_uid,
                job=refused.job,
                file=report.file,
                destination=refused.destination,
            )
            fallbacks.replaced(database, now, refused.id, successor)
        log.warning(
            "results.report-re-encoded",
            job=refused.job,
            destination=refused.destination,
            delivery=successor,
            refused=refused.sop_class_uid,
            used=report.sop_class_uid,
        )
        return True

    def _report(self, refused: Delivery, configuration: Configuration) -> ResultObject:
        """The report in the other class; the one that another destination of the same set has, where there is one."""
        database = self.node.ledger.database
        assert refused.job is not None, refused.id
        assert refused.fallback is not None, refused.id
        first = objects.get(database, refused.item)
        kept = encodings.get(database, refused.job, first.encoding) if first else None
        if first is None or kept is None:
            raise PermanentError("how it was encoded is not known")
        of_set = [each for each in objects.of_job(database, refused.job) if each.encoding == first.encoding]
        for made in of_set:
            if made.sop_class_uid == refused.fallback:
                return made
        job, wanted = jobs.get(database, refused.job), SetRequest.of(kept)
        companions = [each for each in of_set if each.kind != "sr"]
        setting = report_classes.setting_of(refused.fallback)
        missing = parts_missing(kept)
        encoded = self.making.report_alone(job, wanted, setting, companions, missing, configuration)
        return self.making.row(job, wanted, encoded, self.node.clock.now())

    def _give_up(self, refused: Delivery, error: PermanentError) -> None:
        reason = f"{refused.error}, which failed: {error}"
        log.error("results.report-not-re-encoded", job=refused.job, delivery=refused.id, error=str(error))
        with self.node.ledger.transaction() as database:
            if deliveries.get(database, refused.id).status is DeliveryStatus.REFUSED:
                deliveries.dead(database, self.node.clock.now(), refused.id, reason)


def _dead(refused: Delivery, database: Database, now: datetime, why: str) -> None:
    if deliveries.get(database, refused.id).status is DeliveryStatus.REFUSED:
        deliveries.dead(database, now, refused.id, why)
