"""Values that the Standard lists for an attribute, where scanners hardly write any other.

Only for warnings: a vendor may write what it wants, and a rule may have to ask for just that.
"""

from __future__ import annotations

from collections.abc import Mapping

USUAL: Mapping[str, tuple[str, ...]] = {
    "BurnedInAnnotation": ("YES", "NO"),  # PS3.3 C.7.6.1
    "ContentQualification": ("PRODUCT", "RESEARCH", "SERVICE"),  # PS3.3 C.8.13.2.1
    "LossyImageCompression": ("00", "01"),  # PS3.3 C.7.6.1.1.5
    "MRAcquisitionType": ("1D", "2D", "3D"),  # PS3.3 C.8.3.1
    "PatientPosition": (
        "HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL",
        "LFP", "LFS", "RFP", "RFS", "AFDR", "AFDL", "PFDR", "PFDL", "SITTING",
    ),  # PS3.3 C.7.3.1.1.2
    "PresentationIntentType": ("FOR PRESENTATION", "FOR PROCESSING"),  # PS3.3 C.8.11.1
    "VolumetricProperties": ("VOLUME", "SAMPLED", "DISTORTED", "MIXED"),  # PS3.3 C.8.16.2.1.2
}  # fmt: skip
