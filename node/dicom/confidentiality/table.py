"""PS3.15 Table E.1-1 as data: what the Basic Profile and each of its options do to every attribute that is listed.

The file beside this module has the attributes and the column of the Basic Profile of edition 2026c. The columns of the
options are those of edition 2024c; of the 33 attributes that were added since, only the dates have entries there (as
every date has): the others follow the Basic Profile, which removes more.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

_FILE = "table_e1_1.csv"
_BASIC = "basic"


class Option(StrEnum):
    """The options of the Basic Profile (PS3.15 E.3) that the table has a column for, as the file calls them."""

    SAFE_PRIVATE = "safe_private"
    UIDS = "uids"
    DEVICE = "device"
    INSTITUTION = "institution"
    PATIENT = "patient"
    FULL_DATES = "full_dates"
    MODIFIED_DATES = "modified_dates"
    DESCRIPTORS = "descriptors"
    STRUCTURED = "structured"
    GRAPHICS = "graphics"


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute of the table."""

    tag: str
    """Eight hexadecimal digits; `50xxxxxx`, `60xx3000` and `60xx4000` for repeating groups, `private` for all private
    attributes.
    """
    name: str
    basic: str
    """The action codes of the Basic Profile as the table has them, such as `X/Z/D`."""
    options: dict[Option, str]
    """`K` (keep) or `C` (clean), for each option that says something of the attribute."""


@cache
def rows() -> tuple[Row, ...]:
    """The whole table, by tag."""
    text = resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return tuple(
        Row(line["tag"], line["name"], line[_BASIC], {each: line[each] for each in Option if line[each]})
        for line in csv.DictReader(text.splitlines())
    )
