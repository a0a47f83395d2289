"""One pass over a data set that takes the patient's identity out of its attributes (PS3.15 E.1.1).

It knows elements as they are in the bytes, so what no reader can decode is treated as well as the rest. Pixels are not
looked at: what is burned into them stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from pydicom.datadict import private_dictionary_VR

from node.dicom.confidentiality import dates, safe_private
from node.dicom.confidentiality.key import Key
from node.dicom.confidentiality.profile import Action, Profile
from node.dicom.confidentiality.table import Option
from node.dicom.elements import PIXELS, Elements, RawElement, text_of
from node.dicom.vr import CHARACTER_SET
from node.dicom.writing import representation

_PATIENT_NAME, _PATIENT_ID, _BIRTH_DATE, _AGE = 0x00100010, 0x00100020, 0x00100030, 0x00101010
_STUDY_DATE, _ACCESSION, _MODALITY, _BURNED_IN = 0x00080020, 0x00080050, 0x00080060, 0x00280301
_IDENTIFIERS = (_PATIENT_NAME, _PATIENT_ID, _ACCESSION, 0x00101000, 0x00101001)
_LEAST = 5
"""Bytes of an identifier that is looked for in texts: a shorter one is in words by chance."""
_IDENTITY_REMOVED, _METHOD, _DATES_MODIFIED = 0x00120062, 0x00120064, 0x00280303
_CONTENT_SEQUENCE = 0x0040A730
WITH_BURNED_IN_TEXT = frozenset({"ES", "GM", "OT", "SC", "US", "XA", "RF", "XC"})
"""Modalities whose pixels often show the patient's name, ID or dates."""
_DUMMIES = {
    "AS": b"000D",
    "DA": b"19000101",
    "DS": b"0 ",
    "DT": b"19000101",
    "IS": b"0 ",
    "TM": b"000000",
    "AT": b"\0" * 4,
    "FD": b"\0" * 8,
    "FL": b"\0" * 4,
    "OB": b"\0" * 2,
    "OD": b"\0" * 8,
    "OF": b"\0" * 4,
    "OL": b"\0" * 4,
    "OV": b"\0" * 8,
    "OW": b"\0" * 2,
    "SL": b"\0" * 4,
    "SS": b"\0" * 2,
    "SV": b"\0" * 8,
    "UL": b"\0" * 4,
    "UN": b"\0" * 2,
    "US": b"\0" * 2,
    "UV": b"\0" * 8,
}
"""What replaces a value that may not be empty, where that is not a text."""
_REMOVED = b"REMOVED "

Actions = Counter[Action]
"""How often what was done."""


def confidential(dataset: Elements, profile: Profile, key: Key) -> tuple[Elements, Actions]:
    """A data set with what the profile leaves of it, and what was done. The given one stays as it is.

    `key` is the patient's: earlier studies of the same patient go with the same key, so that intervals stay.
    """
    hidden = _Pass(profile, key, tuple(_identifiers(dataset)))
    found = hidden.dataset(dataset)
    if Option.PATIENT in profile.options:
        age = dates.age(text_of(dataset, _BIRTH_DATE), text_of(dataset, _STUDY_DATE))
        if age and not text_of(dataset, _AGE):
            found[_AGE] = _raw("AS", age.encode())
    found[_PATIENT_ID] = _raw("LO", key.patient.encode())
    found[_IDENTITY_REMOVED] = _raw("CS", b"NO" if _may_be_burned_in(dataset) else b"YES")
    found[_METHOD] = RawElement("SQ", [_code(*each) for each in profile.codes])
    if Option.MODIFIED_DATES in profile.options:
        found[_DATES_MODIFIED] = _raw("CS", b"MODIFIED")
    return dict(sorted(found.items())), hidden.actions


class _Pass:
    def __init__(self, profile: Profile, key: Key, identifiers: tuple[re.Pattern[bytes], ...]) -> None:
        self._profile = profile
        self._key = key
        self._identifiers = identifiers
        self.actions: Actions = Counter()

    def dataset(self, elements: Elements) -> Elements:
        """What is left of a data set or item."""
        found: Elements = {}
        for tag, raw in elements.items():
            if tag in PIXELS and not isinstance(raw.value, list):
                found[tag] = raw
            elif tag >> 16 & 1:
                self._private(tag, raw, elements, found)
            else:
                self._do(self._profile.action(tag), tag, raw, representation(tag, "", signed=False), found)
        return found

    def _private(self, tag: int, raw: RawElement, elements: Elements, found: Elements) -> None:
        creator_tag = tag & 0xFFFF0000 | (tag >> 8 & 0xFF)
        creator = text_of(elements, creator_tag)
        safe = Option.SAFE_PRIVATE in self._profile.options and tag & 0xFFFF > 0xFF
        if not safe or tag & 0xFF not in safe_private.elements(tag >> 16, creator):
            self.actions[Action.REMOVE] += 1
            return
        found.setdefault(creator_tag, _raw("LO", creator.encode()))
        vr = raw.vr if raw.vr not in ("", "UN") else _private_vr(tag, creator)
        if vr in ("DA", "DT"):
            action = self._profile.action(_STUDY_DATE)
        else:
            action = {"UI": Action.UID, "PN": Action.EMPTY}.get(vr, Action.KEEP)
        self._do(action, tag, raw, vr, found)

    def _do(self, action: Action, tag: int, raw: RawElement, vr: str, found: Elements) -> None:
        done, kept = self._done(action, tag, raw, vr)
        self.actions[done] += 1
        if kept is not None:
            found[tag] = kept

    def _done(self, action: Action, tag: int, raw: RawElement, vr: str) -> tuple[Action, RawElement | None]:
        """What was done in the end, and what is left of the element."""
        if action is Action.REMOVE:
            return action, None
        if action is Action.DATE and not isinstance(raw.value, list):
            moved = dates.moved(vr, _text(raw.value), self._key.days)
            return (action, _raw(vr, moved.encode())) if moved is not None else (Action.EMPTY, _raw(vr, b""))
        if action is Action.DUMMY and vr != "SQ" and not isinstance(raw.value, list) and not len(raw.value):
            return Action.EMPTY, raw  # it hides nothing, and a dummy would say that a contrast agent was given
        if action is Action.DUMMY:
            return action, RawElement("SQ", [_dummy_item(tag)]) if vr == "SQ" else _dummy(vr)
        if action is Action.EMPTY or isinstance(raw.value, list) != (vr == "SQ"):
            # what is a sequence where it must not be one, or is none where it has to be, cannot be judged
            return (Action.EMPTY, RawElement("SQ", []) if vr == "SQ" else _raw(vr, b""))
        if isinstance(raw.value, list):
            return action, RawElement("SQ", [self.dataset(item) for item in raw.value])
        if action is Action.UID:
            uids = "\\".join(self._key.uid(each.strip(" \0")) for each in _text(raw.value).split("\\"))
            return action, _raw("UI", uids.encode())
        return (Action.EMPTY, _raw(vr, b"")) if self._names_the_patient(raw.value, vr) else (action, raw)

    def _names_the_patient(self, value: memoryview, vr: str) -> bool:
        """Whether a text that is kept holds the patient's name, Patient ID or accession number."""
        if vr not in CHARACTER_SET and vr != "UN":  # an unknown value may be a text
            return False
        return any(each.search(value) for each in self._identifiers)


def _identifiers(dataset: Elements) -> Iterator[re.Pattern[bytes]]:
    for tag in _IDENTIFIERS:
        raw = dataset.get(tag)
        for value in bytes(raw.value).split(b"\\") if raw and not isinstance(raw.value, list) else ():
            plain = value.strip(b" \0^=")
            if len(plain) >= _LEAST:
                yield re.compile(re.escape(plain), re.IGNORECASE)
            yield from _as_written(plain) if tag == _PATIENT_NAME else ()


def _as_written(name: bytes) -> Iterator[re.Pattern[bytes]]:
    """Family and given name as people write them, in both orders, and a family name alone that is no usual word."""
    for group in name.split(b"="):
        family, given = ([re.escape(word.strip(b" \0")) for word in group.split(b"^")[:2]] + [b"", b""])[:2]
        if family and given and len(family + given) >= _LEAST - 1:
            both = rb"[\s,^_.-]+".join((family, given)), rb"[\s,^_.-]+".join((given, family))
            yield re.compile(rb"|".join(both), re.IGNORECASE)
        if len(family) >= _LEAST:
            yield re.compile(rb"(?<![A-Za-z])" + family + rb"(?![A-Za-z])", re.IGNORECASE)


def _may_be_burned_in(dataset: Elements) -> bool:
    """Whether the pixels may show who the patient is: Patient Identity Removed speaks of them, too (PS3.3 C.7.1.1)."""
    stated = text_of(dataset, _BURNED_IN)
    return stated == "YES" or (stated != "NO" and text_of(dataset, _MODALITY) in WITH_BURNED_IN_TEXT)


def _text(value: memoryview | list[Elements]) -> str:
    return "" if isinstance(value, list) else bytes(value).decode("latin-1")


def _raw(vr: str, value: bytes) -> RawElement:
    """An element with a value of even length (PS3.5 7.1.1)."""
    padding = b"\0" if vr == "UI" else b" "
    return RawElement(vr, memoryview(value + padding * (len(value) % 2)))


def _dummy(vr: str) -> RawElement:
    return RawElement(vr, memoryview(_DUMMIES.get(vr, _REMOVED)))


def _dummy_item(tag: int) -> Elements:
    """The item of a sequence that may not be empty; of an SR tree one that every reader can show."""
    if tag != _CONTENT_SEQUENCE:
        return {}
    return {
        0x0040A010: _raw("CS", b"CONTAINS"),
        0x0040A040: _raw("CS", b"TEXT"),
        0x0040A043: RawElement("SQ", [_code("121106", "Comment")]),
        0x0040A160: _raw("UT", _REMOVED),
    }


def _code(value: str, meaning: str) -> Elements:
    return {
        0x00080100: _raw("SH", value.encode()),
        0x00080102: _raw("SH", b"DCM"),
        0x00080104: _raw("LO", meaning.encode()),
    }


def _private_vr(tag: int, creator: str) -> str:
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"
