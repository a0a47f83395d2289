"""The content tree of an SR as it is (PS3.3 C.17.3): items by name and type, and which of them nobody has read.

Whoever takes something out of an item uses it; what is left at the end is said, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import isclose

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as StandardCode

from node.reading.codes import unit_text
from node.reading.report import ReadCode
from plugins.attribute_numbers import decimal

_OLD_SCHEMES = {"SNM3": "SRT", "99SDM": "SRT"}
"""What older reports call the SNOMED codes whose designator is SRT (PS3.16 8.1.1)."""
_TEXTS = {
    "TEXT": "TextValue",
    "PNAME": "PersonName",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
    "UIDREF": "UID",
    "SCOORD": "GraphicType",
    "SCOORD3D": "GraphicType",
    "TCOORD": "TemporalRangeType",
}
_ROUNDING = 0.005
"""Difference, as a share, of a floating point value and the decimal string beside it, rounded as makers do."""
FINDING_CATEGORY = StandardCode("276214006", "SCT", "Finding category")
_TECHNICAL = (
    codes.DCM.CountryOfLanguage,
    codes.DCM.LanguageOfContentItemAndDescendants,
    codes.DCM.ImageLibrary,
    codes.DCM.ProcedureReported,
    codes.DCM.ObserverType,
    codes.DCM.DeviceObserverUID,
    codes.DCM.DeviceObserverManufacturer,
    codes.DCM.DeviceObserverModelName,
    codes.DCM.DeviceObserverSerialNumber,
    codes.DCM.DeviceObserverPhysicalLocationDuringObservation,
    codes.DCM.DeviceRoleInProcedure,
    codes.DCM.SubjectUID,
    codes.DCM.SubjectID,
    codes.DCM.SubjectClass,
    codes.DCM.SourceOfMeasurement,
    codes.DCM.SourceSeriesForSegmentation,
    codes.DCM.SourceImageForSegmentation,
    codes.DCM.RealWorldValueMapUsedForMeasurement,
    codes.DCM.GeometricPurposeOfRegion,
    codes.DCM.AlgorithmFamily,
    codes.DCM.AlgorithmManufacturer,
    StandardCode("C67447", "NCIt", "Activity Session"),
    FINDING_CATEGORY,
)
"""How a report came about, and what its items are for: read by machines, and nothing that a reader misses."""


def first(item: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence, if there is one."""
    sequence = item.get(keyword) if item is not None else None
    return sequence[0] if sequence else None


def code_of(item: Dataset | None) -> ReadCode | None:
    """The code in an item of a code sequence."""
    if item is None:
        return None
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return ReadCode(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))


def name_of(item: Dataset) -> ReadCode:
    """What an item is: its concept name."""
    return code_of(first(item, "ConceptNameCodeSequence")) or ReadCode("", "", "")


def value_of(item: Dataset) -> ReadCode | None:
    """The value of a CODE item."""
    return code_of(first(item, "ConceptCodeSequence"))


def is_code(code: ReadCode, wanted: StandardCode) -> bool:
    """Whether both are one concept; SNOMED's older codes (SRT) are those of today (SCT)."""
    return _are_equal(code.value, code.scheme, wanted.value, wanted.scheme_designator)


@lru_cache(maxsize=8192)
def _are_equal(value: str, scheme: str, other_value: str, other_scheme: str) -> bool:
    own = StandardCode(value, _OLD_SCHEMES.get(scheme, scheme), "")
    return bool(own == StandardCode(other_value, other_scheme, ""))


@lru_cache(maxsize=8192)
def _is_technical(value: str, scheme: str) -> bool:
    return any(_are_equal(value, scheme, each.value, each.scheme_designator) for each in _TECHNICAL)


class Tree:
    """One document, and the items of it that were used."""

    def __init__(self, document: Dataset) -> None:
        self.document = document
        self._used: set[int] = set()

    def children(self, item: Dataset, value_type: str = "", name: StandardCode | None = None) -> Iterator[Dataset]:
        """Those of this type and name."""
        for child in item.get("ContentSequence") or ():
            if value_type in {"", child.get("ValueType")} and (name is None or is_code(name_of(child), name)):
                yield child

    def use(self, item: Dataset) -> Dataset:
        """It is read."""
        self._used.add(id(item))
        return item

    def containers(self, name: StandardCode, within: Dataset | None = None) -> Iterator[Dataset]:
        """Containers of this name, wherever they are."""
        for child in self.children(within if within is not None else self.document):
            if child.get("ValueType") == "CONTAINER" and is_code(name_of(child), name):
                yield child
            else:
                yield from self.containers(name, child)

    def text(self, item: Dataset, name: StandardCode) -> str:
        """The value of the first child of this name, as text."""
        for child in self.children(item, name=name):
            self.use(child)
            if child.get("ValueType") == "CODE":
                code = value_of(child)
                return code.meaning if code else ""
            return str(child.get(_TEXTS.get(str(child.get("ValueType")), "TextValue")) or "")
        return ""

    def coded(self, item: Dataset, name: StandardCode) -> ReadCode | None:
        """The value of the first CODE child of this name."""
        return next((value_of(self.use(child)) for child in self.children(item, "CODE", name)), None)

    def left(self) -> Iterator[tuple[str, str]]:
        """Every item that was not used, by the names that lead to it, with its value in words."""
        yield from self._left(self.document, "")

    def _left(self, item: Dataset, path: str) -> Iterator[tuple[str, str]]:
        for child in self.children(item):
            name = name_of(child)
            if _is_technical(name.value, name.scheme):
                continue
            called = f"{path} / {name.meaning}" if path and name.meaning else name.meaning or path
            if id(child) not in self._used and (value := in_words(child)):
                yield called or "(without a name)", value
            yield from self._left(child, called)


def in_words(item: Dataset) -> str:
    """The value of an item as a person reads it; empty for one that has none, such as a container."""
    value_type = str(item.get("ValueType", ""))
    if value_type == "CODE":
        code = value_of(item)
        return (code.meaning or code.value) if code else ""
    if value_type == "NUM":
        return number_in_words(item)
    if value_type in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        reference = first(item, "ReferencedSOPSequence")
        return f"SOP instance {reference.get('ReferencedSOPInstanceUID', '')}" if reference is not None else ""
    value = item.get(_TEXTS.get(value_type, "TextValue"))
    text = ", ".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
    return " ".join(text.split())


def number_in_words(item: Dataset) -> str:
    """A NUM: its value and unit, or why there is none; of one that states several all of them."""
    stated = numbers_of(item)
    if not stated:
        qualifier = code_of(first(item, "NumericValueQualifierCodeSequence"))
        return qualifier.meaning if qualifier else "no value"
    unit = code_of(first(first(item, "MeasuredValueSequence"), "MeasurementUnitsCodeSequence"))
    values = " or ".join(stated if len(stated) > 1 and not is_certain(item) else stated[:1])
    return f"{values} {unit_text(unit.value) if unit else ''}".rstrip()


def numbers_of(item: Dataset) -> list[str]:
    """All that a NUM states as its value: as decimal string and as floating point value, of each of its items."""
    stated: list[str] = []
    for measured in item.get("MeasuredValueSequence") or ():
        for keyword in ("NumericValue", "FloatingPointValue"):
            try:
                value = measured.get(keyword)
            except (ValueError, TypeError, OverflowError):  # pydicom converts when it is asked
                value = bytes(measured.get_item(keyword).value).decode("ascii", "replace").strip()
            stated += [str(each) for each in (value if isinstance(value, MultiValue) else [value])]
    return list(dict.fromkeys(text for text in stated if text not in ("", "None")))


def is_certain(item: Dataset) -> bool:
    """Whether a NUM has no value or one: all that it states are numbers, and the same but for rounding."""
    try:
        numbers = [decimal(text) for text in numbers_of(item)]
    except ValueError:
        return False
    return all(isclose(number, numbers[0], rel_tol=_ROUNDING) for number in numbers)
