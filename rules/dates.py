"""Days that a condition may name: a fixed one, or one relative to the decision or to the study."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from rules import values

_RELATIVE = re.compile(r"(today|StudyDate)(?:\s*([+-])\s*(\S.*))?")


@dataclass(frozen=True, slots=True)
class Moment:
    """What relative days count from."""

    today: date
    study_date: date | None
    """Of most of its images; None where none states one."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day as a rule writes it."""

    fixed: date | None = None
    anchor: str = ""
    count: int = 0
    unit: str = "days"

    def on(self, moment: Moment) -> date | None:
        """The day meant at this moment; None where its anchor is not known."""
        start = self.fixed or (moment.today if self.anchor == "today" else moment.study_date)
        return values.move(start, self.count, self.unit) if start else None


def parse(operand: object) -> Day:
    """`2024-03-01`, `today`, `StudyDate`, `today - 2 years`; ValueError says what to write."""
    if isinstance(operand, date):
        return Day(operand.date() if isinstance(operand, datetime) else operand)
    found = _RELATIVE.fullmatch(operand.strip()) if isinstance(operand, str) else None
    if found and not found[2]:
        return Day(anchor=found[1])
    if found and (span := values.duration(found[3])):
        return Day(None, found[1], -span[0] if found[2] == "-" else span[0], span[1])
    if isinstance(operand, str) and re.fullmatch(r"\d{4}-?\d\d-?\d\d", operand) and (fixed := values.day(operand)):
        return Day(fixed)
    raise ValueError(f"{operand!r} is not a day: write 2024-03-01, today, StudyDate, or as in `today - 2 years`")
