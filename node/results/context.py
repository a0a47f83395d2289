"""All that the objects of one set share, and the modules every one of them carries."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from zoneinfo import ZoneInfo

from pydicom import Dataset

from node.dicom.charset import are_defined_terms, can_encode
from node.results import codes as our_codes
from node.results.maps.masks import Mask, masks_of
from node.results.request import EncodingRequest, Kind, Part, PartKind
from node.results.source.copying import character_set
from node.results.source.equipment import contributing_equipment, set_general_equipment
from node.results.source.identity import identity_of
from node.results.source.images import Sources, read_sources
from node.results.source.marking import content_qualification, marking, series_description
from node.results.source.values import TEXT_VRS
from node.results.texts import Texts, texts_of
from node.results.uids import ResultUIDs, series_number

_SERIES_OFFSET: dict[Kind, int] = {"sr": 1, "sc": 2, "seg": 3, "pm": 4, "ko": 5, "pr": 6}
_SERIES_CONTENT: dict[Kind, str] = {
    "sr": "report",
    "sc": "pages",
    "seg": "segmentation",
    "pm": "heat map",
    "ko": "key images",
    "pr": "regions",
}
UTF_8 = "ISO_IR 192"


@dataclass(frozen=True)
class Context:
    """One request with everything derived from it that more than one object needs."""

    request: EncodingRequest
    sources: Sources
    identity: Dataset
    """Patient and Study modules, decoded."""
    requests: tuple[Dataset, ...]
    """The requests that the images answer, as items of Request Attributes Sequence."""
    changes: tuple[str, ...]
    """What of patient, study and requests could not be copied as it is (`node.results.source.copying`)."""
    uids: ResultUIDs
    texts: Texts
    missing: frozenset[Part] = frozenset()
    """What of the set cannot be written: report and pages say so, and refer to none of it."""

    def lacks(self, kind: PartKind, number: int = 0) -> bool:
        """Whether this part of the set is missing; without a number: whether all of the kind is."""
        return not self.missing.isdisjoint({Part(kind, 0), Part(kind, number)})

    def without(self, parts: Iterable[Part]) -> Context:
        """The same for a set that lacks these parts too."""
        return replace(self, missing=self.missing | set(parts))

    @property
    def marking(self) -> str:
        """Such as `AI-INV lung_density`."""
        return marking(self.request.algorithm, self.request.mode)

    @cached_property
    def masks(self) -> tuple[Mask, ...]:
        """What becomes one SEG each; none where the label map cannot be used.

        Raises `NotEncodableError` for an image that the plugin was not given, and for a plane that is not of its size.
        """
        return () if self.lacks("mask") else masks_of(self.request.result.segmentation, self.sources)

    def local(self, moment: datetime) -> datetime:
        """A moment in the time zone of the images, else in the node's."""
        offset = str(self.identity.get("TimezoneOffsetFromUTC", ""))
        if not offset:
            return moment.astimezone(ZoneInfo(self.request.time_zone))
        sign = -1 if offset[0] == "-" else 1
        return moment.astimezone(timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))))

    def shown_time(self, moment: datetime) -> str:
        """A moment for people, to the second, with its offset."""
        text = self.local(moment).strftime("%Y-%m-%d %H:%M:%S%z")
        return f"{text[:19]} {text[19:22]}:{text[22:24]}"

    def tracking_uid(self, identifier: str) -> str:
        """Tracking UID for a tracking identifier of this result."""
        return self.uids.tracking(identifier)


def prepare(request: EncodingRequest) -> Context:
    """Read the sources and copy the identity; `NotEncodableError` where that cannot be done for certain."""
    sources = read_sources(request.sources)
    identity = identity_of(sources.anchor.header, request.assumed_character_set)
    return Context(
        request=request,
        sources=sources,
        identity=identity.patient_and_study,
        requests=identity.requests,
        changes=identity.changes,
        uids=ResultUIDs(request.job_id, request.digest),
        texts=texts_of(request.profile.language),
        missing=request.belongs_to.missing if request.belongs_to else frozenset(),
    )


def complete(dataset: Dataset, context: Context, kind: Kind, instance_number: int) -> None:
    """Write the shared modules over what highdicom put there: patient, study, series, equipment, SOP common.

    highdicom takes times from the clock, refuses patients it thinks unlikely and copies less than we
    want; this is the one place where these modules are filled.
    """
    request = context.request
    for element in context.identity:
        # A copy: a name remembers the bytes that it was first written as, and the next object's set may differ.
        dataset[element.tag] = copy.deepcopy(element)
    if "TimezoneOffsetFromUTC" not in context.identity:
        dataset.pop("TimezoneOffsetFromUTC", None)
    made_at = context.local(request.result_made_at)
    for name in ("InstanceCreation", "Series", "Content"):
        setattr(dataset, f"{name}Date", made_at.strftime("%Y%m%d"))
        setattr(dataset, f"{name}Time", made_at.strftime("%H%M%S"))
    dataset.SeriesInstanceUID = context.uids.series(dataset.SOPClassUID)
    dataset.SeriesNumber = series_number(request.profile.series_number_base, request.algorithm, _SERIES_OFFSET[kind])
    dataset.SeriesDescription = series_description(
        request.algorithm, request.mode, _SERIES_CONTENT[kind], request.profile.series_text
    )
    dataset.InstanceNumber = instance_number
    dataset.ContentQualification = content_qualification(request.mode)
    set_general_equipment(dataset, request.node)
    dataset.ContributingEquipmentSequence = contributing_equipment(request.algorithm, request.node, made_at)
    our_codes.declare_schemes(dataset, request.algorithm.manufacturer)
    _set_character_set(dataset, context)


def _set_character_set(dataset: Dataset, context: Context) -> None:
    labels = character_set(context.sources.anchor.header)
    wanted = context.request.profile.character_set == "source" and are_defined_terms(labels)
    if wanted and _all_encodable(dataset, labels):
        if labels == [""]:
            dataset.pop("SpecificCharacterSet", None)
        else:
            dataset.SpecificCharacterSet = labels if len(labels) > 1 else labels[0]
    else:
        dataset.SpecificCharacterSet = UTF_8


def _all_encodable(dataset: Dataset, labels: list[str]) -> bool:
    return all(
        all(_all_encodable(item, labels) for item in element.value)
        if element.VR == "SQ"
        else can_encode(str(element.value), labels)
        for element in dataset
        if element.VR in TEXT_VRS | {"SQ"}
    )
