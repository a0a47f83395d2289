"""Findings as measurement groups: TID 1501 without a region, 1410 on an image, 1411 on a segment (PS3.16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ContentItem,
    ContentSequence,
    FindingSite,
    ImageContentItem,
    ImageRegion,
    ImageRegion3D,
    MeasurementProperties,
    MeasurementsAndQualitativeEvaluations,
    NormalRangeProperties,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    SourceImageForRegion,
    SourceImageForSegmentation,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr import Measurement as SRMeasurement
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from node.results import codes as our_codes
from node.results.context import Context
from node.results.maps.masks import Mask
from node.results.report.hand_over import HandOver, RegionOfFinding, hand_over, tracking_identifier
from node.results.report.regions import LocatedRegion, locate
from node.results.source.equipment import algorithm_for_sr
from node.results.source.references import stand_in
from node.results.tracking import group_identifiers, shown_numbers
from plugins.contract import Box, Ellipse, Finding, Measurement, Point, Polygon, ReferenceRange, Region, Score, Site

_TEXT_LIMIT = 1024


@dataclass(frozen=True)
class _Segments:
    """Segments of one of our SEGs."""

    mask: Mask
    sop_instance_uid: str
    """Of the SEG."""
    labels: tuple[int, ...]
    """Those that occur in it."""

    @property
    def numbers(self) -> list[int]:
        """Segment Numbers."""
        return sorted(self.mask.segment_number(label) for label in self.labels)

    @property
    def planes(self) -> list[int]:
        """Indices of the planes that they are on."""
        return self.mask.frames_with(self.labels)

    @property
    def is_planar(self) -> bool:
        """Whether it is one segment on one frame that has no place in the patient: what TID 1410 can refer to."""
        return not self.mask.placed and len(self.labels) == 1 and len(self.planes) == 1


@dataclass(frozen=True)
class _Part:
    """What becomes one group: a finding with one of its regions (viewers read one SCOORD a group)."""

    identifier: str
    """For tracking; none occurs twice in a report."""
    finding: Finding
    number: int
    """Of the region within the finding; the first carries the numbers and evaluations."""
    region: Region | None
    place: LocatedRegion | Region | _Segments | None
    """A region as this SR class can hold it, or segments of one of our SEGs; None: neither."""
    shown_number: int | None = None
    """Of the finding, as on pages and images; None where it needs none."""
    named: bool = False
    """Whether the tracking identifier names the tool that takes the region over."""

    @property
    def marked(self) -> RegionOfFinding | None:
        """The region as this SR has it; None where it has none."""
        if self.region is None or self.place is None:
            return None
        outline = self.place.outline if isinstance(self.place, LocatedRegion) else None
        return RegionOfFinding(self.region, self.finding, self.number, outline)

    @property
    def is_length(self) -> bool:
        """Whether its first number is the length of its line."""
        return self.marked is not None and self.marked.tool == "Length"

    @property
    def kind(self) -> str:
        """The template that suits this part alone."""
        if self.place is None:
            return "1501"
        return "1411" if isinstance(self.place, _Segments) and not self.place.is_planar else "1410"


@dataclass(frozen=True)
class GroupBuilder:
    """Makes the groups of one result."""

    context: Context
    segmentations: Mapping[int, str]
    """Number of a mask → SOP Instance UID of its SEG; without those whose SEG is not in the set."""

    def groups(self) -> Iterator[ContentItem]:
        """All groups, of one template.

        TID 1410 and 1411 where every part has its region or its segment; else all are TID 1501, which
        also takes a region or a segment as illustration: PixelMed's validator, the one that IHE
        uses, judges all groups of a report by one template. Illustrations are also what no viewer offers
        to take over, so they are the way out where that would be unsafe (`node.results.report.hand_over`).
        """
        result = self.context.request.result
        masks = [mask.labels for mask in self.context.masks]
        named = zip(result.findings, group_identifiers(result, masks), shown_numbers(result), strict=True)
        parts = [
            replace(part, shown_number=number)
            for finding, identifiers, number in named
            for part in self._parts(finding, identifiers)
        ]
        kinds = {part.kind for part in parts}
        if kinds == {"1410", "1411"} and all(isinstance(part.place, _Segments) for part in parts):
            kinds = {"1411"}  # which takes a segment on one frame too
        marked = [part.marked for part in parts if part.marked is not None]
        way = hand_over(marked, editable=self.context.request.profile.editable)
        own = len(kinds) == 1 and way is not HandOver.UNSAFE
        for part in (replace(part, named=way is HandOver.BY_NAME) for part in parts):
            group = self._own_template(part, *kinds) if own else self._common_template(part)
            if part.named or (own and way is HandOver.BY_SHAPE) or (part.is_length and way is HandOver.NOT_OFFERED):
                _infer_first_number_from_region(group)
            for text in self._texts(part):
                group.ContentSequence.append(text)
            yield group

    def _parts(self, finding: Finding, identifiers: Sequence[str]) -> Iterator[_Part]:
        for number, region in enumerate(finding.regions):
            yield _Part(identifiers[number], finding, number, region, self._place(region))
        if not finding.regions:
            places = self._segments(finding) or [None]
            for number, (identifier, place) in enumerate(zip(identifiers, places, strict=False)):
                if number == 0 or place is not None:  # the first carries the numbers, with a segment or without
                    yield _Part(identifier, finding, number, None, place)

    def _segments(self, finding: Finding) -> list[_Segments | None]:
        """Its segments in each mask that holds any: what is seen on two projections has a group for each.

        None where that mask's SEG is not in the set.
        """
        return [
            _Segments(mask, self.segmentations[mask.number], labels) if mask.number in self.segmentations else None
            for mask in self.context.masks
            if (labels := tuple(label for label in finding.segments if label in mask.labels))
        ]

    def _place(self, region: Region) -> LocatedRegion | Region | None:
        if region.image is None and self.context.request.profile.sr_class == "comprehensive-3d":
            return region
        return locate(region, self.context.sources)

    def _own_template(self, part: _Part, template: str) -> ContentItem:
        arguments = self._arguments(part)
        if part.place is None:
            return _only(MeasurementsAndQualitativeEvaluations(**arguments))
        if isinstance(part.place, _Segments):
            if template == "1410":
                frame = _segmentation_frame(part.place)
                return _only(PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=frame, **arguments))
            segment = _referenced_segment(part.place)
            return _only(VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **arguments))
        return _only(
            PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=_graphic(part.place),
                geometric_purpose=codes.cid219.BoundedBy if isinstance(part.region, Box) else None,
                **arguments,
            )
        )

    def _common_template(self, part: _Part) -> ContentItem:
        group = _only(MeasurementsAndQualitativeEvaluations(**self._arguments(part)))
        if isinstance(part.place, _Segments):
            group.ContentSequence.append(
                ImageContentItem(
                    codes.DCM.IllustrationOfROI,
                    SegmentationStorage,
                    part.place.sop_instance_uid,
                    referenced_segment_numbers=part.place.numbers,
                    relationship_type="CONTAINS",
                )
            )
        elif part.place is not None:
            graphic = _graphic(part.place)
            graphic.ConceptNameCodeSequence = [CodedConcept.from_code(codes.DCM.IllustrationOfROI)]
            group.ContentSequence.append(graphic)
        return group

    def _arguments(self, part: _Part) -> dict[str, Any]:
        finding, first = part.finding, part.number == 0
        return {
            "tracking_identifier": self._tracking(part),
            "finding_category": self._category(finding),
            "finding_type": our_codes.concept(finding.code),
            "algorithm_id": self._algorithm(finding.score),
            "finding_sites": [_site(finding.site)] if finding.site else None,
            "measurements": (self._numbers(part) if first else []) or None,
            "qualitative_evaluations": _evaluations(finding) if first else None,
        }

    def _category(self, finding: Finding) -> CodedConcept | None:
        """That of the segments which show it as what it is: a plugin states a category of segments alone."""
        segmentation = self.context.request.result.segmentation
        shown = [s for s in segmentation.segments if s.number in finding.segments] if segmentation else []
        categories = {segment.category for segment in shown if segment.type == finding.code}
        return our_codes.concept(categories.pop()) if len(categories) == 1 else None

    def _texts(self, part: _Part) -> list[TextContentItem]:
        texts = []
        if part.shown_number is not None:
            texts.append(TextContentItem(our_codes.NUMBER, str(part.shown_number), relationship_type="CONTAINS"))
        texts += _comments(part.finding) if part.number == 0 else []
        if part.region is not None and part.place is None:
            texts.append(_position_in_words(part.region))
        return texts

    def _tracking(self, part: _Part) -> TrackingIdentifier:
        identifier = part.identifier
        uid = self.context.tracking_uid(identifier)
        if part.named and part.marked is not None:
            assert part.marked.tool is not None  # else none would be named
            identifier = tracking_identifier(identifier, part.marked.tool)
        return TrackingIdentifier(identifier=identifier, uid=uid)

    def _algorithm(self, score: Score | None) -> AlgorithmIdentification:
        request = self.context.request
        parameters = [f"{name} = {value}" for name, value in (*request.algorithm.parameters, *request.parameters)]
        if score is not None and score.threshold is not None:
            parameters.append(f"threshold of {our_codes.score_concept(score).meaning} = {exact(score.threshold)}")
        return algorithm_for_sr(request.algorithm, tuple(parameters))

    def _numbers(self, part: _Part) -> list[SRMeasurement]:
        finding = part.finding
        numbers = [self._measurement(measurement, finding) for measurement in finding.measurements]
        if finding.score is not None:
            numbers.insert(
                0,
                SRMeasurement(
                    our_codes.score_concept(finding.score),
                    float(finding.score.value),
                    our_codes.unit(finding.score.unit),
                    algorithm_id=self._algorithm(finding.score),
                ),
            )
        if part.marked is not None and (leading := part.marked.leading) is not None:
            numbers.insert(0, numbers.pop(finding.measurements.index(leading) + (finding.score is not None)))
        return numbers

    def _measurement(self, measurement: Measurement, finding: Finding) -> SRMeasurement:
        site = measurement.site or finding.site
        return SRMeasurement(
            our_codes.concept(measurement.concept),
            0.0 if measurement.value is None else float(measurement.value),
            our_codes.unit(measurement.unit),
            qualifier=our_codes.NO_VALUE[measurement.no_value] if measurement.no_value else None,
            derivation=our_codes.concept(measurement.derivation) if measurement.derivation else None,
            method=our_codes.concept(measurement.method) if measurement.method else None,
            finding_sites=[_site(site)] if site else None,
            properties=_properties(measurement),
            # OHIF fails on a NUM without children in a group without SCOORD.
            algorithm_id=None if site else algorithm_for_sr(self.context.request.algorithm),
        )


def _referenced_segment(place: _Segments) -> ReferencedSegment:
    """Of a volume with its series, else with the images and frames that it is on."""
    series = place.mask.images[0].reference.series_instance_uid
    segment = ReferencedSegment(
        SegmentationStorage,
        place.sop_instance_uid,
        1,  # replaced below: highdicom takes one number, the attribute any
        source_images=None if place.mask.placed else _segmented_images(place),
        source_series=SourceSeriesForSegmentation(series) if place.mask.placed else None,
    )
    segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber = place.numbers
    return segment


def _segmentation_frame(place: _Segments) -> ReferencedSegmentationFrame:
    """By its segment, which is on that frame alone: a reference has Segment or Frame Number, not both (Table 10-3)."""
    (number,), (source,) = place.numbers, _segmented_images(place)
    frame = ReferencedSegmentationFrame(SegmentationStorage, place.sop_instance_uid, 1, number, source)
    del frame[0].ReferencedSOPSequence[0].ReferencedFrameNumber
    return frame


def _segmented_images(place: _Segments) -> list[SourceImageForSegmentation]:
    """The images, and which of their frames, that segments without a place in the patient are on."""
    frames: dict[str, list[int]] = {}
    images = {image.reference.sop_instance_uid: image for image in place.mask.images}
    for image, number in (place.mask.frames[index] for index in place.planes):
        frames.setdefault(image.reference.sop_instance_uid, []).append(number)
    return [
        SourceImageForSegmentation(
            stand_in(images[uid].reference.sop_class_uid), uid, numbers if images[uid].is_multi_frame else None
        )
        for uid, numbers in frames.items()
    ]


def _only(template: ContentSequence) -> ContentItem:
    item = template[0]
    assert isinstance(item, ContentItem)
    return item


def empty_values_that_are_none(item: Dataset) -> None:
    """Empty Measured Value Sequence (C.18.1) of every number that says why it has no value.

    Done on the finished document: highdicom neither makes nor reads a NUM without value, so it was
    given a placeholder until here.
    """
    if item.get("ValueType") == "NUM":
        qualifier = item.get("NumericValueQualifierCodeSequence")
        if qualifier and any(code.value == qualifier[0].CodeValue for code in our_codes.NO_VALUE.values()):
            item.MeasuredValueSequence = []
    for child in item.get("ContentSequence", ()):
        empty_values_that_are_none(child)


def _site(site: Site) -> FindingSite:
    return FindingSite(our_codes.concept(site.region), our_codes.concept(site.laterality) if site.laterality else None)


def _properties(measurement: Measurement) -> MeasurementProperties | None:
    reference: ReferenceRange | None = measurement.reference_range
    if reference is None:
        return None
    # As text (TID 312 row 2): limits as NUM children are taken for rows 9 and 10 of TID 300 by PixelMed's validator.
    return MeasurementProperties(
        normal_range_properties=NormalRangeProperties(
            [], description=range_text(reference, measurement.unit.code), authority=reference.source[:_TEXT_LIMIT]
        )
    )


def range_text(reference: ReferenceRange, unit: str = "") -> str:
    """ "≤ 6 %", "≥ -910", "4 – 6 L": a range for people."""
    suffix = f" {unit}" if unit else ""
    if reference.low is None:
        return f"≤ {exact(reference.high or 0.0)}{suffix}"
    if reference.high is None:
        return f"≥ {exact(reference.low)}{suffix}"
    return f"{exact(reference.low)} – {exact(reference.high)}{suffix}"


def exact(value: float) -> str:
    """The shortest decimal that is this very number: "50", "0.1", "6.8"."""
    return repr(float(value)).removesuffix(".0")


def _evaluations(finding: Finding) -> list[QualitativeEvaluation] | None:
    if finding.present is None:
        return None
    value = codes.SCT.Present if finding.present else codes.SCT.Absent
    return [QualitativeEvaluation(name=our_codes.concept(finding.code), value=value)]


def _comments(finding: Finding) -> list[TextContentItem]:
    texts = ["URGENT"] if finding.urgent else []
    if finding.comment:
        texts.append(finding.comment)
    return [TextContentItem(codes.DCM.Comment, text, relationship_type="CONTAINS") for text in texts]


def _position_in_words(region: Region) -> TextContentItem:
    points = "; ".join(" ".join(f"{value:.1f}" for value in point) for point in region.points)
    text = f"{type(region).__name__}, mm in the patient (L, P, H): {points}"
    return TextContentItem(our_codes.POSITION, text[:_TEXT_LIMIT], relationship_type="CONTAINS")


def _graphic(place: LocatedRegion | Region) -> ImageRegion | ImageRegion3D:
    if not isinstance(place, LocatedRegion):
        return _graphic_3d(place)
    reference = place.image.reference
    frames = [place.frame_number] if place.image.is_multi_frame else None
    source = SourceImageForRegion(stand_in(reference.sop_class_uid), reference.sop_instance_uid, frames)
    return ImageRegion(place.graphic_type, place.outline, source)


def _infer_first_number_from_region(group: ContentItem) -> None:
    """The number says which region it is of (TID 320): there, and only there, viewers look when they take it over.

    A length says so also where none is to be taken over: nobody guesses a tool from a line of two points.
    """
    items = group.ContentSequence
    number = next((item for item in items if item.ValueType == "NUM"), None)
    region = next((item for item in items if item.ValueType in {"SCOORD", "SCOORD3D"}), None)
    if number is None or region is None:
        return
    source = deepcopy(region)
    source.RelationshipType = "INFERRED FROM"
    source.ConceptNameCodeSequence = [CodedConcept("260753009", "SCT", "Source")]
    if "ContentSequence" not in number:
        number.ContentSequence = ContentSequence()
    number.ContentSequence.append(source)


def _graphic_3d(region: Region) -> ImageRegion3D:
    points = region.points
    if isinstance(region, Polygon):
        points = np.concatenate([points, points[:1]])
        kind = "POLYGON"
    elif isinstance(region, Point):
        kind = "POINT"
    else:
        kind = "ELLIPSE" if isinstance(region, Ellipse) else "POLYLINE"
    assert region.frame_of_reference_uid is not None  # the contract asks for it wherever there is no image
    return ImageRegion3D(kind, points, region.frame_of_reference_uid)
