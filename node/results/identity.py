"""Whose result it is: patient and study, copied from a source image and never guessed (PS3.3 C.7.1.1, C.7.2.1).

Everything is copied as decoded text. What a lax sender wrote in an old or impossible form (a date with
dots, a sex of 'M ') is put right where its meaning is certain, else left empty; identifiers are
never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import structlog
from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import validate_value

from node.charset import UndecodableTextError, decode_text
from node.results.errors import NotEncodableError

log = structlog.get_logger(__name__)

PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate", "PatientBirthTime", "PatientSex", "OtherPatientIDsSequence", "OtherPatientNames",
    "EthnicGroup", "PatientComments", "PatientSpeciesDescription", "PatientSpeciesCodeSequence",
    "PatientBreedDescription", "PatientBreedCodeSequence", "BreedRegistrationSequence", "ResponsiblePerson",
    "ResponsiblePersonRole", "ResponsibleOrganization", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "QualityControlSubject",
)  # fmt: skip
STUDY = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "StudyDescription", "PhysiciansOfRecord", "ProcedureCodeSequence",
    "PatientAge", "PatientSize", "PatientWeight", "PatientSexNeutered", "TimezoneOffsetFromUTC",
)  # fmt: skip
TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber",
)  # fmt: skip

_TEXT_VRS = {"PN", "LO", "SH", "ST", "LT", "UT", "UC"}
_MULTI_VALUE_TEXT_VRS = {"PN", "LO", "SH", "UC"}
_ASCII_VRS = {"CS", "DA", "TM", "DT", "AS", "DS", "IS", "UI", "UR"}
_FORMS = {
    "DA": re.compile(r"\d{8}"),
    "TM": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"),
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]{1,16}"),
}
_IDENTIFYING = {"PatientID", "IssuerOfPatientID", "PatientName", "AccessionNumber", "StudyInstanceUID"}
_LIMITS = {"LO": 64, "ST": 1024, "LT": 10240}
"""Characters that a text may be cut to. Not SH: what has that VR here (Study ID, Requested Procedure ID, Code Value)
names something, and the first 16 characters of a name may be another's.
"""
_CODES = ("CodeValue", "LongCodeValue", "URNCodeValue")
_TIME_ZONE = re.compile(r"[+-]\d{4}")
_SEXES = {"M", "F", "O"}


def character_set(dataset: Dataset) -> list[str]:
    """The values of Specific Character Set; [""] where it is absent."""
    value = dataset.get("SpecificCharacterSet")
    if not value:
        return [""]
    return [value] if isinstance(value, str) else [str(label) for label in value]


def _ascii(value: str, vr: str) -> str:
    text = value.strip(" \0")
    if vr == "DA":
        text = text.replace(".", "").replace("-", "") if re.fullmatch(r"\d{4}[.-]\d{2}[.-]\d{2}", text) else text
    elif vr == "TM":
        text = text.replace(":", "")
    form = _FORMS.get(vr)
    return text if form is None or all(form.fullmatch(part) for part in text.split("\\")) else ""


def _value(element: RawDataElement | DataElement, vr: str, labels: Sequence[str], assumed: str, name: str) -> object:
    raw = element.value
    if raw is None:
        return ""
    if not isinstance(raw, bytes):
        return _ascii(str(raw), vr) if vr in {"DA", "TM", "AS", "CS"} else raw
    if vr in _ASCII_VRS:
        text = _ascii(raw.decode("ascii", "replace"), vr)
    else:
        try:
            text = decode_text(raw.rstrip(b"\0"), labels, assumed).rstrip(" ")
        except UndecodableTextError as error:
            raise NotEncodableError(name, str(error)) from error
    multiple = vr in _MULTI_VALUE_TEXT_VRS | _ASCII_VRS and "\\" in text
    return text.split("\\") if multiple else text


def decoded(dataset: Dataset, keywords: Iterable[str], labels: Sequence[str], assumed: str = "") -> Dataset:
    """The named attributes of `dataset`, texts decoded for certain; sequences recursively, without private elements.

    Raises `NotEncodableError` naming the attribute whose text cannot be decoded.
    """
    result = Dataset()
    for keyword in keywords:
        tag = BaseTag(tag_for_keyword(keyword) or 0)
        if tag in dataset:
            _copy(dataset, tag, labels, assumed, result)
    return result


def _copy(dataset: Dataset, tag: BaseTag, labels: Sequence[str], assumed: str, result: Dataset) -> None:
    keyword, vr = keyword_for_tag(tag), dictionary_VR(tag)
    if vr == "SQ":
        items = [_copy_item(item, labels, assumed) for item in dataset[tag].value or ()]
        kept = [item for item in items if len(item) and ("CodeMeaning" not in item or any(c in item for c in _CODES))]
        if kept:
            setattr(result, keyword, kept)
        return
    element = dataset.get_item(tag)
    if element is None or (vr not in _TEXT_VRS and vr not in _ASCII_VRS):
        return
    value = _fitting(keyword, vr, _value(element, vr, labels, assumed, keyword))
    if value or keyword in TYPE_2:
        result.add(DataElement(tag, vr, value))


def _fitting(keyword: str, vr: str, value: object) -> object:
    """A value that its VR can hold (PS3.5 6.2): as it is, else cut if it only describes, else empty, and logged.

    Raises `NotEncodableError` for one that identifies: a cut Accession Number is another order's.
    """
    parts = value if isinstance(value, list) else [value]
    if all(_holds(vr, part) for part in parts):
        return value
    if keyword in _IDENTIFYING:
        longest = max(len(str(part)) for part in parts)
        raise NotEncodableError(
            keyword, f"{longest} characters in the source image, which VR {vr} cannot hold; nothing of it may be cut"
        )
    cut = [str(part)[: _LIMITS.get(vr, 0)].rstrip() for part in parts]
    kept = [part if _holds(vr, part) else "" for part in cut]
    log.warning("attribute of the images not copied as it is", attribute=keyword, vr=vr, cut=any(kept))
    return kept if isinstance(value, list) else kept[0]


def _holds(vr: str, value: object) -> bool:
    try:
        validate_value(vr, value, config.RAISE)
    except (ValueError, TypeError):
        return False
    return True


def _copy_item(item: Dataset, labels: Sequence[str], assumed: str) -> Dataset:
    own = character_set(item) if "SpecificCharacterSet" in item else labels
    # Over the tags: iterating over the item itself would make pydicom decode, and replace what it cannot.
    keywords = [keyword for tag in item.keys() if (keyword := keyword_for_tag(tag)) not in {"", "SpecificCharacterSet"}]  # noqa: SIM118 - a Dataset iterates over elements
    return decoded(item, keywords, own, assumed)


def patient_and_study(header: Dataset, assumed: str = "") -> Dataset:
    """Patient, Patient Study and General Study modules from one source image's header.

    Type 2 attributes are there even when empty. Raises `NotEncodableError` where Patient ID is missing,
    a UID is missing or malformed, or a text cannot be decoded.
    """
    identity = decoded(header, PATIENT + STUDY, character_set(header), assumed)
    for keyword in TYPE_2:
        if keyword not in identity:
            setattr(identity, keyword, "")
    if not str(identity.PatientID).strip():
        raise NotEncodableError("PatientID", "empty in the source image; a result never goes to a guessed patient")
    if not UID(str(identity.get("StudyInstanceUID", ""))).is_valid:
        raise NotEncodableError("StudyInstanceUID", "missing or malformed in the source image")
    if identity.get("PatientIdentityRemoved") == "YES" and not (
        "DeidentificationMethod" in identity or "DeidentificationMethodCodeSequence" in identity
    ):
        identity.DeidentificationMethod = "Not stated in the source images"  # Type 1C
    sex = str(identity.PatientSex).strip().upper()
    identity.PatientSex = sex if sex in _SEXES else ""
    if not _TIME_ZONE.fullmatch(str(identity.get("TimezoneOffsetFromUTC", "+0000"))):
        del identity.TimezoneOffsetFromUTC
    return identity
