"""Secrets that systemd hands to the service: `credential:NAME` (LoadCredential=, LoadCredentialEncrypted=).

Wherever a file with a secret may be named, this may be written. It becomes the path of a file that is in memory while
the service runs, and that its user alone can read (systemd.exec(5)).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from node.config.problems import Problem
from node.config.source import Document

PREFIX = "credential:"
_VARIABLE = "CREDENTIALS_DIRECTORY"
_OF_THE_SERVICE = Path("/run/credentials/pacsnode.service")
"""Where systemd puts them: for who asks beside the service, such as `pacsnode check`."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")


def folder() -> Path:
    """Where the credentials of the service are."""
    return Path(os.environ.get(_VARIABLE) or _OF_THE_SERVICE)


def put_in(document: Document, secrets: Iterator[tuple[str, ...]]) -> list[Problem]:
    """Replace each `credential:NAME` among these places by the path of its file; what is wrong with a name."""
    problems = []
    for path in secrets:
        value = _at(document.value, path)
        if not isinstance(value, str) or not value.startswith(PREFIX):
            continue
        name = value.removeprefix(PREFIX)
        if _NAME.fullmatch(name) and name.strip("."):
            _at(document.value, path[:-1])[path[-1]] = str(folder() / name)
        else:
            problems.append(document.problem(path, f"{value!r} names no credential: write credential:NAME"))
    return problems


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
