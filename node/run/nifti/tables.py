"""Numbers out of the tables that a program wrote: CSV and JSON, distrusted. What is not a number is refused by name."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from node.run.nifti.files import opened_below
from plugins.exchange import OUT
from plugins.nifti_mapping import MappedNumber
from plugins.untrusted import ExchangeError, parsed_json

MOST_BYTES = 2**20
MOST_ROWS = 10_000
_NUMBER = re.compile(r"[+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_SHOWN = 40
_SEPARATORS = ",;\t"


class NumberTables:
    """The tables of one `out/`, each read once."""

    def __init__(self, folder: int) -> None:
        """`folder`: `out/`, which is open."""
        self._folder = folder
        self._known: dict[str, Any] = {}

    def value(self, number: MappedNumber) -> float | None:
        """The number; None where the cell is empty or null. ExchangeError."""
        shown = f"{OUT}/{number.file}"
        if number.file not in self._known:
            with opened_below(self._folder, number.file) as file:
                raw = file.read(MOST_BYTES + 1)
            if len(raw) > MOST_BYTES:
                raise ExchangeError(shown, "", f"has more than {MOST_BYTES // 2**20} MiB")
            read = _csv if number.file.endswith(".csv") else parsed_json
            self._known[number.file] = read(raw, shown)
        table = self._known[number.file]
        if number.file.endswith(".csv"):
            return _of_text(_cell(table, number, shown), shown, number.column)
        return _of_json(_entry(table, number.column, shown), shown, number.column)


def _csv(raw: bytes, shown: str) -> list[list[str]]:
    """The rows, without blank ones; the first has the headings."""
    try:
        text = raw.decode("utf-8-sig")
        heading = text.split("\n", 1)[0]
        separator = max(_SEPARATORS, key=heading.count)
        found = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        read = [[cell.strip() for cell in row] for _, row in zip(range(MOST_ROWS + 1), found, strict=False)]
        rows = [row for row in read if any(row) or len(row) == 1]  # one empty cell is written as ""
    except (ValueError, csv.Error) as error:
        raise ExchangeError(shown, "", f"is not CSV in UTF-8: {error}") from error
    if len(rows) < 2 or len(rows) > MOST_ROWS:
        raise ExchangeError(shown, "", f"has {len(rows)} rows with the headings, expected 2 to {MOST_ROWS}")
    return rows


def _cell(rows: Sequence[Sequence[str]], number: MappedNumber, shown: str) -> str:
    headings, *rest = rows
    places = [index for index, heading in enumerate(headings) if heading == number.column]
    if len(places) != 1:
        raise ExchangeError(shown, "", f"has {len(places)} columns {number.column!r}, expected one")
    found = [row for row in rest if row[0] == number.row] if number.row else rest
    if len(found) != 1:
        which = f"that begin with {number.row!r}" if number.row else "below the headings"
        raise ExchangeError(shown, "", f"has {len(found)} rows {which}, expected one")
    if len(found[0]) <= places[0]:
        raise ExchangeError(shown, "", f"has a row that ends before the column {number.column!r}")
    return found[0][places[0]]


def _of_text(text: str, shown: str, column: str) -> float | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        hint = (
            "; leave the cell empty where there is no value"
            if text.lower().lstrip("+-") in ("nan", "inf", "na")
            else ""
        )
        raise ExchangeError(shown, column, f"{text[:_SHOWN]!r} is not a number{hint}")
    return float(text)


def _entry(value: Any, names: str, shown: str) -> Any:
    """What is at the end of the way `a.b.0`; of no way, all of it: a document may be one number."""
    for name in names.split(".") if names else ():
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise ExchangeError(shown, names, f"there is no {name[:_SHOWN]!r}")
    return value


def _of_json(value: Any, shown: str, names: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExchangeError(shown, names, f"{str(value)[:_SHOWN]!r} is not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ExchangeError(shown, names, "is too large for a number") from error
    if number in (float("inf"), float("-inf")):
        raise ExchangeError(shown, names, "is too large for a number")
    return number
