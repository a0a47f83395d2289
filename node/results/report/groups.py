"""Findings as measurement groups: TID 1410 on one image, 1411 on a volume, 1501 without a region (PS3.16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ContentItem,
    ContentSequence,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurement,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr import Measurement as SRMeasurement
from pydicom.sr.codedict import codes

from node.results import codes as our_codes
from node.results.context import Context
from node.results.report import graphics
from node.results.report.evaluations import as_evaluation
from node.results.report.hand_over import HandOver, hand_over, tracking_identifier
from node.results.report.numbers import exact, measurement_item, site_item
from node.results.report.parts import FindingPart, Segments
from node.results.report.regions import LocatedRegion, locate
from node.results.source.equipment import algorithm_for_sr
from node.results.tracking import shown_numbers
from plugins.contract import Box, Finding, Region, Score

_TEXT_LIMIT = 1024


@dataclass(frozen=True)
class FindingContent:
    """The findings of one result as content items."""

    groups: tuple[ContentItem, ...]
    """Of Imaging Measurements."""
    evaluations: tuple[ContentItem, ...]
    """Of Qualitative Evaluations."""


@dataclass(frozen=True)
class GroupBuilder:
    """Makes the groups of one result."""

    context: Context
    segmentations: Mapping[int, str]
    """Number of a mask → SOP Instance UID of its SEG; without those whose SEG is not in the set."""

    def written(self) -> FindingContent:
        """All findings, each group by the template that suits it: a report may mix them (TID 1500 rows 7 to 9).

        Where OHIF reads the report (`editable`), what has no region to draw is a qualitative evaluation, for OHIF shows
        nothing at all of a report with a group without coordinates; and regions that it would lose when a reader
        takes them over (`node.results.report.hand_over`) are illustrations, which it draws and does not offer.
        """
        parts = list(self._all_parts())
        editable = self.context.request.profile.editable
        way = hand_over([part.marked for part in parts if part.marked is not None], editable=editable)
        groups, evaluations = [], []
        for part in (replace(part, named=way is HandOver.BY_NAME) for part in parts):
            if editable and part.marked is None:
                evaluations.append(as_evaluation(self._group(part), part.finding))
            else:
                groups.append(self._drawn(part, way))
        return FindingContent(tuple(groups), tuple(evaluations))

    def _drawn(self, part: FindingPart, way: HandOver) -> ContentItem:
        """The group of a part, and which region its first number is of, where viewers are to know that."""
        illustrated = self.context.request.profile.editable and way is HandOver.UNSAFE
        group = self._illustrated(part) if illustrated else self._group(part)
        if part.named or way is HandOver.BY_SHAPE or (part.is_length and not illustrated):
            graphics.infer_first_number_from_region(group)
        return group

    def _all_parts(self) -> Iterator[FindingPart]:
        result = self.context.request.result
        for finding, identifiers, number in zip(
            result.findings, self.context.identifiers, shown_numbers(result), strict=True
        ):
            for part in self._parts(finding, identifiers):
                whole = part.is_first or part.identifier == identifiers[0]
                yield replace(part, shown_number=number, is_whole=whole)

    def _parts(self, finding: Finding, identifiers: Sequence[str]) -> Iterator[FindingPart]:
        for number, region in enumerate(finding.regions):
            yield FindingPart(identifiers[number], finding, number, region, self._place(region))
        if not finding.regions:
            places = self._segments(finding) or [None]
            for number, (identifier, place) in enumerate(zip(identifiers, places, strict=False)):
                if number == 0 or place is not None:  # the first carries the numbers, with a segment or without
                    yield FindingPart(identifier, finding, number, None, place)

    def _segments(self, finding: Finding) -> list[Segments | None]:
        """Its segments in each mask that holds any: what is seen on two projections has a group for each.

        None where that mask's SEG is not in the set.
        """
        return [
            Segments(mask, self.segmentations[mask.number], labels) if mask.number in self.segmentations else None
            for mask in self.context.masks
            if (labels := tuple(label for label in finding.segments if label in mask.labels))
        ]

    def _place(self, region: Region) -> LocatedRegion | Region | None:
        if region.image is None and self.context.request.profile.sr_class == "comprehensive-3d":
            return region
        return locate(region, self.context.sources)

    def _group(self, part: FindingPart) -> ContentItem:
        """By the template that suits it."""
        group = self._by_template(part)
        group.ContentSequence.extend(self._texts(part))
        return group

    def _by_template(self, part: FindingPart) -> ContentItem:
        arguments = self._arguments(part)
        if part.place is None:
            return _only(MeasurementsAndQualitativeEvaluations(**arguments))
        if isinstance(part.place, Segments) and part.place.is_planar:
            frame = graphics.segmentation_frame(part.place)
            return _only(PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=frame, **arguments))
        if isinstance(part.place, Segments):
            segment = graphics.referenced_segment(part.place)
            return _only(VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **arguments))
        return _only(
            PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=graphics.graphic(part.place),
                geometric_purpose=codes.cid219.BoundedBy if isinstance(part.region, Box) else None,
                **arguments,
            )
        )

    def _illustrated(self, part: FindingPart) -> ContentItem:
        """Under TID 1501, with the region as illustration."""
        group = _only(MeasurementsAndQualitativeEvaluations(**self._arguments(part)))
        region = part.place
        assert region is not None
        assert not isinstance(region, Segments), "segments are taken over by no tool"
        graphic = graphics.graphic(region)
        graphic.ConceptNameCodeSequence = [CodedConcept.from_code(codes.DCM.IllustrationOfROI)]
        group.ContentSequence.append(graphic)
        group.ContentSequence.extend(self._texts(part))
        return group

    def _arguments(self, part: FindingPart) -> dict[str, Any]:
        finding = part.finding
        return {
            "tracking_identifier": self._tracking(part),
            "finding_category": self._category(finding),
            "finding_type": our_codes.concept(finding.code),
            "algorithm_id": self._algorithm(finding.score),
            "finding_sites": [site_item(finding.site)] if finding.site else None,
            "measurements": self._numbers(part) or None,
            "qualitative_evaluations": _evaluations(finding) if part.is_whole else None,
        }

    def _category(self, finding: Finding) -> CodedConcept | None:
        """That of the segments which show it as what it is: a plugin states a category of segments alone."""
        segmentation = self.context.request.result.segmentation
        shown = [s for s in segmentation.segments if s.number in finding.segments] if segmentation else []
        categories = {segment.category for segment in shown if segment.type == finding.code}
        return our_codes.concept(categories.pop()) if len(categories) == 1 else None

    def _texts(self, part: FindingPart) -> list[TextContentItem]:
        texts = []
        if part.shown_number is not None:
            texts.append(_text(our_codes.NUMBER, str(part.shown_number)))
        if part.is_whole and (contradiction := self.context.texts.against_threshold(part.finding)):
            texts.append(_text(our_codes.AGAINST_THRESHOLD, contradiction))
        texts += _comments(part.finding) if part.is_first else []
        if part.region is not None and part.place is None:
            texts.append(_position_in_words(part.region))
        return texts

    def _tracking(self, part: FindingPart) -> TrackingIdentifier:
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

    def _numbers(self, part: FindingPart) -> list[SRMeasurement]:
        """The score where it says what the finding is; the measurements once, so that nobody adds them up."""
        finding, algorithm = part.finding, self.context.request.algorithm
        sources = self._sources()
        numbers = [
            measurement_item(each, finding, algorithm, sources) for each in finding.measurements if part.is_first
        ]
        has_score = finding.score is not None and part.is_whole
        if finding.score is not None and has_score:
            concept, unit = our_codes.score_concept(finding.score), our_codes.unit(finding.score.unit)
            made_by = self._algorithm(finding.score)
            value = float(finding.score.value)
            scored = SRMeasurement(concept, value, unit, algorithm_id=made_by, referenced_images=sources or None)
            numbers.insert(0, scored)
        if part.marked is not None and (leading := part.marked.leading) is not None:
            numbers.insert(0, numbers.pop(finding.measurements.index(leading) + has_score))
        return numbers

    def _sources(self) -> list[SourceImageForMeasurement]:
        """The segmentations of earlier steps that numbers were computed from (TID 320).

        None where readers edit regions (`editable`): there the source of a number is its region.
        """
        if self.context.request.profile.editable:
            return []
        return [
            SourceImageForMeasurement(reference.sop_class_uid, reference.sop_instance_uid)
            for each in self.context.request.computed_from
            for reference in each.segmentations
        ]


def _only(template: ContentSequence) -> ContentItem:
    item = template[0]
    assert isinstance(item, ContentItem)
    return item


def _text(name: CodedConcept, text: str) -> TextContentItem:
    return TextContentItem(name, text, relationship_type="CONTAINS")


def _evaluations(finding: Finding) -> list[QualitativeEvaluation] | None:
    if finding.present is None:
        return None
    value = codes.SCT.Present if finding.present else codes.SCT.Absent
    return [QualitativeEvaluation(name=our_codes.concept(finding.code), value=value)]


def _comments(finding: Finding) -> list[TextContentItem]:
    texts = ["URGENT"] if finding.urgent else []
    if finding.comment:
        texts.append(finding.comment)
    return [_text(CodedConcept.from_code(codes.DCM.Comment), text) for text in texts]


def _position_in_words(region: Region) -> TextContentItem:
    points = "; ".join(" ".join(f"{value:.1f}" for value in point) for point in region.points)
    text = f"{type(region).__name__}, mm in the patient (L, P, H): {points}"
    return _text(our_codes.POSITION, text[:_TEXT_LIMIT])
