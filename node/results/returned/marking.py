"""A returned object as one of this node's: whose it is, who made it, who sent it, and that it is an AI result.

Only what has to change is written; every other element stays in its bytes, so an object that no library understands
can be sent as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from functools import lru_cache

from highdicom._standard_utils import get_module_attribute_map  # private, as in the gate
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from node.dicom.charset import UndecodableTextError, can_encode, decode_text
from node.dicom.elements import Elements, RawElement, parse, text_of
from node.dicom.vr import CHARACTER_SET
from node.dicom.writing import representation
from node.results.context import Context
from node.results.returned.describing import ObjectToSend
from node.results.source.copied import of_patient_and_study
from node.results.source.equipment import contributing_equipment
from node.results.source.marking import content_qualification, series_description
from node.results.source.references import referenced_requests, request_attributes
from node.results.uids import series_number

_WHOSE = ("patient", "general-study", "patient-study", "clinical-trial-subject", "clinical-trial-study")
_PATIENT = 0x0010
"""Group of the attributes of patients, the retired ones too."""
_CHARACTER_SET, _EQUIPMENT, _QUALIFICATION = 0x00080005, 0x0018A001, 0x00189004
_VERIFICATION, _VERIFYING, _PRELIMINARY = 0x0040A493, 0x0040A073, 0x0040A496
_DOCUMENTS = frozenset({"SR", "KO", "PLAN"})
"""Modalities whose objects name requests as documents do (C.17.2)."""
_UTF_8 = "ISO_IR 192"
_KOREAN = "ISO 2022 IR 149"
_OFFSET = 7
"""Of Series Numbers: behind those of our own kinds."""


def with_identity(elements: Elements, context: Context, *, implicit: bool, little: bool) -> Elements:
    """The object under the patient and study of the images, as our own results are."""
    whose = _tags_of_patient_and_study()
    left = {tag: raw for tag, raw in elements.items() if tag not in whose and tag >> 16 != _PATIENT}
    return _with(left, deepcopy(context.identity), implicit=implicit, little=little)


def marked(elements: Elements, one: ObjectToSend, context: Context, *, implicit: bool, little: bool) -> Elements:
    """The object with the marking, the requests and the equipment of our own results."""
    request = context.request
    more = Dataset()
    number = request.revision.number if request.revision else 1
    earlier = number - 1 if request.profile.revision_series_number == "+1000" else 0
    more.SeriesNumber = series_number(request.profile.series_number_base, request.algorithm, _OFFSET, earlier)
    more.SeriesDescription = series_description(
        request.algorithm, request.mode, one.description, request.profile.series_text, number
    )
    if _QUALIFICATION in elements:
        more.ContentQualification = content_qualification(request.mode)
    if _VERIFICATION in elements:
        more.VerificationFlag = "UNVERIFIED"
    if _PRELIMINARY in elements or _VERIFICATION in elements:
        more.PreliminaryFlag = "PRELIMINARY"
    if context.requests and text_of(elements, 0x00080060) in _DOCUMENTS:
        more.ReferencedRequestSequence = referenced_requests(context)
    elif context.requests:
        more.RequestAttributesSequence = request_attributes(context)
    made_at = context.local(request.result_made_at)
    more.ContributingEquipmentSequence = contributing_equipment(request.algorithm, request.node, made_at)
    before = elements.get(_EQUIPMENT)
    left = {tag: raw for tag, raw in elements.items() if tag != _VERIFYING}
    found = _with(left, more, implicit=implicit, little=little)
    if before is not None and isinstance(before.value, list) and isinstance(ours := found[_EQUIPMENT].value, list):
        found[_EQUIPMENT] = RawElement("SQ", [*before.value, *ours])
    return found


def with_uids(elements: Elements, uids: dict[int, str]) -> Elements:
    """The object with other UIDs at its root."""
    raw = {tag: _padded("UI", uid.encode()) for tag, uid in uids.items()}
    return dict(sorted({**elements, **raw}.items()))


# --- how it is written --------------------------------------------------------------------------------


def _with(elements: Elements, more: Dataset, *, implicit: bool, little: bool) -> Elements:
    """Both; where a text of `more` has no place in the object's character set, all of the object is in UTF-8."""
    labels = [each.strip() for each in text_of(elements, _CHARACTER_SET).split("\\")]
    if not all(can_encode(text, labels) for text in _texts_of(more)):
        elements, labels = _in_utf_8(elements, labels), [_UTF_8]
        elements[_CHARACTER_SET] = _padded("CS", _UTF_8.encode())
    if labels != [""]:
        more.SpecificCharacterSet = labels if len(labels) > 1 else labels[0]
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    write_dataset(buffer, more)
    new = parse(memoryview(buffer.getvalue()), implicit=implicit, little=little).elements
    if _CHARACTER_SET in elements:
        new.pop(_CHARACTER_SET, None)
    return dict(sorted({**elements, **new}.items()))


def _texts_of(dataset: Dataset) -> Iterable[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts_of(item)
        elif element.VR in CHARACTER_SET:
            yield str(element.value)


def _in_utf_8(elements: Elements, labels: list[str]) -> Elements:
    """Every text in UTF-8; an item that names a set of its own is read by that. What cannot be decoded stays."""
    own = text_of(elements, _CHARACTER_SET)
    labels = [each.strip() for each in own.split("\\")] if own else labels
    found: Elements = {}
    for tag, raw in elements.items():
        if isinstance(raw.value, list):
            found[tag] = RawElement("SQ", [_in_utf_8(item, labels) for item in raw.value])
        elif representation(tag, raw.vr, signed=False) in CHARACTER_SET and not bytes(raw.value).isascii():
            found[tag] = _recoded(raw, labels)
        elif tag == _CHARACTER_SET:
            found[tag] = _padded("CS", _UTF_8.encode())
        else:
            found[tag] = raw
    return found


def _recoded(raw: RawElement, labels: list[str]) -> RawElement:
    assert not isinstance(raw.value, list)
    try:
        return _padded(raw.vr, decode_text(bytes(raw.value), labels, _KOREAN).encode())
    except UndecodableTextError:
        return raw


def _padded(vr: str, value: bytes) -> RawElement:
    return RawElement(vr, memoryview(value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)))


@lru_cache(maxsize=1)
def _tags_of_patient_and_study() -> frozenset[int]:
    """The root attributes of the modules that say whose an object is, and those that we copy."""
    named = {each["keyword"] for module in _WHOSE for each in get_module_attribute_map()[module] if not each["path"]}
    return frozenset(int(Tag(keyword)) for keyword in named | {each.keyword for each in of_patient_and_study()})
