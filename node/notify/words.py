"""A message in words and in values, whatever it is about."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One notification in words and in values."""

    key: str
    """The same for each attempt, so that whoever gets it twice can tell."""
    subject: str
    lines: tuple[tuple[str, str], ...]
    """(what, value), in the order in which they are written."""
    text: str
    """What the rule has to say."""
    plain: Mapping[str, Any]
    """The same for machines, JSON-able."""

    @property
    def body(self) -> str:
        """As a person reads it."""
        width = max(_columns(what) for what, _ in self.lines)
        told = "\n".join(f"{what}{' ' * (width - _columns(what))}  {value}" for what, value in self.lines)
        return f"{self.text}\n\n{told}\n" if self.text else f"{told}\n"


def _columns(text: str) -> int:
    """How wide a terminal or a mail program shows it: Hangul takes two columns."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def moment(at: datetime, zone: tzinfo) -> str:
    """A moment as people of the site read it, with its offset."""
    return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")
