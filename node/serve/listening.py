"""What receivers inherit: listening sockets, and the files of TLS as they were when they came into force.

The files are copied into memory (memfd_create(2)), so that a receiver that dies and is started again uses the
certificate that is in force, whatever is on the disk by then: perhaps half of a new one.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from node.config.models import TLS, Configuration, Listen
from node.dimse.revocation import lists_at, pem
from node.errors import PermanentError
from node.serve import activation

LISTENING = "listening.json"
"""In the data folder while the node runs: {"pid", "port", "tls_port"}; says which port the system chose for 0.
Of a port that is off it says null."""
BACKLOG = 128
"""Connections that the kernel keeps for receivers to accept."""

Place = tuple[str, int]
"""Host and port as configured."""
_PLAIN, _TLS = "listen", "tls"
"""Sides of the node, as `node.receive` calls their sockets."""
_KINDS = {_PLAIN: "DICOM", _TLS: "DICOM over TLS"}


class ListenError(PermanentError):
    """The configured address cannot be listened on."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Open sockets and files for receivers; `open` makes them."""

    places: Mapping[str, Place]
    """Where each side listens: `listen` (DICOM), `tls` (DICOM over TLS); a side that is off is missing."""
    sockets: Mapping[Place, socket.socket]
    tls_files: Mapping[str, int]
    """Descriptors of what they held, by `TLS.files`."""

    @classmethod
    def open(cls, configuration: Configuration, before: Ports | None = None) -> Ports:
        """Listen as configured, on the sockets of `before` where it has them.

        Raises ListenError; nothing that `before` has not is open then.
        """
        listen = configuration.node.listen
        places = _places(listen)
        kept = before.sockets if before else _handed_over(places)
        sockets: dict[Place, socket.socket] = {}
        ports = cls(places, sockets, {})
        try:
            for place in places.values():
                sockets[place] = kept[place] if place in kept else listen_on(*place, "node.listen", kept)
            return cls(places, sockets, _copies(listen.tls) if listen.tls else {})
        except BaseException:
            ports.close(but=before)
            raise

    def close(self, but: Ports | None = None) -> None:
        """Close our ends of what `but` does not have."""
        kept = set(but.sockets.values()) if but else set()
        for each in self.sockets.values():
            if each not in kept:
                each.close()
        for descriptor in self.tls_files.values():
            os.close(descriptor)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them, for a process that is to inherit them."""
        return (*(each.fileno() for each in self.sockets.values()), *self.tls_files.values())

    @property
    def arguments(self) -> list[str]:
        """The same, as `node.receive` gets it."""
        said = [f for side, place in self.places.items() for f in (f"--{side}", str(self.sockets[place].fileno()))]
        return said + [f for name, descriptor in self.tls_files.items() for f in (f"--{name}", str(descriptor))]

    def numbers(self) -> dict[str, tuple[str, int]]:
        """Address and port of each side, as the system has them."""
        return {side: self.sockets[place].getsockname()[:2] for side, place in self.places.items()}

    @property
    def plain(self) -> tuple[str, int] | None:
        """Address and port without TLS, as the system has them; None where that is off."""
        return self.numbers().get(_PLAIN)

    def write(self, data: Path) -> None:
        """Leave word of the ports in the data folder."""
        port, tls_port = (self.numbers().get(side, (None, None))[1] for side in (_PLAIN, _TLS))
        part = data / f"{LISTENING}.part"
        part.write_text(json.dumps({"pid": os.getpid(), "port": port, "tls_port": tls_port}))
        part.rename(data / LISTENING)

    def lines(self, configuration: Configuration) -> list[str]:
        """What they are, for people."""
        titles = ", ".join((configuration.node.ae_title, *configuration.node.also_called))
        return [
            f"listens on {host} port {port} ({_KINDS[side]}), AE title {titles}"
            for side, (host, port) in self.numbers().items()
        ]


def _places(listen: Listen) -> dict[str, Place]:
    plain = {} if listen.port == "off" else {_PLAIN: (listen.host, listen.port)}
    return plain | ({_TLS: (listen.host, listen.tls.port)} if listen.tls else {})


def _handed_over(places: Mapping[str, Place]) -> dict[Place, socket.socket]:
    """The sockets that systemd listens on for us, by the place that the configuration gives each.

    Raises ListenError where there is one of which the configuration knows nothing: who calls there would wait for ever.
    """
    found: dict[Place, socket.socket] = {}
    for name, each in activation.take():
        host, port = each.getsockname()[:2]
        place = next((place for place in places.values() if place[1] == port and _is_same(place[0], host)), None)
        if place is None:
            wanted = ", ".join(f"{host} port {port}" for host, port in places.values())
            raise ListenError(
                f"systemd listens on {host} port {port} for this node ({name}), and the configuration says {wanted}: "
                "`pacsnode install` writes pacsnode.socket again; then systemctl restart pacsnode.socket"
            )
        found[place] = each
    return found


def _is_same(configured: str, bound: str) -> bool:
    try:
        return bound in {each[4][0] for each in socket.getaddrinfo(configured, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False


def listen_on(host: str, port: int, section: str, ours: Mapping[Place, socket.socket] | None = None) -> socket.socket:
    """A socket that listens; `section` is where the configuration says so, `ours` are others of this node.

    Raises ListenError.
    """
    listening: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise ListenError(f"cannot listen on {host} port {port}: {_why(error, port, section, ours or {})}") from error
    return listening


def _why(error: OSError, port: int, section: str, ours: Mapping[Place, socket.socket]) -> str:
    match error:
        case OSError(errno=errno.EADDRINUSE) if any(each.getsockname()[1] == port for each in ours.values()):
            return "this node has the port itself, under another address: to change the address alone takes a restart"
        case OSError(errno=errno.EADDRINUSE):
            return f"port {port} is in use by another program; stop that, or change {section}.port"
        case PermissionError():
            return f"port {port} is reserved for the system: `pacsnode install` lets systemd listen there; or use 11112"
        case OSError(errno=errno.EADDRNOTAVAIL):
            return f"this machine has no such address; change {section}.host"
        case _:
            return str(error.strerror or error)


def _copies(tls: TLS) -> dict[str, int]:
    """What the files hold now. Raises ListenError where one cannot be read."""
    made: dict[str, int] = {}
    for name, path in tls.files.items():
        try:
            content = pem(lists_at(path)) if name == "revoked" else path.read_bytes()
        except OSError as error:
            for descriptor in made.values():
                os.close(descriptor)
            raise ListenError(f"node.listen.tls.{name}: {path} cannot be read: {error.strerror or error}") from error
        made[name] = os.memfd_create(name)
        with open(made[name], "wb", closefd=False) as file:
            file.write(content)
    return made


def copy_of(descriptor: int) -> Path:
    """A path under which this process can read an inherited copy."""
    return Path(f"/proc/self/fd/{descriptor}")
