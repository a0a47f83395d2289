"""Words that were probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the nearest of the known words, or nothing."""
    near = difflib.get_close_matches(word[:64], list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
