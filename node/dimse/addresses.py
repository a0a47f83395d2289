"""Addresses of hosts, as they are written: nothing is looked up here (`node.dimse.hosts`)."""

from __future__ import annotations

import contextlib
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address
_OURSELVES = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - names to recognise, nothing is bound


def plain_address(text: str) -> Address:
    """An address as networks are written: IPv4 even where it came in through an IPv6 socket."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def own_names(listening: str) -> frozenset[str]:
    """Under which hosts this machine calls itself, where it listens on this one."""
    return frozenset((*_OURSELVES, listening, socket.gethostname()))


def literal(host: str) -> Address | None:
    """A host that is written as an address; None where it is a name."""
    with contextlib.suppress(ValueError):
        return plain_address(host.strip("[]"))
    return None
