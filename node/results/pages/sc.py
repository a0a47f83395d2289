"""Pages as Secondary Capture Image Storage: what every viewer shows (PS3.3 A.8.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

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
from node.results.pages.key_slice import DecodedSlice
from node.results.pages.picture_page import Illustration
from node.results.pages.sheets import Sheet, draw, draw_one, sheets
from node.results.source.geometry import patient_orientation
from node.results.source.images import SourceImage
from node.results.source.laterality import state_laterality
from node.results.source.lossy import state_lossy_compression
from node.results.source.references import request_attributes, source_images


def sop_instance_uid(context: Context, number: int) -> str:
    """The UID of the set's page of this number, from 1."""
    return context.uids.instance(SecondaryCaptureImageStorage, f"page {number}")


def page_makers(context: Context) -> list[tuple[int, int, Callable[[], Dataset]]]:
    """For each object of a result's pages its number, the number of the picture on it (0: the summary), and its maker.

    The summary comes first, then each picture; complete but for their file meta information.
    """
    made = sheets(context)
    if context.request.profile.sc_form == "multi-frame":
        return [(1, 0, partial(_all_in_one, context, made))]
    return [
        (number, sheet.illustration.number if sheet.illustration else 0, partial(_one_sheet, context, made, number))
        for number, sheet in enumerate(made, start=1)
    ]


def _one_sheet(context: Context, made: Sequence[Sheet], number: int) -> Dataset:
    return _page(context, draw_one(context, made, number).pixels, number, made[number - 1].illustration)


def _all_in_one(context: Context, made_sheets: Sequence[Sheet]) -> Dataset:
    """All pages as frames of one Multi-frame True Color SC (PS3.3 A.8.5): for viewers that page within an object."""
    drawn = [canvas.pixels for canvas in draw(context, made_sheets)]
    made = _page(context, drawn[0], 1, None)
    class_uid = MultiFrameTrueColorSecondaryCaptureImageStorage
    made.SOPClassUID = class_uid
    made.SOPInstanceUID = context.uids.instance(class_uid, "pages")
    made.SeriesInstanceUID = context.uids.series(class_uid)
    made.NumberOfFrames = len(drawn)
    if "BurnedInAnnotation" not in made:  # Type 1 here (C.8.6.3), and nobody has said that there is none
        made.BurnedInAnnotation = "YES"
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
    state_laterality(made, sources)
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


def _set_derivation(made: Dataset, context: Context, sources: Sequence[SourceImage]) -> None:
    modality = context.sources.anchor.code("Modality", "OT")
    made.Modality = modality if context.request.profile.sc_modality == "source" else "OT"
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.DerivationDescription = f"{context.marking}: page drawn from an AI result"[:1024]
    made.SourceImageSequence = source_images(sources)
    # We draw no identifier, but what the source shows within its pixels is shown here too. Type 3: nobody who keeps
    # silent has said that there is none.
    burned = {image.code("BurnedInAnnotation") for image in sources}
    if "YES" in burned:
        made.BurnedInAnnotation = "YES"
    elif burned == {"NO"}:
        made.BurnedInAnnotation = "NO"
    if any(image.code("LossyImageCompression") == "01" for image in sources):
        state_lossy_compression(made, sources)
