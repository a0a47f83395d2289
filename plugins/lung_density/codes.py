"""The coded concepts of lung_density.

Volume, attenuation and anatomy have codes in SNOMED CT and DICOM. For the low attenuation area, the
15th percentile and lung density as a subject, PS3.16 (2024) has none: those are private codes, under
the designator that the node declares (PS3.3 8.2, Coding Scheme Identification Sequence).
"""

from __future__ import annotations

from plugins.contract import Code, Site, Unit

PRIVATE = "99PACSNODE"


def _private(value: str, meaning: str, korean: str) -> Code:
    """A code of our own, with what it is called on pages in Korean."""
    return Code(value, PRIVATE, meaning, (("ko", korean),))


LUNG_DENSITY = _private("LUNG_DENSITY", "Lung density", "폐 밀도")
LAA_950 = _private("LAA950", "Low attenuation area below -950 HU (LAA%-950)", "-950 HU 미만 저음영 영역 (LAA%-950)")
LAA_910 = _private("LAA910", "Low attenuation area below -910 HU (LAA%-910)", "-910 HU 미만 저음영 영역 (LAA%-910)")
PERC_15 = _private("PERC15", "15th percentile of lung density (Perc15)", "폐 밀도의 15번째 백분위수 (Perc15)")

VOLUME = Code("118565006", "SCT", "Volume")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")

LUNG = Code("39607008", "SCT", "Lung")
RIGHT_LUNG = Code("3341006", "SCT", "Right lung")
LEFT_LUNG = Code("44029006", "SCT", "Left lung")
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")

RIGHT = Site(LUNG, Code("24028007", "SCT", "Right"))
LEFT = Site(LUNG, Code("7771000", "SCT", "Left"))
BOTH = Site(LUNG, Code("51440002", "SCT", "Bilateral"))

HOUNSFIELD = Unit("[hnsf'U]", "Hounsfield unit")
PERCENT = Unit("%", "percent")
MILLILITRE = Unit("mL", "milliliter")
