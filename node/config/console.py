"""Where the console's process answers HTTP: the section `console`."""

from __future__ import annotations

from typing import ClassVar

from node.config.sections import Party, Section, SitePath
from node.config.values import Host, Port


class ConsoleTLS(Section):
    """HTTPS instead of HTTP."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NEXT_START})

    certificate: SitePath
    """PEM file of the certificate, with those that it was signed by."""
    key: SitePath
    """PEM file of its private key."""


class ConsoleSettings(Section):
    """A process that answers HTTP: /metrics for Prometheus, /healthz and /readyz."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NEXT_START})

    host: Host = "127.0.0.1"
    """The address to listen on; at 127.0.0.1 only this machine reaches it. There is no password."""
    port: Port = 8088
    """Its port."""
    names: tuple[Host, ...] = ()
    """Names by which it may be asked (the Host header), besides localhost and `host`."""
    tls: ConsoleTLS | None = None
    """HTTPS instead of HTTP."""

    @property
    def allowed_names(self) -> list[str]:
        """Hosts that a request may name."""
        return [*dict.fromkeys(("localhost", "127.0.0.1", "[::1]", self.host, *self.names))]
