"""Who the algorithm is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from plugins.coding import Code
from plugins.images import require

_ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
"""For the Algorithm Family Code Sequence."""


@dataclass(frozen=True)
class AlgorithmIdentity:
    """Who made the result (AIR: Content Creator): from the manifest, the same for all of its results."""

    name: str
    version: str
    manufacturer: str
    family: Code = _ARTIFICIAL_INTELLIGENCE
    model_name: str = ""
    """ManufacturerModelName; the name where it is empty."""
    udi: str = ""
    """Unique device identifier of a registered device, where there is one."""
    weights_digest: str = ""
    """SHA-256 of all files that hold what was learnt, as they ran; "" in a manifest, and where it names none."""
    software_digest: str = ""
    """SHA-256 of all that the vendor gave, weights and code, as it ran; "" in a manifest, and of earlier results.

    Both are part of the device UID: retrained or mended, it is another device.
    """
    intended_use: str = ""
    """One sentence: what it is for, and what it is not."""
    parameters: Sequence[tuple[str, str]] = field(default=())

    def __post_init__(self) -> None:
        for name in ("name", "version", "manufacturer"):
            value = getattr(self, name)
            require(0 < len(value) <= 64, f"AlgorithmIdentity.{name}: 1 to 64 characters")

    def as_it_ran(self, weights_digest: str, software_digest: str) -> AlgorithmIdentity:
        """The same, with what its files were when it ran."""
        return replace(self, weights_digest=weights_digest, software_digest=software_digest)
