"""Rejection notes (IHE IOCM) for results of withdrawn versions, at destinations that want them.

One for each study and destination, which names the objects of ours that are listed for withdrawal there. It is written
durably first, then it is in the outbox in one transaction with what is said of the objects: after a crash, what has
none yet is found again, and equal notes have equal UIDs. How many are made in a minute, the withdrawal says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from node.config.destinations import DicomDestination
from node.config.models import Configuration
from node.errors import PermanentError
from node.items import Item, Items
from node.ledger import adoptions, deliveries, encodings, job_files, objects, recalled_results, recalls, rejection_notes
from node.ledger.database import Database
from node.ledger.delivery import Delivery
from node.ledger.encodings import Encoding
from node.ledger.job_files import JobFiles
from node.ledger.objects import ResultObject
from node.ledger.recalls import Recall
from node.ledger.rejection_notes import NoteToMake
from node.results.making import ObjectMaker
from node.stage import Node

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RejectionNotes:
    """What the stage `results` does about withdrawn versions."""

    node: Node
    making: ObjectMaker
    items: Items

    def has_work(self, configuration: Configuration) -> bool:
        """Whether `run_once` would do something now."""
        database, now = self.node.ledger.database, self.node.clock.now()
        if rejection_notes.has_moved(database):
            return True
        wanting = wanted_by(configuration)
        return any(
            recalled_results.is_left(database, each) or rejection_notes.due(database, now, each, wanting)
            for each in recalls.in_force(database)
        )

    def run_once(self, configuration: Configuration) -> int:
        """Go on with each withdrawal; how many notes are in the outbox now."""
        ledger, now = self.node.ledger, self.node.clock.now()
        with ledger.transaction() as database:
            rejection_notes.settle(database, now)
        made = 0
        for recall in recalls.in_force(ledger.database):
            recalled_results.carry_out(ledger, recall, now)
            for note in rejection_notes.due(ledger.database, now, recall, wanted_by(configuration)):
                key = f"rejection:{recall.id} {note.study_instance_uid} {note.destination}"
                item = Item(key, note.study_instance_uid)
                made += self.items.handle(item, partial(self._make, recall, note, configuration), otherwise=False)
        return made

    def _make(self, recall: Recall, note: NoteToMake, configuration: Configuration) -> bool:
        """Whether it is in the outbox."""
        now, database = self.node.clock.now(), self.node.ledger.database
        there = _rejected_by_itself(database, note, configuration)
        left = replace(note, rejected=tuple(each for each in note.rejected if each not in there))
        if there:
            with self.node.ledger.transaction() as database:
                rejection_notes.known_there(database, now, recall, there)
        if not left.rejected:
            return False
        try:
            rows = [found for each in left.rejected if (found := objects.get(database, each.item)) is not None]
            stored = self._stored(database, left.rejected, rows)
            made = self.making.rejection_note(recall, stored, rows, left.destination, configuration)
        except PermanentError as error:
            log.error("results.no-rejection-note", study=note.study_instance_uid, error=str(error))
            with self.node.ledger.transaction() as database:
                rejection_notes.impossible(database, now, recall, left, str(error))
            return False
        with self.node.ledger.transaction() as database:
            if recalls.get(database, recall.id).ended_at is not None:
                return False  # taken back meanwhile
            self._enqueue(database, recall, left, stored, made)
        log.info("results.rejection-note", study=note.study_instance_uid, destination=note.destination)
        return True

    def _stored(self, database: Database, those: Sequence[Delivery], rows: Sequence[ResultObject]) -> ResultObject:
        """The object that patient and study are copied from: the newest that is here, a report where there is one.

        The newest, as the destination may have taken the study under another patient since the first.
        """
        here = [each for each in rows if job_files.state(database, each.job) is JobFiles.HERE]
        if not here:
            raise PermanentError("retention deleted the files of these results, so patient and study cannot be copied")
        newest = [each for each in here if (each.job, each.encoding) == (here[-1].job, here[-1].encoding)]
        found = next((each for each in newest if each.kind == "sr"), newest[-1])
        if any(each.item == found.sop_instance_uid and adoptions.is_outdated(database, each) for each in those):
            raise PermanentError("the destination has the study under another patient or order since they were sent")
        return found

    def _enqueue(
        self, database: Database, recall: Recall, note: NoteToMake, stored: ResultObject, made: ResultObject
    ) -> None:
        now = self.node.clock.now()
        kept = encodings.get(database, stored.job, stored.encoding)
        if kept is not None:  # under the patient that the destination has
            encodings.insert(database, Encoding(made.job, made.encoding, kept.profile, (), False, adopted=kept.adopted))
        objects.insert(database, made)
        # Of no job: what becomes of the job's result must not stop the note.
        delivery = deliveries.enqueue(
            database,
            now,
            sop_instance_uid=made.sop_instance_uid,
            sop_class_uid=made.sop_class_uid,
            study=note.study_instance_uid,
            job=None,
            file=made.file,
            destination=note.destination,
        )
        rejection_notes.made(database, now, recall, note.rejected, delivery)


def wanted_by(configuration: Configuration) -> list[str]:
    """Destinations that get rejection notes."""
    return [name for name, each in configuration.destinations.items() if each.rejection_notes]


def _rejected_by_itself(database: Database, note: NoteToMake, configuration: Configuration) -> list[Delivery]:
    """What the destination has rejected already, by a note of its own that came here."""
    destination = configuration.destinations[note.destination]
    if not isinstance(destination, DicomDestination):
        return []
    return rejection_notes.rejected_there(database, note.rejected, destination.ae_title)
