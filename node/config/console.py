"""Where the console's process answers HTTP: the section `console`."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from node.accounts.roles import Role
from node.config.sections import Party, Section, SitePath
from node.config.values import Duration, Host, Port

_LOOPBACK_NAME = "localhost"


def _check_address(value: str) -> str:
    return str(ip_address(value))  # as connections name it; ValueError says what is wrong


def is_loopback(host: str) -> bool:
    """Whether it is this machine by its loopback interface, by name or address."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == _LOOPBACK_NAME
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


class ConsoleTLS(Section):
    """HTTPS instead of HTTP."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NEXT_START})

    certificate: SitePath
    """PEM file of the certificate, with those that it was signed by."""
    key: SitePath
    """PEM file of its private key."""


class ConsoleProxy(Section):
    """Users whom a reverse proxy has logged in, by the site's single sign-on."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NEXT_START})

    addresses: tuple[Annotated[str, AfterValidator(_check_address)], ...]
    """IP addresses of the proxy. The headers of nobody else are believed."""
    user_header: str = "X-Remote-User"
    """The header with the user's name. The proxy has to remove it from what a browser sends."""
    groups_header: str | None = None
    """The header with the user's groups, separated by commas."""
    groups: dict[Role, tuple[str, ...]] = Field(default_factory=dict)
    """Which groups have which role; whoever is in none has the role of the local user of the same name, or none."""


class ConsoleSettings(Section):
    """A process that answers HTTP: pages for people, /metrics for Prometheus, /healthz and /readyz."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NEXT_START})

    host: Host = "127.0.0.1"
    """The address to listen on; at 127.0.0.1 only this machine reaches it. /metrics and health need no password."""
    port: Port = 8088
    """Its port."""
    names: tuple[Host, ...] = ()
    """Names by which it may be asked (the Host header), besides localhost and `host`."""
    tls: ConsoleTLS | None = None
    """HTTPS instead of HTTP."""
    proxy: ConsoleProxy | None = None
    """Users whom a reverse proxy has logged in."""
    launch_key: SitePath | None = None
    """File with the key by which a PACS or RIS signs the address that opens a study for a reader."""
    idle: Duration = timedelta(minutes=15)
    """After which somebody who did nothing has to log in again."""
    language: Literal["en", "ko"] = "en"
    """Of pages, until a user chooses another one."""
    edit: bool = True
    """Whether admins may change rules in the console; false: the file alone says them."""

    @property
    def allowed_names(self) -> list[str]:
        """Hosts that a request may name."""
        return [*dict.fromkeys((_LOOPBACK_NAME, "127.0.0.1", "[::1]", self.host, *self.names))]

    @property
    def is_private(self) -> bool:
        """Whether nobody on the network can read along: over HTTPS, or on this machine alone."""
        return self.tls is not None or is_loopback(self.host)

    @property
    def has_pages(self) -> bool:
        """Whether people may log in: over HTTPS, on this machine alone, or behind a proxy; never openly."""
        return self.is_private or self.proxy is not None
