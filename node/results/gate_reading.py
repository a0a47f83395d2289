"""What the gate learns in one pass through an object as it was read back: values, texts and references."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import Dataset, config, dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import validate_value

_TEXT_VRS = {"PN", "LO", "SH", "ST", "LT", "UT", "UC"}
_PLAIN_VRS = {"UI", "CS"}
_WRITTEN_AS_TEXT = {"DS", "IS", "DA", "TM", "DT", "PN"}
_CLASS, _INSTANCE = BaseTag(0x00081150), BaseTag(0x00081155)


class UnreadableError(Exception):
    """The object cannot be read back; says by which error, without its message: that may hold a patient's value."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One SOP instance that the object names."""

    within: str
    """Keyword of the attribute of the object's root in which the reference stands."""
    sop_instance_uid: str
    sop_class_uid: str


@dataclass
class Reading:
    """One object as it was read back, held against the object as it was built."""

    read: Dataset
    built: Dataset
    problems: list[str] = field(default_factory=list)
    """Each with the path of its attribute."""
    references: list[Reference] = field(default_factory=list)
    _right: set[tuple[str, str]] = field(default_factory=set)
    """Value Representation and text of the values that were right: frames and codes repeat them by the thousand."""

    def __post_init__(self) -> None:
        self._pass(self.read, self.built, "", "")

    def _pass(self, item: Dataset, built: Dataset, path: str, within: str) -> None:
        uid = class_uid = ""
        for tag, raw in list(item.items()):
            meant = built.get(tag)
            if meant is None:
                self._note(path, raw, "was not meant to be there")
                continue
            if (value := _ascii(raw)) is not None:
                self._judge(raw.VR or "", value, path, raw)
                if tag == _INSTANCE:
                    uid = value
                elif tag == _CLASS:
                    class_uid = value
                continue
            element = _converted(item, tag)
            if element.VR == "SQ":
                self._items(element, meant, path, within)
                continue
            if element.VR in _TEXT_VRS and _stripped(element.value) != _stripped(meant.value):
                self._note(path, element, "is not the text that was meant once it is written in its character set")
            for value in element.value if isinstance(element.value, MultiValue | list) else [element.value]:
                self._judge(element.VR, value, path, element)
            if tag == _INSTANCE:
                uid = str(element.value)
            elif tag == _CLASS:
                class_uid = str(element.value or "")
        if uid:
            self.references.append(Reference(within, uid, class_uid))

    def _items(self, element: DataElement, meant: DataElement, path: str, within: str) -> None:
        where = f"{path}{element.keyword or element.tag}"
        for number, (ours, theirs) in enumerate(zip(element.value, meant.value, strict=False), 1):
            self._pass(ours, theirs, f"{where}[{number}].", within or element.keyword)
        if len(element.value) != len(meant.value):
            self.problems.append(f"{where}: {len(element.value)} items, {len(meant.value)} were meant")

    def _note(self, path: str, element: DataElement | RawDataElement, problem: str) -> None:
        self.problems.append(f"{path}{keyword_for_tag(element.tag) or element.tag}: {problem}")

    def _judge(self, vr: str, value: object, path: str, element: DataElement | RawDataElement) -> None:
        """A value against its Value Representation: length, repertoire, form (PS3.5 6.2)."""
        known = (vr, value) if isinstance(value, str) else None
        if known is not None and known in self._right:
            return
        if problem := _value_problem(vr, value):
            self._note(path, element, problem)
        elif known is not None:
            self._right.add(known)


def read_back(content: bytes, built: Dataset) -> Reading:
    """Read a Part 10 file whole. Raises `UnreadableError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that `Reading` names
        with _unreadable_if_it_fails():
            read = dcmread(BytesIO(content))
        return Reading(read, built)


@contextmanager
def _unreadable_if_it_fails() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever pydicom raises, the object is unreadable, and it is said how
        raise UnreadableError(f"cannot be read back without {type(error).__name__}") from error


def _ascii(element: DataElement | RawDataElement) -> str | None:
    """The one value of a UID or a code string as it stands in the bytes; None of everything else.

    Two of three elements are such ones, and pydicom takes as long to convert one as everything else here takes.
    """
    if not isinstance(element, RawDataElement) or element.VR not in _PLAIN_VRS or not element.value:
        return None
    value = element.value
    return value.rstrip(b" \0").decode("ascii") if value.isascii() and b"\\" not in value else None


def _converted(item: Dataset, tag: BaseTag) -> DataElement:
    """An element of an item; this is where pydicom decodes it."""
    with _unreadable_if_it_fails():
        return item[tag]


def _value_problem(vr: str, value: object) -> str:
    if vr == "UI":
        return "malformed UID" if value and not UID(str(value)).is_valid else ""
    written = str(value) if vr in _WRITTEN_AS_TEXT and value is not None else value
    try:
        validate_value(vr, written, config.RAISE)
    except (ValueError, TypeError) as error:
        return _without_value(str(error))
    return ""


def _without_value(message: str) -> str:
    """pydicom's message holds the value, which may be a patient's; the rest says what is wrong with it."""
    return message.split(":")[0].split(". Please")[0] if "'" in message else message.split(". Please")[0]


def _stripped(value: object) -> object:
    text = plain(value)
    return text.rstrip(" ") if isinstance(text, str) else text


def plain(value: object) -> object:
    """A value as it compares: sequences as their items' values, absent like empty."""
    if value is None:
        return ""
    if isinstance(value, Dataset):
        return {element.tag: plain(element.value) for element in value}
    if isinstance(value, list | MultiValue) or type(value).__name__ == "Sequence":
        return [plain(part) for part in value]  # type: ignore[attr-defined] # pydicom's Sequence is iterable
    return str(value)
