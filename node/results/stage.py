"""From an ended job to objects in the outbox: encode in another process, write, then commit."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from node.clock import Clock
from node.config.models import Configuration, Destination
from node.errors import PermanentError
from node.ledger import deliveries, events, instances, jobs, late, notifications, objects
from node.ledger.database import Database, Ledger
from node.ledger.deliveries import DeliveryStatus
from node.ledger.job import Job, JobInput, JobOutcome, JobStatus
from node.ledger.objects import ResultObject
from node.results.encode import EncodedObject
from node.results.encoder import Encoder, Order
from node.results.errors import NotEncodableError
from node.results.request import EncodingProfile, Kind, SourceReference, encoding_digest
from node.results.texts import texts_of
from node.signal import Room, Signal
from node.spool import Spool
from plugins.contract import AlgorithmIdentity, Code, Result, ResultStatus

log = structlog.get_logger(__name__)

_POLL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Set:
    """What one destination is to get; destinations of which both are equal share their objects."""

    profile: EncodingProfile
    supersedes: tuple[SourceReference, ...]
    """The reports that this destination may have, and this result replaces."""


class Results:
    """The stage `results`; one thread calls `run_once`, `configuration` may be swapped between two runs (a reload)."""

    def __init__(
        self, ledger: Ledger, spool: Spool, clock: Clock, signal: Signal, configuration: Configuration
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._signal = signal
        self.configuration = configuration
        self._encoder = Encoder()

    def run_once(self) -> float:
        """Encode every ended job; seconds until it should look again even if nobody wakes it."""
        for job in jobs.unreported(self._ledger.database):
            self._report(job)
        return _POLL_SECONDS

    def close(self) -> None:
        """End the encoder's process."""
        self._encoder.close()

    def _report(self, job: Job) -> None:
        bound = log.bind(job=job.id, study=job.study_instance_uid)
        refusal = ""
        try:
            sets = self._sets(job)
            try:
                encoded = {each: self._encode(job, each) for each in set(sets.values())}
            except PermanentError as error:
                refusal = str(error)
                bound.error("job.refused", error=refusal)
                said = {
                    profile: self._encode_refusal(job, profile) for profile in {each.profile for each in sets.values()}
                }
                encoded = {each: said[each.profile] for each in sets.values()}
            made = {name: encoded[each] for name, each in sets.items()}
        except PermanentError as error:
            # Not even the end of the job can be written: the first reason is the one to mend.
            self._unreportable(job, refusal or str(error))
            return
        with self._ledger.transaction() as database:
            if jobs.get(database, job.id).status is not JobStatus.ENDED:
                return  # cancelled while it was encoded: nothing of it leaves
            if self._sets(job) != sets:
                self._signal.wake(Room.RESULTS)  # an earlier report arrived meanwhile, and is to be named
                return
            if refusal:
                jobs.refused(database, self._clock.now(), job.id, refusal)
                job = jobs.get(database, job.id)
            count = self._enqueue(database, job, made)
        bound.info("job.reported", objects=count)
        self._signal.wake(Room.DELIVER)

    def _unreportable(self, job: Job, reason: str) -> None:
        log.error("job.unreportable", job=job.id, study=job.study_instance_uid, error=reason)
        with self._ledger.transaction() as database:
            if jobs.get(database, job.id).status is JobStatus.ENDED:
                jobs.unreportable(database, self._clock.now(), job.id, reason)

    # --- encoding ---------------------------------------------------------------------------------

    def _sets(self, job: Job) -> dict[str, _Set]:
        """What each of the job's destinations that is still configured is to get."""
        known = self.configuration.destinations
        missing = sorted(set(job.destinations) - set(known))
        if missing:
            raise PermanentError(f"destination {missing[0]!r} is no longer in the configuration")
        return {name: _Set(profile_of(known[name]), self._predecessors(job, name)) for name in job.destinations}

    def _encode(self, job: Job, wanted: _Set) -> tuple[EncodedObject, ...]:
        """One set of objects."""
        fields = self._fields(job, wanted.profile) | {"supersedes": wanted.supersedes}
        return self._carry_out(job, encoding_digest(wanted.profile, wanted.supersedes), fields)

    def _encode_refusal(self, job: Job, profile: EncodingProfile) -> tuple[EncodedObject, ...]:
        """What is sent in place of a result that was refused: a report and a page that say so, under UIDs of their
        own; nothing of the result, and in no one's place.
        """
        kinds = profile.kinds_for(ResultStatus.FAILED) & _SAYS_SO
        if not kinds:
            raise PermanentError("a destination takes neither reports nor pages: it cannot be told")
        failed = replace(job, outcome=JobOutcome.FAILED)
        fields = self._fields(failed, replace(profile, kinds=kinds)) | {"job_id": f"{job.id} refused"}
        summary = texts_of(profile.language).not_reportable
        return self._carry_out(job, f"{profile.digest()}-refused", fields, Result(ResultStatus.FAILED, summary))

    def _carry_out(
        self, job: Job, name: str, fields: dict[str, Any], instead: Result | None = None
    ) -> tuple[EncodedObject, ...]:
        """Encode in the encoder's process into the job's folder of this name."""
        assert job.result is not None, job.id
        target = self._spool.results / job.id / name
        if target.exists():
            shutil.rmtree(target)  # of an attempt that was cut short: no row names it
        target.mkdir(parents=True, mode=0o700)
        return self._encoder.encode(Order(job.id, self._spool.data / job.result, target, fields, instead))

    def _fields(self, job: Job, profile: EncodingProfile) -> dict[str, Any]:
        database = self._ledger.database
        receipts = [receipt for chosen in job.inputs if self._is_own(job, chosen) for receipt in chosen.receipts]
        if job.finished_at is None or not receipts:
            raise PermanentError(f"job {job.id} has no images or no end: nothing can be written for it")
        return {
            "job_id": job.id,
            "algorithm": algorithm_of(job),
            "rule": job.rule,
            "mode": job.mode,
            "sources": tuple(self._find(receipt) for receipt in receipts),
            "asked": job.asked or job.rule,
            "images_complete_at": job.images_complete_at,
            "result_made_at": job.finished_at,
            "time_zone": self.configuration.node.time_zone,
            "evidence": tuple(
                SourceReference(job.study_instance_uid, i.series_instance_uid, i.sop_instance_uid, i.sop_class_uid)
                for i in instances.of_study(database, job.study_instance_uid)
                if i.series_instance_uid
            ),
            "parameters": tuple((name, str(value)) for name, value in sorted(job.parameters.items())),
            "profile": profile,
        }

    def _is_own(self, job: Job, chosen: JobInput) -> bool:
        """Whether a series is of the job's study: an earlier one that it was given is nothing that it reports on."""
        first = instances.by_receipt(self._ledger.database, chosen.receipts[0])
        return first is None or first.study_instance_uid == job.study_instance_uid

    def _find(self, receipt: str) -> Path:
        try:
            return self._spool.find(receipt)
        except FileNotFoundError as error:
            raise NotEncodableError("SOPInstanceUID", f"a source image is gone: {error}") from error

    def _predecessors(self, job: Job, destination: str) -> tuple[SourceReference, ...]:
        """The SRs of this question that a reader there may still have: of the last success, and of failures since.

        A failure replaces nothing: what was found before still stands (PS3.3 C.17.2, Predecessor Documents).
        """
        if job.outcome is JobOutcome.FAILED:
            return ()
        database = self._ledger.database
        replaced: list[SourceReference] = []
        for earlier in self._earlier(database, job):
            sent = {
                delivery.sop_instance_uid
                for delivery in deliveries.of_job(database, earlier.id)
                if delivery.destination == destination and delivery.status in _MAY_HAVE_ARRIVED
            }
            found = [made for made in objects.of_job(database, earlier.id) if made.sop_instance_uid in sent]
            replaced += [
                SourceReference(o.study_instance_uid, o.series_instance_uid, o.sop_instance_uid, o.sop_class_uid)
                for o in found
                if o.kind == "sr"
            ]
            if found and earlier.outcome is not JobOutcome.FAILED:
                break  # it named those before it
        return tuple(sorted(replaced))

    def _earlier(self, database: Database, job: Job) -> list[Job]:
        """The chain of jobs that this one supersedes, newest first."""
        chain = []
        while job.supersedes is not None:
            job = jobs.get(database, job.supersedes)
            chain.append(job)
        return chain

    # --- the outbox -------------------------------------------------------------------------------

    def _enqueue(self, database: Database, job: Job, made: dict[str, tuple[EncodedObject, ...]]) -> int:
        now = self._clock.now()
        unique = {one.sop_instance_uid: one for encoded in made.values() for one in encoded}
        withheld = {destination: self._why_withheld(job, destination, now) for destination in made}
        for destination, encoded in made.items():
            if not encoded:
                self._tell_nothing_goes(database, job, destination, now)
            profile = profile_of(self.configuration.destinations[destination]).digest()
            for one in encoded:
                row = self._row(job, one, profile, now)
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
            self._overtake(database, job, now)
        if job.terms.is_late(now) and None in withheld.values() and late.tell(database, now, job):
            self._signal.wake(Room.NOTIFY)
        jobs.reported(database, now, job.id, len(unique))
        return len(unique)

    def _why_withheld(self, job: Job, destination: str, now: datetime) -> str | None:
        """Why a destination does not get the result; None where it does.

        What replaces a result that a reader there may have is sent whatever it says: the old one would stand for true.
        """
        assert job.outcome is not None, job.id
        reason = job.terms.withholds(job.outcome) or job.terms.withholds_now(now)
        return None if reason and self._predecessors(job, destination) else reason

    def _tell_nothing_goes(self, database: Database, job: Job, destination: str, now: datetime) -> None:
        reason = f"{destination} takes no kind of object of a result that is {job.outcome} (destinations: send_when)"
        events.record(
            database, now, "job.withheld", study=job.study_instance_uid, job=job.id, destination=destination,
            reason=reason,
        )  # fmt: skip

    def _row(self, job: Job, one: EncodedObject, profile: str, now: datetime) -> ResultObject:
        return ResultObject(
            sop_instance_uid=one.sop_instance_uid,
            sop_class_uid=one.sop_class_uid,
            series_instance_uid=one.series_instance_uid,
            study_instance_uid=job.study_instance_uid,
            job=job.id,
            kind=one.kind,
            profile=profile,
            file=str(one.path.relative_to(self._spool.data)),
            digest=one.sha256,
            made_at=now,
        )

    def _overtake(self, database: Database, job: Job, now: datetime) -> None:
        """Results of this question that were not sent yet never will be, nor is anybody told of them: this is newer."""
        earlier_jobs = self._earlier(database, job)
        overtaken = f"overtaken by job {job.id}"
        notifications.cancel_about(
            database, now, job.study_instance_uid, overtaken, [earlier.id for earlier in earlier_jobs]
        )
        for earlier in earlier_jobs:
            for delivery in deliveries.of_job(database, earlier.id):
                if delivery.status in _NOT_SENT:
                    deliveries.stop(database, now, delivery.id, DeliveryStatus.SUPERSEDED, overtaken)


_SAYS_SO: frozenset[Kind] = frozenset(("sr", "sc"))
"""The kinds of object that can say that there is no result."""
_NOT_SENT = (DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.DEAD, DeliveryStatus.WITHHELD)
_MAY_HAVE_ARRIVED = (DeliveryStatus.DELIVERED, DeliveryStatus.SENDING)


def profile_of(destination: Destination) -> EncodingProfile:
    """How this destination wants its objects."""
    return EncodingProfile(
        sr_class=destination.sr_class,
        character_set=destination.character_set,
        sc_modality=destination.sc_modality,
        language=destination.language,
        kinds=destination.kinds,
        send_when=tuple(sorted((ResultStatus(status), kinds) for status, kinds in destination.send_when.items())),
        seg_form=destination.seg_form,
        sc_form=destination.sc_form,
        series_number_base=destination.series_number_base,
        series_text=destination.series_text,
        transfer_syntax=destination.transfer_syntax,
        editable=destination.editable,
    )


def algorithm_of(job: Job) -> AlgorithmIdentity:
    """The identity that the manifest stated when the job ran."""
    if job.algorithm is None:
        raise PermanentError(f"job {job.id} has no algorithm: it never began")
    fields = dict(job.algorithm)
    fields["family"] = Code(**fields["family"])
    fields["parameters"] = tuple((name, value) for name, value in fields["parameters"])
    return AlgorithmIdentity(**fields)
