"""Names of character sets, right and misspelt (PS3.3 C.12.1.1.2), without what decodes them: for configurations too."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WITHOUT_EXTENSIONS = re.compile(r"|ISO_IR (13|100|101|109|110|126|127|138|144|148|166|192)|GB18030|GBK")
_WITH_EXTENSIONS = re.compile(r"ISO 2022 IR (6|13|58|87|100|101|109|110|126|127|138|144|148|149|159|166)")
_MISSPELT = re.compile(r"ISO[ _-]*(?:2022[ _-]*)?IR[ _-]*(?P<register>\d{1,3})|ISO[ _-]*8859[ _-]*(?P<part>\d{1,2})")
ONLY_WITH_EXTENSIONS = {"58", "87", "149", "159"}
"""Registration numbers of sets of two bytes a character: a Defined Term only with code extensions."""
_ONLY_WITHOUT_EXTENSIONS = {"192"}
_REGISTERS = {
    "1": "100",
    "2": "101",
    "3": "109",
    "4": "110",
    "5": "144",
    "6": "127",
    "7": "126",
    "8": "138",
    "9": "148",
    "11": "166",
}
"""Parts of ISO 8859 to their registration numbers (PS3.3 C.12.1.1.2)."""
_OTHER_NAMES = {"UTF8": "ISO_IR 192", "GB18030": "GB18030", "EUCKR": "ISO 2022 IR 149", "KSX1001": "ISO 2022 IR 149"}
"""What the sets are called elsewhere, without what separates the parts of a name."""


def defined_term(label: str) -> str:
    """The Defined Term (PS3.3 C.12.1.1.2) that a label misspells; the label itself where that is not certain."""
    label = label.strip()
    if are_defined_terms([label]):
        return label
    found = _MISSPELT.fullmatch(label.upper())
    if found is None:
        return _OTHER_NAMES.get(re.sub(r"[ _-]", "", label.upper()), label)
    register = found["register"] or _REGISTERS.get(found["part"], "")
    register = register.lstrip("0") or "0"
    has_extensions = register in ONLY_WITH_EXTENSIONS or ("2022" in label and register not in _ONLY_WITHOUT_EXTENSIONS)
    term = f"ISO 2022 IR {register}" if has_extensions else f"ISO_IR {register}"
    return term if are_defined_terms([term]) else label


def are_defined_terms(labels: Sequence[str]) -> bool:
    """Whether these are values that Specific Character Set may have, one beside the other (PS3.3 C.12.1.1.2)."""
    first, *more = labels or [""]
    if not more and _WITHOUT_EXTENSIONS.fullmatch(first):
        return True
    extensions = ([first] if first else []) + list(more)
    return all(_WITH_EXTENSIONS.fullmatch(label) for label in extensions)
