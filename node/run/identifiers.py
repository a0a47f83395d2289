"""What names the patient in a text: the complete name, the Patient ID and the accession numbers.

A plugin may read a name that is burned into the pixels, or know it because it gets the images as they are. In a text of
a result it would travel further than the images do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

INSTEAD = "…"
"""Not longer than anything that it replaces: a text that was short enough stays so."""
_LEAST = 5
"""Characters of a number or of a single name: a shorter one is in texts by chance."""


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What names the patients of one job."""

    names: frozenset[str] = frozenset()
    """Values of VR PN."""
    numbers: frozenset[str] = frozenset()

    def without(self, text: str) -> str:
        """The text with each of them replaced."""
        for pattern in _patterns(self):
            text = pattern.sub(INSTEAD, text)
        return text


@lru_cache(maxsize=8)
def _patterns(of: Identifiers) -> tuple[re.Pattern[str], ...]:
    """The longest first: the family and given name are part of the complete name."""
    written = {each for name in of.names for each in _written(name)}
    written |= {re.escape(each) for each in of.numbers if len(each) >= _LEAST}
    around = (each if not each.isascii() else rf"(?<!\w){each}(?!\w)" for each in sorted(written, key=_order))
    return tuple(re.compile(each, re.IGNORECASE) for each in around)


def _order(pattern: str) -> tuple[int, str]:
    return -len(pattern), pattern


def _written(name: str) -> Iterable[str]:
    """Patterns of the forms in which people write a PN: the family name first or last."""
    for group in name.split("="):
        family, *given = [_apart(part.split()) for part in group.split("^")[:3] if part.strip()] or [""]
        if given:
            between = _between(group)
            yield between.join([family, *given])
            yield between.join([*given, family])
            yield between.join([family, given[0]])
            yield between.join([given[0], family])
        elif len(family) >= _LEAST:
            yield family


def _apart(words: Iterable[str]) -> str:
    return r"\s+".join(re.escape(word) for word in words)


def _between(name: str) -> str:
    """Ideographic and Hangul names are also written without anything between their parts."""
    return r"[\s,^]+" if name.isascii() else r"[\s,^]*"
