"""The SOP classes that a structured report can have, and what takes the place of one that is refused (PS3.3 A.35)."""

from __future__ import annotations

from typing import Literal

SRClass = Literal["comprehensive", "comprehensive-3d", "enhanced"]
"""As `sr_class` of a destination says it."""

SOP_CLASSES: dict[SRClass, str] = {
    "comprehensive-3d": "1.2.840.10008.5.1.4.1.1.88.34",
    "comprehensive": "1.2.840.10008.5.1.4.1.1.88.33",
    "enhanced": "1.2.840.10008.5.1.4.1.1.88.22",
}
"""The one that can say most comes first: each says less than the one before it."""
NAMES: dict[SRClass, str] = {
    "comprehensive-3d": "Comprehensive 3D SR",
    "comprehensive": "Comprehensive SR",
    "enhanced": "Enhanced SR",
}


def lesser(sop_class_uid: str) -> tuple[str, ...]:
    """The SOP classes in which such a report can be re-encoded, best first; none of what is no such report."""
    classes = tuple(SOP_CLASSES.values())
    return classes[classes.index(sop_class_uid) + 1 :] if sop_class_uid in classes else ()


def setting_of(sop_class_uid: str) -> SRClass:
    """How `sr_class` calls it; ValueError where it is not a SOP class of our reports."""
    for setting, uid in SOP_CLASSES.items():
        if uid == sop_class_uid:
            return setting
    raise ValueError(f"{sop_class_uid} is not a SOP class of a report")


def name_of(sop_class_uid: str) -> str:
    """For people: `Comprehensive SR`."""
    return NAMES[setting_of(sop_class_uid)]
