"""TLS for DICOM connections after BCP 195 (PS3.15 B.12 and B.13)."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from node.dimse import der
from node.dimse.revocation import check_revocation

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only; TLS 1.3 has no others (RFC 9325 4.2)."""
TLS_FILES = ("certificate", "key", "authorities", "revoked")
"""What a connection can rest on, as the configuration calls it; the last may be a folder."""
_HANDSHAKE, _CERTIFICATE = 22, 11
"""Types of TLS: the content that handshake messages are, and of these the one with certificates."""
_HANDSHAKE_HEADER, _LENGTH = 4, 3
"""Bytes of the header of such a message, and of a length in it."""
_PLAIN = {
    "self-signed certificate": "it is signed by itself, and is no authority that is trusted",
    "unable to get local issuer certificate": "no authority that is trusted signed it",
    "CRL has expired": "the list of revoked certificates has ended: fetch a new one",
    "CRL is not yet valid": "the list of revoked certificates begins later: are both clocks right?",
    "CRL signature failure": "the list of revoked certificates is not signed by its authority",
    "unable to get certificate CRL": "its authority has no list among those of revoked certificates",
}
"""What OpenSSL says of a certificate, where it does not explain itself."""
_REFUSED = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "shows no certificate",
    "WRONG_VERSION_NUMBER": "speaks no TLS",
    "HTTP_REQUEST": "speaks no TLS, but HTTP",
    "UNSUPPORTED_PROTOCOL": "speaks no TLS 1.2 or later",
    "NO_SHARED_CIPHER": "knows no cipher suite that is allowed",
    "TLSV1_ALERT_UNKNOWN_CA": "does not trust our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "does not accept our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "finds that our certificate has ended",
}
"""Why a handshake fails each time until somebody changes something, by what OpenSSL calls it."""


class PassphraseError(OSError):
    """A private key cannot be used without its passphrase, and a node that starts at night has nobody to type it."""

    def __init__(self, key: Path) -> None:
        super().__init__(f"the key {key} has a passphrase: keep it without one, readable by the node alone")


def load_chain(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Use our certificate and its key; OSError, ssl.SSLError, PassphraseError. Asks nobody for a passphrase."""

    def refuse() -> str:
        raise PassphraseError(key or certificate)

    context.load_cert_chain(certificate, key, refuse)


def trust(context: ssl.SSLContext, authorities: Path | None) -> None:
    """Accept what was signed by one of these authorities, also where it is not the root; OSError, ssl.SSLError."""
    context.load_verify_locations(authorities)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


class HandshakeError(Exception):
    """A peer that connected to a TLS port got no further."""

    def __init__(self, error: ssl.SSLError, subject: str) -> None:
        super().__init__(error.reason or str(error))
        self.cause = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else None
        """What OpenSSL says of the certificate; None where it was not that."""
        self.subject = subject
        """Of the certificate that was shown: nobody has verified it."""
        self.why = _REFUSED.get(str(self), "")
        """In words, where it fails each time; else empty."""
        if self.cause is not None:
            self.why = f"shows a certificate that is refused: {why_refused(error)}{f' ({subject})' if subject else ''}"


class _ServerSocket(ssl.SSLSocket):
    shown = b""
    """The certificate that the peer has sent, verified or not, in DER."""


class ServerContext(ssl.SSLContext):
    """The context of a TLS port. Its connections know which certificate the peer sent, also where it is refused.

    The library tells nothing of a certificate that it does not accept but to a callback that is meant for debugging.
    What is seen there decides nothing; it only names in the log and in `status` who has to be helped.
    """

    sslsocket_class = _ServerSocket

    def note_certificates(self) -> None:
        """From now on, for each connection."""
        self._msg_callback = _note_certificate


def _note_certificate(connection: object, direction: str, version: int, kind: int, message: int, data: bytes) -> None:
    """The first certificate of a Certificate message (RFC 5246 7.4.2, RFC 8446 4.4.2)."""
    if (direction, kind, message) != ("read", _HANDSHAKE, _CERTIFICATE) or not isinstance(connection, _ServerSocket):
        return
    at = _HANDSHAKE_HEADER + (1 + data[_HANDSHAKE_HEADER] if version == ssl.TLSVersion.TLSv1_3 else 0) + _LENGTH
    length = int.from_bytes(data[at : at + _LENGTH])
    connection.shown = data[at + _LENGTH : at + _LENGTH + length]


def shake_hands(connection: ssl.SSLSocket) -> PeerCertificate:
    """The handshake of a connection to our TLS port; HandshakeError, OSError."""
    try:
        connection.do_handshake()
    except ssl.SSLError as error:
        shown = connection.shown if isinstance(connection, _ServerSocket) else b""
        raise HandshakeError(error, der.subject(shown)) from error
    return certificate_of(connection)


def server_context(
    certificate: Path,
    key: Path,
    client_certificates: Literal["required", "optional", "none"],
    authorities: Path | None,
    revoked: Path | None = None,
) -> ssl.SSLContext:
    """The context of a TLS port: TLS 1.2 or later; client certificates checked against `authorities` and `revoked`.

    Raises OSError or ssl.SSLError where a file cannot be read.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.note_certificates()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    load_chain(context, certificate, key)
    if client_certificates != "none":
        trust(context, authorities)
        if revoked is not None:
            check_revocation(context, revoked)
        context.verify_mode = ssl.CERT_REQUIRED if client_certificates == "required" else ssl.CERT_OPTIONAL
    return context


def why_refused(error: ssl.SSLError) -> str:
    """Why a certificate is refused, in words; empty where the handshake failed for another reason."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ""
    return _PLAIN.get(error.verify_message, error.verify_message)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection that we open rests on: see `node.config.models.ClientTLS`."""

    authorities: Path
    certificate: Path | None
    key: Path | None
    server_name: str | None
    """The name that must be in the peer's certificate; None where `authorities` is that certificate itself."""
    revoked: Path | None = None
    """Lists of revoked certificates; None where they are not checked."""


class _ClientSocket(ssl.SSLSocket):
    """One that leaves word of why its handshake failed: who connects for us (pynetdicom) only says that it did."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except ssl.SSLError as error:
            if isinstance(self.context, ClientContext):
                self.context.refused = why_refused(error)
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
    context.check_hostname = credentials.server_name is not None
    trust(context, credentials.authorities)
    if credentials.revoked is not None:
        check_revocation(context, credentials.revoked)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    if credentials.certificate is not None:
        load_chain(context, credentials.certificate, credentials.key)
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
