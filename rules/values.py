"""Reading DICOM values: numbers, texts, dates, times, ages. None means that it cannot be read as such.

Real headers hold anything anywhere, so nothing here raises on any value.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, date, datetime, time, timedelta

from rules.facts import Age, CodeItem, Datum, UnkeptValue

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DATE = re.compile(r"(\d{4})([.-]?)(\d\d)\2(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DATETIME = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d(?:\d\d(?:\d\d(?:\.\d{1,6})?)?)?))?)?)?([+-]\d{4})?", re.ASCII
)
_AGE = re.compile(r"(\d{1,3})([DWMY])", re.ASCII)
_DURATION = re.compile(r"(\d{1,5})\s*(years?|y|months?|weeks?|w|days?|d)", re.ASCII)
_UNITS = {"y": "years", "m": "months", "w": "weeks", "d": "days"}
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
_MOST_EXACT = 2**64
"""No value representation holds a larger whole number (UV; PS3.5 6.2)."""
PADDING = " \0\t\r\n"
NOT_KEPT = "(there, not kept)"
"""How a value is shown that the node does not keep."""


def blank(value: object) -> bool:
    """Whether there is no value, or nothing but padding."""
    return value is None or (isinstance(value, str) and not value.strip(PADDING))


def number(value: Datum) -> float | None:
    """A finite number, from a number or its decimal text (DS, IS; PS3.5 6.2); a whole number stays an int."""
    if isinstance(value, int):
        return value if abs(value) < _MOST_EXACT else None
    if isinstance(value, str):
        stripped = value.strip(PADDING)
        value = float(stripped) if _NUMBER.fullmatch(stripped) else math.nan
    return value if isinstance(value, float) and math.isfinite(value) else None


def text(value: Datum) -> str | None:
    """A text without padding."""
    if isinstance(value, tuple):
        return None
    return clean(str(value)).strip(PADDING)


def clean(value: str) -> str:
    """A text that can be encoded: undecodable bytes that came along as surrogates become `?`."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def composed(value: str) -> str:
    """A text without its ways of composing characters (Unicode NFC): what comparing with case means."""
    return value if value.isascii() else unicodedata.normalize("NFC", value)


def fold(value: str) -> str:
    """A text without its case, too: what comparing means by default."""
    return value.casefold() if value.isascii() else composed(composed(value).casefold())


def day(value: Datum) -> date | None:
    """The date of a DA or DT value, also in the retired form `2024.03.01`, and of ISO dates."""
    if not isinstance(value, str):
        return None
    stripped = value.strip(PADDING)
    if plain := _DATE.fullmatch(stripped):
        return _date(plain[1], plain[3], plain[4])
    found = _DATETIME.fullmatch(stripped)
    if not found or not found[3] or (found[4] and time_of_day(found[4]) is None):
        return None
    return _date(found[1], found[2], found[3])


def _date(year: str, month: str, on: str) -> date | None:
    try:
        return date(int(year), int(month), int(on))
    except ValueError:
        return None


def time_of_day(value: Datum) -> time | None:
    """The time of a TM value (`083000.25`), or `08:30`."""
    found = _TIME.fullmatch(value.strip(PADDING)) if isinstance(value, str) else None
    try:
        hour, minute, second, fraction = found.groups(default="0") if found else ("", "", "", "")
        return time(int(hour), int(minute), int(second), int(fraction.ljust(6, "0"))) if found else None
    except ValueError:
        return None


def instant(value: Datum) -> float | None:
    """Seconds that put the DA or DT values of one attribute in order; DT with an offset counts in UTC.

    A DT that states no month, day or time is its first moment (PS3.5 6.2: components may be left out from the end).
    """
    if not isinstance(value, str):
        return None
    stripped = value.strip(PADDING)
    on, at, offset = day(stripped), time(), None
    if found := _DATETIME.fullmatch(stripped):
        on = _date(found[1], found[2] or "01", found[3] or "01")
        at, offset = time_of_day(found[4] or "00") or at, found[5]
        if found[4] and time_of_day(found[4]) is None:
            return None
    if on is None:
        return None
    return (datetime.combine(on, at, UTC) - datetime(1, 1, 1, tzinfo=UTC)).total_seconds() - _offset(offset)


def seconds_of_day(value: Datum) -> float | None:
    """Seconds that put TM values in order."""
    at = time_of_day(value)
    return None if at is None else at.hour * 3600.0 + at.minute * 60 + at.second + at.microsecond / 1e6


def moment(value: Datum) -> float | None:
    """The same where the value representation is not known: a date where it reads as one, else a time of day."""
    if isinstance(value, str) and day(value) is None:
        return seconds_of_day(value)
    return instant(value)


def _offset(written: str | None) -> float:
    if not written:
        return 0.0
    seconds = int(written[1:3]) * 3600.0 + int(written[3:5]) * 60
    return -seconds if written[0] == "-" else seconds


def duration(value: object) -> tuple[int, str] | None:
    """`18 years`, `6 months`, `2w`, `30 days` → (number, unit as years, months, weeks or days)."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return (int(found[1]), _UNITS[found[2][0]]) if found else None


def move(start: date, count: int, unit: str) -> date | None:
    """`start` plus this many units; the 29th of February and its like become the month's last day."""
    try:
        if unit in ("days", "weeks"):
            return start + timedelta(days=count * (7 if unit == "weeks" else 1))
        months = start.year * 12 + start.month - 1 + count * (12 if unit == "years" else 1)
        last = date((months + 1) // 12, (months + 1) % 12 + 1, 1) - timedelta(days=1)
        return last.replace(day=min(start.day, last.day))
    except (ValueError, OverflowError):
        return None


def stated_age(value: Datum) -> Age | None:
    """An AS value: `045Y`, `006M`, `002W`, `010D` (PS3.5 6.2)."""
    found = _AGE.fullmatch(value.strip(PADDING)) if isinstance(value, str) else None
    if not found:
        return None
    days = int(found[1]) * _DAYS[found[2]]
    years = int(found[1]) if found[2] == "Y" else int(found[1]) // 12 if found[2] == "M" else int(days // _DAYS["Y"])
    months = years * 12 if found[2] == "Y" else int(found[1]) if found[2] == "M" else int(days // _DAYS["M"])
    return Age(years, months, int(days), f"{found[0]} (PatientAge)")


def age_between(birth: date, study: date) -> Age | None:
    """The age on the day of the study; None where the study is before the birth."""
    if study < birth:
        return None
    months = (study.year - birth.year) * 12 + study.month - birth.month - (study.day < birth.day)
    text = f"{months // 12} years" if months >= 24 else f"{months} months"
    return Age(months // 12, months, (study - birth).days, f"{text} (PatientBirthDate, StudyDate)")


def shown(value: Datum) -> str:
    """A value as a trace shows it: short, printable, whatever the header held."""
    if isinstance(value, CodeItem):
        written = f"{value.scheme}:{value.value}" + (f" ({value.meaning})" if value.meaning else "")
        written += "".join(f" + {shown(modifier)}" for modifier in value.modifiers)
    elif isinstance(value, Age):
        written = value.text
    elif isinstance(value, UnkeptValue):
        written = NOT_KEPT
    elif isinstance(value, float):
        written = f"{value:g}"
    else:
        written = str(value)
    written = clean(written).strip(PADDING)
    written = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in written[:121])
    return written if len(written) <= 120 else written[:119] + "…"
