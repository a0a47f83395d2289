"""TLS for DICOM connections after BCP 195 (PS3.15 B.12)."""

from __future__ import annotations

import ssl
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


def subject_of(connection: ssl.SSLSocket) -> str:
    """Subject of the peer's verified certificate, as `commonName=CT1,organizationName=…`; empty without one."""
    certificate = connection.getpeercert() or {}
    parts = [f"{name}={value}" for relative in certificate.get("subject", ()) for name, value in relative]  # type: ignore[str-unpack] # typeshed leaves the shape open
    return ",".join(parts)
