"""Scores in DICOM objects without codes: where a vendor puts them, and what they mean, as `plugin.toml` says it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from plugins.codes import Code
from plugins.contract import ContractError
from plugins.manifest_table import ManifestTable
from plugins.ucum import is_unit

_ATTRIBUTE = re.compile(r"\(?([0-9A-Fa-f]{4}),\s*([0-9A-Fa-fx]{2})([0-9A-Fa-f]{2})\)?")


@dataclass(frozen=True, slots=True)
class VendorScore:
    """One score, wherever it is in an object."""

    code: Code
    """Of the finding."""
    meaning: str
    """Of the number."""
    unit: str = "1"
    modality: str = ""
    """Of the objects in which it is looked for; empty: of any."""
    group: int = 0
    """Of the attribute that holds it; 0: any text of the object."""
    element: int = 0
    """Of a private attribute the last two digits."""
    creator: str = ""
    """Private creator of the attribute; empty: it is one of the Standard."""
    pattern: str = ""
    """Regular expression whose first group is the number; empty: the attribute is the number."""
    present_from: float | None = None
    """The finding is present from this score on; below it nothing is known."""
    absent_below: float | None = None
    """The finding is absent below this score."""

    def present(self, score: float) -> bool | None:
        """What a score says of the finding; None: neither that it is there nor that it is not."""
        if self.present_from is not None and score >= self.present_from:
            return True
        return False if self.absent_below is not None and score < self.absent_below else None


def read(table: ManifestTable) -> VendorScore:
    """One `[[returned.scores]]`; raises `ManifestError`."""
    pattern, unit = table.take("pattern", str, ""), table.take("unit", str, "1")
    group, element, creator = _attribute(table)
    if not pattern and not group:
        raise table.error("pattern", "is missing: without an attribute it says which text has the score")
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise table.error("pattern", f"is not a regular expression: {error}") from error
    if pattern and groups < 1:
        raise table.error("pattern", "has no group; put the number in parentheses: 'score: ([0-9.]+)'")
    if not is_unit(unit):
        raise table.error("unit", f"{unit!r} is not a UCUM unit, such as %, 1 or {{score}}")
    meaning, modality = table.take("score", str, "Score"), table.take("modality", str, "")
    bounds = [table.take(key, float, None) for key in ("present_from", "absent_below")]
    if None not in bounds and bounds[1] > bounds[0]:
        raise table.error("absent_below", f"{bounds[1]:g} is above present_from, {bounds[0]:g}")
    arguments = [table.take(key, str) for key in ("value", "scheme", "meaning")]
    table.finish()
    try:
        code = Code(*arguments)
    except ContractError as error:
        raise table.error("value", str(error)) from error
    return VendorScore(code, meaning[:64], unit, modality, group, element, creator, pattern, *bounds)


def _attribute(table: ManifestTable) -> tuple[int, int, str]:
    """Group, element and private creator."""
    text, creator = table.take("attribute", str, ""), table.take("creator", str, "")
    if not text:
        if creator:
            raise table.error("creator", "is that of an attribute, which is missing")
        return 0, 0, ""
    found = _ATTRIBUTE.fullmatch(text)
    if found is None or (found[2] == "xx") != bool(creator) or (not creator and "x" in found[2]):
        raise table.error(
            "attribute", f'{text!r} is not "gggg,eeee", nor "gggg,xxee" of a private attribute with its creator'
        )
    if bool(int(found[1], 16) % 2) != bool(creator):
        raise table.error("attribute", f"{text!r}: a private attribute has an odd group and a creator")
    block = 0 if creator else int(found[2], 16) << 8
    return int(found[1], 16), block | int(found[3], 16), creator
