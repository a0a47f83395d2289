"""Scores that a vendor puts into objects without codes, as findings: by the map in the plugin's manifest."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from node.dicom.elements import Elements, RawElement, text_of
from node.dicom.object_file import ObjectFile
from node.dicom.vr import CHARACTER_SET, NUMBERS, SIZES
from node.dicom.writing import representation
from node.run.returned.checking import decoded
from plugins.contract import ContractError, Finding, Score, Unit
from plugins.vendor_scores import VendorScore

_CHARACTER_SET, _MODALITY = 0x00080005, 0x00080060
_LONGEST = 1 << 16
_TEXTS = CHARACTER_SET | {"UN", "DS", "IS", "UR", "CS"}
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
"""What is a fraction in one country and a whole number in another."""
_MOST = 200
"""Scores of one object."""


def findings_of(found: ObjectFile, wanted: Iterable[VendorScore]) -> tuple[list[Finding], list[str]]:
    """The findings of the scores in an object, and what could not be taken, in words."""
    findings: list[Finding] = []
    problems: list[str] = []
    little = found.contents.little
    for each in wanted:
        if each.modality and each.modality != found.text(_MODALITY):
            continue
        for text in _places(found.contents.elements, each, found.text(_CHARACTER_SET), little=little):
            for number in _numbers(each, text):
                try:
                    findings.append(_finding(each, number))
                except (ContractError, ValueError) as error:
                    problems.append(f"{each.code.meaning}: {error}")
    return findings[:_MOST], problems[:_MOST]


def _finding(of: VendorScore, text: str) -> Finding:
    if _THOUSANDS.fullmatch(text):
        raise ValueError(f"{text} may be a number with a fraction, or one in the thousands")
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise ValueError("what is there is not a number") from None  # the text may name the patient
    score = Score(value, of.present_from, of.meaning, Unit(of.unit))
    return Finding(of.code, of.present(value), score)


def _numbers(of: VendorScore, text: str) -> Iterator[str]:
    if not of.pattern:
        yield text.split("\\")[0].strip()
        return
    for match in re.finditer(of.pattern, text):
        yield match[1] or ""


def _places(elements: Elements, of: VendorScore, character_set: str, *, little: bool) -> Iterator[str]:
    """The texts in which the score may be, at every depth."""
    character_set = text_of(elements, _CHARACTER_SET) or character_set
    for tag, raw in elements.items():
        if isinstance(raw.value, list):
            for item in raw.value:
                yield from _places(item, of, character_set, little=little)
        elif len(raw.value) <= _LONGEST and (not of.group or _is_it(tag, elements, of)):
            yield from _text(tag, raw, character_set, little=little)


def _is_it(tag: int, elements: Elements, of: VendorScore) -> bool:
    if not of.creator:
        return tag == of.group << 16 | of.element
    block = tag >> 8 & 0xFF
    creator = text_of(elements, tag & 0xFFFF0000 | block)
    return tag >> 16 == of.group and tag & 0xFF == of.element and block >= 0x10 and creator == of.creator


def _text(tag: int, raw: RawElement, character_set: str, *, little: bool) -> Iterator[str]:
    vr = representation(tag, raw.vr, signed=False)
    assert not isinstance(raw.value, list)
    if vr in NUMBERS and len(raw.value) >= SIZES[vr]:
        yield repr(struct.unpack_from(f"{'<' if little else '>'}{NUMBERS[vr]}", raw.value)[0])
    elif vr in _TEXTS:
        yield decoded(bytes(raw.value), character_set)
