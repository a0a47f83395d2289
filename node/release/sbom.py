"""The software bill of materials of a bundle, as CycloneDX 1.6 in JSON (https://cyclonedx.org/docs/1.6/json/)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from node.release.wheels import Wheel

_SPACE = uuid.UUID("0c1e0f6e-9a0f-5d0e-8c58-6d0c2b0d1f5a")
"""Serial numbers are made from what is in a bundle, so that equal bundles have equal ones."""


@dataclass(frozen=True, slots=True)
class OtherPart:
    """A part that is not a wheel: a plugin, or the archive of a container image."""

    name: str
    version: str | None
    sha256: str
    is_image: bool = False


def make(own: Wheel, wheels: Sequence[Wheel], others: Sequence[OtherPart]) -> bytes:
    """Every part with its version, licences and SHA-256; `wheels` without pacsnode's own."""
    digests = [own.sha256, *(each.sha256 for each in wheels), *(each.sha256 for each in others)]
    bom = Bom(
        components=[*map(_of_wheel, wheels), *map(_of_other, others)],
        serial_number=uuid.uuid5(_SPACE, " ".join(digests)),
        metadata=BomMetaData(
            component=_of_wheel(own, ComponentType.APPLICATION),
            timestamp=datetime.fromtimestamp(0, UTC),  # a bundle has no time: equal inputs give equal bytes
        ),
    )
    bom.register_dependency(bom.metadata.component, bom.components)  # type: ignore[arg-type]  # set above
    return JsonV1Dot6(bom).output_as_string(indent=1).encode() + b"\n"


def _of_wheel(wheel: Wheel, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    purl = PackageURL("pypi", name=wheel.name.lower().replace("_", "-"), version=wheel.version)
    return Component(
        name=wheel.name,
        version=wheel.version,
        type=kind,
        bom_ref=str(purl),
        purl=purl,
        description=wheel.metadata["Summary"],
        hashes=[_sha256(wheel.sha256)],
        licenses=_licences(wheel),
    )


def _of_other(part: OtherPart) -> Component:
    kind = ComponentType.CONTAINER if part.is_image else ComponentType.APPLICATION
    reference = f"{kind.value}:{part.name}"
    return Component(name=part.name, version=part.version, type=kind, bom_ref=reference, hashes=[_sha256(part.sha256)])


def _licences(wheel: Wheel) -> Iterable[License]:
    """The expression of PEP 639 where there is one; else the classifiers; else a short text of the old field."""
    factory = LicenseFactory()
    if expression := wheel.metadata["License-Expression"]:
        return [factory.make_from_string(expression)]
    classified = [
        each.rpartition(" :: ")[2]
        for each in wheel.metadata.get_all("Classifier", [])
        if each.startswith("License :: ") and each != "License :: OSI Approved"
    ]
    said = (wheel.metadata["License"] or "").strip()
    if not classified and said:
        classified = [said.splitlines()[0][:80]]
    return [factory.make_with_name(each) for each in dict.fromkeys(classified)]


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
