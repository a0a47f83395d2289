"""A destination that is reached by DICOMweb (PS3.18): STOW-RS for the objects, QIDO-RS for the questions."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from node.config.destinations import Destination
from node.config.people import URL
from node.config.sections import Party, Section, SitePath
from node.config.values import Duration

HERE = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts whose traffic does not leave this machine."""


def _check_login(value: str) -> str:
    if not value or not value.isascii() or not value.isprintable() or ":" in value:
        raise ValueError(f"{value!r} cannot be sent as a user name: printable ASCII without a colon")
    return value


def _check_scope(value: str) -> str:
    if not value or not value.isascii() or not value.isprintable() or '"' in value or "\\" in value:
        raise ValueError(f"{value!r} is not a scope of OAuth 2.0: printable ASCII, without quotes (RFC 6749 3.3)")
    return value


class ClientCredentials(Section):
    """OAuth 2.0 with client credentials (RFC 6749 4.4): a token server gives the token that a destination wants."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.PEERS})

    token_url: URL
    """Where a token is asked for (POST)."""
    client_id: Annotated[str, AfterValidator(_check_login)]
    """What this node is called there."""
    client_secret_file: SitePath
    """File with its secret there."""
    scope: Annotated[str, AfterValidator(_check_scope)] | None = None
    """What the token is to be good for, where the token server wants to know."""
    authorities: SitePath | None = None
    """PEM file of the authorities that sign the token server's certificate, where the system's do not."""


class DicomWebDestination(Destination):
    """A destination that speaks DICOMweb: STOW-RS, and QIDO-RS for the identity check."""

    asks_by: ClassVar[str] = "QIDO-RS"

    kind: Literal["dicomweb"] = "dicomweb"
    """dicomweb: STOW-RS."""
    url: URL
    """The root of its DICOMweb services: objects are sent to `URL/studies`."""
    authorities: SitePath | None = None
    """PEM file of the authorities that sign its certificate, where the system's do not."""
    certificate: SitePath | None = None
    """Ours, where it asks for one."""
    key: SitePath | None = None
    """Its private key."""
    username: Annotated[str, AfterValidator(_check_login)] | None = None
    """Where it wants a user name and a password (Basic, RFC 7617)."""
    password_file: SitePath | None = None
    """File with the password."""
    token_file: SitePath | None = None
    """File with the token that it wants to see (`Authorization: Bearer …`); read for each request."""
    oauth2: ClientCredentials | None = None
    """Where a token server gives the token."""
    unencrypted: bool = False
    """Whether it may be spoken to without TLS beyond this machine: patients' names can be read on the network then."""
    timeout: Duration = timedelta(seconds=60)
    """Longest silence of the peer, and longest wait for one of its answers."""
    transfer: Duration = timedelta(minutes=10)
    """Longest time for one request: an object there, and its answer back."""

    @model_validator(mode="before")
    @classmethod
    def _has_no_commitment(cls, given: Any) -> Any:
        if isinstance(given, dict) and "commitment" in given:
            raise ValueError(
                "commitment is DICOM's own (DIMSE): a destination of kind dicomweb is not asked for it; leave it out"
            )
        return given

    @model_validator(mode="after")
    def _is_whole(self) -> DicomWebDestination:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        if "?" in self.url or "#" in self.url:
            raise ValueError("url is the root of its DICOMweb services: without ? and #")
        if not self.is_secure and (self.certificate is not None or self.authorities is not None):
            raise ValueError("authorities and certificate are for TLS: an address that begins with https://")
        for url in self._urls():
            parts = urlsplit(url)
            if parts.scheme == "http" and parts.hostname not in HERE and not self.unencrypted:
                raise ValueError(
                    f"{parts.hostname} would get patients' data without TLS: write https://, or unencrypted: true"
                )
        return self

    def _urls(self) -> list[str]:
        return [self.url, *([self.oauth2.token_url] if self.oauth2 else [])]

    @property
    def root(self) -> str:
        """`url` without a slash at its end."""
        return self.url.rstrip("/")

    @property
    def is_secure(self) -> bool:
        """Whether it is spoken to by TLS."""
        return urlsplit(self.url).scheme == "https"

    @property
    def host(self) -> str:
        """Its name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def place(self) -> str:
        """As in `DICOMweb at https://pacs.hospital.example/dicom-web`."""
        return f"DICOMweb at {self.root}"
