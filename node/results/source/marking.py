"""The words that tell an AI result from everything else in a study, wherever it is listed or shown."""

from __future__ import annotations

import unicodedata

from node.results.request import Mode
from plugins.contract import AlgorithmIdentity

_PREFIX: dict[Mode, str] = {"shadow": "AI-EVAL", "pilot": "AI-INV", "clinical": "AI"}
_DESCRIPTION_LIMIT = 64  # characters of VR LO (PS3.5 6.2)


def ascii_name(text: str) -> str:
    """`text` in printable ASCII without backslash; what has no such form is left out."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join("".join(c for c in folded if c.isprintable() and c != "\\").split())


def marking(algorithm: AlgorithmIdentity, mode: Mode) -> str:
    """Such as `AI-INV lung_density`: short and ASCII, because study lists cut at about 20 characters."""
    return f"{_PREFIX[mode]} {ascii_name(algorithm.name) or 'algorithm'}"[:_DESCRIPTION_LIMIT]


def series_description(algorithm: AlgorithmIdentity, mode: Mode, what: str, text: str = "", revision: int = 1) -> str:
    """The marking, the site's own `text`, what the series holds; at most 64 characters.

    The first result is called as ever: hanging protocols match the whole text. From the second `revision` on its
    number is at the end, where the cut does not reach it.
    """
    end = f" r{revision}" if revision > 1 else ""
    whole = f"{marking(algorithm, mode)} - {f'{text} {what}' if text else what}"
    return whole[: _DESCRIPTION_LIMIT - len(end)].rstrip(" -") + end


def content_qualification(mode: Mode) -> str:
    """Content Qualification (0018,9004)."""
    return "PRODUCT" if mode == "clinical" else "RESEARCH"
