"""Key Object Selection Documents (PS3.3 A.35.4): the key images of a result, and rejection notes for results of ours.

Many viewers show the former as a filter. The latter (IHE transaction RAD-66, Imaging Object Change Management) tell an
archive to hide what they name; one that does not know the profile shows a note as key images.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import KeyObjectSelectionDocumentStorage

from node.config.encoding import Kind
from node.results import codes as our_codes
from node.results.context import Context, complete, local
from node.results.request import NodeIdentity, RejectionRequest, SourceReference
from node.results.source.copied import of_patient_and_study
from node.results.source.equipment import contributing_equipment, device_observer, set_general_equipment
from node.results.source.marking import content_qualification, series_description
from node.results.source.references import anchor_stub, referenced_requests, state_sop_classes
from node.results.uids import derive, node_uid, series_number

_TEXT_LIMIT = 1024


def key_object_selection(context: Context) -> Dataset:
    """The KO of a result that names key images, complete but for its file meta information.

    Title (113000, DCM, "Of Interest"); the text is the marking and each image's reason, in order.
    """
    request = context.request
    keys = [
        (context.sources.find(key.image.sop_instance_uid, "KeyImage.image", key.image.frame_number), key)
        for key in request.result.key_images
    ]
    # One item for each image; the frames meant are in it together (C.18.4.1).
    frames: dict[str, list[int]] = {}
    images = {image.reference.sop_instance_uid: image for image, _ in keys}
    for image, key in keys:
        frames.setdefault(image.reference.sop_instance_uid, []).append(key.image.frame_number)
    stubs = [anchor_stub(image.reference) for image in images.values()]
    document: Dataset = KeyObjectSelectionDocument(
        evidence=stubs,
        content=KeyObjectSelection(
            document_title=codes.DCM.OfInterest,
            referenced_objects=stubs,
            observer_device_context=device_observer(request.algorithm),
            description=_description(context),
        ),
        series_instance_uid=context.uids.series(KeyObjectSelectionDocumentStorage),
        series_number=1,
        sop_instance_uid=context.uids.instance(KeyObjectSelectionDocumentStorage, "key images"),
        instance_number=1,
        manufacturer=request.node.manufacturer,
        requested_procedures=referenced_requests(context) or None,
    )
    document.ContinuityOfContent = "SEPARATE"  # as in our reports, where highdicom's default costs concept names
    _refer_to_images(document, {uid: sorted(set(frames[uid])) for uid, image in images.items() if image.is_multi_frame})
    state_sop_classes(document, [image.reference for image in images.values()])
    complete(document, context, "ko", 1)
    return document


def _refer_to_images(document: Dataset, frames: Mapping[str, Sequence[int]]) -> None:
    """Make every reference one to an image; `frames`: SOP Instance UID of a multi-frame image → the frames meant."""
    for item in document.ContentSequence:
        if "ReferencedSOPSequence" in item:
            # highdicom takes a header without pixels for a document, and gives it a purpose that TID 2010 forbids.
            item.ValueType = "IMAGE"
            item.pop("ConceptNameCodeSequence", None)
        for reference in item.get("ReferencedSOPSequence", ()):
            uid = str(reference.ReferencedSOPInstanceUID)
            if uid in frames:
                reference.ReferencedFrameNumber = list(frames[uid])


def _description(context: Context) -> str:
    spelled = context.texts.marking_spelled_out[context.request.mode]
    reasons = "; ".join(dict.fromkeys(key.reason for key in context.request.result.key_images))
    return f"{context.marking}: {spelled}. {reasons}"[:_TEXT_LIMIT]


_TITLES = {"113001": codes.DCM.RejectedForQualityReasons, "113037": codes.DCM.RejectedForPatientSafetyReasons}
_WITHOUT_PIXELS: frozenset[Kind] = frozenset({"sr", "ko", "pr"})
_SERIES_OFFSET = 7
"""Behind those of a result's objects (`node.results.context`)."""


def rejection_note(request: RejectionRequest, stored: Dataset) -> Dataset:
    """The KO that rejects objects of ours at an archive, complete but for its file meta information.

    `stored`: the header of one of them; patient and study are its. Equal requests give equal notes: the UIDs follow
    from the title and from what is rejected.
    """
    references = [reference for _, reference in request.rejected]
    stubs = [anchor_stub(reference) for reference in references]
    uids = sorted(reference.sop_instance_uid for reference in references)
    parts = ("rejection", request.title, *uids, request.node.software_version, request.ledger)
    document: Dataset = KeyObjectSelectionDocument(
        evidence=stubs,
        content=KeyObjectSelection(
            document_title=_TITLES[request.title],
            referenced_objects=stubs,
            observer_device_context=_node_observer(request.node),
            description=request.text[:_TEXT_LIMIT],
        ),
        series_instance_uid=derive("series", *parts),
        series_number=series_number(request.series_number_base, request.algorithm, _SERIES_OFFSET),
        sop_instance_uid=derive("instance", *parts),
        instance_number=1,
        manufacturer=request.node.manufacturer,
    )
    document.ContinuityOfContent = "SEPARATE"
    _state_value_types(document, request.rejected)
    state_sop_classes(document, references)
    _complete_rejection(document, request, stored)
    return document


def _node_observer(node: NodeIdentity) -> ObserverContext:
    """TID 1002: it is the node that rejects, on the word of a person of the site, whom the ledger names."""
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=node_uid(node),
            name=node.model_name,
            manufacturer_name=node.manufacturer,
            model_name=node.model_name,
            serial_number=node.serial_number,
        ),
    )


def _state_value_types(document: Dataset, rejected: Sequence[tuple[Kind, SourceReference]]) -> None:
    """IMAGE for what has pixels, COMPOSITE for the rest, neither with a purpose (TID 2010)."""
    kinds = {reference.sop_instance_uid: kind for kind, reference in rejected}
    for item in document.ContentSequence:
        for reference in item.get("ReferencedSOPSequence", ()):
            kind = kinds[str(reference.ReferencedSOPInstanceUID)]
            item.ValueType = "COMPOSITE" if kind in _WITHOUT_PIXELS else "IMAGE"
            item.pop("ConceptNameCodeSequence", None)


def _complete_rejection(document: Dataset, request: RejectionRequest, stored: Dataset) -> None:
    """Patient, study, series, equipment and SOP common, as `context.complete` writes them for results."""
    for keyword in ("SpecificCharacterSet", *(rule.keyword for rule in of_patient_and_study())):
        document.pop(keyword, None)
        if keyword in stored:
            document[keyword] = copy.deepcopy(stored[keyword])
    if "ReferencedRequestSequence" in stored:
        document.ReferencedRequestSequence = copy.deepcopy(stored.ReferencedRequestSequence)
    made_at = local(request.withdrawn_at, stored, request.time_zone)
    for name in ("InstanceCreation", "Series", "Content"):
        setattr(document, f"{name}Date", made_at.strftime("%Y%m%d"))
        setattr(document, f"{name}Time", made_at.strftime("%H%M%S"))
    document.SeriesDescription = series_description(request.algorithm, request.mode, "rejection note")
    document.ContentQualification = content_qualification(request.mode)
    set_general_equipment(document, request.node)
    document.ContributingEquipmentSequence = contributing_equipment(request.algorithm, request.node, made_at)
    our_codes.declare_schemes(document, request.algorithm.manufacturer)
