"""What is wrong with destinations, each for itself, and what a site should know of those that do not speak DIMSE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from node.config.destination_kinds import DESTINATIONS
from node.config.models import Listen
from node.config.problems import Problem
from node.config.reporting import files
from node.config.source import Document, YamlPath
from node.config.values import is_mapping, section
from node.config.web_destinations import HERE
from node.dimse.addresses import own_names

BY_HTTP, IN_A_FOLDER = "dicomweb", "folder"
_LOGINS = ("token_file", "username", "oauth2")
_UNIQUE = "{sop_instance_uid}"


def is_dicom(destination: Mapping[str, Any]) -> bool:
    """Whether it speaks DIMSE, has an AE title, and may be asked by C-FIND and C-MOVE."""
    return bool(destination.get("kind", DESTINATIONS.default) == DESTINATIONS.default)


def problems(document: Document, folder: Path) -> Iterator[Problem]:
    """One that is this node, and files that are not there; `folder` is where relative paths begin."""
    yield from _itself(document)
    for name, destination in _destinations(document):
        path: YamlPath = ("destinations", name)
        if destination.get("kind") == BY_HTTP:
            logins = [key for key in _LOGINS if key in destination]
            for key in logins[1:]:
                yield document.problem(
                    (*path, key), f"{logins[0]} is given already: both would be the same header", key=True
                )
            yield from files(document, path, destination, folder)
            yield from files(document, (*path, "oauth2"), section(destination, "oauth2"), folder)
        if destination.get("kind") == IN_A_FOLDER:
            yield from _folder(document, path, destination.get("folder"), folder)


def _itself(document: Document) -> Iterator[Problem]:
    """A destination that is this node would send every result round in a circle."""
    listen = section(document.value, "node", "listen")
    host, port = listen.get("host", Listen().host), listen.get("port", Listen().port)
    ports = {port, section(listen, "tls").get("port", port)}
    names = own_names(str(host))
    for name, destination in _destinations(document):
        if destination.get("host") in names and destination.get("port") in ports:
            message = f"{destination['host']}:{destination['port']} is this node itself; name the PACS"
            yield document.problem(("destinations", name, "port"), message)


def _folder(document: Document, path: YamlPath, given: Any, folder: Path) -> Iterator[Problem]:
    """Results in the data folder would be taken for the node's own, and a backup would be full of them."""
    if not isinstance(given, str):
        return
    target, data = (folder / given).resolve(), section(document.value, "node").get("data", "data")
    if isinstance(data, str) and _overlap(target, (folder / data).resolve()):
        message = f"{target} cannot be inside node.data ({(folder / data).resolve()}), nor around it"
        yield document.problem((*path, "folder"), message)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def warnings(document: Document) -> Iterator[Problem]:
    """What travels unencrypted, and names that objects may share."""
    for name, destination in _destinations(document):
        if destination.get("kind") == BY_HTTP:
            for path, url in _urls(("destinations", name), destination):
                host = urlsplit(url).hostname
                if urlsplit(url).scheme == "http" and host not in HERE:
                    message = f"{host} is spoken to without TLS: everybody on the way can read what is sent"
                    yield document.problem(path, message)
        names = destination.get("names")
        if destination.get("kind") == IN_A_FOLDER and isinstance(names, str) and _UNIQUE not in names:
            message = f"two objects may have the same name, and the second one is never written: add {_UNIQUE}"
            yield document.problem(("destinations", name, "names"), message)


def _urls(path: YamlPath, destination: Mapping[str, Any]) -> Iterator[tuple[YamlPath, str]]:
    for keys in (("url",), ("oauth2", "token_url")):
        url = section(destination, *keys[:-1]).get(keys[-1])
        if isinstance(url, str):
            yield (*path, *keys), url


def _destinations(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from ((name, each) for name, each in section(document.value, "destinations").items() if is_mapping(each))
