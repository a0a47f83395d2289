"""Web services that analyse images: they get them by HTTP, and are asked for what they found.

A plugin of kind `http` names one in its plugin.toml: what the algorithm needs is there, what the site has is here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from node.config.people import URL
from node.config.sections import Party, Section, SitePath
from node.config.values import Duration


class WebService(Section):
    """A web service."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE, Party.PEERS})

    url: URL
    """Where images are submitted (POST). What they become is asked at the same host and port alone."""
    authorities: SitePath | None = None
    """PEM file of the authorities that sign its certificate, where the system's do not."""
    certificate: SitePath | None = None
    """Ours, where the service asks for one."""
    key: SitePath | None = None
    """Its private key."""
    token_file: SitePath | None = None
    """File with the token that it wants to see (`Authorization: Bearer …`)."""
    at_once: Annotated[int, Field(ge=1, le=1000)] = 4
    """Maximum jobs there at the same time, of all plugins that use it."""
    timeout: Duration = timedelta(seconds=60)
    """Longest silence of the service while it is spoken to."""
    transfer: Duration = timedelta(minutes=10)
    """Longest time for one request: all images there, or all of an answer back."""
    poll: Duration = timedelta(seconds=5)
    """Between two questions for an answer, where the service does not say when (Retry-After)."""

    @model_validator(mode="after")
    def _is_whole(self) -> WebService:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if not self.is_secure and (self.certificate is not None or self.authorities is not None):
            raise ValueError("authorities and certificate are for TLS: an address that begins with https://")
        return self

    @property
    def is_secure(self) -> bool:
        """Whether it is spoken to by TLS."""
        return urlsplit(self.url).scheme == "https"

    @property
    def host(self) -> str:
        """As in `ai.hospital.example:443`."""
        parts = urlsplit(self.url)
        name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{name}:{parts.port or (443 if self.is_secure else 80)}"

    @property
    def place(self) -> str:
        """As in `ai.hospital.example:443 over TLS`."""
        return f"{self.host}{' over TLS' if self.is_secure else ', not encrypted'}"
