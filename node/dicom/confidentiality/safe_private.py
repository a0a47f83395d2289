"""PS3.15 Table E.3.10-1: private attributes that are known to hold nothing of a patient's identity.

By Private Creator and group: the last two digits of the element numbers, single or as ranges.
"""

from __future__ import annotations

from functools import cache

_TABLE = """
7053 Philips PET Private Group: 00 09
00E1 ELSCINT1: 21 50
01E1 ELSCINT1: 26
01F1 ELSCINT1: 01 07 26 27
0019 GEMS_ACQU_01: 23 24 27 9E
0043 GEMS_PARM_01: 27 39 6F
0045 GEMS_HELIOS_01: 01 02
0025 GEMS_SERS_01: 07
0903 GEIIS PACS: 10-12
2001 Philips Imaging DD 001: 01-0C 0E-1F 21-51 53-5A 5D-6B 6D-6F 71-77 79-8C 90-94 9A 9B 9D 9F A1-A5
2001 Philips Imaging DD 001: C0-C3 C5-C7 CA CB D0-DF E9 F1-F7 F9 FB-FD FF
2001 Philips Imaging DD 002: 01-40 50 52 53 57 58 5A 5C-5F 63-68 6B 71-75
2001 Philips Imaging DD 097: 01-08 0A 0B 0D-0F 12 17-1F 21-28 2A-32 36-3E 40-42 44-47 49-4C A1-A6 A8-AB
2001 Philips Imaging DD 129: 00-09
2005 Philips MR Imaging DD 001: 0D 0E
0025 Philips ST80i: 01
0019 SIEMENS MR HEADER: 0C-0E 27
7E01 HOLOGIC, Inc.: 01 02 10-12
0099 NQHeader: 01 02 04 05 10 20 21
0199 NQLeft: 01-16
0299 NQRight: 01-16
0119 SIEMENS Ultrasound SC2000: 00-09 10-13 21
0129 SIEMENS Ultrasound SC2000: 00 02-09 10-12 20-22 29 30
0139 SIEMENS Ultrasound SC2000: 01
0149 SIEMENS Ultrasound SC2000: 01-03
7FD1 SIEMENS Ultrasound SC2000: 01 09 10 11
7FD1 SIEMENS SYNGO ULTRA-SOUND TOYON DATA STREAMING: 01 09 10 11
"""


@cache
def _safe() -> dict[tuple[int, str], frozenset[int]]:
    found: dict[tuple[int, str], frozenset[int]] = {}
    for line in _TABLE.strip().splitlines():
        block, _, elements = line.partition(": ")
        group, _, creator = block.partition(" ")
        numbers = {number for each in elements.split() for number in _numbers(each)}
        key = int(group, 16), creator
        found[key] = found.get(key, frozenset()) | numbers
    return found


def _numbers(written: str) -> range:
    first, _, last = written.partition("-")
    return range(int(first, 16), int(last or first, 16) + 1)


def elements(group: int, creator: str) -> frozenset[int]:
    """The safe elements of a private block, by the last two digits of their numbers."""
    return _safe().get((group, creator), frozenset())
