"""Copies attributes of the images for certain, repaired, or not at all; what was changed is recorded, never a value.

An optional attribute that a sender filled wrongly must not cost the result, and must not leave in an object of ours
either. So each value is decoded from its bytes and checked against its Value Representation, Value Multiplicity and
Enumerated Values (PS3.5 6.2, 6.4), each item against what it must have; `results.source.copied` says which attributes,
and what becomes of those that are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence as SequenceOfItems
from pydicom.tag import BaseTag
from pydicom.valuerep import format_number_as_ds

from node.dicom.charset import UndecodableTextError, decode_text
from node.dicom.uids import is_acceptable_uid
from node.dicom.vr import ASCII, CHARACTER_SET, LONG_TEXTS
from node.results.errors import NotEncodableError
from node.results.source.copied import TYPE_2, CopiedItem, CopyRule, Treatment
from node.results.source.values import is_decimal, problem_of, unwritable

_ASCII_VRS = ASCII - {"AE"}
_AS_TEXT = CHARACTER_SET | _ASCII_VRS | {"UN", None}
"""How a text may be labelled in the file; anything else is binary or a sequence."""
_LIMITS = {"LO": 64, "ST": 1024, "LT": 10240}
"""Characters that a text may be cut to. A name (PN) is not cut, nor is an SH: that names something."""
_TIME_ZONE = re.compile(r"\+(0\d|1[0-3])[0-5]\d|\+1400|-(?!0000)(0\d|1[01])[0-5]\d|-1200")
_LONGEST = {"PN": 64, "LO": 64, "SH": 16, "UI": 64}
"""Characters of a value, of a name those of each component group."""


@dataclass
class CopyChanges:
    """What could not be copied as it is, in the order in which it was found; each once."""

    told: dict[str, None] = field(default_factory=dict)

    def tell(self, path: str, keyword: str, what: str) -> None:
        """`what` was done and why; it holds no value."""
        tag = BaseTag(tag_for_keyword(keyword) or 0)
        self.told[f"{path}{keyword} ({tag.group:04X},{tag.element:04X}): {what}"] = None


@dataclass(frozen=True)
class CopySource:
    """Where attributes are copied from: a header or an item of it."""

    dataset: Dataset
    labels: tuple[str, ...]
    """Its Specific Character Set."""
    assumed: str
    """One to try where the labels do not fit."""
    changes: CopyChanges
    path: str = ""
    """Of the item, such as `ProcedureCodeSequence[1].`"""

    def of_item(self, item: Dataset, keyword: str, number: int) -> CopySource:
        """An item of one of its sequences."""
        labels = tuple(character_set(item)) if "SpecificCharacterSet" in item else self.labels
        return replace(self, dataset=item, labels=labels, path=f"{self.path}{keyword}[{number}].")


class _NotCopiedError(Exception):
    """A value cannot be copied as it is: says why, without the value."""


def character_set(dataset: Dataset) -> list[str]:
    """The values of Specific Character Set; [""] where it is absent or cannot be read."""
    value = readable(dataset, "SpecificCharacterSet")
    if not value:
        return [""]
    return [value] if isinstance(value, str) else [str(label) for label in value]


def readable(dataset: Dataset, keyword: str) -> Any:
    """The value of an attribute; None where there is none, and where what is there cannot be converted.

    For attributes that may be missing: whoever needs one says so where it is None.
    """
    try:
        return dataset.get(keyword)
    except Exception:  # noqa: BLE001 - whatever pydicom's converters raise, no value can be read
        return None


def readable_items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where there is none, and where what is there is no sequence."""
    value = readable(dataset, keyword)
    return list(value) if isinstance(value, SequenceOfItems) else []


def copied(source: CopySource, attributes: Iterable[CopyRule]) -> Dataset:
    """The attributes that are there and right, or could be repaired; sequences with the items that may stay.

    Raises `NotEncodableError` naming an attribute that identifies and cannot be copied as it is.
    """
    result = Dataset()
    for attribute in attributes:
        tag = BaseTag(tag_for_keyword(attribute.keyword) or 0)
        if tag not in source.dataset:
            continue
        if attribute.item is None:
            value: object = _value(source, attribute, tag)
        else:
            value = kept_items(source, attribute.keyword, attribute.item, single=attribute.single)
        if value:
            result.add(DataElement(tag, dictionary_VR(tag), value))
    return result


# --- sequences ------------------------------------------------------------------------------------


def items_of(source: CopySource, keyword: str) -> list[Dataset]:
    """The items of a sequence as they are; none where it is not a sequence, which is recorded."""
    try:
        element = source.dataset[keyword]
    except Exception:  # noqa: BLE001 - whatever pydicom's converters raise, there are no items; it is recorded
        source.changes.tell(source.path, keyword, "left out: cannot be read")
        return []
    if element.VR != "SQ":
        source.changes.tell(source.path, keyword, "left out: is not a sequence")
        return []
    return list(element.value or ())


def kept_items(source: CopySource, keyword: str, plan: CopiedItem, *, single: bool = False) -> list[Dataset]:
    """What is copied of the items of a sequence; an item that lacks what it must have is left out, and told.

    `single`: the Standard allows one item.
    """
    kept = []
    for number, item in enumerate(items_of(source, keyword), start=1):
        within = source.of_item(item, keyword, number)
        result = copied(within, plan.attributes)
        for keyword_of_other in _others(result, plan.alternatives):
            del result[keyword_of_other]
        if problem := _what_is_missing(result, plan):
            source.changes.tell(source.path, keyword, f"item {number} left out: {problem}")
        else:
            kept.append(result)
    if single and len(kept) > 1:
        source.changes.tell(source.path, keyword, f"the first of {len(kept)} items kept: one is allowed")
        return kept[:1]
    return kept


def _others(item: Dataset, alternatives: Sequence[str]) -> list[str]:
    return [keyword for keyword in alternatives if keyword in item][1:]


def _what_is_missing(item: Dataset, plan: CopiedItem) -> str:
    if not len(item):
        return "nothing in it can be copied"
    missing = [" or ".join(group) for group in plan.required if not any(keyword in item for keyword in group)]
    missing += [other for keyword, other in plan.needs if keyword in item and other not in item]
    return f"without {', '.join(dict.fromkeys(missing))}" if missing else ""


# --- values ---------------------------------------------------------------------------------------


def _value(source: CopySource, attribute: CopyRule, tag: BaseTag) -> str | list[str]:
    keyword, vr = attribute.keyword, dictionary_VR(tag)
    identifies = attribute.treatment is Treatment.IDENTIFIES
    try:
        text = _text(source, attribute, tag, vr)
        parts = [text] if vr in LONG_TEXTS else text.split("\\")
        if identifies:
            return _as_it_is(source, keyword, vr, parts)
        if len(parts) > 1 and dictionary_VM(tag) == "1":
            parts = [_joined(source, attribute, vr, parts)]
        return _right(source, attribute, vr, parts)
    except _NotCopiedError as error:
        if identifies:
            raise NotEncodableError(keyword, str(error)) from error
        done = "left empty" if keyword in TYPE_2 and not source.path else "left out"
        source.changes.tell(source.path, keyword, f"{done}: {error}")
        return ""


def _text(source: CopySource, attribute: CopyRule, tag: BaseTag, vr: str) -> str:
    """What the bytes say, without padding."""
    element = source.dataset.get_item(tag)
    if element is None or element.value is None or element.value == b"":
        return ""
    if element.VR not in _AS_TEXT:
        raise _NotCopiedError(f"VR {element.VR} instead of {vr}")
    raw = element.value
    if not isinstance(raw, bytes):
        return str(raw)
    if vr in _ASCII_VRS:
        if not raw.isascii():
            raise _NotCopiedError(f"characters that VR {vr} cannot hold")
        return raw.decode("ascii").strip(" \0")
    raw = raw.rstrip(b" \0")
    try:
        return decode_text(raw, source.labels, source.assumed).rstrip(" \0")
    except UndecodableTextError as error:
        if attribute.treatment is Treatment.DESCRIBES and vr in _LIMITS and (whole := _before_the_cut(raw)):
            source.changes.tell(source.path, attribute.keyword, "shortened: it was cut inside a character")
            return whole
        raise _NotCopiedError(str(error)) from error


def _before_the_cut(raw: bytes) -> str:
    """UTF-8 that a sender cut inside its last character, up to there; empty where it is not certain to be UTF-8."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and not raw[: error.start].isascii():
            text = raw[: error.start].decode()
            return text if not unwritable(text, "LT") else ""
    return ""


def _as_it_is(source: CopySource, keyword: str, vr: str, parts: list[str]) -> str | list[str]:
    """Several values stay several, though one is allowed: archives compare them as they were received."""
    groups = [group for part in parts for group in (part.split("=") if vr == "PN" else [part])]
    if (longest := max(map(len, groups))) > _LONGEST.get(vr, longest):
        raise _NotCopiedError(
            f"{longest} characters in the source image, which VR {vr} cannot hold; nothing of it may be cut"
        )
    for part in parts:
        if vr == "UI" and is_acceptable_uid(part):  # another UID would be another study; `context` tells of it
            continue
        if problem := problem_of(vr, part):
            raise _NotCopiedError(problem)
    if len(parts) > 1:
        source.changes.tell(source.path, keyword, f"copied as it is, {len(parts)} values where one is allowed")
        return parts
    return parts[0]


def _joined(source: CopySource, attribute: CopyRule, vr: str, parts: list[str]) -> str:
    """One text of several values where one is allowed: a backslash that a person typed."""
    if attribute.treatment is not Treatment.DESCRIBES or vr not in _LIMITS:
        raise _NotCopiedError(f"{len(parts)} values where one is allowed")
    source.changes.tell(source.path, attribute.keyword, f"{len(parts)} values written as one, with / between them")
    return "/".join(part.strip() for part in parts)


def _right(source: CopySource, attribute: CopyRule, vr: str, parts: list[str]) -> str | list[str]:
    """The values that are right or can be put right."""
    kept, reasons = [], []
    for part in parts:
        if not part.strip():
            continue
        try:
            kept.append(_repaired(source, attribute, vr, part))
        except _NotCopiedError as error:
            reasons.append(str(error))
    if reasons and not kept:
        raise _NotCopiedError(reasons[0])
    if reasons:
        what = f"{len(reasons)} of {len(parts)} values left out: {reasons[0]}"
        source.changes.tell(source.path, attribute.keyword, what)
    return kept[0] if len(kept) == 1 else kept


def _repaired(source: CopySource, attribute: CopyRule, vr: str, part: str) -> str:
    value = _in_its_form(vr, part)
    if attribute.treatment is Treatment.DESCRIBES and vr in _LIMITS:
        clean = "".join(" " if unwritable(character, vr) else character for character in value)
        short = clean[: _LIMITS[vr]].rstrip()
        if short != value.rstrip():
            done = "shortened" if len(clean) > _LIMITS[vr] else "control characters left out"
            source.changes.tell(source.path, attribute.keyword, f"{done}: VR {vr} cannot hold it as it is")
        value = short
    if attribute.values and value not in attribute.values:
        raise _NotCopiedError("not one of the values that the Standard enumerates")
    if attribute.keyword == "LongCodeValue" and len(value) <= _LONGEST["SH"]:  # PS3.3 8.1: Code Value is for these
        raise _NotCopiedError("not longer than Code Value can hold")
    if attribute.keyword == "TimezoneOffsetFromUTC" and not _TIME_ZONE.fullmatch(value):
        raise _NotCopiedError("there is no such time zone")
    if problem := problem_of(vr, value):
        raise _NotCopiedError(problem)
    return value


def _in_its_form(vr: str, text: str) -> str:
    """An old or lax form as the present one, where its meaning is certain."""
    if vr not in _ASCII_VRS:
        return text
    text = text.strip(" \0")
    if vr == "DA" and re.fullmatch(r"\d{4}([.-])\d{2}\1\d{2}", text):
        return text.replace(".", "").replace("-", "")
    if vr == "TM":
        text = text.replace(":", "")
        return re.sub(r"(\.\d{6})\d+$", r"\1", text)
    if vr == "AS" and re.fullmatch(r"\d{1,3}[DWMYdwmy]", text):
        return text.upper().zfill(4)
    if vr == "DS" and len(text) > 16 and is_decimal(text):
        return format_number_as_ds(float(text))
    return text.upper() if vr == "CS" else text
