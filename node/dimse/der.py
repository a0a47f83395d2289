"""DER (X.690) as far as certificates and revocation lists need it: the TLS library says little of what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

SEQUENCE, INTEGER = 0x30, 0x02
TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""UTCTime and GeneralizedTime; the years of %y are those of RFC 5280 until 2068."""
_VERSION = 0xA0
_SET = 0x31
_ATTRIBUTES = {
    b"\x55\x04\x03": "commonName",
    b"\x55\x04\x05": "serialNumber",
    b"\x55\x04\x06": "countryName",
    b"\x55\x04\x07": "localityName",
    b"\x55\x04\x08": "stateOrProvinceName",
    b"\x55\x04\x0a": "organizationName",
    b"\x55\x04\x0b": "organizationalUnitName",
}
"""Object identifiers of what a name is made of (RFC 5280 A.1), as OpenSSL calls them."""
_BMP_STRING = 0x1E
_LONGEST_NAME = 200
"""Characters of a name that are shown: whoever calls may have written it."""
Part = tuple[int, bytes]
"""Tag and content of an element."""


def parts(content: bytes) -> Iterator[Part]:
    """Each element; ValueError or IndexError where the content is not whole."""
    at = 0
    while at < len(content):
        tag, length, at = content[at], content[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            length, at = int.from_bytes(content[at : at + octets]), at + octets
        if at + length > len(content):
            raise ValueError("an element is longer than what holds it")
        yield tag, content[at : at + length]
        at += length


ISSUER, VALIDITY, SUBJECT = 2, 3, 4
"""Places in the `signed_fields` of a certificate, after serial number and signature algorithm."""


def signed_fields(encoded: bytes) -> list[Part]:
    """The fields of what is signed in a certificate, but for its version (RFC 5280 4.1); so also of a list (5.1)."""
    [(_, whole)] = parts(encoded)
    [(_, signed), *_] = parts(whole)
    return [part for part in parts(signed) if part[0] != _VERSION]


def time(tag: int, text: bytes) -> datetime:
    """A UTCTime or GeneralizedTime; ValueError where it is neither."""
    if tag not in TIMES:
        raise ValueError("there is no time")
    return datetime.strptime(text.decode("ascii"), TIMES[tag]).replace(tzinfo=UTC)


def name(content: bytes) -> str:
    """A Name as `organizationName=Hospital,commonName=CT1`; ValueError or IndexError where it is none."""
    said = []
    for tag, relative in parts(content):
        for _, attribute in parts(relative) if tag == _SET else ():
            (_, kind), (form, value) = parts(attribute)
            text = value.decode("utf-16-be" if form == _BMP_STRING else "utf-8", "replace")
            said.append(f"{_ATTRIBUTES.get(kind, kind.hex())}={text}")
    return ",".join(said)[:_LONGEST_NAME]


def subject(certificate: bytes) -> str:
    """The subject of a certificate, for people; empty where it cannot be read."""
    try:
        return name(signed_fields(certificate)[SUBJECT][1])
    except (ValueError, IndexError):
        return ""
