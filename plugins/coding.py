"""What things are called: coded concepts, sites of the body and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from plugins import fields
from plugins.images import ContractError, require
from plugins.ucum import is_unit


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 8.8): value, coding scheme designator, meaning (≤ 64 characters)."""

    value: str
    scheme: str
    meaning: str
    """English, in ASCII: what the objects say."""
    meanings: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """Second meanings for people, by language: `(("ko", "폐 결절"),)`. Pages show them, objects never."""

    def __post_init__(self) -> None:
        if isinstance(self.value, int) and not isinstance(self.value, bool):  # a code of SNOMED CT without its quotes
            object.__setattr__(self, "value", str(self.value))
        require(
            bool(self.value) and bool(self.scheme) and bool(self.meaning),
            f"Code: value, scheme and meaning must all be given, not {self!r}",
        )
        object.__setattr__(self, "value", fields.text(self.value, "Code.value"))
        object.__setattr__(self, "scheme", fields.text(self.scheme, "Code.scheme"))
        object.__setattr__(self, "meaning", fields.text(self.meaning, "Code.meaning"))
        require(len(self.scheme) <= 16, f"Code.scheme: {self.scheme!r} has more than 16 characters")
        require(len(self.meaning) <= 64, f"Code.meaning: {self.meaning!r} has more than 64 characters")
        given = self.meanings.items() if isinstance(self.meanings, Mapping) else self.meanings
        object.__setattr__(self, "meanings", fields.items(given, "Code.meanings", (), _second_meaning))

    @staticmethod
    def of(value: Any, name: str) -> Code:
        """What is a code for certain: one of pydicom or highdicom, or (value, scheme, meaning)."""
        if isinstance(value, Code):
            return value
        if all(hasattr(value, each) for each in ("value", "scheme_designator", "meaning")):
            return Code(str(value.value), str(value.scheme_designator), str(value.meaning))
        if isinstance(value, tuple | list) and len(value) == 3 and all(isinstance(each, str) for each in value):
            return Code(*value)
        raise ContractError(
            f'{name}: {fields.shown(value)} is not a code; write Code("value", "scheme", "meaning"), or one of '
            "plugins.codes"
        )


def _second_meaning(value: Any, name: str) -> tuple[str, str]:
    if isinstance(value, tuple | list) and len(value) == 2:
        return fields.text(value[0], name, 64), fields.text(value[1], name, 64)
    raise ContractError(f"Code.meanings: each is a language and 1 to 64 characters, not {fields.shown(value)}")


@dataclass(frozen=True, slots=True)
class Site:
    """Where in the body: an anatomic region (CID 4031 or any other), with its laterality where it has one.

    Sides may be written as "left", "right" and "both", or as the Standard's L, R and B (PS3.3 C.7.3.1).
    """

    region: Code
    laterality: Code | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "region", Code.of(self.region, "Site.region"))
        if self.laterality is not None:
            side = self.laterality
            known = _SIDES.get(side.lower()) if isinstance(side, str) else Code.of(side, "Site.laterality")
            if known is None:
                raise ContractError(f'Site.laterality: {side!r} is not a side; write "left", "right", "both" or a Code')
            object.__setattr__(self, "laterality", known)

    @staticmethod
    def of(value: Any, name: str) -> Site:
        """A site, the code of its region, or (region, side)."""
        if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], Code):
            return Site(value[0], value[1])
        return value if isinstance(value, Site) else Site(Code.of(value, name))


RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
BOTH = Code("51440002", "SCT", "Bilateral")
_SIDES = {"right": RIGHT, "r": RIGHT, "left": LEFT, "l": LEFT, "both": BOTH, "bilateral": BOTH, "b": BOTH}


@dataclass(frozen=True, slots=True)
class Unit:
    """A UCUM unit: `code` is case-sensitive UCUM ("mm", "mL", "[hnsf'U]", "%", "1"), `meaning` is for people.

    Where no meaning is given it is that of `UNIT_MEANINGS`, else the code itself.
    """

    code: str
    meaning: str = ""

    def __post_init__(self) -> None:
        require(bool(self.code), "Unit.code: must be given")
        code = fields.text(self.code, "Unit.code")
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "meaning", fields.text(self.meaning or UNIT_MEANINGS.get(code, code), "Unit.meaning"))
        if not is_unit(code):
            hint = f"; write {_UNIT_WORDS[code.lower()]!r}" if code.lower() in _UNIT_WORDS else ""
            raise ContractError(f"Unit.code: {code[:32]!r} is not a UCUM unit, such as mm, mL, %, [hnsf'U] or 1{hint}")

    @staticmethod
    def of(value: Any, name: str) -> Unit:
        """A unit, its UCUM code, or a code of pydicom or of this contract under the scheme UCUM."""
        if isinstance(value, Unit):
            return value
        if isinstance(value, str):
            try:
                return Unit(value)
            except ContractError as error:
                raise ContractError(f"{name}: {error}") from error
        scheme = getattr(value, "scheme_designator", "") or getattr(value, "scheme", "")
        if hasattr(value, "value") and scheme == "UCUM":
            return Unit(str(value.value), str(value.meaning))
        raise ContractError(f'{name}: {fields.shown(value)} is not a unit; write its UCUM code, such as "mm"')


UNIT_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "1": "no units",
        "%": "percent",
        "mm": "millimeter",
        "cm": "centimeter",
        "m": "meter",
        "um": "micrometer",
        "mm2": "square millimeter",
        "cm2": "square centimeter",
        "mm3": "cubic millimeter",
        "cm3": "cubic centimeter",
        "mL": "milliliter",
        "L": "liter",
        "[hnsf'U]": "Hounsfield unit",
        "deg": "degree",
        "ms": "millisecond",
        "s": "second",
        "min": "minute",
        "h": "hour",
        "d": "day",
        "wk": "week",
        "mo": "month",
        "a": "year",
        "g": "gram",
        "kg": "kilogram",
        "mg": "milligram",
        "g/cm3": "gram per cubic centimeter",
        "mg/cm3": "milligram per cubic centimeter",
        "Bq/mL": "becquerel per milliliter",
        "g/ml{SUVbw}": "standardized uptake value by body weight",
        "mm/s": "millimeter per second",
        "cm/s": "centimeter per second",
        "/min": "per minute",
        "mm[Hg]": "millimeter of mercury",
        "um2/s": "square micrometer per second",
        "mm2/s": "square millimeter per second",
        "mL/min/100.g": "milliliter per minute per 100 gram",
    }
)
"""UCUM code → what it is called."""
_UNIT_WORDS = {
    "hu": "[hnsf'U]",
    "hounsfield": "[hnsf'U]",
    "hounsfield units": "[hnsf'U]",
    "mm²": "mm2",
    "mm^2": "mm2",
    "mm³": "mm3",
    "mm^3": "mm3",
    "cm²": "cm2",
    "cm³": "cm3",
    "cc": "mL",
    "percent": "%",
    "°": "deg",
    "degree": "deg",
    "degrees": "deg",
    "millimeter": "mm",
    "millimetre": "mm",
    "milliliter": "mL",
    "millilitre": "mL",
    "µm": "um",
    "year": "a",
    "years": "a",
    "month": "mo",
    "months": "mo",
}
"""What people write for a unit → the UCUM code that is meant."""

NO_UNITS = Unit("1", "no units")
