"""What the encoder is asked: one result, its images, and how a destination wants to have it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from node import __version__, ourselves
from node.dicom.report_classes import SRClass
from plugins.contract import AlgorithmIdentity, Result, ResultStatus

Kind = Literal["sr", "sc", "seg", "pm", "ko", "pr"]
"""Structured report, pages, segmentation, heat maps, key images, regions as presentation state."""
PartKind = Literal["sr", "sc", "seg", "pm", "ko", "pr", "picture", "mask"]
"""Kinds of object, the pictures that pages show, and the label map that segmentations and pictures are made from."""
Mode = Literal["shadow", "pilot", "clinical"]
Language = Literal["en", "ko"]


@dataclass(frozen=True, slots=True)
class EncodingProfile:
    """How a destination wants its objects; destinations with equal profiles share one set of objects."""

    sr_class: SRClass = "comprehensive"
    character_set: Literal["utf-8", "source"] = "utf-8"
    """`source`: the images' own Specific Character Set, if every text can be written in it; else UTF-8."""
    sc_modality: Literal["OT", "source"] = "OT"
    language: Language = "en"
    series_number_base: int = 9000
    kinds: frozenset[Kind] = frozenset({"sr", "sc", "seg", "pm", "ko"})
    send_when: tuple[tuple[ResultStatus, frozenset[Kind]], ...] = ((ResultStatus.NOT_APPLICABLE, frozenset({"sr"})),)
    """For ends of a job that are reported with fewer kinds: with which, each status once."""
    seg_form: Literal["binary", "label-map"] = "binary"
    """Segmentation Storage, or Label Map Segmentation Storage (PS3.3 A.51)."""
    sc_form: Literal["single", "multi-frame"] = "single"
    """Pages as one object each, or as frames of one."""
    series_text: str = ""
    """In Series Description, after the marking, before what the series holds."""
    transfer_syntax: Literal["explicit", "implicit"] = "explicit"
    """Explicit or Implicit VR Little Endian."""
    editable: bool = False
    """Tracking identifiers name the tools by which viewers built on Cornerstone (OHIF) edit regions."""

    def __post_init__(self) -> None:
        if not 1 <= self.series_number_base <= 2**31 - 2000:
            raise ValueError(f"series_number_base: {self.series_number_base} is not within 1 to 2147481648")

    def kinds_for(self, status: ResultStatus) -> frozenset[Kind]:
        """The kinds of object that a result of this status is sent as."""
        return self.kinds & dict(self.send_when).get(status, self.kinds)

    def to_json(self) -> str:
        """All that makes the objects different, as text; equal profiles give equal texts."""
        fewer = sorted((status.value, sorted(kinds)) for status, kinds in self.send_when)
        values = asdict(self) | {"kinds": sorted(self.kinds), "send_when": fewer}
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EncodingProfile:
        """The profile that `to_json` wrote."""
        values = json.loads(text)
        values["kinds"] = frozenset(values["kinds"])
        values["send_when"] = tuple((ResultStatus(status), frozenset(kinds)) for status, kinds in values["send_when"])
        return cls(**values)

    def digest(self) -> str:
        """Hexadecimal hash of all that makes the objects different; stable over processes and machines."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, order=True)
class SourceReference:
    """One SOP instance by its UIDs (PS3.3 10.8, 10.4): enough to refer to it, wherever it is kept."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


def encoding_digest(profile: EncodingProfile, supersedes: tuple[SourceReference, ...]) -> str:
    """Of all in which the objects of one result differ between destinations: the profile, and the reports they got."""
    if not supersedes:
        return profile.digest()
    uids = (profile.digest(), *sorted(reference.sop_instance_uid for reference in supersedes))
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """What can be missing from a set: one object, one picture of its pages, or all of a kind."""

    kind: PartKind
    number: int
    """Instance Number of the object, or which of the pictures it is, from 1; 0: all of the kind."""

    def __str__(self) -> str:
        return f"{self.kind} {self.number}" if self.number else self.kind


@dataclass(frozen=True, slots=True)
class SetMade:
    """A set of objects that exists, for whose report another is made in another SOP class."""

    digest: str
    """What its UIDs derive from (`encoding_digest`)."""
    companions: tuple[tuple[Kind, SourceReference], ...]
    """Its objects but for the report, in the order in which they were made."""
    missing: frozenset[Part] = frozenset()
    """What it lacks because it could not be written."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Who writes the objects (PS3.3 C.7.5.1 General Equipment): the node, not the algorithm."""

    manufacturer: str = ourselves.MANUFACTURER
    model_name: str = ourselves.MODEL_NAME
    software_version: str = __version__
    serial_number: str = "pacsnode"
    """What tells this node from others of its kind; Type 1 in a Segmentation."""


@dataclass(frozen=True)
class EncodingRequest:
    """One result to be encoded for one profile. Equal requests give equal bytes: no clock, no chance."""

    job_id: str
    result: Result
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
    node: NodeIdentity = NodeIdentity()
    profile: EncodingProfile = EncodingProfile()
    belongs_to: SetMade | None = None
    """The report alone is made, in the class that `profile` says, and refers to these objects."""
    assumed_character_set: str = ""
    """Specific Character Set of texts whose own label is missing or wrong; empty: such a study is refused."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("EncodingRequest.sources: at least one image is needed to copy patient and study from")
        for name in ("images_complete_at", "result_made_at"):
            if getattr(self, name).tzinfo is None:
                raise ValueError(f"EncodingRequest.{name}: must be aware of its time zone")
        ZoneInfo(self.time_zone)

    @property
    def digest(self) -> str:
        """What the UIDs of the objects derive from, beside the job and the SOP class."""
        return self.belongs_to.digest if self.belongs_to else encoding_digest(self.profile, self.supersedes)
