"""What the Standard says of single attributes: Enumerated Values, and what has to be there because of another (PS3.3).

Only what holds wherever the attribute is; terms that a site may add to (Defined Terms) are not here.
"""

from __future__ import annotations

from functools import lru_cache

from pydicom.datadict import dictionary_has_tag, dictionary_VM
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

_YES_NO = ("YES", "NO")
_GRAPHICS = (
    *("POINT", "MULTIPOINT", "POLYLINE", "CIRCLE", "ELLIPSE", "ELLIPSOID", "POLYGON", "INTERPOLATED", "RECTANGLE"),
)
_ENUMERATED: dict[str, tuple[str, ...]] = {
    "PatientSex": ("M", "F", "O"),
    "PatientSexNeutered": ("ALTERED", "UNALTERED"),
    "PatientIdentityRemoved": _YES_NO,
    "QualityControlSubject": _YES_NO,
    "QualityControlImage": ("YES", "NO", "BOTH"),
    "TypeOfPatientID": ("TEXT", "RFID", "BARCODE"),
    "UniversalEntityIDType": ("DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500"),
    "Laterality": ("R", "L"),
    "ImageLaterality": ("R", "L", "U", "B"),
    "FrameLaterality": ("R", "L", "U", "B"),
    "BurnedInAnnotation": _YES_NO,
    "RecognizableVisualFeatures": _YES_NO,
    "LossyImageCompression": ("00", "01"),
    "LongitudinalTemporalInformationModified": ("UNMODIFIED", "MODIFIED", "REMOVED"),
    "SpatialLocationsPreserved": ("YES", "NO", "REORIENTED_ONLY"),
    "ContentQualification": ("PRODUCT", "RESEARCH", "SERVICE"),
    "PixelPresentation": ("COLOR", "MONOCHROME", "MIXED", "TRUE_COLOR", "COLOR_RANGE", "MULTISPECTRAL"),
    "PresentationLUTShape": ("IDENTITY", "INVERSE", "LIN OD"),
    "VOILUTFunction": ("LINEAR", "LINEAR_EXACT", "SIGMOID"),
    "PresentationSizeMode": ("SCALE TO FIT", "TRUE SIZE", "MAGNIFY"),
    "GraphicAnnotationUnits": ("PIXEL", "DISPLAY", "MATRIX"),
    "AnchorPointVisibility": ("Y", "N"),
    "GraphicFilled": ("Y", "N"),
    "GraphicType": _GRAPHICS,
    "CompletionFlag": ("PARTIAL", "COMPLETE"),
    "VerificationFlag": ("UNVERIFIED", "VERIFIED"),
    "PreliminaryFlag": ("PRELIMINARY", "FINAL"),
    "ContinuityOfContent": ("SEPARATE", "CONTINUOUS"),
    "RelationshipType": (
        *("CONTAINS", "HAS OBS CONTEXT", "HAS ACQ CONTEXT", "HAS CONCEPT MOD", "HAS PROPERTIES", "INFERRED FROM"),
        "SELECTED FROM",
    ),
    "SegmentationType": ("BINARY", "FRACTIONAL", "LABELMAP"),
    "SegmentationFractionalType": ("PROBABILITY", "OCCUPANCY"),
    "SegmentAlgorithmType": ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"),
    "ContourGeometricType": ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR", "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"),
    "ApprovalStatus": ("APPROVED", "UNAPPROVED", "REJECTED"),
    "SegmentsOverlap": ("YES", "UNDEFINED", "NO"),
    "DimensionOrganizationType": ("3D", "3D_TEMPORAL", "TILED_FULL", "TILED_SPARSE"),
}
ENUMERATED = {Tag(keyword): frozenset(values) for keyword, values in _ENUMERATED.items()}
"""Attribute → its Enumerated Values."""

NUMBERS = {
    Tag("PixelRepresentation"): frozenset({0, 1}),
    Tag("PlanarConfiguration"): frozenset({0, 1}),
    Tag("BitsAllocated"): frozenset({1, 8, 16, 32, 64, 24}),
}
"""The same of binary numbers."""

_NEEDS: dict[str, tuple[str, ...]] = {
    "CodeValue": ("CodingSchemeDesignator", "CodeMeaning"),
    "LongCodeValue": ("CodingSchemeDesignator", "CodeMeaning"),
    "URNCodeValue": ("CodeMeaning",),
    "UniversalEntityID": ("UniversalEntityIDType",),
    "UniversalEntityIDType": ("UniversalEntityID",),
    "ResponsiblePerson": ("ResponsiblePersonRole",),
    "WindowCenter": ("WindowWidth",),
    "WindowWidth": ("WindowCenter",),
    "RescaleSlope": ("RescaleIntercept",),
    "RescaleIntercept": ("RescaleSlope",),
    "LUTDescriptor": ("LUTData",),
    "LUTData": ("LUTDescriptor",),
    "ReferencedSOPInstanceUID": ("ReferencedSOPClassUID",),
    "ReferencedSOPClassUID": ("ReferencedSOPInstanceUID",),
    "PixelPaddingRangeLimit": ("PixelPaddingValue",),
    "PatientBreedCodeSequence": ("BreedRegistrationSequence",),
    "TrackingUID": ("TrackingID",),
    "TrackingID": ("TrackingUID",),
}
NEEDS = {Tag(one): tuple(Tag(other) for other in others) for one, others in _NEEDS.items()}
"""Where the attribute has a value, these have to be there (Types 1C and 2C)."""

_NEEDED_BY_VALUE: dict[tuple[str, str], tuple[str, ...]] = {
    ("VerificationFlag", "VERIFIED"): ("VerifyingObserverSequence",),
    ("PhotometricInterpretation", "PALETTE COLOR"): (
        *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
        "BluePaletteColorLookupTableDescriptor",
    ),
    ("PhotometricInterpretation", "RGB"): ("PlanarConfiguration",),
    ("PhotometricInterpretation", "YBR_FULL"): ("PlanarConfiguration",),
    ("PhotometricInterpretation", "YBR_FULL_422"): ("PlanarConfiguration",),
    ("SegmentationType", "FRACTIONAL"): ("SegmentationFractionalType", "MaximumFractionalValue"),
    ("SegmentAlgorithmType", "AUTOMATIC"): ("SegmentAlgorithmName",),
    ("SegmentAlgorithmType", "SEMIAUTOMATIC"): ("SegmentAlgorithmName",),
    ("ValueType", "SCOORD3D"): ("ReferencedFrameOfReferenceUID", "GraphicType", "GraphicData"),
    ("ValueType", "SCOORD"): ("GraphicType", "GraphicData"),
    ("ValueType", "CONTAINER"): ("ContinuityOfContent",),
    ("ValueType", "TEXT"): ("ConceptNameCodeSequence", "TextValue"),
    ("ValueType", "CODE"): ("ConceptNameCodeSequence", "ConceptCodeSequence"),
    ("ValueType", "NUM"): ("ConceptNameCodeSequence", "MeasuredValueSequence"),
    ("ValueType", "UIDREF"): ("ConceptNameCodeSequence", "UID"),
    ("ValueType", "PNAME"): ("ConceptNameCodeSequence", "PersonName"),
    ("ValueType", "DATE"): ("ConceptNameCodeSequence", "Date"),
    ("ValueType", "TIME"): ("ConceptNameCodeSequence", "Time"),
    ("ValueType", "DATETIME"): ("ConceptNameCodeSequence", "DateTime"),
    ("ValueType", "IMAGE"): ("ReferencedSOPSequence",),
    ("ValueType", "COMPOSITE"): ("ReferencedSOPSequence",),
    ("ValueType", "WAVEFORM"): ("ReferencedSOPSequence",),
}
NEEDED_BY_VALUE = {
    (Tag(keyword), value): tuple(Tag(other) for other in others)
    for (keyword, value), others in _NEEDED_BY_VALUE.items()
}
"""Where the attribute has this value, these have to be there."""


_EXCLUDES = {"PatientOrientationCodeSequence": "PatientPosition", "PixelSpacing": "PixelAspectRatio"}
EXCLUDES = {Tag(one): Tag(other) for one, other in _EXCLUDES.items()}
"""Where the first has a value, the other may not be there (C.7.3.1, C.7.6.3.1.7)."""

SINGLE_FRAME = frozenset(
    (
        *(ComputedRadiographyImageStorage, CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage),
        *(UltrasoundImageStorage, SecondaryCaptureImageStorage, DigitalXRayImageStorageForPresentation),
        *(DigitalXRayImageStorageForProcessing, DigitalMammographyXRayImageStorageForPresentation),
        *(DigitalMammographyXRayImageStorageForProcessing),
    )
)
"""SOP classes whose objects have no frame numbers to refer to (Table 10-3)."""


@lru_cache(maxsize=4096)
def multiplicity_problem(tag: BaseTag, count: int) -> str:
    """Why an attribute cannot have this number of values (PS3.6); empty where it can."""
    if not dictionary_has_tag(tag):
        return ""
    allowed = dictionary_VM(tag)
    if any(_holds(each.strip(), count) for each in allowed.split(" or ")):
        return ""
    return f"{count} values where {'one is' if allowed == '1' else f'{allowed} are'} allowed"


def _holds(multiplicity: str, count: int) -> bool:
    least, _, most = multiplicity.partition("-")
    if not most:
        return count == int(least)
    if most.endswith("n"):
        step = int(most[:-1] or 1)
        return count >= int(least) and count % step == 0
    return int(least) <= count <= int(most)
