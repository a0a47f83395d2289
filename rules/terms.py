"""Values that the Standard lists for an attribute, where scanners hardly write any other.

Only for warnings: a vendor may write what it wants, and a rule may have to ask for just that.
"""

from __future__ import annotations

from collections.abc import Mapping

USUAL: Mapping[str, tuple[str, ...]] = {
    "AcquisitionType": ("SEQUENCED", "SPIRAL", "CONSTANT_ANGLE", "STATIONARY", "FREE"),  # PS3.3 C.8.15.3.2.1
    "CompletionFlag": ("PARTIAL", "COMPLETE"),  # PS3.3 C.17.2
    "QualityControlImage": ("YES", "NO", "BOTH"),  # PS3.3 C.7.6.1
    "ScanningSequence": ("SE", "IR", "GR", "EP", "RM"),  # PS3.3 C.8.3.1
    "SegmentAlgorithmType": ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"),  # PS3.3 C.8.20.2
    "SegmentationType": ("BINARY", "FRACTIONAL", "LABELMAP"),  # PS3.3 C.8.20.2
    "VerificationFlag": ("UNVERIFIED", "VERIFIED"),  # PS3.3 C.17.2
    "BurnedInAnnotation": ("YES", "NO"),  # PS3.3 C.7.6.1
    "ContentQualification": ("PRODUCT", "RESEARCH", "SERVICE"),  # PS3.3 C.8.13.2.1
    "LossyImageCompression": ("00", "01"),  # PS3.3 C.7.6.1.1.5
    "MRAcquisitionType": ("1D", "2D", "3D"),  # PS3.3 C.8.3.1
    "PatientPosition": (
        "HFP",
        "HFS",
        "HFDR",
        "HFDL",
        "FFP",
        "FFS",
        "FFDR",
        "FFDL",
        "LFP",
        "LFS",
        "RFP",
        "RFS",
        "AFDR",
        "AFDL",
        "PFDR",
        "PFDL",
        "SITTING",
    ),  # PS3.3 C.7.3.1.1.2
    "PresentationIntentType": ("FOR PRESENTATION", "FOR PROCESSING"),  # PS3.3 C.8.11.1
    "VolumetricProperties": ("VOLUME", "SAMPLED", "DISTORTED", "MIXED"),  # PS3.3 C.8.16.2.1.2
}

WELL_KNOWN: Mapping[str, tuple[str, ...]] = {
    "ImageType": (
        "ORIGINAL",
        "DERIVED",
        "PRIMARY",
        "SECONDARY",
        "AXIAL",
        "LOCALIZER",
        "REFORMATTED",
        "PROJECTION",
        "MOSAIC",
        "PHASE",
        "MAGNITUDE",
        "TOMOSYNTHESIS",
        "VOLUME",
        "SUBTRACTION",
    ),  # PS3.3 C.7.6.1.1.2, C.8.2.1.1.1, C.8.16.1
    "BodyPartExamined": (
        "ABDOMEN",
        "ABDOMENPELVIS",
        "ADRENAL",
        "ANKLE",
        "AORTA",
        "ARM",
        "AXILLA",
        "BACK",
        "BLADDER",
        "BRAIN",
        "BREAST",
        "BRONCHUS",
        "BUTTOCK",
        "CALCANEUS",
        "CALF",
        "CAROTID",
        "CEREBELLUM",
        "CERVIX",
        "CHEEK",
        "CHEST",
        "CHESTABDOMEN",
        "CHESTABDPELVIS",
        "CLAVICLE",
        "COCCYX",
        "COLON",
        "CORONARYARTERY",
        "CSPINE",
        "CTSPINE",
        "DUODENUM",
        "EAR",
        "ELBOW",
        "ESOPHAGUS",
        "EXTREMITY",
        "EYE",
        "FACE",
        "FEMUR",
        "FINGER",
        "FOOT",
        "GALLBLADDER",
        "HAND",
        "HEAD",
        "HEADNECK",
        "HEART",
        "HIP",
        "HUMERUS",
        "IAC",
        "ILEUM",
        "ILIUM",
        "JAW",
        "JEJUNUM",
        "KIDNEY",
        "KNEE",
        "LARYNX",
        "LEG",
        "LIVER",
        "LSPINE",
        "LSSPINE",
        "LUNG",
        "MAXILLA",
        "MEDIASTINUM",
        "MOUTH",
        "NECK",
        "NECKCHEST",
        "NOSE",
        "ORBIT",
        "OVARY",
        "PANCREAS",
        "PAROTID",
        "PATELLA",
        "PELVIS",
        "PHARYNX",
        "PROSTATE",
        "RECTUM",
        "RIB",
        "SCALP",
        "SCAPULA",
        "SHOULDER",
        "SKULL",
        "SPINE",
        "SPLEEN",
        "SSPINE",
        "STERNUM",
        "STOMACH",
        "TESTIS",
        "THIGH",
        "THORAX",
        "THUMB",
        "THYMUS",
        "THYROID",
        "TLSPINE",
        "TMJ",
        "TOE",
        "TONGUE",
        "TRACHEA",
        "TSPINE",
        "URETER",
        "URETHRA",
        "UTERUS",
        "WHOLEBODY",
        "WRIST",
        "ZYGOMA",
    ),  # PS3.16 table L-1, and THORAX
}
"""Values that many images have; others are as good, unless they look like one of these misspelt."""
