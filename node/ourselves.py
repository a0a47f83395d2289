"""How objects that this node made are known again, whatever UIDs they have by now (PS3.3 C.12.1.5).

Results carry an item of Contributing Equipment Sequence with these values and the node's own Device Serial Number
(`node.store.device`); the indexer finds it and keeps the object out of routing, so that a result that comes back
triggers nothing (case 50). What another node of this program made is an object like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from node import __version__

IMPLEMENTATION_CLASS_UID = "2.25.149895115907351745800322143167512561953"
"""Of pacsnode, the program: derived once from a random UUID (PS3.5 B.2)."""
IMPLEMENTATION_VERSION_NAME = f"PACSNODE_{__version__.replace('.', '_')}"[:16]
MANUFACTURER = "pacsnode"
MODEL_NAME = "pacsnode"
SERIAL_OF_EARLIER_RELEASES = "pacsnode"
"""Of every node, up to 0.1: what has it is taken for our own."""
_NAME_BASED = 5
"""Version of the UUIDs that our UIDs are made of (RFC 9562, 5.5)."""
PROCESSING_EQUIPMENT = "109102"
"""(109102, DCM, "Processing Equipment"): it made the object; whoever merely passed it on says otherwise."""


def made_by(contributing_equipment: Mapping[str, Any]) -> str | None:
    """Device Serial Number of the node of this program that made the object, by one item.

    The item is a header (`{keyword: [VR, [values]]}`). None where it names no such node; "" where it has no number.
    """
    purposes = contributing_equipment.get("PurposeOfReferenceCodeSequence", ["SQ", []])[1]
    is_one = (
        _first(contributing_equipment, "Manufacturer") == MANUFACTURER
        and _first(contributing_equipment, "ManufacturerModelName") == MODEL_NAME
        and any(isinstance(code, dict) and _first(code, "CodeValue") == PROCESSING_EQUIPMENT for code in purposes)
    )
    return _first(contributing_equipment, "DeviceSerialNumber") if is_one else None


def is_ours(makers: Collection[str], serial_number: str) -> bool:
    """Whether the node with this serial number is among the `makers` (`made_by`) of an object."""
    return not {serial_number, SERIAL_OF_EARLIER_RELEASES, ""}.isdisjoint(makers)


def may_have_made(series: Mapping[str, str], serial_number: str) -> bool:
    """Whether a series at a destination may be one that this node made, by what a C-FIND at series level says of it.

    Our objects name the node as their equipment (PS3.3 C.7.5.1), with its serial number. Many archives answer with
    neither: then the form of the UID has to do, 2.25 and a name-based UUID (PS3.5 B.2), which few programs make.
    """
    manufacturer, serial = (series.get(name, "").strip() for name in ("Manufacturer", "DeviceSerialNumber"))
    if manufacturer:
        return manufacturer == MANUFACTURER and serial in (serial_number, SERIAL_OF_EARLIER_RELEASES, "")
    return _is_name_based(series.get("SeriesInstanceUID", "").strip())


def _is_name_based(uid: str) -> bool:
    """Whether it is 2.25 and a UUID of version 5."""
    root, _, number = uid.rpartition(".")
    if root != "2.25" or not number.isascii() or not number.isdigit() or int(number) >> 128:
        return False
    return UUID(int=int(number)).version == _NAME_BASED


def _first(header: Mapping[str, Any], keyword: str) -> str:
    values = header.get(keyword, ["", []])[1]
    return str(values[0]) if values else ""
