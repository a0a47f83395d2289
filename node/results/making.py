"""From a job in the ledger to objects on disk: what the encoder is asked for, and in which folder it writes.

All that one destination's objects depend on beside the job is a `SetRequest`. The ledger keeps it (`encodings`),
so that a report can be re-encoded as it was, whatever the configuration says by then.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

from node.config.encoding import SPEAKING, EncodingProfile, Kind
from node.config.models import Configuration
from node.dicom.report_classes import SRClass
from node.errors import PermanentError
from node.ledger import attempts, identity, instances, job_files, jobs, returned_objects
from node.ledger.connection import Database
from node.ledger.encodings import Encoding
from node.ledger.job import Job, JobOutcome
from node.ledger.job_files import JobFiles
from node.ledger.objects import ResultObject
from node.ledger.recalls import Recall
from node.results.adopted import AdoptedIdentity
from node.results.encoded import EncodedObject, EncodedSet
from node.results.encoder import Cost, Encoder, EncoderTask, NoteTask
from node.results.request import (
    ComputedFrom,
    EarlierSet,
    JobToEncode,
    Mode,
    NodeIdentity,
    RejectionRequest,
    ReturnedTreatment,
    Revision,
    SetPart,
    SourceReference,
    encoding_digest,
)
from node.results.source.files import SourceFiles, VerifiedImages
from node.results.texts import texts_of
from node.stage import Node
from node.store import device
from plugins.contract import AlgorithmIdentity, Code, Result, ResultStatus
from plugins.runtime import PatientIdentity
from rules.facts import BAD_UID

_REFUSED = "-refused"
"""At the end of the name of a set that says why there is no result."""


@dataclass(frozen=True, slots=True)
class SetRequest:
    """What one destination is to get; destinations of which all is equal share their objects."""

    profile: EncodingProfile
    supersedes: tuple[SourceReference, ...]
    """The reports that this destination may have, and this result replaces."""
    says_why: bool = False
    """Not the result, but that it could not be reported."""
    revision: Revision | None = None
    """None: the first result of the question that the destination gets."""
    adopted: AdoptedIdentity | None = None
    """Patient and order as the destination has them; None: as the images have them."""
    computed_from: tuple[ComputedFrom, ...] = ()
    """The results of earlier steps that it rests on, with their segmentations that the destination gets."""
    kept_digest: str = ""
    """Of objects that exist: what theirs derive from. A release whose profiles say more comes to another digest."""

    @property
    def digest(self) -> str:
        """What the UIDs of its objects derive from."""
        return self.kept_digest or encoding_digest(
            self.profile, self.supersedes, self.revision, self.adopted, self.computed_from
        )

    @property
    def name(self) -> str:
        """Of its folder, and in the ledger."""
        return f"{self.digest}{_REFUSED}" if self.says_why else self.digest

    def instead(self) -> SetRequest:
        """What is sent in place of a result that was refused: a report and a page that say so, in no one's place.

        PermanentError where the destination takes neither.
        """
        kinds = self.profile.kinds_for(ResultStatus.FAILED) & SPEAKING
        if not kinds:
            raise PermanentError("a destination takes neither reports nor pages: nothing can be reported to it")
        stands = replace(self.revision, replaces=False) if self.revision else None
        return SetRequest(
            self.profile.model_copy(update={"kinds": kinds}), (), says_why=True, revision=stands, adopted=self.adopted
        )

    def kept(self, job: Job, missing: Collection[SetPart]) -> Encoding:
        """As the ledger keeps it; `missing`: the objects that could not be written."""
        supersedes = tuple(
            (each.study_instance_uid, each.series_instance_uid, each.sop_instance_uid, each.sop_class_uid)
            for each in self.supersedes
        )
        revision = self.revision.to_json() if self.revision else ""
        parts = tuple((part.kind, part.number) for part in sorted(missing))
        adopted = self.adopted.to_json() if self.adopted else ""
        rests_on = ComputedFrom.all_to_json(self.computed_from)
        profile = self.profile.to_json()
        return Encoding(job.id, self.name, profile, supersedes, self.says_why, parts, revision, adopted, rests_on)

    @classmethod
    def of(cls, kept: Encoding) -> SetRequest:
        """What the ledger has kept."""
        supersedes = tuple(SourceReference(*each) for each in kept.supersedes)
        profile = EncodingProfile.from_json(kept.profile)
        revision = Revision.from_json(kept.revision) if kept.revision else None
        adopted = AdoptedIdentity.from_json(kept.adopted) if kept.adopted else None
        rests_on = ComputedFrom.all_from_json(kept.computed_from)
        return cls(profile, supersedes, kept.says_why, revision, adopted, rests_on, kept.name.removesuffix(_REFUSED))

    def under(self, adopted: AdoptedIdentity) -> SetRequest:
        """The same set under another patient and order: objects of their own.

        So are those that it was computed from: it names these in words.
        """
        in_words = tuple(replace(each, segmentations=()) for each in self.computed_from)
        return replace(self, adopted=adopted, computed_from=in_words, kept_digest="")


class ObjectMaker:
    """Orders to the encoders' processes, which it keeps; for any number of threads."""

    def __init__(self, node: Node) -> None:
        self._ledger = node.ledger
        self._data_folder = node.store
        self._sources = SourceFiles(node)
        self._encoder = Encoder()

    def close(self) -> None:
        """End the encoders' processes."""
        self._encoder.close()

    def cost(self, job: Job) -> Cost:
        """What encoding the job's result may cost."""
        assert job.result is not None, job.id
        return Cost.of(self._data_folder.data / job.result, sum(len(chosen.receipts) for chosen in job.inputs))

    def images(self, job: Job) -> VerifiedImages:
        """The images that the job's objects are made from, verified: once for all sets that are made of them now."""
        return self._sources.of(job)

    def whole_set(
        self, job: Job, wanted: SetRequest, images: VerifiedImages, configuration: Configuration
    ) -> EncodedSet:
        """One set of objects; raises `NodeError`, and CallCancelledError where the job was cancelled meanwhile."""

        def cancelled() -> bool:
            return jobs.get(self._ledger.database, job.id).status is not job.status

        request = self._request(job, wanted, images, configuration)
        return self._carry_out(job, wanted.name, request, _text_instead(wanted), cancelled)

    def report_alone(
        self,
        job: Job,
        wanted: SetRequest,
        sr_class: SRClass,
        companions: Sequence[ResultObject],
        missing: frozenset[SetPart],
        configuration: Configuration,
    ) -> EncodedObject:
        """The report of a set that exists, in another SOP class, for the same objects; raises `NodeError`.

        `missing`: what the set lacks, which this report says too.
        """
        references = tuple((cast(Kind, each.kind), reference_to(each)) for each in companions)
        request = replace(
            self._request(job, wanted, self.images(job), configuration),
            profile=wanted.profile.model_copy(update={"sr_class": sr_class}),
            belongs_to=EarlierSet(wanted.digest, references, missing),
        )
        name = f"{wanted.name}-{sr_class}"
        (report,) = self._carry_out(job, name, request, _text_instead(wanted), lambda: False)
        return report

    def rejection_note(
        self,
        recall: Recall,
        stored: ResultObject,
        rejected: Sequence[ResultObject],
        destination: str,
        configuration: Configuration,
    ) -> ResultObject:
        """A rejection note for these objects, durable on disk, beside `stored`; raises `NodeError`."""
        job = jobs.get(self._ledger.database, stored.job)
        request = RejectionRequest(
            stored=self._data_folder.data / stored.file,
            rejected=tuple((cast(Kind, each.kind), reference_to(each)) for each in rejected),
            title=cast(Literal["113001", "113037"], recall.reason.note_title),
            text=f"AI results withdrawn: {recall.name}, {recall.reason}",
            algorithm=algorithm_of(job),
            mode=cast(Mode, job.mode),
            withdrawn_at=recall.at,
            time_zone=configuration.node.time_zone,
            node=NodeIdentity(serial_number=device.serial_number(self._data_folder.data)),
            series_number_base=configuration.destinations[destination].series_number_base,
            ledger=identity.of(self._ledger.database).salt,
        )
        digest = hashlib.sha256("\n".join([destination, *(each.sop_instance_uid for each in rejected)]).encode())
        name = f"rejection-{digest.hexdigest()[:32]}"
        target = self._empty_folder(job, name)
        made = self._encoder.note(NoteTask(job.id, target, request))
        return ResultObject(
            sop_instance_uid=made.sop_instance_uid,
            sop_class_uid=made.sop_class_uid,
            series_instance_uid=made.series_instance_uid,
            study_instance_uid=made.study_instance_uid,
            job=job.id,
            kind=made.kind,
            profile=stored.profile,
            file=str(made.path.relative_to(self._data_folder.data)),
            digest=made.sha256,
            made_at=recall.at,
            encoding=name,
        )

    def row(self, job: Job, wanted: SetRequest, made: EncodedObject, at: datetime) -> ResultObject:
        """An object as the ledger knows it."""
        return ResultObject(
            sop_instance_uid=made.sop_instance_uid,
            sop_class_uid=made.sop_class_uid,
            series_instance_uid=made.series_instance_uid,
            study_instance_uid=job.study_instance_uid,
            job=job.id,
            kind=made.kind,
            profile=wanted.profile.digest(),
            file=str(made.path.relative_to(self._data_folder.data)),
            digest=made.sha256,
            made_at=at,
            encoding=wanted.name,
        )

    def _empty_folder(self, job: Job, name: str) -> Path:
        """For the objects of this name; what an attempt that was cut short left there is removed: no row names it."""
        target = self._data_folder.results / job.id / name
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True, mode=0o700)
        return target

    def _carry_out(
        self, job: Job, name: str, request: JobToEncode, instead: Result | None, cancelled: Callable[[], bool]
    ) -> EncodedSet:
        """Encode in the encoder's process into the job's folder of this name."""
        assert job.result is not None, job.id
        if job_files.state(self._ledger.database, job.id) is not JobFiles.HERE:
            raise PermanentError(f"retention deleted the files of its job: pacsnode retry {job.id} makes it again")
        target = self._empty_folder(job, name)
        cost = self.cost(job) if instead is None else Cost.of(None, len(request.sources))
        order = EncoderTask(job.id, self._data_folder.data / job.result, target, request, cost, instead)
        return self._encoder.encode(order, cancelled)

    def _request(
        self, job: Job, wanted: SetRequest, images: VerifiedImages, configuration: Configuration
    ) -> JobToEncode:
        database = self._ledger.database
        if job.finished_at is None:
            raise PermanentError(f"job {job.id} has no end: nothing can be written for it")
        only_says_why = wanted.says_why or job.outcome is JobOutcome.FAILED
        return JobToEncode(
            job_id=f"{job.id} refused" if wanted.says_why else job.id,
            algorithm=algorithm_of(job),
            rule=job.rule,
            mode=cast(Mode, job.mode),
            sources=images.usable(job, only_says_why=only_says_why),
            asked=job.asked or job.rule,
            images_complete_at=job.images_complete_at,
            result_made_at=job.finished_at,
            time_zone=configuration.node.time_zone,
            assumed_character_set=configuration.character_sets.get(images.calling_ae_title, ""),
            evidence=tuple(
                SourceReference(job.study_instance_uid, i.series_instance_uid, i.sop_instance_uid, i.sop_class_uid)
                for i in instances.of_study(database, job.study_instance_uid)
                if i.series_instance_uid and BAD_UID not in i.marks
            ),
            parameters=tuple((name, str(value)) for name, value in sorted(job.parameters.items())),
            profile=wanted.profile,
            node=NodeIdentity(serial_number=device.serial_number(self._data_folder.data)),
            supersedes=wanted.supersedes,
            revision=wanted.revision,
            adopted=wanted.adopted,
            computed_from=wanted.computed_from,
            under_pseudonyms=attempts.was_under_pseudonyms(database, job.answered_by),
            ledger=identity.of(database).salt,
            returned=_returned_handling(database, job),
        )


def _returned_handling(database: Database, job: Job) -> ReturnedTreatment:
    """As the manifest said when the job ran, and by what the plugin knew of the patient.

    What has the UID of something else would not be sent beside that, or would be stored over it: it gets its own.
    """
    taken = returned_objects.is_uid_taken(database, job.id)
    ran = attempts.last_of(database, job.id)
    return ReturnedTreatment(
        mark=taken or all(each.marked for each in returned_objects.of_job(database, job.id)),
        hidden=ran is not None and ran.identity == PatientIdentity.PSEUDONYM,
        uid_taken=taken,
    )


def _text_instead(wanted: SetRequest) -> Result | None:
    """What is reported where it is not the result."""
    summary = texts_of(wanted.profile.language).not_reportable
    return Result(ResultStatus.FAILED, summary) if wanted.says_why else None


def reference_to(made: ResultObject) -> SourceReference:
    """An object of ours, by its UIDs."""
    return SourceReference(made.study_instance_uid, made.series_instance_uid, made.sop_instance_uid, made.sop_class_uid)


def algorithm_of(job: Job) -> AlgorithmIdentity:
    """The identity that the manifest stated when the job ran."""
    if job.algorithm is None:
        raise PermanentError(f"job {job.id} has no algorithm: it never began")
    fields = dict(job.algorithm)
    fields["family"] = Code(**fields["family"])
    fields["parameters"] = tuple((name, value) for name, value in fields["parameters"])
    return AlgorithmIdentity(**fields)
