"""UIDs that follow from what they name, so encoding twice names the same objects (PS3.5 B.2: 2.25 + UUID)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID, uuid5

from node import __version__
from node.results.request import NodeIdentity
from plugins.contract import AlgorithmIdentity

_NAMESPACE = UUID("5c5f1c26-7f6f-4a3e-9d0a-5b9a6a1c0f4e")
"""Of everything derived here; a random UUID, drawn once."""


def derive(*parts: str) -> str:
    """A UID of 2.25 and the version 5 UUID of `parts`; different parts never share one."""
    return f"2.25.{uuid5(_NAMESPACE, chr(31).join(parts)).int}"


def device_uid(algorithm: AlgorithmIdentity) -> str:
    """Device UID (0018,1002) of an algorithm: another version, other weights or other code are another device."""
    ran = [algorithm.software_digest] if algorithm.software_digest else []  # a result of before keeps the UID it had
    return derive("device", algorithm.manufacturer, algorithm.name, algorithm.version, algorithm.weights_digest, *ran)


def node_uid(node: NodeIdentity) -> str:
    """Device UID of the node that writes the objects: another version, or another node, is another device."""
    return derive("device", node.manufacturer, node.model_name, node.software_version, node.serial_number)


@dataclass(frozen=True, slots=True)
class ResultUIDs:
    """The UIDs of one job's objects for one destination (`request.encoding_digest`).

    The node's version takes part: what a newer encoder writes may differ, and no UID may ever have
    two contents.
    """

    job_id: str
    encoding_digest: str
    ledger: str = ""
    """Salt of a restored ledger (`node.ledger.identity`): the one before may have sent the same job's objects."""

    def instance(self, sop_class_uid: str, item: str) -> str:
        """SOP Instance UID of one item of the set."""
        return self._derive("instance", item, sop_class_uid)

    def series(self, sop_class_uid: str) -> str:
        """Series Instance UID: one series for each SOP class."""
        return self._derive("series", sop_class_uid)

    def part(self, name: str) -> str:
        """UID of something inside an object, such as a dimension organization."""
        return self._derive("part", name)

    def _derive(self, what: str, *names: str) -> str:
        salt = [self.ledger] if self.ledger else []
        return derive(what, self.job_id, *names, self.encoding_digest, __version__, *salt)

    def tracking(self, identifier: str) -> str:
        """Tracking UID of one lesion: the same for every destination and in SR and SEG."""
        return derive("tracking", self.job_id, identifier)


_SERIES_SLOTS = 99
_GREATEST_IS = 2**31 - 1


def series_number(base: int, algorithm: AlgorithmIdentity, kind_offset: int, earlier: int = 0) -> int:
    """A Series Number that is high, stable for an algorithm, and apart from most other algorithms' numbers.

    `earlier`: results that this one comes after; each takes a thousand, as far as VR IS reaches (PS3.5 6.2).
    """
    slot = int.from_bytes(hashlib.sha256(algorithm.name.encode()).digest()[:4], "big") % _SERIES_SLOTS
    first = base + 10 * slot + kind_offset
    return first + 1000 * min(earlier, (_GREATEST_IS - first) // 1000)
