"""What a plugin asks for beyond its own job, in `[runtime]` of its plugin.toml: network, files, environment, a GPU.

It gets what the site's configuration grants of it (`plugins.NAME.allow`), and never more than it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it imports NumPy, which no command that only reads the configuration needs
    from plugins.manifest_table import ManifestTable

NO_NETWORK = "none"
_HOST = r"(?=.{1,253}:)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}(?:\.|(?=:)))(?:[A-Za-z0-9_-]{1,63}(?:\.|(?=:)))*"
_ENDPOINT = re.compile(rf"({_HOST}):([0-9]{{1,5}})")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_OURS = re.compile(r"PACSNODE_.*|PATH|HOME|TMPDIR|PYTHONPATH|CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A service that is reached by TCP."""

    host: str
    """A name or an IPv4 address."""
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """`host:port`; ValueError."""
        match = _ENDPOINT.fullmatch(text)
        if match is None or not 1 <= int(match[2]) <= 65535:
            raise ValueError(f"{text!r} is not host:port, the host a name or an IPv4 address")
        return cls(match[1].rstrip(".").lower(), int(match[2]))

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Privileges:
    """All that is asked for; nothing by default."""

    network: tuple[Endpoint, ...] = ()
    readable: tuple[Path, ...] = ()
    """Absolute files and folders."""
    environment: tuple[tuple[str, str | Path], ...] = ()
    """Name and value; a path is a file that holds the value: a secret, which the node reads for each attempt."""
    gpu: bool = False


NOTHING = Privileges()
"""Of a plugin that asks for nothing."""


def variable_name(name: str) -> str:
    """A name for a variable of a plugin's environment; ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of a variable: letters, digits and _, the first not a digit")
    if _OURS.fullmatch(name):
        raise ValueError(f"{name} is set by the node")
    return name


def read(table: ManifestTable) -> Privileges:
    """Take the keys of `[runtime]` that are about this; ManifestError."""
    return Privileges(
        _network(table),
        tuple(_readable(table, text) for text in table.texts("readable", [])),
        tuple(_variable(table, name, value) for name, value in table.take("environment", dict, {}).items()),
        table.take("gpu", bool, False),
    )


def _network(table: ManifestTable) -> tuple[Endpoint, ...]:
    if table.values.get("network") == NO_NETWORK:
        table.take("network", str)
        return ()
    if isinstance(table.values.get("network"), str):
        raise table.error("network", f'expected "{NO_NETWORK}", or a list as in ["models.hospital.example:443"]')
    try:
        return tuple(dict.fromkeys(map(Endpoint.parse, table.texts("network", []))))
    except ValueError as error:
        raise table.error("network", str(error)) from error


def _readable(table: ManifestTable, text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts or path == Path("/"):
        raise table.error("readable", f"{text!r} is not an absolute path of a file or folder, without ..")
    return path


def _variable(table: ManifestTable, name: str, value: Any) -> tuple[str, str | Path]:
    try:
        return variable_name(name), _value(name, value)
    except ValueError as error:
        raise table.error("environment", str(error)) from error


def _value(name: str, value: Any) -> str | Path:
    """A text, or a path where it is in a file."""
    if isinstance(value, str) and "\0" not in value:
        return value
    if isinstance(value, Mapping) and value.keys() == {"file"} and isinstance(value["file"], str):
        path = Path(value["file"])
        if path.is_absolute():
            return path
    raise ValueError(f'{name}: expected a text, or {{file = "/absolute/path"}}')
