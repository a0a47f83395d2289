"""A header as it is kept, as the facts that rules see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rules.facts import Element


def element(vr: str, values: Sequence[Any], not_kept: int = 0) -> Element:
    """One element of a header; `not_kept`: there are values, or more of them, that are not kept."""
    return Element(vr, tuple(map(_as_seen, values)), not not_kept)


def _as_seen(value: Any) -> Any:
    return {name: element(*each) for name, each in value.items()} if isinstance(value, Mapping) else value
