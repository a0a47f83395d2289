"""What the gate learns in one pass through an object as it was read back: values, texts and references."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

import structlog
from pydicom import Dataset, config, dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import validate_value

from node.dicom.vr import CHARACTER_SET
from node.results.gate.tables import (
    ENUMERATED,
    EXCLUDES,
    NEEDED_BY_VALUE,
    NEEDS,
    NUMBERS,
    SINGLE_FRAME,
    multiplicity_problem,
)
from node.results.source.values import problem_of

log = structlog.get_logger(__name__)
_PLAIN_VRS = {"UI", "CS"}
_WRITTEN_AS_TEXT = {"DS", "IS", "DA", "TM", "DT", "PN", "UI"}
_CLASS, _INSTANCE = BaseTag(0x00081150), BaseTag(0x00081155)
_FRAME = BaseTag(0x00081160)
_CONTOUR_DATA = BaseTag(0x30060050)
_COORDINATES = re.compile(rb"-?\d{1,9}(?:\.\d{1,6})?(?:\\-?\d{1,9}(?:\.\d{1,6})?)* ?")
"""Of contours: judged as bytes, because pydicom makes an object of each of a million decimals."""
_SCHEME, _MEANING, _URN = BaseTag(0x00080102), BaseTag(0x00080104), BaseTag(0x00080120)
_CODE_VALUES = (BaseTag(0x00080100), BaseTag(0x00080119), _URN)


class UnreadableObjectError(Exception):
    """The object cannot be read back; says so without the error's own message: that may hold a patient's value."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """One SOP instance that the object names."""

    within: str
    """Keyword of the attribute of the object's root that holds the reference."""
    sop_instance_uid: str
    sop_class_uid: str


@dataclass(frozen=True, slots=True)
class SourceFlaws:
    """What breaks the Standard in the source, and identifies: it is copied as it is, and nothing like it is."""

    several: Mapping[str, object] = field(default_factory=dict)
    """Identifiers that have several values, where one is allowed."""
    uids: frozenset[str] = frozenset()
    """UIDs that PS3.5 9.1 does not allow."""


@dataclass
class ObjectReadBack:
    """One object as it was read back, checked against the object as it was built."""

    read: Dataset
    built: Dataset
    problems: list[str] = field(default_factory=list)
    """Each with the path of its attribute."""
    references: list[ObjectReference] = field(default_factory=list)
    excused: SourceFlaws = field(default_factory=SourceFlaws)
    _right: set[tuple[str, str]] = field(default_factory=set)
    """Value Representation and text of the values that were right: frames and codes repeat them by the thousand."""

    def __post_init__(self) -> None:
        self._pass(self.read, self.built, "", "")

    def _pass(self, item: Dataset, built: Dataset, path: str, within: str) -> None:
        uid = class_uid = ""
        for tag, raw in self._elements(item, path):
            meant = built.get(tag)
            if meant is None:
                self._note(path, raw, "was not meant to be there")
                continue
            for other in NEEDS.get(tag, ()):
                self._ask_for(other, item, path, raw)
            if tag in EXCLUDES and EXCLUDES[tag] in item and raw.value:
                self.problems.append(f"{path}{keyword_for_tag(EXCLUDES[tag])}: beside {keyword_for_tag(tag)}")
            if (value := _ascii(raw)) is not None:
                self._judge(raw.VR or "", value, path, raw)
                for other in NEEDED_BY_VALUE.get((tag, value), ()):
                    self._ask_for(other, item, path, raw)
                if tag == _INSTANCE:
                    uid = value
                elif tag == _CLASS:
                    class_uid = value
                continue
            element = _converted(item, tag)
            if element.VR == "SQ":
                self._items(element, meant, path, within)
                continue
            if element.VR in CHARACTER_SET and _stripped(element.value) != _stripped(meant.value):
                self._note(path, element, "is not the text that was meant once it is written in its character set")
            values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
            problem = "" if element.is_empty else multiplicity_problem(tag, len(values))
            if problem and plain(element.value) != self.excused.several.get(element.keyword):
                self._note(path, element, problem)
            for value in values:
                self._judge(element.VR, value, path, element)
            if tag == _INSTANCE:
                uid = str(element.value)
            elif tag == _CLASS:
                class_uid = str(element.value or "")
        if class_uid in SINGLE_FRAME and _FRAME in item:
            self.problems.append(f"{path}ReferencedFrameNumber: of an object of a class of single frames")
        if uid:
            self.references.append(ObjectReference(within, uid, class_uid))

    def _elements(self, item: Dataset, path: str) -> Iterator[tuple[BaseTag, DataElement | RawDataElement]]:
        """Those of an item; coordinates of contours are judged here, as bytes."""
        for tag, raw in list(item.items()):
            if tag != _CONTOUR_DATA or not isinstance(raw, RawDataElement):
                yield tag, raw
                continue
            content = raw.value or b""
            if not _COORDINATES.fullmatch(content) or content.count(b"\\") % 3 != 2:
                self._note(path, raw, "is not a list of points")

    def _items(self, element: DataElement, meant: DataElement, path: str, within: str) -> None:
        where = f"{path}{element.keyword or element.tag}"
        if element.keyword.endswith("CodeSequence"):
            problems = dict.fromkeys(problem for item in element.value if (problem := _code_problem(item)))
            self.problems += [f"{where}: {problem}" for problem in problems]
        for number, (ours, theirs) in enumerate(zip(element.value, meant.value, strict=False), 1):
            self._pass(ours, theirs, f"{where}[{number}].", within or element.keyword)
        if len(element.value) != len(meant.value):
            self.problems.append(f"{where}: {len(element.value)} items, {len(meant.value)} were meant")

    def _ask_for(self, other: BaseTag, item: Dataset, path: str, element: DataElement | RawDataElement) -> None:
        """An attribute that has to be there because of this element, which has a value (Types 1C and 2C)."""
        if other not in item and element.value not in (None, "", b""):
            because = keyword_for_tag(element.tag)
            self.problems.append(f"{path}{keyword_for_tag(other)}: missing, which {because} asks for")

    def _note(self, path: str, element: DataElement | RawDataElement, problem: str) -> None:
        self.problems.append(f"{path}{keyword_for_tag(element.tag) or element.tag}: {problem}")

    def _judge(self, vr: str, value: object, path: str, element: DataElement | RawDataElement) -> None:
        """A value against its Value Representation: length, repertoire, form (PS3.5 6.2)."""
        if vr == "UI" and value in self.excused.uids:
            return
        known = (vr, value) if isinstance(value, str) and element.tag not in ENUMERATED else None
        if known is not None and known in self._right:
            return
        if problem := _value_problem(vr, value) or _term_problem(element.tag, value):
            self._note(path, element, problem)
        elif known is not None:
            self._right.add(known)


def read_back(content: bytes, built: Dataset, excused: SourceFlaws) -> ObjectReadBack:
    """Read a Part 10 file whole. Raises `UnreadableObjectError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that `ObjectReadBack` names
        with unreadable_if_it_fails():
            read = dcmread(BytesIO(content))
        return ObjectReadBack(read, built, excused=excused)


def read_for_itself(content: bytes) -> ObjectReadBack:
    """A Part 10 file of which nobody knows how it was meant. Raises `UnreadableObjectError`."""
    with warnings.catch_warnings(), unreadable_if_it_fails():
        warnings.simplefilter("ignore")
        return ObjectReadBack(dcmread(BytesIO(content), force=True), dcmread(BytesIO(content), force=True))


@contextmanager
def unreadable_if_it_fails() -> Iterator[None]:
    """Turn whatever pydicom raises of odd bytes into an `UnreadableObjectError`."""
    try:
        yield
    except UnreadableObjectError:
        raise
    except Exception as error:  # whatever pydicom raises, the object is unreadable, and it is said how
        log.warning("results.object-unreadable", error=type(error).__name__)
        raise UnreadableObjectError(
            "cannot be read back: a value is not what its place in the data set asks for"
        ) from error


def _ascii(element: DataElement | RawDataElement) -> str | None:
    """The one value of a UID or a code string as it is in the bytes; None of everything else.

    Two of three elements are such ones, and pydicom takes as long to convert one as everything else here takes.
    """
    if not isinstance(element, RawDataElement) or element.VR not in _PLAIN_VRS or not element.value:
        return None
    value = element.value
    return value.rstrip(b" \0").decode("ascii") if value.isascii() and b"\\" not in value else None


def _term_problem(tag: BaseTag, value: object) -> str:
    """Whether it is another than the Enumerated Values (PS3.3)."""
    if tag in ENUMERATED and value and str(value).strip() not in ENUMERATED[tag]:
        return "not one of the values that the Standard enumerates"
    if tag in NUMBERS and value is not None and value not in NUMBERS[tag]:
        return "not one of the numbers that the Standard enumerates"
    return ""


def _code_problem(item: Dataset) -> str:
    """What a coded entry lacks (PS3.3 8.1, 8.8)."""
    if all(tag not in item for tag in _CODE_VALUES):
        return "a code without value"
    if _SCHEME not in item and _URN not in item:
        return "a code without coding scheme"
    return "" if _MEANING in item else "a code without meaning"


def _converted(item: Dataset, tag: BaseTag) -> DataElement:
    """An element of an item; this is where pydicom decodes it."""
    with unreadable_if_it_fails():
        return item[tag]


def _value_problem(vr: str, value: object) -> str:
    written = str(value) if vr in _WRITTEN_AS_TEXT and value is not None else value
    if isinstance(written, str):
        return problem_of(vr, written)
    try:
        validate_value(vr, written, config.RAISE)
    except (ValueError, TypeError):
        return f"VR {vr} cannot hold it"
    except NotImplementedError:
        return ""  # of a VR that pydicom has no rules for, as of what an ambiguous one became
    return ""


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
