"""From an ended job to objects in the outbox: encode in another process, write, then commit."""

from __future__ import annotations

import shutil
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import structlog

from node.clock import Clock
from node.config.models import Configuration, Destination
from node.errors import NodeError, PermanentError
from node.ledger import deliveries, instances, jobs, objects
from node.ledger.database import Database, Ledger
from node.ledger.deliveries import DeliveryStatus
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.objects import ResultObject
from node.lifeline import end_with
from node.results.encode import EncodedObject, encode
from node.results.errors import NotEncodableError
from node.results.request import EncodingProfile, EncodingRequest, Kind, SourceReference
from node.results.texts import texts_of
from node.signal import Room, Signal
from node.spool import Spool
from plugins import exchange
from plugins.contract import AlgorithmIdentity, Code, Result, ResultStatus

log = structlog.get_logger(__name__)

_DEADLINE_SECONDS = 600.0
"""For the encoding of one set: far above any real one, so that a stuck encoder does not stop all results."""
_ATTEMPTS = 2
"""An encoder that dies may have been ended from outside; twice on the same result is the result's doing."""
_POLL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Order:
    """All that the encoder's process needs; the result's arrays are read there, not sent to it."""

    result_folder: Path
    target: Path
    fields: dict[str, Any]
    instead: Result | None = None
    """What is reported instead of the result in the folder."""


def _end_with_the_node() -> None:
    """In the encoder's process: it holds both ends of its own queue, so it would outlive a node that was killed."""
    parent = parent_process()
    assert parent is not None, "the encoder is started by the node"
    end_with(parent.sentinel)


def _carry_out(order: _Order) -> tuple[EncodedObject, ...]:
    """In the encoder's process; whatever goes wrong leaves it as an error that can be pickled.

    What a result or an image makes the encoder stumble over is one job's trouble, and a person's to look
    at: it must neither end the stage nor be tried for ever.
    """
    try:
        result = order.instead or exchange.read_result(order.result_folder, exchange.read_request(order.result_folder))
        return encode(EncodingRequest(result=result, **order.fields), order.target)
    except NodeError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        raise PermanentError(f"the result could not be encoded: {what}") from error


class Results:
    """The stage `results`; one thread calls `run_once`."""

    def __init__(
        self, ledger: Ledger, spool: Spool, clock: Clock, signal: Signal, configuration: Configuration
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._signal = signal
        self._configuration = configuration
        self._pool: ProcessPoolExecutor | None = None

    def run_once(self) -> float:
        """Encode every ended job; seconds until it should look again even if nobody wakes it."""
        for job in jobs.unreported(self._ledger.database):
            self._report(job)
        return _POLL_SECONDS

    def close(self) -> None:
        """End the encoder's process."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _report(self, job: Job) -> None:
        bound = log.bind(job=job.id, study=job.study_instance_uid)
        refusal = ""
        try:
            profiles = self._profiles(job)
            try:
                made = {name: self._encode(job, profile) for name, profile in profiles.items()}
            except PermanentError as error:
                refusal = str(error)
                bound.error("job.refused", error=refusal)
                made = {name: self._encode_refusal(job, profile) for name, profile in profiles.items()}
        except PermanentError as error:
            # Not even the end of the job can be written: the first reason is the one to mend.
            self._unreportable(job, refusal or str(error))
            return
        with self._ledger.transaction() as database:
            if jobs.get(database, job.id).status is not JobStatus.ENDED:
                return  # cancelled while it was encoded: nothing of it leaves
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

    def _profiles(self, job: Job) -> dict[str, EncodingProfile]:
        """The profile of each of the job's destinations that is still configured."""
        known = self._configuration.destinations
        missing = sorted(set(job.destinations) - set(known))
        if missing:
            raise PermanentError(f"destination {missing[0]!r} is no longer in the configuration")
        return {name: profile_of(known[name]) for name in job.destinations}

    def _encode(self, job: Job, profile: EncodingProfile) -> tuple[EncodedObject, ...]:
        """The set of objects for one profile; destinations with equal profiles get the same files."""
        return self._carry_out(job, profile.digest(), self._fields(job, profile))

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
        order = _Order(self._spool.data / job.result, target, fields, instead)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._executor().submit(_carry_out, order).result(timeout=_DEADLINE_SECONDS)
            except (BrokenProcessPool, TimeoutError) as error:
                self._end_pool()
                log.warning("results.encoder-died", job=job.id, attempt=attempt, error=repr(error))
        raise PermanentError(f"the encoder died {_ATTEMPTS} times on this result")

    def _fields(self, job: Job, profile: EncodingProfile) -> dict[str, Any]:
        database = self._ledger.database
        receipts = [receipt for chosen in job.inputs for receipt in chosen.receipts]
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
            "time_zone": self._configuration.node.time_zone,
            "evidence": tuple(
                SourceReference(job.study_instance_uid, i.series_instance_uid, i.sop_instance_uid, i.sop_class_uid)
                for i in instances.of_study(database, job.study_instance_uid)
                if i.series_instance_uid
            ),
            "parameters": tuple((name, str(value)) for name, value in sorted(job.parameters.items())),
            "supersedes": tuple(self._predecessors(job)),
            "profile": profile,
        }

    def _find(self, receipt: str) -> Path:
        try:
            return self._spool.find(receipt)
        except FileNotFoundError as error:
            raise NotEncodableError("SOPInstanceUID", f"a source image is gone: {error}") from error

    def _predecessors(self, job: Job) -> list[SourceReference]:
        """The SRs of this question that a reader may still have: of the last success, and of failures since.

        A failure replaces nothing: what was found before still stands (PS3.3 C.17.2, Predecessor Documents).
        """
        if job.outcome is JobOutcome.FAILED:
            return []
        database = self._ledger.database
        replaced: list[SourceReference] = []
        for earlier in self._earlier(database, job):
            sent = {
                d.sop_instance_uid for d in deliveries.of_job(database, earlier.id) if d.status in _MAY_HAVE_ARRIVED
            }
            found = [made for made in objects.of_job(database, earlier.id) if made.sop_instance_uid in sent]
            replaced += [
                SourceReference(o.study_instance_uid, o.series_instance_uid, o.sop_instance_uid, o.sop_class_uid)
                for o in found
                if o.kind == "sr"
            ]
            if found and earlier.outcome is not JobOutcome.FAILED:
                break  # it named those before it
        return replaced

    def _earlier(self, database: Database, job: Job) -> list[Job]:
        """The chain of jobs that this one supersedes, newest first."""
        chain = []
        while job.supersedes is not None:
            job = jobs.get(database, job.supersedes)
            chain.append(job)
        return chain

    def _executor(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=1, mp_context=get_context("spawn"), initializer=_end_with_the_node
            )
        return self._pool

    def _end_pool(self) -> None:
        """The encoder's process is dead or stuck: end it, the next encoding starts a new one."""
        if self._pool is None:
            return
        for process in list((self._pool._processes or {}).values()):  # 3.14 has terminate_workers() for this
            process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    # --- the outbox -------------------------------------------------------------------------------

    def _enqueue(self, database: Database, job: Job, made: dict[str, tuple[EncodedObject, ...]]) -> int:
        now = self._clock.now()
        unique = {one.sop_instance_uid: one for encoded in made.values() for one in encoded}
        for destination, encoded in made.items():
            profile = profile_of(self._configuration.destinations[destination]).digest()
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
                )
        if job.outcome is not JobOutcome.FAILED:
            self._overtake(database, job, now)
        jobs.reported(database, now, job.id, len(unique))
        return len(unique)

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
        """Results of this question that were not sent yet never will be: this one is newer."""
        for earlier in self._earlier(database, job):
            for delivery in deliveries.of_job(database, earlier.id):
                if delivery.status in (DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.DEAD):
                    reason = f"overtaken by job {job.id}"
                    deliveries.stop(database, now, delivery.id, DeliveryStatus.SUPERSEDED, reason)


_SAYS_SO: frozenset[Kind] = frozenset(("sr", "sc"))
"""The kinds of object that can say that there is no result."""
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
