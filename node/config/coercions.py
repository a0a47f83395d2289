"""What `forward: {coerce: …}` may overwrite: text about patient, study, order and equipment, never about the image."""

from __future__ import annotations

from typing import Any

from node.config.problems import closest
from node.dicom.vr import ASCII, CHARACTER_SET

_TEXTS = (ASCII | CHARACTER_SET) - {"UI"}
"""Value representations that are written as text, so that no other byte of the data set depends on them."""
_GROUPS = frozenset({0x0008, 0x0010, 0x0032, 0x0038, 0x0040, 0x4008})
"""Identifying, patient, study, visit, procedure and interpretation: they speak of people and work, not of the image."""
_MORE = frozenset({"BodyPartExamined", "DeviceSerialNumber", "ProtocolName", "SeriesNumber", "StudyID"})
_NEVER = frozenset({"ImageType", "Modality", "SpecificCharacterSet", "TimezoneOffsetFromUTC"})
"""Others are read by these, or were chosen by them."""


def problem(keyword: str, value: Any) -> tuple[str, str | None] | None:
    """What is wrong with overwriting this attribute so, and what was probably meant; None where nothing is."""
    from pydicom.config import RAISE  # it takes a while, and few configurations overwrite anything
    from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_dict, tag_for_keyword
    from pydicom.dataelem import DataElement

    tag = tag_for_keyword(keyword)
    if tag is None:
        return f'"{keyword}" is not a keyword of a DICOM attribute (PS3.6)', closest(keyword, keyword_dict.keys())
    vr = dictionary_VR(tag)
    if keyword in _NEVER or (tag >> 16 not in _GROUPS and keyword not in _MORE):
        return f"{keyword} says what the image is or how it is read: it is not overwritten", None
    if vr not in _TEXTS:
        return f"{keyword} is {vr}: only text of patient, study, order and equipment is overwritten", None
    texts = value_texts(value)
    if texts is None:
        return f"{keyword} needs a text, a number, a list of these, or null to empty it", None
    if len(texts) > 1 and dictionary_VM(tag) == "1":
        return f"{keyword} has one value", None
    try:
        DataElement(tag, vr, texts, validation_mode=RAISE)
    except ValueError as error:
        return f"{keyword}: {error}", None
    return None


def value_texts(value: Any) -> list[str] | None:
    """The values as text; none where it empties the attribute; None where it is nothing that can be written."""
    if value is None or value == "":
        return []
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int | float) and not isinstance(each, bool) for each in values):
        return None
    return [str(each) for each in values]
