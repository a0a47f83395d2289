"""From an ended job to objects in the outbox: encode in another process, write, then commit."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from node.config.models import Configuration
from node.errors import PermanentError
from node.items import Item, Items
from node.ledger import (
    adoptions,
    deliveries,
    encoding_queue,
    encodings,
    events,
    fallbacks,
    jobs,
    late,
    notices,
    notifications,
    objects,
)
from node.ledger.database import Database
from node.ledger.delivery import DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobOutcome, JobStatus
from node.processes.pool import CallCancelledError
from node.results import adopted_results, earlier_steps, partial_sets, predecessors, restored
from node.results.adopted import AdoptedIdentity
from node.results.adopted_results import AdoptedResults
from node.results.encoded import EncodedSet
from node.results.fallback_reports import FallbackReports
from node.results.lanes import REFUSED, Lanes
from node.results.making import ObjectMaker, SetRequest
from node.results.rejection_notes import RejectionNotes
from node.results.source.files import VerifiedImages
from node.stage import Node, NodeStage
from node.wake import Stage

log = structlog.get_logger(__name__)

_POLL_SECONDS = 30.0
_BUSY_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Sets:
    """What one destination gets of a job."""

    sets: tuple[tuple[SetRequest, EncodedSet], ...]
    refusal: str
    """Why it gets no report or page of the result itself; empty where it does."""


class ResultsStage(NodeStage):
    """The stage `results`; one thread calls `run_once`."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self._ledger = node.ledger
        self._clock = node.clock
        self._wakes = node.wakes
        self._maker = ObjectMaker(node)
        self._items = Items(Stage.RESULTS, node)
        self._fallback_reports = FallbackReports(node, self._maker, self._items)
        self._adopted_results = AdoptedResults(node, self._maker, self._items)
        self._rejection_notes = RejectionNotes(node, self._maker, self._items)
        self._lanes = Lanes(node.wakes)
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Encode for its destinations from the next object set on."""
        self._configuration = configuration

    def run_once(self) -> float:
        """Encode every ended job, and every report whose class was refused; seconds until it should look again even
        if nobody wakes it. What is heavy is still under way then.
        """
        seen: set[str] = set()
        while True:
            for job in encoding_queue.unreported(self._ledger.database):
                if self._lanes.full:
                    break
                if job.id not in seen and self._start(job):
                    seen.add(job.id)
            if self._lanes.wait():
                continue
            # After the results: one of them may overtake what is re-encoded.
            if REFUSED in seen or not self._has_to_re_encode():
                return _BUSY_POLL_SECONDS if self._lanes.busy else _POLL_SECONDS
            seen.add(REFUSED)
            self._lanes.start(REFUSED, 0.0, self._re_encode)

    def _start(self, job: Job) -> bool:
        """Begin to encode it, unless it waits; false where there is no room for it now."""
        item = Item(f"job:{job.id}", job.study_instance_uid, job.id, give_up=partial(_give_up, job.id))
        cost = self._items.handle(item, partial(self._maker.cost, job), None, last=False)
        if cost is None:
            return True
        return self._lanes.start(job.id, cost.seconds, self._items.handle, item, partial(self._report, job), None)

    def close(self) -> None:
        """End the encoders' processes; what they were doing is done again at the next start."""
        self._lanes.stop()
        self._maker.close()
        self._lanes.join()

    def _has_to_re_encode(self) -> bool:
        database = self._ledger.database
        waits = fallbacks.waiting(database) or adoptions.open_ones(database)
        return bool(waits) or self._rejection_notes.has_work(self._configuration)

    def _re_encode(self) -> None:
        with suppress(CallCancelledError):
            if self._adopted_results.run_once(self._configuration):
                self._wakes.wake(Stage.DELIVER)
            if self._fallback_reports.run_once(self._configuration):
                self._wakes.wake(Stage.DELIVER)
            if self._rejection_notes.run_once(self._configuration):
                self._wakes.wake(Stage.DELIVER)
            self._wakes.wake(Stage.NOTIFY)  # of what does not stand

    def _report(self, job: Job) -> None:
        with self._ledger.transaction() as database:
            if not jobs.encoding(database, self._clock.now(), job.id):
                return  # cancelled before its turn came
        try:
            self._encode_and_enqueue(job)
        except CallCancelledError:
            log.info("results.encoding-ended", job=job.id, study=job.study_instance_uid)

    def _encode_and_enqueue(self, job: Job) -> None:
        try:
            wanted = self._wanted(job)
        except PermanentError as error:
            self._unreportable(job, str(error))
            return
        images = self._maker.images(job)
        made = {each: self._sets(job, each, images) for each in dict.fromkeys(wanted.values())}
        if made and not any(each.sets for each in made.values()):
            # Not even the end of the job can be written: the first reason is the one to mend.
            self._unreportable(job, next(each.refusal for each in made.values()))
            return
        with self._ledger.transaction() as database:
            if jobs.get(database, job.id).status is not JobStatus.ENDED:
                return  # cancelled while it was encoded: nothing of it leaves
            if self._wanted(job) != wanted:
                self._wakes.wake(Stage.RESULTS)  # an earlier report arrived meanwhile, and is to be named
                return
            by_destination = {name: made[each] for name, each in wanted.items()}
            job = self._told_of_missing(database, job, by_destination)
            self._record_changes(database, job, made.values())
            self._record_advice(database, job, made.values())
            count = self._enqueue(database, job, by_destination)
        log.info("results.reported", job=job.id, study=job.study_instance_uid, objects=count)
        self._wakes.wake(Stage.DELIVER)

    def _told_of_missing(self, database: Database, job: Job, made: dict[str, _Sets]) -> Job:
        """Alerts for what is missing; the job as it is then: failed where no destination gets what was found."""
        now = self._clock.now()
        refused = {name: each.refusal for name, each in made.items() if each.refusal}
        if refused and len(refused) == len(made):
            jobs.refused(database, now, job.id, next(iter(refused.values())))
            job = jobs.get(database, job.id)
            notices.of_failure(database, now, job)
        elif refused:
            jobs.refused_for(database, now, job, refused)
        lacking: dict[SetRequest, list[str]] = {}
        for name, each in made.items():
            for wanted, encoded in each.sets:
                if encoded.missing:
                    lacking.setdefault(wanted, []).append(name)
        for wanted, names in lacking.items():
            encoded = dict(made[names[0]].sets)[wanted]
            partial_sets.record(database, now, job, wanted.name, encoded, names)
        return job

    def _unreportable(self, job: Job, reason: str) -> None:
        log.error("results.unreportable", job=job.id, study=job.study_instance_uid, error=reason)
        with self._ledger.transaction() as database:
            if jobs.get(database, job.id).status is JobStatus.ENDED:
                _end_unreportable(database, self._clock.now(), job.id, reason)

    # --- encoding ---------------------------------------------------------------------------------

    def _wanted(self, job: Job) -> dict[str, SetRequest]:
        """What each of the job's destinations that is still configured is to get."""
        known = self._configuration.destinations
        missing = sorted(set(job.destinations) - set(known))
        if missing:
            raise PermanentError(f"destination {missing[0]!r} is no longer in the configuration")
        return {
            name: SetRequest(
                known[name].encoding,
                predecessors.of(self._ledger.database, job, name),
                revision=predecessors.revision(self._ledger.database, job, name),
                adopted=self._adopted(job, name),
                computed_from=earlier_steps.of(self._ledger.database, job, name),
            )
            for name in restored.still_to_serve(self._ledger.database, job)
        }

    def _adopted(self, job: Job, destination: str) -> AdoptedIdentity | None:
        """Under which patient and order a destination gets the study, where that was adopted."""
        found = adoptions.newest(self._ledger.database, job.study_instance_uid, destination)
        return adopted_results.identity_of(found) if found else None

    def _sets(self, job: Job, wanted: SetRequest, images: VerifiedImages) -> _Sets:
        """What a destination gets: the sound objects of its set, and where nobody could read what was found, a report
        and a page that say so.
        """
        made, refusal = [], ""
        try:
            encoded = self._encode(job, wanted, images)
            made.append((wanted, encoded))
            if encoded.missing:
                log.warning("results.objects-missing", job=job.id, study=job.study_instance_uid, error=encoded.reasons)
            if encoded.is_silent:
                refusal = "; ".join(encoded.reasons)
        except PermanentError as error:
            refusal = str(error)
        if refusal:
            log.error("results.refused", job=job.id, study=job.study_instance_uid, error=refusal)
            with suppress(PermanentError):  # the refusal is reported: it is the one to mend
                made.append((wanted.instead(), self._encode(job, wanted.instead(), images)))
        return _Sets(tuple(made), refusal)

    def _encode(self, job: Job, wanted: SetRequest, images: VerifiedImages) -> EncodedSet:
        """One set of objects."""
        return self._maker.whole_set(job, wanted, images, self._configuration)

    # --- the outbox -------------------------------------------------------------------------------

    def _enqueue(self, database: Database, job: Job, made: dict[str, _Sets]) -> int:
        now = self._clock.now()
        unique = {one.sop_instance_uid for each in made.values() for _, encoded in each.sets for one in encoded}
        withheld = {destination: self._why_withheld(job, destination, now) for destination in made}
        for destination, each in made.items():
            if not each.refusal and not any(encoded for _, encoded in each.sets):
                self._tell_nothing_goes(database, job, destination, now)
            for wanted, encoded in each.sets:
                encodings.insert(database, wanted.kept(job, encoded.missing))
                for one in encoded:
                    row = self._maker.row(job, wanted, one, now)
                    objects.insert(database, row)
                    deliveries.enqueue(
                        database,
                        now,
                        sop_instance_uid=row.sop_instance_uid,
                        sop_class_uid=row.sop_class_uid,
                        study=job.study_instance_uid,
                        job=job.id,
                        file=row.file,
                        destination=destination,
                        withheld=withheld[destination],
                    )
        if job.outcome is not JobOutcome.FAILED:
            self._overtake(database, job, now, {name for name, each in made.items() if each.refusal})
        if job.terms.is_late(now):
            self._tell_of_lateness(database, job, now, sent=None in withheld.values())
        jobs.reported(database, now, job.id, len(unique))
        return len(unique)

    def _tell_of_lateness(self, database: Database, job: Job, now: datetime, *, sent: bool) -> None:
        """`expires` tells of what is sent, a notice on `late` also of what is withheld."""
        if late.tell(database, now, job) if sent else notices.of_lateness(database, now, job):
            self._wakes.wake(Stage.NOTIFY)

    def _record_changes(self, database: Database, job: Job, made: Iterable[_Sets]) -> None:
        """What of the images could not be copied as it is: once, for all objects take the same from them."""
        changes = sorted(
            {change for each in made for _, encoded in each.sets for one in encoded for change in one.changes}
        )
        if changes:
            events.record(
                database,
                self._clock.now(),
                EventKind.JOB_SOURCE_CHANGED,
                study=job.study_instance_uid,
                job=job.id,
                changes=changes,
            )

    def _record_advice(self, database: Database, job: Job, made: Iterable[_Sets]) -> None:
        """In what returned objects differ from the Standard: once, though sets may differ in how they are marked."""
        advice = next((encoded.advice for each in made for _, encoded in each.sets if encoded.advice), ())
        if advice:
            kind, study = EventKind.JOB_OBJECTS_ODD, job.study_instance_uid
            events.record(database, self._clock.now(), kind, study=study, job=job.id, problems=list(advice))

    def _why_withheld(self, job: Job, destination: str, now: datetime) -> str | None:
        """Why a destination does not get the result; None where it does.

        What replaces a result that a reader there may have is sent whatever it says: the old one would stand for true.
        """
        assert job.outcome is not None, job.id
        reason = job.terms.withholds(job.outcome) or job.terms.withholds_now(now)
        return None if reason and predecessors.of(self._ledger.database, job, destination) else reason

    def _tell_nothing_goes(self, database: Database, job: Job, destination: str, now: datetime) -> None:
        reason = f"{destination} takes no kind of object of a result that is {job.outcome} (destinations: send_when)"
        events.record(
            database,
            now,
            EventKind.JOB_WITHHELD,
            study=job.study_instance_uid,
            job=job.id,
            destination=destination,
            reason=reason,
        )

    def _overtake(self, database: Database, job: Job, now: datetime, but: set[str]) -> None:
        """Results of this question that were not sent yet never will be, nor is anybody told of them: this is newer.

        `but`: destinations that do not get this result, so that they get the earlier one.
        """
        earlier_jobs = predecessors.earlier(database, job)
        overtaken = f"overtaken by job {job.id}"
        notifications.cancel_about(
            database, now, job.study_instance_uid, overtaken, [earlier.id for earlier in earlier_jobs]
        )
        if notices.supersede(database, now, earlier_jobs, job):
            self._wakes.wake(Stage.NOTIFY)
        for earlier in earlier_jobs:
            for delivery in deliveries.of_job(database, earlier.id):
                if delivery.status in _NOT_SENT and delivery.destination not in but:
                    deliveries.stop(database, now, delivery.id, DeliveryStatus.SUPERSEDED, overtaken)


def _give_up(job: str, database: Database, now: datetime, why: str) -> None:
    if jobs.get(database, job).status is JobStatus.ENDED:
        _end_unreportable(database, now, job, why)


def _end_unreportable(database: Database, now: datetime, job: str, why: str) -> None:
    """Nothing of it leaves: a person is alerted, and those are notified whom the rule tells of failures."""
    jobs.unreportable(database, now, job, why)
    notices.of_failure(database, now, jobs.get(database, job))


_NOT_SENT = (
    DeliveryStatus.WAITING,
    DeliveryStatus.HELD,
    DeliveryStatus.DEAD,
    DeliveryStatus.WITHHELD,
    DeliveryStatus.REFUSED,
)
