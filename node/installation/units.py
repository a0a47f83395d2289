"""The text of each file of the service, by the configuration that it is to run on."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from node.config.models import Configuration
from node.dimse.association import ConnectionLimits
from node.errors import UsageError
from node.installation import places

_TEMPLATES = "node.installation.templates"
_NODE_MAY_TAKE, _TO_SPARE = 30.0, 25.0
"""Seconds, after the receivers, for the node process to end; and for what nobody thought of."""
_FIRST_PORT = ("0.0.0.0", 104)  # noqa: S104 - a DICOM node is there to be reached
"""Where systemd listens while there is no configuration."""


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """A file that `pacsnode install` writes, for everybody to read: no secret is in it."""

    path: Path
    text: str


def wanted(configuration: Configuration | None, program: Path, *, apparmor: bool) -> Iterator[InstalledFile]:
    """Every file of the service. `apparmor`: this machine's AppArmor can forbid user namespaces."""
    yield InstalledFile(places.SERVICE, _service(configuration, program, apparmor=apparmor))
    yield InstalledFile(places.SOCKET, _text("pacsnode.socket", listens=_listens(configuration), config=places.CONFIG))
    yield InstalledFile(places.JOURNAL, _text("journald"))
    if apparmor:
        yield InstalledFile(places.APPARMOR, _text("apparmor"))


def _text(name: str, **values: object) -> str:
    template = files(_TEMPLATES).joinpath(f"{name}.template").read_text(encoding="utf-8")
    return Template(template).substitute(values)


def _service(configuration: Configuration | None, program: Path, *, apparmor: bool) -> str:
    drain = ConnectionLimits().drain
    outside = _written_elsewhere(configuration) if configuration else []
    return _text(
        "pacsnode.service",
        program=_escaped(program),
        config=places.CONFIG,
        documentation=Path(__file__).resolve().parents[2] / "docs" / "installation.md",
        drain=f"{drain:g}",
        stop=f"{drain + 5 + _NODE_MAY_TAKE + _TO_SPARE:g}s",
        paths="".join(f"ReadWritePaths={_escaped(each)}\n" for each in outside),
        apparmor="AppArmorProfile=-pacsnode\n\n" if apparmor else "\n",
    )


def _written_elsewhere(configuration: Configuration) -> list[Path]:
    """Folders outside its own that the configuration has the node write into."""
    named = [configuration.node.data]
    named += [configuration.backup.to] if configuration.backup else []
    file = configuration.heartbeat.file if configuration.heartbeat else None
    named += [file.parent] if file else []
    return sorted({each for each in named if not each.is_relative_to(places.DATA)})


def _listens(configuration: Configuration | None) -> str:
    wanted = [_FIRST_PORT] if configuration is None else list(_ports(configuration))
    return "\n".join(f"ListenStream={_bracketed(host)}:{port}" for host, port in wanted)


def _ports(configuration: Configuration) -> Iterator[tuple[str, int]]:
    listen = configuration.node.listen
    if listen.port == 0:
        raise UsageError("node.listen.port is 0, so the system would choose another one at each start: say which one")
    if listen.port != "off":
        yield listen.host, listen.port
    if listen.tls:
        yield listen.host, listen.tls.port


def _bracketed(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(f"node.listen.host is {host}: systemd listens on addresses, not on names") from None
    return f"[{address}]" if address.version == 6 else str(address)


def _escaped(path: Path) -> str:
    """As a unit file takes it: % begins a specifier there, and $ a variable."""
    text = str(path)
    if any(character.isspace() or character in "\"'\\" for character in text):
        raise UsageError(f"{text}: a unit file takes no blanks or quotes in a path; put it elsewhere")
    return text.replace("%", "%%").replace("$", "$$")
