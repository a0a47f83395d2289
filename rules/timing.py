"""Time in rules: durations, and the hours in which jobs may start. Time is a fact; nothing here asks a clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, model_validator

from rules import values
from rules.names import WEEKDAYS
from rules.section import RuleSection

_DURATION = re.compile(r"(\d{1,6})\s*(minutes?|min|m|hours?|h|days?|d|weeks?|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SECONDS = re.compile(r"(\d{1,6})\s*(?:seconds?|secs?|s)")


def read_duration(plain: Any) -> timedelta:
    """`20 minutes`, `2 h`, `3 days`; ValueError says what to write."""
    if isinstance(plain, timedelta):
        return plain
    written = plain.strip() if isinstance(plain, str) else ""
    if seconds := _SECONDS.fullmatch(written):
        minutes = max(1, -(-int(seconds[1]) // 60))
        raise ValueError(
            f"{plain!r} is in seconds: durations in rules are whole minutes, at least `1 minute`, because transfers,"
            f" plugins and people who answer a message take longer than seconds: write `{_counted(minutes)}`"
        )
    found = _DURATION.fullmatch(written)
    if found and not int(found[1]):
        raise ValueError(f"{plain!r} is shorter than any wait: durations in rules are at least `1 minute`")
    if not found:
        raise ValueError(f"{plain!r} is not a duration: write it as in `20 minutes`, `2 hours`, `3 days`")
    return timedelta(**{_UNITS[found[2][0]]: int(found[1])})


def write_duration(duration: timedelta) -> str:
    """The shortest way of writing it."""
    minutes = int(duration.total_seconds()) // 60
    for unit, size in (("days", 1440), ("hours", 60)):
        if minutes % size == 0:
            return f"{minutes // size} {unit}"
    return _counted(minutes)


def _counted(minutes: int) -> str:
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


Duration = Annotated[
    timedelta,
    PlainValidator(read_duration, json_schema_input_type=str),
    PlainSerializer(write_duration, return_type=str),
]


def _read_time(plain: Any) -> time:
    read = plain if isinstance(plain, time) else values.time_of_day(plain) if ":" in str(plain) else None
    if read is None:
        raise ValueError(f'{plain!r} is not a time of day: write it in quotes, as in "08:30"')
    return read


TimeOfDay = Annotated[
    time,
    PlainValidator(_read_time, json_schema_input_type=str),
    PlainSerializer(lambda each: f"{each:%H:%M}", return_type=str),
]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Window(RuleSection):
    """Part of the day, on some days of the week or on some dates; its end is outside of it."""

    between: tuple[TimeOfDay, TimeOfDay] = (time(), time())
    """From, until. Where the end is not after the start, it is that of the next day."""
    days: tuple[Weekday, ...] = ()
    """Days on which it begins; every day where none is named."""
    dates: tuple[date, ...] = ()
    """Dates on which it begins; every date where none is named."""

    def __str__(self) -> str:
        """`monday, tuesday 08:00-18:00`, as `check` shows it."""
        start, end = self.between
        times = "all day" if start == end == time() else f"{start:%H:%M}-{end:%H:%M}"
        return " ".join([", ".join([*self.days, *(f"{each}" for each in self.dates)]), times]).strip()

    def begins_on(self, day: date) -> bool:
        """Whether it opens on this day."""
        return (not self.days or WEEKDAYS[day.weekday()] in self.days) and (not self.dates or day in self.dates)

    def around(self, moment: datetime, days: int) -> Iterator[tuple[datetime, datetime]]:
        """Its (start, end) from the day before `moment` on, for this many days."""
        start, end = self.between
        for offset in range(-1, days):
            day = moment.date() + timedelta(days=offset)
            if self.begins_on(day):
                opens = datetime.combine(day, start, moment.tzinfo)
                closes = datetime.combine(day + timedelta(days=end <= start), end, moment.tzinfo)
                yield _kept_whole(opens, closes)


def _kept_whole(opens: datetime, closes: datetime) -> tuple[datetime, datetime]:
    """A window that lies in the hour that is left out when the clocks go forward comes behind it, as long as ever."""
    skipped = _skipped(opens)
    if skipped and (_skipped(closes) or closes.astimezone(UTC) <= opens.astimezone(UTC)):
        return opens + skipped, closes + skipped
    return opens, closes


def _skipped(moment: datetime) -> timedelta:
    """By how much the clocks go forward over this time of day; nothing for one that there is."""
    if moment.tzinfo is None:
        return timedelta()
    real = moment.astimezone(UTC).astimezone(moment.tzinfo)
    return real.replace(tzinfo=None) - moment.replace(tzinfo=None)


class Hours(RuleSection):
    """When jobs of a rule may start, in the site's time zone."""

    open: tuple[Window, ...] = ()
    """Any time where none is named."""
    closed: tuple[Window, ...] = ()
    """Blackout windows: they come before `open`."""
    otherwise: Literal["wait", "skip"] = "wait"
    """What a match at another time does."""

    @model_validator(mode="after")
    def _ever(self) -> Hours:
        if not self.open and not self.closed:
            raise ValueError('hours says nothing: write open, as in {open: [{between: ["08:00", "18:00"]}]}, or closed')
        if not any(window.dates for window in (*self.open, *self.closed)) and opening(self, _ANY_MONDAY) is None:
            raise ValueError("it is never open: closed covers all of open")
        return self


_ANY_MONDAY = datetime(2024, 1, 1)  # noqa: DTZ001 - hours of the day mean the same in every time zone
_DAYS_AHEAD = 400
"""How far to look for a window that opens on a date."""


def opening(hours: Hours, now: datetime) -> datetime | None:
    """The first moment from `now` on at which a job may start; None where there is none within a year."""
    if _is_open(hours, now):
        return now
    ahead = _DAYS_AHEAD if any(window.dates for window in (*hours.open, *hours.closed)) else 9
    starts = {opens for window in hours.open for opens, _ in window.around(now, ahead)}
    ends = {closes for window in hours.closed for _, closes in window.around(now, ahead)}
    return next((each for each in sorted(starts | ends) if each >= now and _is_open(hours, each)), None)


def _is_open(hours: Hours, moment: datetime) -> bool:
    opened = not hours.open or any(_within(window, moment) for window in hours.open)
    return opened and not any(_within(window, moment) for window in hours.closed)


def _within(window: Window, moment: datetime) -> bool:
    return any(opens <= moment < closes for opens, closes in window.around(moment, 1))
