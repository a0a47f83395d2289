"""What a plugin was given under pseudonyms, put back into the objects that it made: UIDs, dates and the Patient ID.

At every depth, and by value: a pseudonym is a text that nobody writes by chance (PS3.15 E.1.1 has no way back, the
attempt has). What was never given, such as the date on which an object was made, stays. Pixels and encapsulated
documents are not looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from node.dicom.elements import PIXELS, Elements, RawElement
from node.dicom.vr import CHARACTER_SET
from node.dicom.writing import representation

_LONGEST = 1 << 16
"""Bytes of a value that is searched for pseudonyms, where it is not a UID or a date."""
_MOST = {"SH": 16, "LO": 64}
_PSEUDONYM = re.compile(rb"2\.25\.\d{1,39}(?!\d)")
_TEXTS = CHARACTER_SET | {"UN", "UR"}


@dataclass(frozen=True, slots=True)
class WayBack:
    """From what a plugin knows to what is true."""

    uids: dict[str, str] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    """Days as DA."""
    patient_ids: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.uids or self.dates or self.patient_ids)

    def elements(self, given: Elements) -> Elements:
        """The same with the truth in it; where nothing changes, the very same object."""
        found = {tag: self._element(tag, raw) for tag, raw in given.items()}
        return given if all(found[tag] is raw for tag, raw in given.items()) else found

    def _element(self, tag: int, raw: RawElement) -> RawElement:
        if isinstance(raw.value, list):
            items = [self.elements(item) for item in raw.value]
            same = all(new is old for new, old in zip(items, raw.value, strict=True))
            return raw if same else RawElement("SQ", items)
        vr = representation(tag, raw.vr, signed=False)
        if tag in PIXELS or not len(raw.value) or (vr != "UI" and len(raw.value) > _LONGEST):
            return raw
        old = bytes(raw.value)
        new = self._value(vr, old)
        padding = b"\0" if vr == "UI" else b" "
        return raw if new == old else RawElement(raw.vr, memoryview(new + padding * (len(new) % 2)))

    def _value(self, vr: str, old: bytes) -> bytes:
        if vr == "UI":
            return b"\\".join(self._uid(each) for each in old.split(b"\\"))
        if vr in ("DA", "DT"):
            return b"\\".join(self._date(each) for each in old.split(b"\\"))
        if vr not in _TEXTS:
            return old
        new = _PSEUDONYM.sub(lambda match: self._uid(match[0]), old)
        for pseudonym, true in self.patient_ids.items():
            new = new.replace(pseudonym.encode(), true.encode("ascii", "ignore")) if true.isascii() else new
        return new if len(new) <= _MOST.get(vr, len(new)) else old

    def _uid(self, old: bytes) -> bytes:
        plain = old.strip(b" \0")
        true = self.uids.get(plain.decode("latin-1"))
        return true.encode() if true is not None and true.encode() != plain else old

    def _date(self, old: bytes) -> bytes:
        true = self.dates.get(old[:8].decode("latin-1"))
        return true.encode() + old[8:] if true is not None else old
