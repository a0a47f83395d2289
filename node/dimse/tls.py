"""TLS for DICOM connections after BCP 195 (PS3.15 B.12 and B.13)."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only; TLS 1.3 has no others (RFC 9325 4.2)."""


def server_context(
    certificate: Path,
    key: Path,
    client_certificates: Literal["required", "optional", "none"],
    authorities: Path | None,
) -> ssl.SSLContext:
    """The context of a TLS port: TLS 1.2 or later; client certificates checked against `authorities`.

    Raises OSError or ssl.SSLError where a file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.load_cert_chain(certificate, key)
    if client_certificates != "none":
        context.load_verify_locations(authorities)
        context.verify_mode = ssl.CERT_REQUIRED if client_certificates == "required" else ssl.CERT_OPTIONAL
    return context


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection that we open rests on: see `node.config.models.ClientTLS`."""

    authorities: Path
    certificate: Path | None
    key: Path | None
    server_name: str
    """The name that must be in the peer's certificate."""


class _ClientSocket(ssl.SSLSocket):
    """One that leaves word of why its handshake failed: who connects for us (pynetdicom) only says that it did."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except ssl.SSLError as error:
            if isinstance(self.context, ClientContext):
                self.context.refused = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
                self.context.failed = error.reason or str(error)
            raise


class ClientContext(ssl.SSLContext):
    """The context of one connection that we open; afterwards it knows what became of its handshake."""

    sslsocket_class = _ClientSocket
    refused = ""
    """Why the peer's certificate is not accepted."""
    failed = ""
    """Why the handshake failed, for that or another reason; empty where it did not."""


def client_context(credentials: Credentials) -> ClientContext:
    """The context of a connection that we open: TLS 1.2 or later, the peer's certificate and its name verified.

    Raises OSError or ssl.SSLError where a file cannot be read.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(credentials.authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    if credentials.certificate is not None:
        context.load_cert_chain(credentials.certificate, credentials.key)
    return context


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a verified certificate says of a peer; empty texts where there is none."""

    subject: str = ""
    """As `organizationName=Hospital,commonName=CT1`, in the order of the certificate."""
    fingerprint: str = ""
    """SHA-256 of the certificate, 64 hexadecimal digits in lower case."""


def certificate_of(connection: ssl.SSLSocket) -> PeerCertificate:
    """The peer's verified certificate."""
    encoded = connection.getpeercert(binary_form=True)
    return PeerCertificate(_subject(connection), hashlib.sha256(encoded).hexdigest()) if encoded else PeerCertificate()


def _subject(connection: ssl.SSLSocket) -> str:
    certificate = connection.getpeercert() or {}
    parts = [f"{name}={value}" for relative in certificate.get("subject", ()) for name, value in relative]  # type: ignore[str-unpack] # typeshed leaves the shape open
    return ",".join(parts)
