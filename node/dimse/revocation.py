"""Lists of revoked certificates (RFC 5280 5): which there are, until when they are good, and how TLS gets them.

OpenSSL takes lists in PEM from a file and in no other way, so lists in DER, and those of a folder, are given to it in
memory. It fails every certificate whose authority has no list that is good now: nobody may get in because a list is
missing.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from node.dimse import der

_BEGIN, _END = "-----BEGIN X509 CRL-----", "-----END X509 CRL-----"
_PEM = re.compile(f"{_BEGIN}(.+?){_END}".encode(), re.DOTALL)
_LEFT = 4
"""A person is reminded when less than one part in this many is left of the time for which a list was made."""
_LEAST = timedelta(hours=12)


class RevocationError(OSError):
    """There is no list of revoked certificates where one should be."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """What one list says of itself."""

    encoded: bytes
    """In DER."""
    issuer: bytes
    """The name of its authority, in DER."""
    since: datetime
    until: datetime | None
    """When the next one should be there; None where the list does not say, and is good for ever."""

    @classmethod
    def read(cls, encoded: bytes) -> RevocationList:
        """ValueError or IndexError where it is none."""
        fields = [each for each in der.signed_fields(encoded) if each[0] != der.INTEGER]  # without its version
        [(algorithm, _), (tag, issuer), since, *rest] = fields
        if (algorithm, tag) != (der.SEQUENCE, der.SEQUENCE):
            raise ValueError("there is no issuer")
        until = der.time(*rest[0]) if rest and rest[0][0] in der.TIMES else None
        return cls(encoded, issuer, der.time(*since), until)

    @property
    def name(self) -> str:
        """Its authority, for people."""
        return der.name(self.issuer)

    def ends_soon(self, now: datetime) -> bool:
        """Whether it ends before somebody could notice by chance that no new one comes."""
        if self.until is None:
            return False
        return self.until - now < max((self.until - self.since) / _LEFT, _LEAST)


def lists_at(place: Path) -> list[RevocationList]:
    """The lists in a file, or in the files of a folder, in PEM or DER: of each authority the newest.

    Raises RevocationError where a file holds none, or there is no file; OSError where one cannot be read.
    """
    files = files_in(place) if place.is_dir() else [place]
    if not files:
        raise RevocationError(f"{place} has no file with a list of revoked certificates")
    best: dict[bytes, RevocationList] = {}
    for each in sorted((found for file in files for found in _in_file(file)), key=_age):
        best[each.issuer] = each
    return list(best.values())


def files_in(folder: Path) -> list[Path]:
    """The files of a folder; hidden ones are those that a program is writing."""
    return sorted(each for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))


def _age(one: RevocationList) -> tuple[datetime, bool, datetime]:
    """The newest last, as OpenSSL chooses: an older one that is good for longer lacks what was revoked since."""
    return one.since, one.until is None, one.until or one.since


def _in_file(file: Path) -> list[RevocationList]:
    content = file.read_bytes()
    try:
        encoded = [base64.b64decode(each) for each in _PEM.findall(content)] or [content]
        return [RevocationList.read(each) for each in encoded]
    except (ValueError, IndexError, TypeError) as error:
        raise RevocationError(f"{file} is not a list of revoked certificates, in PEM or DER") from error


def pem(lists: Iterable[RevocationList]) -> bytes:
    """As OpenSSL reads them."""
    texts = ("\n".join(textwrap.wrap(base64.b64encode(each.encoded).decode(), 64)) for each in lists)
    return "".join(f"{_BEGIN}\n{text}\n{_END}\n" for text in texts).encode()


def check_revocation(context: ssl.SSLContext, place: Path) -> None:
    """Refuse certificates that are on a list, or whose authority has none that is good now; OSError, ssl.SSLError.

    The list of the authority that signed the peer's own certificate has to be there. Where all that are trusted are
    roots, each with a list, those of authorities between have to be there as well, and may be revoked; of one that is
    trusted by name, OpenSSL would want its own signature on the list of another.
    """
    lists = lists_at(place)
    descriptor = os.memfd_create("revoked")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem(lists))
        context.load_verify_locations(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    issuers, trusted = {each.issuer for each in lists}, _names(context)
    chain = bool(trusted) and all(own == issuer and own in issuers for own, issuer in trusted)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN if chain else ssl.VERIFY_CRL_CHECK_LEAF


def without_list(authorities: Path, place: Path) -> list[str]:
    """The authorities whose list is not there, for people; OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(authorities)
    issuers = {each.issuer for each in lists_at(place)}
    return [der.name(own) for own, _ in _names(context) if own not in issuers]


def _names(context: ssl.SSLContext) -> list[tuple[bytes, bytes]]:
    """Subject and issuer of each trusted authority."""
    fields = [der.signed_fields(each) for each in context.get_ca_certs(binary_form=True)]
    return [(each[der.SUBJECT][1], each[der.ISSUER][1]) for each in fields]


def reminder(place: Path, now: datetime) -> tuple[str, str] | None:
    """Severity and words; None where every list is good for a while, or they cannot be read."""
    try:
        ending = [each for each in lists_at(place) if each.ends_soon(now)]
    except OSError:  # that it is no list is for the check of TLS to say
        return None
    if not ending:
        return None
    first = min(ending, key=lambda each: each.until or now)
    assert first.until is not None
    about = f"the list of certificates that {first.name} revoked ({place})"
    if first.until <= now:
        return "alert", f"{about} ended {first.until:%Y-%m-%d %H:%M} UTC: every certificate of it is refused"
    left = first.until - now
    when = f"{left.days} days" if left.days > 1 else f"{max(int(left.total_seconds()) // 3600, 0)} hours"
    return "warning", f"{about} is good for {when} more, until {first.until:%Y-%m-%d %H:%M} UTC: fetch a new one"
