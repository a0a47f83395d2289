"""One DICOM object of a plugin: is it whole, of a storage SOP class, and of the study and patient that were given?

What comes from a program may be another patient's: by a mistake in its code, a cache, a box that serves two hospitals.
An object that is not certainly of this study does not leave the node.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from node.dicom.charset import UndecodableTextError, decode_text
from node.dicom.elements import Elements, text_of
from node.dicom.object_file import SERIES, SOP_CLASS, SOP_INSTANCE, STUDY, ObjectFile, is_storage_class
from node.dicom.uids import is_acceptable_uid
from node.own_notes import OwnNote
from node.run.returned.given import GivenIdentity

_PATIENT_ID, _ISSUER, _PATIENT_NAME, _CHARACTER_SET = 0x00100020, 0x00100021, 0x00100010, 0x00080005
_MANUFACTURER, _MODEL, _VERSIONS = 0x00080070, 0x00081090, 0x00181020
_MODALITY, _DESCRIPTION = 0x00080060, 0x0008103E
_REFERENCED_INSTANCE = 0x00081155
_KOREAN = "ISO 2022 IR 149"
"""Tried where an object does not name its character set and is not UTF-8: what vendors in Korea leave out."""
_SHOWN = 64
_LONGEST = 1_024
"""Bytes of an attribute that says whose an object is; what begins like the truth and goes on is not the truth."""
_IDENTITY = {STUDY: "Study Instance UID", _PATIENT_ID: "Patient ID", _ISSUER: "Issuer", _PATIENT_NAME: "Patient's Name"}
_UID_BYTES = 65
"""Of one UID with what pads it; a reference that is longer is to nothing that was given."""


class NotTakenError(Exception):
    """An object that does not leave the node; the text says why, for readers and the site admin."""


@dataclass(frozen=True, slots=True)
class ObjectOfPlugin:
    """What the node keeps of an object that a plugin returned; its UIDs are the true ones."""

    number: int
    """Which of the result's objects it is, from 1."""
    sop_class_uid: str
    sop_instance_uid: str
    """Of the object itself: the copy that is sent may have another one."""
    series_instance_uid: str
    modality: str
    maker: str
    """Manufacturer, model and version, as the object states them; may be empty."""
    of_image: bool
    """Whether it has the SOP Instance UID of an image that the plugin was given."""
    references: frozenset[str]
    """SOP Instance UIDs to which it refers."""


def check_identity(found: ObjectFile, given: GivenIdentity) -> None:
    """Raises NotTakenError where the object is not of the study and the patient that the plugin was given."""
    _refuse_two_readings(found)
    if not is_storage_class(found.text(SOP_CLASS)):
        raise NotTakenError(OwnNote.NOT_STORED.format(uid=repr(found.text(SOP_CLASS)[:_SHOWN])))
    for name, tag in (("SOP Instance UID", SOP_INSTANCE), ("Series Instance UID", SERIES)):
        if not is_acceptable_uid(found.text(tag)):
            raise NotTakenError(OwnNote.NO_UID.format(name=name))
    if found.text(STUDY) not in given.study_uids:
        raise NotTakenError(OwnNote.ANOTHER_STUDY)
    patient_id = text_of_object(found, _PATIENT_ID).strip()
    if patient_id and given.patient_ids:
        if patient_id not in given.patient_ids:
            raise NotTakenError(OwnNote.ANOTHER_PATIENT)
        issuer = text_of_object(found, _ISSUER).strip()
        if issuer and given.issuers and issuer not in given.issuers:
            raise NotTakenError(OwnNote.OTHER_ISSUER)
    elif _is_another_name(text_of_object(found, _PATIENT_NAME), given.patient_names):
        raise NotTakenError(OwnNote.ANOTHER_PATIENT)


def _refuse_two_readings(found: ObjectFile) -> None:
    """NotTakenError where another reader may find another patient in it than is found here."""
    if found.contents.repeated:
        raise NotTakenError(OwnNote.TWICE.format(element=found.contents.repeated))
    for tag, name in _IDENTITY.items():
        raw = found.contents.elements.get(tag)
        if raw is not None and (isinstance(raw.value, list) or len(raw.value) > _LONGEST):
            raise NotTakenError(OwnNote.ODD_IDENTITY.format(name=name, bytes=_LONGEST))


def described(number: int, found: ObjectFile, elements: Elements, images: frozenset[str]) -> ObjectOfPlugin:
    """What is kept of it; `elements`: its own, with true UIDs; `images`: those that were given."""
    maker = " ".join(dict.fromkeys(each for tag in (_MANUFACTURER, _MODEL, _VERSIONS) if (each := _line(found, tag))))
    return ObjectOfPlugin(
        number,
        found.text(SOP_CLASS),
        text_of(elements, SOP_INSTANCE),
        text_of(elements, SERIES),
        found.text(_MODALITY)[:16],
        maker[:_SHOWN],
        text_of(elements, SOP_INSTANCE) in images,
        frozenset(_references(elements)),
    )


def text_of_object(found: ObjectFile, tag: int) -> str:
    """A text of the data set in its character set; where none is named, UTF-8 or Korean. Never raises."""
    raw = found.contents.elements.get(tag)
    if raw is None or isinstance(raw.value, list):
        return ""
    return decoded(bytes(raw.value), found.text(_CHARACTER_SET))


def decoded(raw: bytes, character_set: str) -> str:
    """The text of a value; what no character set fits has replacement characters."""
    try:
        return decode_text(raw.rstrip(b" \0"), character_set.split("\\"), _KOREAN)
    except UndecodableTextError:
        return raw.decode("ascii", "replace")


def _line(found: ObjectFile, tag: int) -> str:
    """A text without control characters and without further values."""
    text = text_of_object(found, tag).split("\\")[0]
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _references(elements: Elements) -> Iterator[str]:
    """Every Referenced SOP Instance UID, at every depth."""
    for tag, raw in elements.items():
        if isinstance(raw.value, list):
            for item in raw.value:
                yield from _references(item)
        elif tag == _REFERENCED_INSTANCE and 0 < len(raw.value) <= _UID_BYTES:
            yield bytes(raw.value).decode("ascii", "replace").strip(" \0")


def _is_another_name(name: str, names: frozenset[str]) -> bool:
    """Whether two names can be compared and no part of one is a part of the other."""
    ours = [set(_parts(each)) for each in names]
    theirs = set(_parts(name))
    return bool(theirs) and bool(ours) and not any(theirs & parts for parts in ours)


def _parts(name: str) -> Iterator[str]:
    for part in re.split(r"[\^=\s,]+", unicodedata.normalize("NFKC", name).casefold()):
        if part and "\ufffd" not in part:
            yield part
