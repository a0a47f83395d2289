"""The coded concepts of brain_tissue: SNOMED CT and DICOM have all but the heading of its measurements."""

from __future__ import annotations

from plugins.contract import Code, Site, Unit

BRAIN_TISSUE = Code("BRAIN_TISSUE", "99PACSNODE", "Brain tissue volume", (("ko", "뇌 조직 부피"),))
VOLUME = Code("118565006", "SCT", "Volume")

BRAIN = Code("12738006", "SCT", "Brain")
GREY_MATTER = Code("389081007", "SCT", "Gray Matter", (("ko", "회색질"),))
WHITE_MATTER = Code("389080008", "SCT", "White Matter", (("ko", "백질"),))
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")

BOTH_TISSUES = Site(BRAIN)
GREY = Site(GREY_MATTER)
WHITE = Site(WHITE_MATTER)

MILLILITRE = Unit("mL", "milliliter")
