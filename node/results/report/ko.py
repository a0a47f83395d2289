"""The key images of a result as a Key Object Selection Document, which many viewers show as a filter (PS3.3 A.35.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import KeyObjectSelectionDocumentStorage

from node.results.context import Context, complete
from node.results.source.equipment import device_observer
from node.results.source.references import anchor_stub, referenced_requests, state_sop_classes

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
