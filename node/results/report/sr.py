"""The structured report: TID 1500 Measurement Report for every end of a job (PS3.16; PS3.3 A.35)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    TextContentItem,
)
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag
from pydicom.uid import ParametricMapStorage

from node.config.encoding import Kind
from node.dicom.report_classes import SOP_CLASSES
from node.reading import codes as reading_codes
from node.results import codes as our_codes
from node.results.context import Context, complete
from node.results.maps import pm
from node.results.missing import missing_texts
from node.results.pages.heat import range_text
from node.results.report.groups import FindingContent, GroupBuilder
from node.results.report.numbers import empty_values_that_are_none
from node.results.request import SourceReference
from node.results.source.equipment import device_observer
from node.results.source.references import hierarchical, instance_item, referenced_requests, state_sop_classes
from plugins.contract import KeyImage, ResultStatus

_SOP, _RELATIONSHIP, _VALUE_TYPE = BaseTag(0x00081199), BaseTag(0x0040A010), BaseTag(0x0040A040)


def sop_class_uid(context: Context) -> str:
    """SOP Class of the SR, as the destination states it."""
    return SOP_CLASSES[context.request.profile.sr_class]


Companions = Sequence[tuple[Kind, SourceReference]]


def structured_report(context: Context, companions: Companions) -> Dataset:
    """The SR of a result, complete but for its file meta information; `companions`: our other objects of the set.

    highdicom makes the content items; the document around them is written here, because its classes go through
    the whole tree four times, which costs most of a report on a few hundred images.
    """
    request = context.request
    class_uid = sop_class_uid(context)
    document = Dataset()
    document.SOPClassUID = class_uid
    document.SOPInstanceUID = context.uids.instance(class_uid, "report")
    document.Modality = "SR"
    document.CompletionFlag = "PARTIAL" if request.result.status is ResultStatus.FAILED else "COMPLETE"
    document.VerificationFlag, document.PreliminaryFlag = "UNVERIFIED", "PRELIMINARY"
    document.PerformedProcedureCodeSequence = []
    document.ReferencedPerformedProcedureStepSequence = []
    _set_references(document, context, companions)
    root = _root(context, companions)
    for element in root:
        document.add(element)
    sources = [image.reference for image in context.sources.images]
    earlier = [reference for each in request.computed_from for reference in each.segmentations]
    state_sop_classes(document, [*sources, *earlier, *(reference for _, reference in companions)])
    empty_values_that_are_none(document)
    complete(document, context, "sr", 1)
    return document


def _set_references(document: Dataset, context: Context, companions: Companions) -> None:
    """The request, the evidence (all known instances; priors apart) and the earlier reports (C.17.2)."""
    request = context.request
    known = {image.reference for image in context.sources.images} | set(request.evidence)
    known |= {reference for _, reference in companions}
    known |= {reference for each in request.computed_from for reference in each.segmentations}
    study = context.identity.StudyInstanceUID
    document.CurrentRequestedProcedureEvidenceSequence = hierarchical(
        reference for reference in known if reference.study_instance_uid == study
    )
    if others := hierarchical(reference for reference in known if reference.study_instance_uid != study):
        document.PertinentOtherEvidenceSequence = others
    if requests := referenced_requests(context):
        document.ReferencedRequestSequence = requests
    if request.supersedes:
        document.PredecessorDocumentsSequence = hierarchical(request.supersedes)


def _text(name: CodedConcept, text: str) -> TextContentItem:
    return TextContentItem(name, text, relationship_type="CONTAINS")


def _root(context: Context, companions: Companions) -> ContainerContentItem:
    """The content tree.

    OHIF 3.13 shows an Imaging Measurement Report through its regions alone: one without any stays black. Reports of
    any other title it shows as texts, unless an item has no concept name, as the entries of an Image Library. So such
    a report for OHIF has a title of its own (CID 7021 may be extended) and no library, which is optional (TID 1500).
    """
    findings = _findings(context, companions)
    shown_as_text = context.request.profile.editable and not findings.groups
    title = our_codes.TITLE if shown_as_text else codes.DCM.ImagingMeasurementReport
    root = ContainerContentItem(title, is_content_continuous=False, template_id="1500")
    content = ContentSequence([_language(context)])
    content.extend(device_observer(context.request.algorithm))
    content.append(_procedure_reported(context))
    # TID 1500 is extensible: the answer stands before the Image Library, where a plain viewer shows it first.
    content.append(_text(our_codes.MARKING, f"{context.marking}: {_spelled_out(context)}"))
    content.append(_text(codes.DCM.Summary, _summary(context)))
    if not shown_as_text:
        content.append(_image_library(context))
    if findings.groups:
        content.append(_container(codes.DCM.ImagingMeasurements, findings.groups))
    evaluations = [*findings.evaluations, *_evaluations(context, companions)]
    content.append(_container(our_codes.QUALITATIVE_EVALUATIONS, evaluations))
    root.ContentSequence = content
    _make_separate(root)
    return root


def _container(name: CodedConcept, items: Sequence[ContentItem]) -> ContainerContentItem:
    container = ContainerContentItem(name, is_content_continuous=False, relationship_type="CONTAINS")
    container.ContentSequence = ContentSequence(items)
    return container


def _make_separate(item: Dataset) -> None:
    """Some viewers drop the concept names in CONTINUOUS containers, highdicom's default."""
    if item.get("ValueType") == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for child in item.get("ContentSequence", ()):
        _make_separate(child)


def _language(context: Context) -> CodeContentItem:
    return CodeContentItem(
        codes.DCM.LanguageOfContentItemAndDescendants,
        CodedConcept(context.texts.language, "RFC5646", context.texts.language_name),
        relationship_type="HAS CONCEPT MOD",
    )


def _procedure_reported(context: Context) -> CodeContentItem:
    """The imaging procedure, not the algorithm."""
    value = our_codes.PROCEDURES.get(context.sources.anchor.code("Modality"), codes.SCT.ImagingProcedure)
    return CodeContentItem(codes.DCM.ProcedureReported, value, relationship_type="HAS CONCEPT MOD")


def _spelled_out(context: Context) -> str:
    texts = context.texts
    return f"{texts.marking_spelled_out[context.request.mode]}. {texts.not_verified}"


def _summary(context: Context) -> str:
    result, texts = context.request.result, context.texts
    negative = texts.not_a_negative.get(result.status)
    summary = texts.summary(result)
    return f"{texts.status[result.status]}. {negative} {summary}" if negative else summary


def _image_library(context: Context) -> ContainerContentItem:
    """TID 1600: what was used, without names and descriptors, which would push the result off the reader's screen."""
    library = _container(codes.DCM.ImageLibrary, [_container(codes.DCM.ImageLibraryGroup, [])])
    entries = [_library_entry(image.reference) for image in context.sources.images]
    # Past highdicom, which gives every entry a concept name, and looks through all before it takes them.
    library.ContentSequence[0].add_new(tag_for_keyword("ContentSequence"), "SQ", entries)
    return library


def _library_entry(reference: SourceReference) -> Dataset:
    """TID 1601 row 1."""
    return Dataset(
        {
            _SOP: DataElement(_SOP, "SQ", [instance_item(reference)]),
            _RELATIONSHIP: DataElement(_RELATIONSHIP, "CS", "CONTAINS", already_converted=True),
            _VALUE_TYPE: DataElement(_VALUE_TYPE, "CS", "IMAGE", already_converted=True),
        }
    )


def _findings(context: Context, companions: Companions) -> FindingContent:
    sent = [reference.sop_instance_uid for kind, reference in companions if kind == "seg"]
    written = [mask.number for mask in context.masks if not context.lacks("seg", mask.number)] if sent else []
    return GroupBuilder(context, dict(zip(written, sent, strict=True))).written()


def _evaluations(context: Context, companions: Companions) -> Iterator[ContentItem]:
    """Rows 12 to 14: how the analysis ended, and all that is true of the report as a whole."""
    request, result = context.request, context.request.result
    yield CodeContentItem(
        codes.DCM.CADProcessingAndFindingsSummary, reading_codes.SUMMARY[result.status], relationship_type="CONTAINS"
    )
    if result.status in context.texts.not_a_negative:
        yield _text(our_codes.REASON, context.texts.summary(result))
    for limit in result.quality:
        yield _text(our_codes.LIMIT, context.texts.note(limit))
    if request.asked:
        yield _text(our_codes.ASKED, request.asked[:1024])
    yield from _computed_from(context)
    yield _text(our_codes.IMAGES_COMPLETE, context.shown_time(request.images_complete_at))
    yield _text(our_codes.RESULT_MADE, context.shown_time(request.result_made_at))
    if request.supersedes:
        yield _text(our_codes.SUPERSEDES, context.texts.supersedes)
    if context.revision_text:
        yield _text(our_codes.SUPERSEDES, context.revision_text)
    for key_image in result.key_images:
        yield _text(our_codes.KEY_IMAGE, key_image.reason)
        yield _key_image(context, key_image)
    yield from _heat_maps(context, companions)
    for line in context.returned:
        yield _text(our_codes.RETURNED, line)
    for what in _not_sent(context, {kind for kind, _ in companions}):
        yield _text(our_codes.NOT_SENT, what)


def _computed_from(context: Context) -> Iterator[ContentItem]:
    """Each earlier result that this one rests on: in words, and its segmentations where the destination has them.

    The numbers refer to these, too (`GroupBuilder`): as Source of Measurement (TID 320).
    """
    for each in context.request.computed_from:
        said = context.texts.computed_from.format(step=each.step, plugin=each.plugin, version=each.version)
        yield _text(our_codes.COMPUTED_FROM, said)
        for reference in each.segmentations:
            yield ImageContentItem(
                our_codes.COMPUTED_FROM,
                reference.sop_class_uid,
                reference.sop_instance_uid,
                relationship_type="CONTAINS",
            )


def _heat_maps(context: Context, companions: Companions) -> Iterator[ContentItem]:
    """Each map in words, then the Parametric Map itself where the set has it."""
    sent = iter([reference for kind, reference in companions if kind == "pm"])
    placed = pm.placed_maps(context)
    written = [each for number, each in enumerate(placed, start=1) if not context.lacks("pm", number)]
    maps = {id(heatmap): reference for heatmap, reference in zip(written, sent, strict=False)}
    for heatmap in context.request.result.heatmaps:
        values = range_text(heatmap).replace(" – ", " to ").replace("−", "-")  # every character set has ASCII
        text = f"{heatmap.label}: {heatmap.quantity.meaning}, {values}, frames: {len(heatmap.frames)}"
        yield _text(our_codes.HEAT_MAP, text)
        if (reference := maps.get(id(heatmap))) is not None:
            yield ImageContentItem(
                our_codes.HEAT_MAP, ParametricMapStorage, reference.sop_instance_uid, relationship_type="CONTAINS"
            )


def _not_sent(context: Context, sent: set[Kind]) -> Iterator[str]:
    """What could not be written, what the destination's profile leaves out, and what holds nothing: a reader should
    know that it was there.
    """
    result, texts = context.request.result, context.texts
    yield from missing_texts(context)
    segmentation = None if context.lacks("seg") else result.segmentation
    if segmentation is not None and "seg" not in sent:
        yield texts.segmentation if context.masks else texts.empty_segmentation
    elif segmentation is not None:
        labelled = {label for mask in context.masks for label in mask.labels}
        empty = [segment for segment in segmentation.segments if segment.number not in labelled]
        yield from (texts.empty_segment.format(label=segment.label) for segment in empty)
    if "pm" not in sent and "sc" not in sent and not context.lacks("pm"):
        yield from (texts.heat_map.format(label=heatmap.label) for heatmap in result.heatmaps)
    if "sc" not in sent:
        yield from (texts.picture.format(caption=picture.caption) for picture in result.pictures)


def _key_image(context: Context, key_image: KeyImage) -> ImageContentItem:
    reference = key_image.image
    image = context.sources.find(reference.sop_instance_uid, "KeyImage.image", reference.frame_number)
    return ImageContentItem(
        codes.DCM.BestIllustrationOfFinding,
        image.reference.sop_class_uid,
        image.reference.sop_instance_uid,
        referenced_frame_numbers=[key_image.image.frame_number] if image.is_multi_frame else None,
        relationship_type="CONTAINS",
    )
