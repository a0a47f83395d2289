"""All that the objects of one set share, and the modules every one of them carries."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from zoneinfo import ZoneInfo

from pydicom import Dataset
from pydicom.tag import Tag

from node.config.encoding import Kind
from node.results import codes as our_codes
from node.results.character_set import CharacterSet, character_set_of
from node.results.maps.masks import Mask, masks_of
from node.results.request import EncodingRequest, PartKind, SetPart, SourceReference
from node.results.source.copying import character_set
from node.results.source.equipment import contributing_equipment, set_general_equipment
from node.results.source.geometry import plane_of
from node.results.source.identity import identity_of
from node.results.source.images import Sources, odd_uids, read_sources
from node.results.source.marking import content_qualification, marking, series_description
from node.results.texts import Texts, texts_of
from node.results.tracking import Place, group_identifiers, segment_identifiers
from node.results.uids import ResultUIDs, series_number
from plugins.contract import Region

_SERIES_OFFSET: dict[Kind, int] = {"sr": 1, "sc": 2, "seg": 3, "pm": 4, "ko": 5, "pr": 6, "rtstruct": 7, "pdf": 8}
_SERIES_CONTENT: dict[Kind, str] = {
    "sr": "report",
    "sc": "pages",
    "seg": "segmentation",
    "pm": "heat map",
    "ko": "key images",
    "pr": "regions",
    "rtstruct": "structures",
    "pdf": "document",
}


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
    """What of patient, study and requests could not be copied as it is (`node.results.source.copying`), and whether
    the images' character set could not be kept."""
    uids: ResultUIDs
    texts: Texts
    character_set: CharacterSet
    odd_uids: frozenset[str] = frozenset()
    """UIDs of the images that PS3.5 9.1 does not allow: copied as they were received, and excused by the gate."""
    missing: frozenset[SetPart] = frozenset()
    """What of the set cannot be written: report and pages say so, and refer to none of it."""
    returned: tuple[str, ...] = ()
    """What report and pages say of the DICOM objects that the plugin returned."""
    beside: tuple[SourceReference, ...] = ()
    """Those objects, as far as they are sent with the set."""

    def lacks(self, kind: PartKind, number: int = 0) -> bool:
        """Whether this part of the set is missing; without a number: whether all of the kind is."""
        return not self.missing.isdisjoint({SetPart(kind, 0), SetPart(kind, number)})

    def without(self, parts: Iterable[SetPart]) -> Context:
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

    @cached_property
    def identifiers(self) -> tuple[tuple[str, ...], ...]:
        """For each finding the tracking identifier of each of its groups.

        OHIF knows a region by its tracking UID, and draws one of two that share it: there none is shared.
        """
        return group_identifiers(self.request.result, places_of(self), shared=not self.request.profile.editable)

    @cached_property
    def segment_identifiers(self) -> dict[int, tuple[str, ...]]:
        """For each segment its tracking identifier in each mask that holds it: those of the finding that it shows."""
        places = {
            segment.number: [mask.place for mask in self.masks if segment.number in mask.labels]
            for segment in (self.request.result.segmentation.segments if self.request.result.segmentation else ())
        }
        shared = not self.request.profile.editable
        return segment_identifiers(self.request.result, self.identifiers, places, shared=shared)

    def local(self, moment: datetime) -> datetime:
        """A moment in the time zone of the images, else in the node's."""
        return local(moment, self.identity, self.request.time_zone)

    def shown_time(self, moment: datetime) -> str:
        """A moment for people, to the second, with its offset."""
        text = self.local(moment).strftime("%Y-%m-%d %H:%M:%S%z")
        return f"{text[:19]} {text[19:22]}:{text[22:24]}"

    @property
    def revision_text(self) -> str:
        """ "Revision 2, replaces 14:02: 31 more images"; empty of a first result."""
        revision, texts = self.request.revision, self.texts
        if revision is None:
            return ""
        earlier, now = self.local(revision.earlier_made_at), self.local(self.request.result_made_at)
        time = earlier.strftime("%H:%M" if earlier.date() == now.date() else "%Y-%m-%d %H:%M")
        if not revision.replaces:
            return texts.revision_beside.format(number=revision.number, time=time)
        why = texts.images_the_same
        if revision.more_images:
            why = texts.images_more if revision.more_images > 0 else texts.images_fewer
        said = why.format(count=abs(revision.more_images))
        return texts.revision_replaces.format(number=revision.number, time=time, why=said)

    def tracking_uid(self, identifier: str) -> str:
        """Tracking UID for a tracking identifier of this result."""
        return self.uids.tracking(identifier)


def local(moment: datetime, identity: Dataset, time_zone: str) -> datetime:
    """A moment in the time zone that `identity` states, else in the one of this IANA name."""
    offset = str(identity.get("TimezoneOffsetFromUTC", ""))
    if not offset:
        return moment.astimezone(ZoneInfo(time_zone))
    sign = -1 if offset[0] == "-" else 1
    return moment.astimezone(timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))))


def places_of(context: Context) -> list[list[Place]]:
    """For each finding the place of each region, or of each mask that shows it where it has no regions."""
    places: list[list[Place]] = []
    for finding in context.request.result.findings:
        masks: list[Place] = [mask.place for mask in context.masks if set(finding.segments) & set(mask.labels)]
        places.append([_place_of(region, context.sources) for region in finding.regions] or masks)
    return places


def _place_of(region: Region, sources: Sources) -> Place:
    """The frame of reference in which a region has a place, else its frame."""
    if region.image is None:
        return region.frame_of_reference_uid
    uid, frame_number = region.image.sop_instance_uid, region.image.frame_number
    image = sources.find(uid, f"{type(region).__name__}.image", frame_number)
    if plane_of(image, frame_number) is None:
        return uid, frame_number
    return image.frame_of_reference_uid or image.reference.series_instance_uid


def prepare(request: EncodingRequest) -> Context:
    """Read the sources and copy the identity; `NotEncodableError` where that cannot be done for certain."""
    sources = read_sources(request.sources)
    header, adopted = sources.anchor.header, tuple[str, ...]()
    if request.adopted is not None:
        header, adopted = request.adopted.written_over(header)
    identity = identity_of(header, request.assumed_character_set)
    texts = texts_of(request.profile.language)
    copied = [identity.patient_and_study, *identity.requests]
    written = character_set_of(request, character_set(header), copied, texts)
    odd = odd_uids(
        sources.images,
        [*(image.reference for image in sources.images), *request.evidence, *request.supersedes],
    )
    return Context(
        request=request,
        sources=sources,
        identity=identity.patient_and_study,
        requests=identity.requests,
        changes=(*identity.changes, *adopted, *([written.change] if written.change else []), *_told(odd)),
        odd_uids=frozenset().union(*odd.values()),
        uids=ResultUIDs(request.job_id, request.digest, request.ledger),
        texts=texts,
        character_set=written,
        missing=request.belongs_to.missing if request.belongs_to else frozenset(),
    )


def _told(odd: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """How the record names UIDs that are odd and were copied anyway."""
    for keyword, uids in odd.items():
        tag = Tag(keyword)
        count = len(list(uids))
        yield (
            f"{keyword} ({tag.group:04X},{tag.element:04X}): copied as received, {count} that PS3.5 9.1 does not allow"
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
    number = request.revision.number if request.revision else 1
    earlier = number - 1 if request.profile.revision_series_number == "+1000" else 0
    dataset.SeriesNumber = series_number(
        request.profile.series_number_base, request.algorithm, _SERIES_OFFSET[kind], earlier
    )
    dataset.SeriesDescription = series_description(
        request.algorithm, request.mode, _SERIES_CONTENT[kind], request.profile.series_text, number
    )
    dataset.InstanceNumber = instance_number
    dataset.ContentQualification = content_qualification(request.mode)
    set_general_equipment(dataset, request.node)
    dataset.ContributingEquipmentSequence = contributing_equipment(request.algorithm, request.node, made_at)
    our_codes.declare_schemes(dataset, request.algorithm.manufacturer)
    context.character_set.state(dataset)
