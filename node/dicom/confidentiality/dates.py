"""Dates moved by days, in the form that they have (PS3.5 6.2: DA, DT, TM), and the age that they give."""

from __future__ import annotations

import re
from datetime import date, timedelta

_DA = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)", re.ASCII)  # with full stops before 1993
_DT = re.compile(r"(\d{4})(\d\d)?(\d\d)?((?:\d\d){0,3}(?:\.\d{1,6})?)([+-]\d{4})?", re.ASCII)
_TM = re.compile(r"[\d:]{2,8}(?:\.\d{1,6})?", re.ASCII)


def moved(vr: str, text: str, days: int) -> str | None:
    """All values of a DA, DT or TM, moved; times of the day stay. None where one of them cannot be read."""
    values = [_moved(vr, value.strip(" \0"), days) for value in text.split("\\")]
    known = [value for value in values if value is not None]
    return "\\".join(known) if len(known) == len(values) else None


def _moved(vr: str, value: str, days: int) -> str | None:
    if not value:
        return ""
    try:
        if vr == "TM":
            return value if _TM.fullmatch(value) else None
        if vr == "DA":
            match = _DA.fullmatch(value)
            return _written(_shifted(match, days)) if match else None
        match = _DT.fullmatch(value)
        return _moved_date_time(match, days) if match else None
    except (ValueError, OverflowError):  # no such day, or none that can be written
        return None


def _shifted(match: re.Match[str], days: int) -> date:
    return date(int(match[1]), int(match[2] or 1), int(match[3] or 1)) + timedelta(days)


def _written(day: date) -> str:
    """As DA; strftime writes a year before 1000 with fewer than four digits."""
    return f"{day.year:04}{day.month:02}{day.day:02}"


def _moved_date_time(match: re.Match[str], days: int) -> str:
    """As precise as it was: a month stays a month."""
    digits = _written(_shifted(match, days))
    known = 4 + 2 * bool(match[2]) + 2 * bool(match[3])
    return digits[:known] + match[4] + (match[5] or "")


def age(born: str, on: str) -> str:
    """Patient's Age (AS) on a day, from two values of VR DA; "" where they do not give one."""
    first, last = (_DA.fullmatch(each.strip(" \0")) for each in (born, on))
    if not first or not last:
        return ""
    try:
        start, end = _shifted(first, 0), _shifted(last, 0)
    except ValueError:
        return ""
    months = (end.year - start.year) * 12 + end.month - start.month - (end.day < start.day)
    days = (end - start).days
    if days < 0 or months >= 12_000:
        return ""
    if months >= 24:
        return f"{months // 12:03}Y"
    return f"{months:03}M" if months >= 3 else f"{days:03}D"
