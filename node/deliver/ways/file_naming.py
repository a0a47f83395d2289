"""The name of a file in a folder, from a template and the object's own values: safe whatever these say.

Values come from modalities. A name never leads out of its folder, is never hidden, and is one that Linux, Windows and
macOS can all store. Two values that differ never become one name, not even where upper and lower case count as the
same: a value that could not be taken as it is, or has lower-case letters, ends with a digest of itself.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import tag_for_keyword

from node.config.file_names import FIELDS, NamePiece, is_reserved
from node.dicom.charset import UndecodableTextError, decode_text
from node.dicom.elements import Elements
from node.dicom.object_file import read_as_far_as_possible
from node.dicom.values import Converter
from node.errors import PermanentError

ABSENT = "none"
"""In the place of a value that is empty; no value becomes this, as it is in lower case."""
_LONGEST = 64
"""Bytes of a value in a name, of which the longest UID has as many; a name has 255 on most file systems."""
_LETTERS_AND_DIGITS = ("Lu", "Ll", "Lo", "Nd")
_OTHERS = "-_."
_OF_PATIENTS = ("patient_id", "accession_number")


@dataclass(frozen=True, slots=True)
class FileName:
    """Where an object is to be, within the folder of the destination."""

    folders: tuple[str, ...]
    """Outermost first."""
    name: str
    shown: str
    """The same for messages and logs, which do not say who the patient is."""


def name_of(path: Path, parts: Sequence[Sequence[NamePiece]]) -> FileName:
    """The name of an object by a template; PermanentError, OSError."""
    values = values_of(path)
    *folders, name = _names(parts, values)
    return FileName(tuple(folders), name, "/".join(_names(parts, values | dict.fromkeys(_OF_PATIENTS, "…"))))


def _names(parts: Sequence[Sequence[NamePiece]], values: Mapping[str, str]) -> list[str]:
    return [_whole("".join(_text(each, values) for each in pieces)) for pieces in parts]


def values_of(path: Path) -> dict[str, str]:
    """The values of all fields, each as it can be in a name."""
    with path.open("rb") as file:
        try:
            contents = read_as_far_as_possible(file).contents
        except PermanentError as error:
            raise PermanentError(f"{path.name}: cannot be named: {error}") from error
    labels = Converter(contents.little).labels_of(contents.elements, [""])
    return {field: _value(contents.elements, keyword, labels) for field, keyword in FIELDS.items()}


def _value(elements: Elements, keyword: str, labels: Sequence[str]) -> str:
    raw = elements.get(tag_for_keyword(keyword) or 0)
    if raw is None or isinstance(raw.value, list):
        return ABSENT
    data = bytes(raw.value[:1024])
    try:
        return safe(decode_text(data, labels).strip(" \0"))
    except UndecodableTextError:
        return safe(data.decode("latin-1"))


def safe(value: str) -> str:
    """A value as it can be in a name.

    >>> safe("P-0815"), safe(""), safe("../p/1"), safe("a1") != safe("A1").lower()
    ('P-0815', 'none', '___p_1~5a63ec4f', True)
    """
    if not value:
        return ABSENT
    composed = unicodedata.normalize("NFC", value)
    made = "".join(each if _is_safe(each) else "_" for each in composed)
    if made[0] == ".":
        made = f"_{made[1:]}"
    if made[-1] == ".":
        made = f"{made[:-1]}_"
    made = made.replace("..", "__")
    if made == value == value.upper() and len(made.encode()) <= _LONGEST:
        return made
    return f"{_cut(made)}~{_digest(value)}"


def _is_safe(character: str) -> bool:
    return character in _OTHERS or unicodedata.category(character) in _LETTERS_AND_DIGITS


def _cut(text: str) -> str:
    """As much of it as fits, with whole characters."""
    return text.encode()[: _LONGEST - 9].decode(errors="ignore")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _text(piece: NamePiece, values: Mapping[str, str]) -> str:
    return values[piece.text] if piece.is_field else piece.text


def _whole(name: str) -> str:
    """The name of one folder or file, which values may have made that of a device."""
    stem, dot, rest = name.partition(".")
    return f"{stem}~{dot}{rest}" if is_reserved(name) else name
