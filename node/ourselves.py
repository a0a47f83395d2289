"""How objects that this program made are known again, whatever UIDs they have by now (PS3.3 C.12.1.5).

Results carry an item of Contributing Equipment Sequence with these values; the indexer finds it and
keeps the object out of routing, so that a result that comes back triggers nothing (case 50).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node import __version__

IMPLEMENTATION_CLASS_UID = "2.25.149895115907351745800322143167512561953"
"""Of pacsnode, the program: derived once from a random UUID (PS3.5 B.2)."""
IMPLEMENTATION_VERSION_NAME = f"PACSNODE_{__version__.replace('.', '_')}"[:16]
MANUFACTURER = "pacsnode"
MODEL_NAME = "pacsnode"
PROCESSING_EQUIPMENT = "109102"
"""(109102, DCM, "Processing Equipment"): it made the object; whoever merely passed it on says otherwise."""


def is_ours(contributing_equipment: Mapping[str, Any]) -> bool:
    """Whether one item, as a header (`{keyword: [VR, [values]]}`), says that this program made the object."""
    purposes = contributing_equipment.get("PurposeOfReferenceCodeSequence", ["SQ", []])[1]
    return (
        _first(contributing_equipment, "Manufacturer") == MANUFACTURER
        and _first(contributing_equipment, "ManufacturerModelName") == MODEL_NAME
        and any(isinstance(code, dict) and _first(code, "CodeValue") == PROCESSING_EQUIPMENT for code in purposes)
    )


def _first(header: Mapping[str, Any], keyword: str) -> str:
    values = header.get(keyword, ["", []])[1]
    return str(values[0]) if values else ""
