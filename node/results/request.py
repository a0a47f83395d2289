"""What the encoder is asked: one result, its images, and how a destination wants to have it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from node import __version__, ourselves
from node.config.encoding import EncodingProfile, Kind
from node.results.adopted import AdoptedIdentity
from plugins.contract import AlgorithmIdentity, Result

PartKind = Literal["sr", "sc", "seg", "pm", "ko", "pr", "rtstruct", "pdf", "dicom", "picture", "mask"]
"""Kinds of object, the pictures that pages show, and the label map that segmentations and pictures are made from."""
Mode = Literal["shadow", "pilot", "clinical"]


@dataclass(frozen=True, slots=True, order=True)
class SourceReference:
    """One SOP instance by its UIDs (PS3.3 10.8, 10.4): enough to refer to it, wherever it is kept."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


@dataclass(frozen=True, slots=True)
class Revision:
    """Which result of a question a destination gets, from the second one on, and what became of the one before."""

    number: int
    earlier_made_at: datetime
    """When the result was made that is there, or that this one replaces."""
    more_images: int
    """By how many images it rests on more than the earlier one; negative where these are fewer."""
    replaces: bool = True
    """False where this one says that there is no new result: the earlier one stands."""

    def to_json(self) -> str:
        """All of it as text; equal revisions give equal texts."""
        return json.dumps({**asdict(self), "earlier_made_at": self.earlier_made_at.isoformat()}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Revision:
        """What `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "earlier_made_at": datetime.fromisoformat(values["earlier_made_at"])})


@dataclass(frozen=True, slots=True)
class ComputedFrom:
    """The result of an earlier step that a result rests on, and its segmentations that the destination gets."""

    step: str
    plugin: str
    version: str
    segmentations: tuple[SourceReference, ...] = ()

    @classmethod
    def all_to_json(cls, those: Sequence[ComputedFrom]) -> str:
        """As text; equal ones give equal texts, and none an empty one."""
        return json.dumps([asdict(each) for each in those], sort_keys=True) if those else ""

    @classmethod
    def all_from_json(cls, text: str) -> tuple[ComputedFrom, ...]:
        """What `all_to_json` wrote."""
        read = json.loads(text) if text else []
        return tuple(
            cls(**{**each, "segmentations": tuple(SourceReference(**one) for one in each["segmentations"])})
            for each in read
        )


def encoding_digest(
    profile: EncodingProfile,
    supersedes: tuple[SourceReference, ...],
    revision: Revision | None = None,
    adopted: AdoptedIdentity | None = None,
    computed_from: tuple[ComputedFrom, ...] = (),
) -> str:
    """Of all in which the objects of one result differ between destinations.

    The profile, what they got before, under which patient and order they have the study, and what it rests on.
    """
    if not supersedes and revision is None and adopted is None and not computed_from:
        return profile.digest()
    more = [each.to_json() for each in (revision, adopted) if each is not None]
    more += [ComputedFrom.all_to_json(computed_from)] if computed_from else []
    uids = (profile.digest(), *sorted(reference.sop_instance_uid for reference in supersedes), *more)
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, order=True)
class SetPart:
    """What can be missing from a set: one object, one picture of its pages, or all of a kind."""

    kind: PartKind
    number: int
    """Instance Number of the object, or which of the pictures it is, from 1; 0: all of the kind."""

    def __str__(self) -> str:
        return f"{self.kind} {self.number}" if self.number else self.kind


@dataclass(frozen=True, slots=True)
class EarlierSet:
    """A set of objects that exists, for whose report another is made in another SOP class."""

    digest: str
    """What its UIDs derive from (`encoding_digest`)."""
    companions: tuple[tuple[Kind, SourceReference], ...]
    """Its objects but for the report, in the order in which they were made."""
    missing: frozenset[SetPart] = frozenset()
    """What it lacks because it could not be written."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Who writes the objects (PS3.3 C.7.5.1 General Equipment): the node, not the algorithm."""

    manufacturer: str = ourselves.MANUFACTURER
    model_name: str = ourselves.MODEL_NAME
    software_version: str = __version__
    serial_number: str = "pacsnode"
    """What tells this node from others of its kind; Type 1 in a Segmentation."""


@dataclass(frozen=True, slots=True)
class ReturnedTreatment:
    """How the DICOM objects are sent that the plugin returned."""

    mark: bool = True
    """As objects of this node (`plugins.manifest.ReturnedDicom`)."""
    hidden: bool = False
    """The plugin did not know whose images it got, so patient and study are written from the images in any case."""
    uid_taken: bool = False
    """Something else has the SOP Instance UID of one of them: they are marked in any case."""


@dataclass(frozen=True, kw_only=True)
class RejectionRequest:
    """A rejection note for objects of ours (IHE transaction RAD-66): one study, one destination. It can be pickled."""

    stored: Path
    """One of the objects, as it was sent: patient, study and character set are copied from it."""
    rejected: tuple[tuple[Kind, SourceReference], ...]
    title: Literal["113001", "113037"]
    """Code value of the document's title (PS3.16 CID 7010)."""
    text: str
    """Why, in words; names no patient."""
    algorithm: AlgorithmIdentity
    mode: Mode
    withdrawn_at: datetime
    time_zone: str
    """IANA name; used where the stored object does not say its offset."""
    node: NodeIdentity
    series_number_base: int
    ledger: str = ""
    """As `JobToEncode.ledger`."""


@dataclass(frozen=True, kw_only=True)
class JobToEncode:
    """All that the objects of a job are made from beside its result, for one profile. It can be pickled."""

    job_id: str
    algorithm: AlgorithmIdentity
    rule: str
    mode: Mode
    sources: tuple[Path, ...]
    """Part 10 files of the current study that the plugin was given, at least one."""
    asked: str
    """What was asked, in words: the rule's description."""
    images_complete_at: datetime
    result_made_at: datetime
    time_zone: str
    """IANA name; used for times of ours where the images do not say their offset."""
    evidence: tuple[SourceReference, ...] = ()
    """Further known instances of this study (or of priors that were used)."""
    parameters: tuple[tuple[str, str], ...] = ()
    supersedes: tuple[SourceReference, ...] = ()
    """Earlier SRs of the same question that this one replaces."""
    revision: Revision | None = None
    """None: the first result of the question that the destination gets."""
    adopted: AdoptedIdentity | None = None
    """Patient and order as the destination has them, in place of the images'."""
    computed_from: tuple[ComputedFrom, ...] = ()
    """The results of earlier steps that it rests on."""
    under_pseudonyms: bool = False
    """Whether the plugin knew the patient by pseudonyms alone."""
    node: NodeIdentity = NodeIdentity()
    profile: EncodingProfile = field(default_factory=EncodingProfile)
    belongs_to: EarlierSet | None = None
    """The report alone is made, in the class that `profile` says, and refers to these objects."""
    ledger: str = ""
    """What UIDs derive from beside the job, in a ledger that was restored (`node.ledger.identity`)."""
    assumed_character_set: str = ""
    """Specific Character Set of texts whose own is missing or does not fit: that of their sender, where it is known."""
    returned: ReturnedTreatment = ReturnedTreatment()

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources: at least one image is needed to copy patient and study from")
        for name in ("images_complete_at", "result_made_at"):
            if getattr(self, name).tzinfo is None:
                raise ValueError(f"{name}: must be aware of its time zone")
        ZoneInfo(self.time_zone)

    @property
    def digest(self) -> str:
        """What the UIDs of the objects derive from, beside the job and the SOP class."""
        if self.belongs_to is not None:
            return self.belongs_to.digest
        return encoding_digest(self.profile, self.supersedes, self.revision, self.adopted, self.computed_from)

    def with_result(self, result: Result) -> EncodingRequest:
        """The whole request."""
        return EncodingRequest(result=result, **{each.name: getattr(self, each.name) for each in fields(JobToEncode)})


@dataclass(frozen=True, kw_only=True)
class EncodingRequest(JobToEncode):
    """One result to be encoded for one profile. Equal requests give equal bytes: no clock, no chance."""

    result: Result
