"""Value representations (PS3.5 6.2) by how they are written: what the readers and writers of this node rest on."""

from __future__ import annotations

ASCII = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
"""Text of the default character repertoire."""
TEXTS = frozenset({"LO", "PN", "SH", "UC"})
"""Text in the Specific Character Set, of which there may be several values."""
LONG_TEXTS = frozenset({"LT", "ST", "UT"})
"""Text of one value, in which a backslash is a character, and lines and pages may end."""
CHARACTER_SET = TEXTS | LONG_TEXTS
"""All text that the Specific Character Set is about."""
NUMBERS = {"FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}
"""Binary numbers, and how `struct` calls one."""
SIZES = {
    "AT": 4,
    "FD": 8,
    "FL": 4,
    "OD": 8,
    "OF": 4,
    "OL": 4,
    "OV": 8,
    "SL": 4,
    "SS": 2,
    "SV": 8,
    "UL": 4,
    "US": 2,
    "UV": 8,
    "US or SS": 2,
}
"""Bytes of one value."""
LONG_LENGTH = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
"""With a length of four bytes in Explicit VR (PS3.5 7.1.2)."""
SHORT_LENGTH = (ASCII | CHARACTER_SET | NUMBERS.keys() | {"AT"}) - LONG_LENGTH
"""With a length of two bytes."""
KNOWN = LONG_LENGTH | SHORT_LENGTH
"""Every value representation of the Standard."""
