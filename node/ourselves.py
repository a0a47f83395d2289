"""How objects that this node made are known again, whatever UIDs they have by now (PS3.3 C.12.1.5).

Results carry an item of Contributing Equipment Sequence with these values and the node's own Device Serial Number
(`node.store.device`); the indexer finds it and keeps the object out of routing, so that a result that comes back
triggers nothing (case 50). What another node of this program made is an object like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from node import __version__

IMPLEMENTATION_CLASS_UID = "2.25.149895115907351745800322143167512561953"
"""Of pacsnode, the program: derived once from a random UUID (PS3.5 B.2)."""
IMPLEMENTATION_VERSION_NAME = f"PACSNODE_{__version__.replace('.', '_')}"[:16]
MANUFACTURER = "pacsnode"
MODEL_NAME = "pacsnode"
SERIAL_OF_EARLIER_RELEASES = "pacsnode"
"""Of every node, up to 0.1: what has it is taken for our own."""
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


def _first(header: Mapping[str, Any], keyword: str) -> str:
    values = header.get(keyword, ["", []])[1]
    return str(values[0]) if values else ""
