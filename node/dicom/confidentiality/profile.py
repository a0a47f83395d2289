"""A confidentiality profile as a value: the Basic Profile of PS3.15 Annex E with some of its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache

from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR

from node.dicom.confidentiality.table import Option, Row, rows


class Action(StrEnum):
    """What is done to an attribute (PS3.15 Table E.1-1a)."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    KEEP = "K"
    """Kept; within a sequence, each attribute of its items has its own action."""
    DATE = "C"
    """Cleaned by moving it: a date, a time or both."""


CODES: Mapping[Option, tuple[str, str]] = {
    Option.SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    Option.UIDS: ("113110", "Retain UIDs Option"),
    Option.DEVICE: ("113109", "Retain Device Identity Option"),
    Option.INSTITUTION: ("113112", "Retain Institution Identity Option"),
    Option.PATIENT: ("113108", "Retain Patient Characteristics Option"),
    Option.FULL_DATES: ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    Option.MODIFIED_DATES: ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    Option.DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    Option.STRUCTURED: ("113104", "Clean Structured Content Option"),
    Option.GRAPHICS: ("113103", "Clean Graphics Option"),
}
"""Codes and meanings of CID 7050 (PS3.16)."""
BASIC_CODE = ("113100", "Basic Application Confidentiality Profile")
_CLEANED = {Option.STRUCTURED: Action.KEEP}
"""Options whose `C` is done attribute by attribute, within the items. Free text is never cleaned: it is removed."""
_DATE_VRS = frozenset({"DA", "DT", "TM"})
_TIMEZONE = 0x00080201
_TEXT_VALUE = 0x0040A160
"""Of an SR tree: the table protects the tree as a whole, so an item that is kept needs this."""
_FREE_TEXT = frozenset({"LT", "ST", "UT", "UR"})
_KINDS_BY_ADDRESS = frozenset({0x0008010E, 0x00080120})
"""URLs of coding schemes: they say what a code is."""
_UNLISTED_IDENTITY = frozenset(
    {0x00100033, 0x00100034, 0x00080407, 0x00080408, 0x00080409}  # dates of birth and death in another calendar, URLs
    | {0x00401006, 0x00401007, 0x00402006, 0x00402007}  # retired numbers of orders
)
"""Attributes that the table does not list, or not any more, and that say who it is."""
_NAMES_OF_KINDS = ("SOPClass", "TransferSyntax", "CodingScheme", "ContextUID", "ContextGroup", "MappingResource")
"""In keywords of attributes whose UIDs say what kind of thing something is, not which one it is."""


@dataclass(frozen=True)
class Profile:
    """The Basic Profile with options; equal profiles do the same."""

    options: frozenset[Option] = frozenset()

    @property
    def codes(self) -> list[tuple[str, str]]:
        """Code and meaning of the profile and of its options, for De-identification Method Code Sequence."""
        return [BASIC_CODE, *sorted(CODES[each] for each in self.options)]

    def action(self, tag: int) -> Action:
        """What is done to an attribute of an even group; one that the Standard does not know is removed."""
        return _action(self.options, tag)


PLUGIN_INPUT = Profile(frozenset({Option.PATIENT, Option.MODIFIED_DATES, Option.DEVICE, Option.SAFE_PRIVATE}))
"""What a plugin gets: enough for ages, weights, SUV, b-values and intervals, nothing that says who or where."""


@lru_cache(maxsize=50_000)
def _action(options: frozenset[Option], tag: int) -> Action:
    group = tag >> 16
    if group < 8 or tag & 0xFFFF == 0 or group >> 8 in (0x50, 0x60) or not dictionary_has_tag(tag):
        return Action.REMOVE
    row = _by_tag().get(f"{tag:08x}")
    return _of_listed(row, options, tag) if row else _of_unlisted(options, tag)


@cache
def _by_tag() -> dict[str, Row]:
    return {row.tag: row for row in rows()}


def _of_listed(row: Row, options: frozenset[Option], tag: int) -> Action:
    said = {option: code for option, code in row.options.items() if option in options}
    if "K" in said.values():
        return Action.KEEP
    for option in said:
        if option is Option.MODIFIED_DATES and tag == _TIMEZONE:
            return Action.KEEP
        if option is Option.MODIFIED_DATES and dictionary_VR(tag) in _DATE_VRS:
            return Action.DATE
        if option in _CLEANED:
            return _CLEANED[option]
    return basic(row.basic)


def basic(codes: str) -> Action:
    """The action of the Basic Profile: of several codes the one that conforms to every IOD, which is the last.

    `X/Z/U*` keeps a sequence of references, whose UIDs are replaced.
    """
    last = codes.rsplit("/", 1)[-1]
    return Action.KEEP if last == "U*" else Action(last)


def _of_unlisted(options: frozenset[Option], tag: int) -> Action:
    """What the table does not list is kept, except for what could hold a name, a date, a UID or any text."""
    vr = dictionary_VR(tag)
    if vr in _DATE_VRS:
        if Option.FULL_DATES in options:
            return Action.KEEP
        return Action.DATE if Option.MODIFIED_DATES in options else Action.EMPTY
    if vr == "UI" and Option.UIDS not in options:
        keyword = dictionary_keyword(tag)
        return Action.KEEP if any(each in keyword for each in _NAMES_OF_KINDS) else Action.UID
    if tag == _TEXT_VALUE:
        return Action.DUMMY
    typed = vr in ("PN", "AE") or (vr in _FREE_TEXT and tag not in _KINDS_BY_ADDRESS)
    return Action.EMPTY if typed or tag in _UNLISTED_IDENTITY else Action.KEEP
