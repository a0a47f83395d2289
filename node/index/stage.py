"""The indexer: drains what the receivers left in incoming/, and completes studies.

Receipts are taken in batches, in order of arrival: read in child processes, judged against the
ledger, recorded in one transaction, and only then moved to store/. A crash between the last two
leaves a file in incoming/ whose row is there; it is moved at the next start. A crash before leaves a
file without a row; it is indexed as if it had just come. So a restart looks at incoming/ and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from node.config.boxes import answering
from node.config.destinations import dicom_destinations
from node.config.models import Configuration
from node.index import corrections, header
from node.index.children import HeaderFailure, HeaderFailureKind, HeaderReader
from node.index.completion import CompletionWatch
from node.index.header import HeaderReading, sender_terms
from node.index.judging import Judge
from node.index.recording import RETRIEVED, record
from node.index.reindexing import ReindexBacklog
from node.items import Item, Items
from node.ledger import (
    alerts,
    boxes,
    defects,
    exchanges,
    fetches,
    hold_parts,
    instances,
    studies,
    withdrawal_parts,
)
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Database
from node.ledger.event_kinds import EventKind
from node.stage import Node, NodeStage
from node.store.arrival import read_arrival
from node.store.durable import sha256_of
from node.store.seal import cut_to_length
from node.wake import Stage

log = structlog.get_logger(__name__)

BATCH = 128
"""Receipts a transaction: enough that its fsync costs little, few enough that the first rows appear soon."""
_RECEIPT = "receipt:"
_TRIES = 5
"""Of a receipt that cannot be indexed, over a quarter of an hour: its study waits for it, and is held afterwards."""


class IndexStage(NodeStage):
    """The stage; one thread calls `run_once`."""

    def __init__(self, node: Node, configuration: Configuration, header_reader: HeaderReader) -> None:
        self._node = node
        self._ledger = node.ledger
        self._data_folder = node.store
        self._clock = node.clock
        self._wakes = node.wakes
        self._reader = header_reader
        self._completion = CompletionWatch(node, configuration)
        self._reindexing = ReindexBacklog(node)
        self._failed: dict[str, str] = {}
        """Receipts that the disk or the system would not give, and why: tried again, reported once."""
        self._items = Items(Stage.INDEX, node)
        self._study_of: dict[str, str] = {}
        """Studies of receipts that were read and could not be recorded."""
        self._foreign: set[str] = set()
        """Files in incoming/ that this node did not write: reported once, left where they are."""
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Quiet periods, `on_correction`, terms of senders."""
        terms = sender_terms(configuration)
        self._configuration = configuration
        self._boxes = answering(configuration.boxes)
        named = {box.archive for box in configuration.boxes.values()}
        archives = dicom_destinations(configuration.destinations).items()
        self._archives = {name: each.ae_title.strip() for name, each in archives if name in named}
        self._reader.terms = terms
        self._completion.use(configuration)

    def run_once(self) -> float:
        """Index what has arrived, complete what is complete; seconds until it wants to be called again."""
        doorstep = self._completion.doorstep()
        adopted = self._data_folder.adopt_sealed()
        if adopted:
            log.warning("index.objects-adopted", count=adopted, reason="their receiver ended before it could name them")
        waiting = self._reindexing.feed(
            [receipt for receipt in self._data_folder.waiting() if receipt not in self._foreign]
        )
        retry = self._index_all(waiting)
        self._go_on()
        put_off = self._studies_that_wait()
        incomplete = frozenset(each for each in put_off if each is not None)
        return self._completion.run_once(doorstep, unindexed=retry or None in put_off, incomplete=incomplete)

    def _go_on(self) -> None:
        """What is changed some at a time: holding and listing what was stopped, and taking what came last."""
        for number in hold_parts.waiting(self._ledger.database):
            with self._ledger.transaction() as database:
                hold_parts.apply(database, number)
        for number in withdrawal_parts.waiting(self._ledger.database):
            with self._ledger.transaction() as database:
                withdrawal_parts.enter(database, number)
        for study in exchanges.under_way(self._ledger.database):
            corrections.go_on(self._ledger, self._clock.now(), study)

    def _studies_that_wait(self) -> set[str | None]:
        """For a receipt that is tried again; None where it is not known whose it is."""
        known = defects.of_stage(self._ledger.database, Stage.INDEX)
        return {each.study_instance_uid for each in known if each.item.startswith(_RECEIPT) and not each.parked}

    def close(self) -> None:
        """End the child processes."""
        self._reader.close()

    def _index_all(self, waiting: Sequence[str]) -> bool:
        """Index these receipts; whether some could not be read and are to be tried again."""
        indexed = instances.known(self._ledger.database, waiting)
        self._each_alone_if_together_fails(self._due(indexed), self._data_folder.move_all_to_store)
        new = [receipt for receipt in waiting if receipt not in indexed]
        self._failed = {receipt: reason for receipt, reason in self._failed.items() if receipt in new}
        self._study_of = {receipt: study for receipt, study in self._study_of.items() if receipt in new}
        due = self._due(new)
        for start in range(0, len(due), BATCH):
            self._each_alone_if_together_fails(due[start : start + BATCH], self._index)
        return bool(self._failed)

    def _each_alone_if_together_fails(self, receipts: Sequence[str], work: Callable[[Sequence[str]], object]) -> None:
        """An unexpected exception costs one receipt: the others are handled, and it waits for its next try."""
        try:
            if len(receipts) != 1:
                work(receipts)
                self._items.handled({_RECEIPT + receipt for receipt in receipts})
                return
        except Exception as error:  # noqa: BLE001 - found again with the one that it belongs to
            self._items.let_through(error)
        for receipt in receipts:
            self._items.handle(self._item(receipt), partial(work, [receipt]), None)

    def _due(self, receipts: Iterable[str]) -> list[str]:
        return [key.removeprefix(_RECEIPT) for key in self._items.due(_RECEIPT + receipt for receipt in receipts)]

    def _item(self, receipt: str) -> Item:
        """One that is given up stays in incoming/, as it was promised, until `retry`; its study is held meanwhile."""
        return Item(
            _RECEIPT + receipt,
            event=EventKind.RECEIPT_NOT_INDEXED,
            tries=_TRIES,
            parks=True,
            find_study=partial(self._study_of.get, receipt),
            give_up=partial(self._hold_study_of, receipt),
        )

    def _hold_study_of(self, receipt: str, database: Database, now: datetime, why: str) -> None:
        """Nothing is concluded from a study of which an object is missing that came, unless a person says so."""
        study = studies.get(database, self._study_of.get(receipt, ""))
        if study is not None and study.hold is None:
            reason = f"an object of it that came could not be indexed ({why})"
            studies.hold(database, now, study.study_instance_uid, reason)

    def _index(self, receipts: Sequence[str]) -> None:
        """Read and record these; what an attempt that broke off has recorded already is only moved."""
        recorded = instances.known(self._ledger.database, receipts)
        self._data_folder.move_all_to_store([each for each in receipts if each in recorded])
        for part in _each_once(self._read([each for each in receipts if each not in recorded])):
            self._record_together(part)

    def _read(self, receipts: Sequence[str]) -> list[HeaderReading]:
        """What could be read of these receipts; the others are reported."""
        readings = []
        answers = self._reader.read([self._data_folder.arrived(receipt) for receipt in receipts])
        for receipt, answer in zip(receipts, answers, strict=True):
            reading = answer if isinstance(answer, HeaderReading) else self._without_header(receipt, answer)
            if reading is not None:
                self._failed.pop(receipt, None)
                if reading.study_instance_uid:
                    self._study_of[receipt] = reading.study_instance_uid
                readings.append(reading)
        return readings

    def _with_origin(self, readings: Sequence[HeaderReading]) -> list[HeaderReading]:
        """What an archive sends because this node has asked it to is known by that request: it triggers nothing."""
        database, now = self._ledger.database, self._clock.now()
        if not fetches.any_requested(database, now):
            return [*readings]
        named = dicom_destinations(self._configuration.destinations)
        titles = {name: each.ae_title.strip() for name, each in named.items()}

        def asked_for(reading: HeaderReading) -> bool:
            caller = reading.arrival.calling_ae_title.strip()
            return fetches.was_requested(database, reading.study_instance_uid, caller, titles, now)

        return [
            replace(one, arrival=replace(one.arrival, origin=RETRIEVED)) if asked_for(one) else one for one in readings
        ]

    def _from_boxes(self, readings: Sequence[HeaderReading]) -> list[HeaderReading]:
        """What comes under the AE title of a box is its answer to something, and not part of a study."""
        return [replace(one, from_box=self._box_of(one)) for one in readings]

    def _box_of(self, reading: HeaderReading) -> str:
        """The box that it came from, also by way of an archive that was asked to send its answer; else ""."""
        title = reading.arrival.calling_ae_title.strip()
        if title in self._boxes or title not in self._archives.values():
            return self._boxes.get(title, "")
        found = boxes.of_series(self._ledger.database, reading.series_instance_uid)
        return found[0] if found and self._archives.get(found[1]) == title else ""

    def _record_together(self, readings: Sequence[HeaderReading]) -> None:
        with self._ledger.reading():
            readings = self._from_boxes(self._with_origin(readings))
            judge = Judge(self._node, self._reader)
            readings = self._without_left_over(readings, judge)
            judged = [judge.judge(reading) for reading in readings]
        with self._ledger.transaction() as database:
            done = record(database, self._clock.now(), judged, self._configuration)
            self._reindexing.hold(
                database, self._clock.now(), ((each.receipt, each.study_instance_uid) for each in readings)
            )
        self._data_folder.move_all_to_store([reading.receipt for reading in readings])
        for study, quiet in done.arrivals.items():
            self._completion.arrived(study, quiet)
        for (study, series), quiet in done.series.items():
            self._completion.series_arrived(study, series, quiet)
        if done.stopped:
            self._wakes.wake(Stage.RUN)
            self._wakes.wake(Stage.DELIVER)
        if done.answers:
            self._wakes.wake(Stage.BOX)
        log.debug("index.batch", receipts=len(readings), studies=len(done.arrivals))

    def _without_left_over(self, readings: Sequence[HeaderReading], judge: Judge) -> list[HeaderReading]:
        """All but files that were to be removed, and have lost their rows: nothing comes back by half.

        One whose study is just being removed, and that came before, waits until that is over.
        """
        kept = []
        for one in readings:
            if judge.gone.is_left_over(one):
                log.warning("index.left-over-removed", receipt=one.receipt, study=one.study_instance_uid)
                self._data_folder.arrived(one.receipt).unlink()
            elif not judge.gone.is_going(one.study_instance_uid, one.receipt):
                kept.append(one)
        return kept

    def _without_header(self, receipt: str, failure: HeaderFailure) -> HeaderReading | None:
        """A file that no child survives is indexed unread; one that is not ours, or not readable now, is left alone."""
        if failure.kind is HeaderFailureKind.FATAL:
            path = self._data_folder.arrived(receipt)
            cut_to_length(path)  # the child may have died before it did
            arrival, offset = read_arrival(path)
            size, digest = path.stat().st_size, sha256_of(path, offset)
            return header.unreadable(receipt, arrival, size, digest, failure.reason)
        if failure.kind is HeaderFailureKind.FOREIGN:
            self._foreign.add(receipt)
        if self._failed.get(receipt) != failure.reason:
            log.error("index.not-readable", receipt=receipt, reason=failure.reason)
            with self._ledger.transaction() as database:
                alerts.raised(
                    database,
                    self._clock.now(),
                    AlertKind.RECEIPT_NOT_READABLE,
                    f"incoming/{receipt}.dcm",
                    receipt=receipt,
                    reason=failure.reason,
                )
        if failure.kind is HeaderFailureKind.INPUT_OUTPUT:
            self._failed[receipt] = failure.reason
        return None


def _each_once(readings: Sequence[HeaderReading]) -> list[list[HeaderReading]]:
    """Cut into parts in which no SOP Instance UID comes twice, so that each is judged by what is recorded."""
    parts: list[list[HeaderReading]] = [[]]
    seen: set[str] = set()
    for reading in readings:
        if reading.sop_instance_uid in seen:
            parts.append([])
            seen.clear()
        seen.add(reading.sop_instance_uid)
        parts[-1].append(reading)
    return [part for part in parts if part]
