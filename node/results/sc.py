"""Pages as Secondary Capture Image Storage: what every viewer shows (PS3.3 A.8.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    ExplicitVRLittleEndian,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DA, TM

from node.results.context import Context, complete
from node.results.geometry import patient_orientation
from node.results.key_slice import DecodedSlice
from node.results.picture_page import Illustration
from node.results.references import request_attributes, source_images
from node.results.sheets import draw, draw_one, sheets
from node.results.sources import SourceImage


def sop_instance_uid(context: Context, number: int) -> str:
    """The UID of the set's page of this number, from 1."""
    return context.uids.instance(SecondaryCaptureImageStorage, f"page {number}")


def pages(context: Context) -> list[Dataset]:
    """All pages of a result: the summary, then each picture; complete but for their file meta information."""
    made = sheets(context)
    if context.request.profile.sc_form == "multi-frame":
        return [_all_in_one(context, [canvas.pixels for canvas in draw(context, made)])]
    return [
        _page(context, draw_one(context, made, number).pixels, number, sheet.illustration)
        for number, sheet in enumerate(made, start=1)
    ]


def _all_in_one(context: Context, drawn: Sequence[NDArray[np.uint8]]) -> Dataset:
    """All pages as frames of one Multi-frame True Color SC (PS3.3 A.8.5): for viewers that page within an object."""
    made = _page(context, drawn[0], 1, None)
    class_uid = MultiFrameTrueColorSecondaryCaptureImageStorage
    made.SOPClassUID = class_uid
    made.SOPInstanceUID = context.uids.instance(class_uid, "pages")
    made.SeriesInstanceUID = context.uids.series(class_uid)
    made.NumberOfFrames = len(drawn)
    if len(drawn) > 1:  # Type 1C: of one frame they may not be there (C.8.6.3)
        made.FrameIncrementPointer = Tag("PageNumberVector")
        made.PageNumberVector = list(range(1, len(drawn) + 1))
    pixels = np.stack(drawn).tobytes()
    made.PixelData = pixels + b"\0" * (len(pixels) % 2)
    return made


def _page(context: Context, pixels: NDArray[np.uint8], number: int, illustration: Illustration | None) -> Dataset:
    made = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # highdicom insists on one; `_set_orientation` says what is true
        study_instance_uid=context.identity.StudyInstanceUID,
        series_instance_uid=context.uids.series(SecondaryCaptureImageStorage),
        series_number=1,
        sop_instance_uid=sop_instance_uid(context, number),
        instance_number=number,
        manufacturer=context.request.node.manufacturer,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    sources = illustration.sources if illustration else context.sources.images
    _set_orientation(made, illustration)
    _set_derivation(made, context, sources)
    if requests := request_attributes(context):
        made.RequestAttributesSequence = requests
    made_at = context.local(context.request.result_made_at)  # highdicom took the clock
    made.DateOfSecondaryCapture = DA(made_at.strftime("%Y%m%d"))
    made.TimeOfSecondaryCapture = TM(made_at.strftime("%H%M%S"))
    complete(made, context, "sc", number)
    return made


def _set_orientation(made: Dataset, illustration: Illustration | None) -> None:
    """Type 2C: empty where the page has no one orientation; never a position in the patient."""
    made.PatientOrientation = None
    if illustration is not None and isinstance(illustration.content, DecodedSlice):
        key = illustration.content.key
        if (orientation := patient_orientation(key.image, key.frame_number)) is not None:
            made.PatientOrientation = list(orientation)
    laterality = {
        str(image.header.get("ImageLaterality") or image.header.get("Laterality") or "")
        for image in (illustration.sources if illustration else ())
    }
    made.Laterality = laterality.pop() if laterality in ({"L"}, {"R"}) else ""


def _set_derivation(made: Dataset, context: Context, sources: Sequence[SourceImage]) -> None:
    modality = str(context.sources.anchor.header.get("Modality") or "OT")
    made.Modality = modality if context.request.profile.sc_modality == "source" else "OT"
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.DerivationDescription = f"{context.marking}: page drawn from an AI result"[:1024]
    made.SourceImageSequence = source_images(sources)
    # We draw no identifier, but what the source shows within its pixels is shown here too.
    burned = any(str(image.header.get("BurnedInAnnotation") or "") == "YES" for image in sources)
    made.BurnedInAnnotation = "YES" if burned else "NO"
    if any(str(image.header.get("LossyImageCompression") or "") == "01" for image in sources):
        made.LossyImageCompression = "01"
        _inherit_lossy(made, sources)


def _inherit_lossy(made: Dataset, sources: Sequence[SourceImage]) -> None:
    """Ratio and method of the one source that was compressed lossily; of several they would mix."""
    lossy = [image.header for image in sources if str(image.header.get("LossyImageCompression") or "") == "01"]
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        values = {str(header.get(keyword) or "") for header in lossy}
        if len(values) == 1 and values != {""}:
            setattr(made, keyword, lossy[0].get(keyword))
