"""What of a configuration gives away more than it has to: secrets that others can read, a node that runs as root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from node.config.problems import Problem
from node.config.source import Document
from node.config.values import section

_NAMED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("modalities", ("storage_commitment", "tls", "key")),
    ("destinations", ("tls", "key")),
    ("destinations", ("key",)),
    ("destinations", ("password_file",)),
    ("destinations", ("token_file",)),
    ("destinations", ("oauth2", "client_secret_file")),
    ("boxes", ("tls", "key")),
    ("services", ("key",)),
    ("services", ("token_file",)),
    ("people", ("webhook", "token_file")),
)
_SINGLE = (
    ("node", "listen", "tls", "key"),
    ("console", "tls", "key"),
    ("console", "launch_key"),
    ("notify", "mail", "password_file"),
)
_OTHERS = stat.S_IRWXO | stat.S_IWGRP
"""A group that may read is often meant, such as ssl-cert; one that may write, or everybody, is not."""


def warnings(document: Document, folder: Path) -> Iterator[Problem]:
    """Private keys, tokens and passwords that others can read or replace; `folder` is where relative paths begin."""
    for path in secrets(document.value):
        name = section(document.value, *path[:-1]).get(path[-1])
        if not isinstance(name, str):
            continue
        try:
            mode = stat.S_IMODE((folder / name).stat().st_mode)
        except OSError:  # that it is missing is said elsewhere
            continue
        if mode & _OTHERS:
            yield document.problem(path, f"other users can read or replace {name} (mode {mode:04o}): chmod 600 {name}")


def secrets(value: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Where files with a secret may be named: the path of each key."""
    yield from _SINGLE
    for name, below in _NAMED:
        for key in section(value, name):
            yield (name, str(key), *below)
    for plugin in section(value, "plugins"):
        for variable in section(value, "plugins", plugin, "allow", "environment"):
            yield ("plugins", str(plugin), "allow", "environment", str(variable), "file")


def root_warning() -> str:
    """Why this user should not run the node; empty where it may."""
    if os.geteuid() != 0:
        return ""
    return (
        "`serve` run by this user would run as root, so a fault in it could touch everything on this machine: give the "
        "node a user of its own. `pacsnode install` makes one, and a service that needs no privilege for port 104"
    )
