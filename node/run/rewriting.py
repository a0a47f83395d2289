"""A result with other texts: what a plugin returned, with each of its texts changed by a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from plugins.contract import Code, Unit

T = TypeVar("T")

Change = Callable[[str, str], str | None]
"""Of the path of a field, such as `findings.comment`, and its text, what it becomes."""


def rewritten(value: T, change: Change, path: str = "") -> T:
    """The same with its texts changed; what holds no text that changes is the same object. Codes and units stay."""
    found: Any = value
    if isinstance(value, Code | Unit | Enum):
        return value
    if isinstance(value, str):
        found = change(path, value)
    elif isinstance(value, tuple):
        found = tuple(rewritten(each, change, path) for each in value)
        found = value if all(new is old for new, old in zip(found, value, strict=True)) else found
    elif is_dataclass(value) and not isinstance(value, type):
        changes = _changes(value, change, path)
        found = replace(value, **changes) if changes else value
    kept: T = found
    return kept


def _changes(value: Any, change: Change, path: str) -> Mapping[str, Any]:
    olds = {each.name: getattr(value, each.name) for each in fields(value) if each.init}
    news = {name: rewritten(old, change, f"{path}.{name}".lstrip(".")) for name, old in olds.items()}
    return {name: new for name, new in news.items() if new is not olds[name]}
