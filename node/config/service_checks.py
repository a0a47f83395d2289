"""What is wrong with web services, and with the plugins that name one; and what a site should know of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from node.config.box_checks import ManifestOf
from node.config.problems import Problem, closest
from node.config.reporting import files
from node.config.source import Document
from node.config.values import is_mapping, section
from node.config.web_destinations import HERE
from plugins.manifest import MANIFEST
from plugins.runtime import PatientIdentity


def problems_of_services(document: Document, manifest_of: ManifestOf, folder: Path) -> Iterator[Problem]:
    """Every contradiction between a service and the rest; `folder` is where relative paths begin."""
    services = _services(document)
    for name, service in services.items():
        yield from files(document, ("services", name), service, folder)
        for key in ("certificate", "key"):
            file = service.get(key)
            if isinstance(file, str) and not (folder / file).is_file():
                yield document.problem(("services", name, key), f"there is no file {(folder / file).resolve()}")
    for name in section(document.value, "plugins"):
        manifest = manifest_of(name)
        use = manifest.runtime.service if manifest else None
        if use is not None and use.service not in services:
            message = f'its {MANIFEST} names the service "{use.service}", which is not under services:'
            yield document.problem(("plugins", name), message, closest(use.service, services), key=True)


def warnings_of_services(document: Document, manifest_of: ManifestOf) -> Iterator[Problem]:
    """Which services learn who the patients are, and which are spoken to without TLS."""
    services = _services(document)
    for name, service in services.items():
        parts = urlsplit(str(service.get("url")))
        if parts.scheme == "http" and parts.hostname not in HERE:
            message = f"images travel to {parts.hostname} unencrypted: everybody on the way can read them"
            yield document.problem(("services", name, "url"), message)
    for name in section(document.value, "plugins"):
        manifest = manifest_of(name)
        use = manifest.runtime.service if manifest else None
        if manifest is None or use is None or use.service not in services:
            continue
        if manifest.runtime.identity is PatientIdentity.FULL:
            host = urlsplit(str(services[use.service].get("url"))).hostname
            message = f'{host} gets the images as received, with the patient\'s identity (identity = "full")'
            yield document.problem(("plugins", name), message, key=True)


def _services(document: Document) -> dict[str, Mapping[str, Any]]:
    return {key: part for key, part in section(document.value, "services").items() if is_mapping(part)}
