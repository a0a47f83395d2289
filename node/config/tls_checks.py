"""What is wrong with the files that a connection over TLS rests on."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from node.config.problems import Problem
from node.config.source import Document, YamlPath
from node.dimse.revocation import lists_at
from node.dimse.tls import TLS_FILES, PassphraseError, load_chain, trust


def problems(document: Document, path: YamlPath, tls: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    """Whether the files of a connection over TLS are there, and can be used."""
    missing = list(_tls_files(document, path, tls, folder))
    yield from missing or _tls_usable(document, path, tls, folder)


def _tls_files(document: Document, path: YamlPath, tls: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    for key in TLS_FILES[:-1]:
        if isinstance(tls.get(key), str) and not (folder / tls[key]).is_file():
            yield document.problem((*path, key), f"there is no file {(folder / tls[key]).resolve()}")
    if isinstance(tls.get("revoked"), str) and not (folder / tls["revoked"]).exists():
        message = f"there is no file or folder {(folder / tls['revoked']).resolve()}"
        yield document.problem((*path, "revoked"), message)


def _tls_usable(document: Document, path: YamlPath, tls: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    """Whether certificate, key and authorities are what they are called and belong together."""
    certificate, key, authorities, revoked = (tls.get(name) for name in TLS_FILES)
    if isinstance(certificate, str) and isinstance(key, str):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            why = _fails(lambda: load_chain(context, folder / certificate, folder / key))
        except PassphraseError as error:
            yield document.problem((*path, "key"), str(error))
            why = ""
        if why:
            message = f"certificate and key cannot be used together: {why}"
            yield document.problem((*path, "certificate"), message)
    if isinstance(authorities, str):
        why = _fails(lambda: trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), folder / authorities))
        if why:
            yield document.problem((*path, "authorities"), f"no certificates of authorities: {why}")
    if isinstance(revoked, str):
        why = _fails(lambda: lists_at(folder / revoked))
        if why:
            yield document.problem((*path, "revoked"), why)


def _fails(use: Callable[[], object]) -> str:
    """Why files of TLS cannot be used: `key values mismatch`; empty where they can. Raises PassphraseError."""
    try:
        use()
    except PermissionError:  # who asks is not always who serves
        return ""
    except PassphraseError:
        raise
    except ssl.SSLError as error:
        return error.reason.replace("_", " ").lower() if error.reason else "not PEM, or not what it is called"
    except OSError as error:
        return error.strerror or str(error)
    return ""
