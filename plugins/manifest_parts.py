"""What several tables of a manifest hold: a code, a site with its side, a unit, a colour, numbers of a known count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from plugins.coding import Code, Site, Unit
from plugins.images import ContractError

if TYPE_CHECKING:
    from plugins.manifest_table import ManifestTable

MOST_PARTS = 1000
"""Tables of one list in a manifest."""
_LARGEST = 4096
"""Pixels or voxels of what a model takes, along one axis."""


def tables(table: ManifestTable, key: str) -> list[ManifestTable]:
    """The tables of a `[[list]]` that may be missing; ManifestError."""
    table.taken.add(key)
    found = table.tables(key) if key in table.values else []
    if len(found) > MOST_PARTS:
        raise table.error(key, f"more than {MOST_PARTS}")
    return found


def colour(table: ManifestTable) -> tuple[int, int, int] | None:
    """Red, green and blue from 0 to 255; None where none is given."""
    values = table.take("colour", list, None)
    if values is None:
        return None
    if len(values) != 3 or not all(type(each) is int and 0 <= each <= 255 for each in values):
        raise table.error("colour", f"{values} is not red, green and blue from 0 to 255")
    return values[0], values[1], values[2]


def code(table: ManifestTable, key: str) -> Code:
    """The code in the table under a key; ManifestError."""
    inner = table.table(key)
    arguments = [inner.take(each, str) for each in ("value", "scheme", "meaning")]
    inner.finish()
    try:
        return Code(*arguments)
    except ContractError as error:
        raise table.error(key, str(error)) from error


def site(table: ManifestTable) -> Site | None:
    """The region with its side; a side needs a region."""
    side = table.take("side", str, None)
    if "site" not in table.values:
        if side is not None:
            raise table.error("side", "needs the site that it is a side of")
        return None
    region: Any = code(table, "site")
    try:
        return Site(region, side)
    except ContractError as error:
        raise table.error("side", str(error)) from error


def unit(table: ManifestTable, default: Any = ...) -> Unit:
    """The unit under `unit`; ManifestError."""
    try:
        return Unit(table.take("unit", str, default))
    except ContractError as error:
        raise table.error("unit", str(error)) from error


def numbers(table: ManifestTable, key: str, count: int | None, default: Any = ...) -> tuple[float, ...]:
    """A list of `count` finite numbers (None: any count above 0); ManifestError."""
    found = table.take(key, list, default)
    if not all(type(each) in (int, float) and math.isfinite(each) for each in found):
        raise table.error(key, f"expected numbers, got {found!r}")
    if key in table.values and (not found or (count is not None and len(found) != count)):
        raise table.error(key, f"expected {count or 'some'} numbers, got {len(found)}")
    return tuple(float(each) for each in found)


def sizes(table: ManifestTable, key: str, count: int) -> tuple[int, ...]:
    """A list of `count` whole numbers above 0, or none at all; ManifestError."""
    found = table.take(key, list, [])
    if found and (len(found) != count or not all(type(each) is int and 0 < each <= _LARGEST for each in found)):
        raise table.error(key, f"expected {count} whole numbers from 1 to {_LARGEST}, got {found!r}")
    return tuple(found)
