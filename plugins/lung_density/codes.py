"""The coded concepts of lung_density.

Volume, attenuation and anatomy have codes in SNOMED CT and DICOM. For the low attenuation area, the
15th percentile and lung density as a subject, PS3.16 (2024) has none: those are private codes, under
the designator that the node declares (PS3.3 8.2, Coding Scheme Identification Sequence).
"""

from __future__ import annotations

from plugins.contract import Code, Site, Unit

PRIVATE = "99PACSNODE"

LUNG_DENSITY = Code("LUNG_DENSITY", PRIVATE, "Lung density")
LAA_950 = Code("LAA950", PRIVATE, "Low attenuation area below -950 HU (LAA%-950)")
LAA_910 = Code("LAA910", PRIVATE, "Low attenuation area below -910 HU (LAA%-910)")
PERC_15 = Code("PERC15", PRIVATE, "15th percentile of lung density (Perc15)")

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
