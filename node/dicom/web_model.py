"""Data sets as web services write them: the DICOM JSON Model (PS3.18 F) and the Native DICOM Model (PS3.19 A.1).

Only what is asked for is read: values of attributes by tag. What the other side wrote is not trusted: whatever has
another shape is passed over, and entities and document types of XML are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from xml.parsers import expat

from pydicom.datadict import tag_for_keyword

Attributes = Mapping[str, list[Any]]
"""Values by tag in eight hexadecimal digits, upper case; items of a sequence are `Attributes`, names are texts."""
_DEEPEST = 8
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def from_json(body: bytes) -> list[Attributes]:
    """Every data set of an answer; ValueError where it is not the DICOM JSON Model."""
    try:
        found = json.loads(body)
    except RecursionError:
        raise ValueError("JSON within JSON without an end") from None
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(each, dict) for each in listed):
        raise ValueError("not the DICOM JSON Model")
    return [_attributes(each, 0) for each in listed]


def _attributes(found: Mapping[str, Any], depth: int) -> Attributes:
    if depth > _DEEPEST:
        return {}
    made: dict[str, list[Any]] = {}
    for tag, element in found.items():
        values = element.get("Value") if isinstance(element, dict) else None
        made[tag.upper()] = [_value(each, depth) for each in values] if isinstance(values, list) else []
    return made


def _value(found: Any, depth: int) -> Any:
    if not isinstance(found, dict):
        return found
    if found.keys() & set(_GROUPS):  # a name, whose component groups are joined as they are encoded (PS3.5 6.2.1)
        return "=".join(str(found.get(group, "")) for group in _GROUPS).rstrip("=")
    return _attributes(found, depth + 1)


def from_xml(body: bytes) -> list[Attributes]:
    """The data set of an answer; ValueError where it is not the Native DICOM Model."""
    reader = NativeModelReader()
    try:
        reader.parser.Parse(body, True)
    except expat.ExpatError as error:
        raise ValueError("not XML") from error
    return [reader.root]


class NativeModelReader:
    """Reads one document."""

    def __init__(self) -> None:
        self.root: dict[str, list[Any]] = {}
        self._open: list[dict[str, list[Any]]] = [self.root]
        self._values: list[Any] = []
        self._text: list[str] | None = None
        self._name: dict[str, str] = {}
        self._group = ""
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._read

    def _refuse(self, *_: object) -> None:
        raise ValueError("XML with a document type")

    def _begin(self, name: str, attributes: Mapping[str, str]) -> None:
        match name.rpartition(" ")[2]:
            case "DicomAttribute":
                self._values = self._open[-1].setdefault(attributes.get("tag", "").upper(), [])
            case "Item":
                if len(self._open) > _DEEPEST:
                    raise ValueError("sequences within sequences without an end")
                item: dict[str, list[Any]] = {}
                self._values.append(item)
                self._open.append(item)
            case "Value" | "FamilyName" | "GivenName" | "MiddleName" | "NamePrefix" | "NameSuffix":
                self._text = []
            case "PersonName":
                self._name = {}
            case "Alphabetic" | "Ideographic" | "Phonetic" as group:
                self._group = group

    def _read(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _end(self, name: str) -> None:
        match name.rpartition(" ")[2]:
            case "Item":
                self._open.pop()
            case "Value":
                self._values.append("".join(self._text or ()))
                self._text = None
            case "FamilyName" | "GivenName" | "MiddleName" | "NamePrefix" | "NameSuffix" as part:
                self._name[f"{self._group} {part}"] = "".join(self._text or ())
                self._text = None
            case "PersonName":
                groups = ("^".join(self._name.get(f"{group} {part}", "") for part in _PARTS) for group in _GROUPS)
                self._values.append("=".join(group.rstrip("^") for group in groups).rstrip("="))


def values(found: Attributes, keyword: str) -> list[Any]:
    """The values of an attribute; none where it is absent."""
    return list(found.get(tag_of(keyword), ()))


def items(found: Attributes, keyword: str) -> list[Attributes]:
    """The items of a sequence."""
    return [each for each in values(found, keyword) if isinstance(each, dict)]


def text(found: Attributes, keyword: str) -> str:
    """A value as text; several are joined by backslashes, as they are encoded (PS3.5 6.4)."""
    return "\\".join("" if each is None else str(each) for each in values(found, keyword) if not isinstance(each, dict))


def number(found: Attributes, keyword: str) -> int | None:
    """The first value as a whole number; None where it is none."""
    first = next(iter(values(found, keyword)), None)
    try:
        return None if isinstance(first, bool | dict | None) else int(first)
    except (ValueError, OverflowError):
        return None


def tag_of(keyword: str) -> str:
    """The tag of an attribute, as these models write it.

    >>> tag_of("PatientID")
    '00100020'
    """
    return f"{tag_for_keyword(keyword) or 0:08X}"


def tags_of(keywords: Iterable[str]) -> list[str]:
    """The same of several."""
    return [tag_of(each) for each in keywords]
