"""The DICOM data dictionary (PS3.6) as the rules ask for it; `rules` itself knows no DICOM library."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_keyword,
    dictionary_VM,
    dictionary_VR,
    keyword_dict,
    tag_for_keyword,
)

_MODALITIES = """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS
    KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE
    RTIMAGE RTPLAN RTRECORD RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC
"""
"""Defined Terms of Modality (PS3.3 C.7.3.1.1.1); written out, because pydicom's code tables take a second to import."""
_RETIRED_MODALITIES = "AS CD CF CP CS DD DF DM DS EC FA FS LP MA MS OPR ST VF"
"""Retired terms (same place): archives still hold such studies."""
_LATERALITY = ("R", "L", "U", "B")


class DataDictionary:
    """pydicom's dictionary; stateless. It satisfies `rules.names.Dictionary`."""

    def vr(self, keyword: str) -> str | None:
        """Value representation, as in `DS` or `US or SS`; None where there is no such keyword."""
        tag = tag_for_keyword(keyword)
        return None if tag is None else dictionary_VR(tag)

    def multiple(self, keyword: str) -> bool:
        """Whether the attribute may hold more than one value (value multiplicity other than 1)."""
        tag = tag_for_keyword(keyword)
        return tag is not None and dictionary_VM(tag) != "1"

    def keyword(self, group: int, element: int) -> str | None:
        """The keyword of a public tag, if it has one."""
        tag = group << 16 | element
        return (dictionary_keyword(tag) or None) if dictionary_has_tag(tag) else None

    def keywords(self) -> Iterable[str]:
        """Every keyword, to suggest from."""
        return keyword_dict.keys()

    def terms(self, keyword: str) -> Iterable[str] | None:
        """Every value that the attribute can sensibly hold; None where any text may stand."""
        if keyword == "Modality":
            return modalities()
        if keyword == "PatientSex":
            return ("M", "F", "O", "U")  # U is in no Standard and in many headers
        return _LATERALITY if keyword in ("Laterality", "ImageLaterality", "FrameLaterality") else None


@cache
def modalities() -> tuple[str, ...]:
    """Defined Terms of Modality (PS3.3 C.7.3.1.1.1), retired ones too."""
    return tuple(sorted(f"{_MODALITIES} {_RETIRED_MODALITIES}".split()))
