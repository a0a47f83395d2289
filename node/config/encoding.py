"""How a destination wants its objects: keys of a destination in YAML, one value in code.

Destinations with equal profiles share one set of objects, whose UIDs derive from the profile's digest.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from node.config.sections import Party, Section
from node.dicom.report_classes import SRClass
from plugins.status import ResultStatus

Kind = Literal["sr", "sc", "seg", "pm", "ko", "pr", "rtstruct", "pdf", "dicom"]
"""Structured report, pages, segmentation, heat maps, key images, regions as presentation state, the segmentation as
outlines, documents of the plugin, and what the plugin returns as DICOM itself."""
Kinds = frozenset[Kind]
SPEAKING: Kinds = frozenset({"sr", "sc"})
"""What a person reads: without one of them a destination hears nothing."""
Language = Literal["en", "ko"]
Status = Literal["findings", "no_findings", "not_applicable", "failed"]
"""How a job ended, as YAML says it."""


def _fewer_kinds() -> dict[Status, Kinds]:
    """Pages that say "not applicable" teach readers to ignore the others."""
    return {"not_applicable": frozenset({"sr"})}


def _as_text(value: object) -> object:
    """YAML reads +1000 as a number."""
    return "+1000" if value == 1000 else value


_SINCE_THEN = ("revision_series_number", "pm_extent")
"""Keys that earlier releases did not have: the default is not part of what UIDs derive from."""


_UNSAID: Kinds = frozenset({"dicom"})
"""Kinds that earlier releases did not have, and that are sent unless a destination leaves them out: what UIDs derive
from says only that."""


class EncodingKeys(Section):
    """The keys by which objects of one destination may differ from those of another."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    sr_class: SRClass = "comprehensive"
    """Which SOP class structured reports have; where it is refused, the next that says less and is taken."""
    character_set: Literal["utf-8", "source"] = "utf-8"
    """utf-8, or source: that of the source images, if every text can be written in it."""
    sc_modality: Literal["OT", "source"] = "OT"
    """Modality of pages: OT, or the study's own for viewers that hide others."""
    language: Language = "en"
    """Of the texts on pages."""
    kinds: Kinds = frozenset({"sr", "sc", "seg", "pm", "ko", "dicom"})
    """What is sent: sr report, sc pages, seg segmentations, pm maps, ko key images, pr presentation states, rtstruct
    segmentations as outlines (RT Structure Set), pdf documents of the plugin, dicom what it made as DICOM."""
    send_when: dict[Status, Kinds] = Field(default_factory=_fewer_kinds)
    """With which kinds a result of this status is sent, where not with all of `kinds`."""
    seg_form: Literal["binary", "label-map"] = "binary"
    """Segmentation Storage, or Label Map Segmentation Storage for archives and viewers that know it (PS3.3 A.51)."""
    sc_form: Literal["single", "multi-frame"] = "single"
    """Pages one by one, or as one multi-frame object."""
    series_number_base: Annotated[int, Field(ge=1, le=2**31 - 2000)] = 9000
    """Series Numbers of results begin above this."""
    revision_series_number: Annotated[Literal["+1000", "same"], BeforeValidator(_as_text)] = "+1000"
    """Of a result that replaces an earlier one: 1000 more for each before it, or the same as that of the first."""
    series_text: Annotated[str, Field(max_length=24, pattern=r"^[ -\[\]-~]*$")] = ""
    """Behind the marking in Series Description; ASCII, because lists of series are."""
    transfer_syntax: Literal["compressed", "explicit", "implicit"] = "compressed"
    """compressed: without loss, as far as the destination takes it. Explicit or Implicit VR Little Endian."""
    pm_extent: Literal["cropped", "whole"] = "cropped"
    """Parametric Maps: where they say anything, or all that the plugin gave, for viewers that need its images' size."""
    editable: bool = False
    """Tracking identifiers name the tools by which OHIF and other viewers built on Cornerstone edit regions."""


class EncodingProfile(EncodingKeys):
    """All that makes the objects of one destination different; equal profiles are interchangeable."""

    def __hash__(self) -> int:
        return hash(self.to_json())

    def kinds_for(self, status: ResultStatus) -> Kinds:
        """The kinds of object that a result of this status is sent as.

        Where none of those that `send_when` names is sent at all, report and pages speak for each other.
        """
        fewer = {str(name): kinds for name, kinds in self.send_when.items()}
        wanted = fewer.get(status.value, self.kinds)
        return self.kinds & (wanted if wanted & self.kinds or not wanted else SPEAKING)

    def to_json(self) -> str:
        """All that makes the objects different, as text; equal profiles give equal texts, in every release."""
        fewer = sorted((status, sorted(kinds)) for status, kinds in self.send_when.items())
        values = self.model_dump() | {"kinds": sorted(self.kinds - _UNSAID), "send_when": fewer}
        if not self.kinds >= _UNSAID:
            values["without"] = sorted(_UNSAID - self.kinds)
        for key in _SINCE_THEN:
            if values[key] == type(self).model_fields[key].default:
                del values[key]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EncodingProfile:
        """The profile that `to_json` wrote."""
        values = json.loads(text)
        kinds = {*values["kinds"], *(_UNSAID - set(values.pop("without", ())))}
        return cls.model_validate({**values, "kinds": kinds, "send_when": dict(values["send_when"])})

    def digest(self) -> str:
        """Hexadecimal hash of all that makes the objects different; stable over processes and machines."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:32]
