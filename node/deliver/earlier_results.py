"""After a restore: does the destination have results of this study that the ledger does not know?

The node went on after the backup, so what waits here may have been sent then, or be older than what was sent. Asked
once for each study and destination, before the first object goes there. `node.ledger.earlier_results` has the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from node import ourselves
from node.config.destinations import Destination
from node.deliver.policy import Answer
from node.deliver.settling import settle
from node.deliver.ways.archive import Archive, NotAdmittedError
from node.errors import PermanentError
from node.ledger import deliveries, earlier_results, objects
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.earlier_results import (
    OPEN,
    EarlierReport,
    EarlierResults,
    EarlierResultsStatus,
    EarlierSeries,
)
from node.outcome import AnswerReading
from node.stage import Node
from node.store import device

log = structlog.get_logger(__name__)

_SERIES = (
    "SeriesInstanceUID",
    "Modality",
    "SeriesDescription",
    "SeriesDate",
    "SeriesTime",
    "Manufacturer",
    "DeviceSerialNumber",
)
_REPORTS = ("SOPClassUID", "SOPInstanceUID")
_THERE = Answer(AnswerReading.STORED_WITH_WARNING, "the destination has it already: it was sent before the restore")


class EarlierResultsCheck:
    """The question to one destination; used by its outbox's thread alone."""

    def __init__(self, destination: str, node: Node) -> None:
        self._destination = destination
        self._ledger = node.ledger
        self._clock = node.clock
        self._data = node.store.data

    def to_send(
        self, archive: Archive, destination: Destination, study: str, due: Sequence[Delivery]
    ) -> list[Delivery]:
        """Those that may be sent now; the others are settled, held or cancelled.

        Raises as `Archive.find_study` does, where the destination cannot be asked now.
        """
        if not earlier_results.may_have(self._ledger.database, study):
            return [*due]
        there = self._already_there(archive, due)
        with self._ledger.transaction() as database:
            for each in _waiting(database, there):
                settle(database, self._clock.now(), self._begun(database, each), _THERE, destination)
        left = [each for each in due if each not in there]
        known = earlier_results.get(self._ledger.database, study, self._destination)
        if left and (known is None or self._asks_again(known, left)):
            known = self._ask(archive, study)
        return self._settled(known, left) if known is not None else left

    def _already_there(self, archive: Archive, due: Sequence[Delivery]) -> list[Delivery]:
        """Those made before the restore, the destination having exactly these."""
        there = []
        for each in earlier_results.older(self._ledger.database, due):
            made = objects.get(self._ledger.database, each.item)
            assert made is not None, "it is older by its row"
            try:
                if archive.has_instance(each.study_instance_uid, made.series_instance_uid, each.item):
                    there.append(each)
            except NotAdmittedError:
                raise
            except PermanentError as error:  # it answers no such question: the same object sent again changes nothing
                log.warning("deliver.instance-not-asked", destination=self._destination, error=str(error))
        return there

    def _hold(self, question: str, database: Database, delivery: Delivery) -> None:
        for each in _waiting(database, [delivery]):
            deliveries.hold(database, self._clock.now(), each.id, question)

    def _begun(self, database: Database, delivery: Delivery) -> Delivery:
        return deliveries.sending(database, self._clock.now(), delivery.id)

    def _asks_again(self, known: EarlierResults, due: Sequence[Delivery]) -> bool:
        """What a person took as sent says nothing of what came of later jobs."""
        if known.status is not EarlierResultsStatus.TAKEN_AS_SENT:
            return False
        return not all(earlier_results.is_about(self._ledger.database, known, each) for each in due)

    def _ask(self, archive: Archive, study: str) -> EarlierResults:
        status, detail = EarlierResultsStatus.NONE, ""
        series: tuple[EarlierSeries, ...] = ()
        try:
            series = self._unknown_series(archive, study)
            status = EarlierResultsStatus.FOUND if series else status
        except NotAdmittedError:
            raise
        except PermanentError as error:
            status, detail = EarlierResultsStatus.UNKNOWN, str(error)
        if status in OPEN:
            log.warning("deliver.perhaps-sent", destination=self._destination, study=study, series=len(series))
        with self._ledger.transaction() as database:
            return earlier_results.asked(database, self._clock.now(), study, self._destination, status, series, detail)

    def _unknown_series(self, archive: Archive, study: str) -> tuple[EarlierSeries, ...]:
        """Series of ours there that no object of this ledger is in."""
        known, serial_number = objects.series_of_study(self._ledger.database, study), device.serial_number(self._data)
        return tuple(
            _series(archive, study, each)
            for each in archive.find_series(study, _SERIES)
            if each.get("SeriesInstanceUID", "").strip() not in known and ourselves.may_have_made(each, serial_number)
        )

    def _settled(self, known: EarlierResults, due: Sequence[Delivery]) -> list[Delivery]:
        """Those that go, by what is known; what becomes of the others is recorded."""
        if known.status in OPEN:
            self._ledger.settle_each(due, partial(self._hold, f"{known.question} (pacsnode restored)"))
            return []
        if known.status is not EarlierResultsStatus.TAKEN_AS_SENT:
            return [*due]
        taken = [each for each in due if earlier_results.is_about(self._ledger.database, known, each)]
        with self._ledger.transaction() as database:
            for each in _waiting(database, taken):
                earlier_results.cancel(database, self._clock.now(), known, each)
        return [each for each in due if each not in taken]


def _series(archive: Archive, study: str, found: Mapping[str, str]) -> EarlierSeries:
    uid, modality = found["SeriesInstanceUID"].strip(), found.get("Modality", "").strip()
    reports = archive.find_instances(study, uid, _REPORTS) if modality == "SR" else []
    return EarlierSeries(
        uid,
        modality,
        found.get("SeriesDescription", "").strip(),
        f"{found.get('SeriesDate', '').strip()}{found.get('SeriesTime', '').strip()[:6]}",
        tuple(EarlierReport(each["SOPClassUID"].strip(), each["SOPInstanceUID"].strip()) for each in reports),
    )


def _waiting(database: Database, those: Sequence[Delivery]) -> list[Delivery]:
    return [each for each in those if deliveries.get(database, each.id).status is DeliveryStatus.WAITING]
