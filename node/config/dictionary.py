"""The DICOM data dictionary (PS3.6) as the rules ask for it; `rules` itself knows no DICOM library."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from rules.facts import IndexedInstance, Item

_MODALITIES = """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS
    KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE
    RTIMAGE RTPLAN RTRECORD RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC
"""
"""Defined Terms of Modality (PS3.3 C.7.3.1.1.1); written out, because pydicom's code tables take a second to import."""
_RETIRED_MODALITIES = "AS CD CF CP CS DD DF DM DS EC FA FS LP MA MS OPR ST VF"
"""Retired terms (same place): archives still hold such studies."""
_LATERALITY = ("R", "L", "U", "B")


_Entry = tuple[str, str, str, str, str]
"""VR, VM, name, "Retired" or nothing, keyword."""


@cache
def _entries() -> Mapping[int, _Entry]:
    """pydicom's table of every public attribute (PS3.6 6), by tag.

    Its file is loaded alone: it is nothing but data, while `import pydicom` also sets up the decoders of pixels. That
    costs 0.2 s of CPU, also in commands that only look at the ledger.
    """
    package = importlib.util.find_spec("pydicom")
    assert package is not None, "pydicom is a dependency"
    assert package.origin is not None, "it is a package with an __init__.py"
    file = Path(package.origin).with_name("_dicom_dict.py")
    spec = importlib.util.spec_from_file_location("node.config._dicom_dict", file)
    assert spec is not None, "it is a Python file"
    assert spec.loader is not None, "a spec from a file has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entries: Mapping[int, _Entry] = module.DicomDictionary
    return entries


@cache
def _tags() -> Mapping[str, int]:
    """The tag of each keyword."""
    return {entry[4]: tag for tag, entry in _entries().items()}


class DataDictionary:
    """pydicom's dictionary; stateless. It satisfies `rules.names.Dictionary`."""

    def vr(self, keyword: str) -> str | None:
        """Value representation, as in `DS` or `US or SS`; None where there is no such keyword."""
        tag = _tags().get(keyword)
        return None if tag is None else _entries()[tag][0]

    def multiple(self, keyword: str) -> bool:
        """Whether the attribute may hold more than one value (value multiplicity other than 1)."""
        tag = _tags().get(keyword)
        return tag is not None and _entries()[tag][1] != "1"

    def keyword(self, group: int, element: int) -> str | None:
        """The keyword of a public tag, if it has one."""
        entry = _entries().get(group << 16 | element)
        return (entry[4] or None) if entry else None

    def keywords(self) -> Iterable[str]:
        """Every keyword, to suggest from."""
        return _tags().keys()

    def indexed(self, attributes: Item) -> IndexedInstance:
        """What the indexer would read of an instance with these attributes."""
        from node.dicom.described import indexed  # with pydicom, which only a test beside rules needs here

        return indexed(attributes)

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
