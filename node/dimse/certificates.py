"""Until when certificates are valid, read from their PEM files: the TLS library says it of a peer's alone."""

from __future__ import annotations

import re
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from node.dimse import der

ENDS_SOON = timedelta(days=30)
"""Before the end of a certificate: from then on a person is reminded to renew it."""
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def ends_at(file: Path) -> datetime | None:
    """When the first of the certificates in a PEM file ends; None where it cannot be read, or holds none."""
    try:
        found = [_end(ssl.PEM_cert_to_DER_cert(pem)) for pem in _PEM.findall(file.read_text(encoding="latin-1"))]
    except (OSError, ValueError, IndexError):  # that it is no certificate is for the check of TLS to say
        return None
    return min(found, default=None)


def reminder(file: Path, now: datetime) -> tuple[str, str] | None:
    """Severity and words, as in `… ends on 2026-03-01, in 3 days`; None where it is valid for longer, or unreadable."""
    end = ends_at(file)
    if end is None or end - now > ENDS_SOON:
        return None
    if end <= now:
        return "alert", f"the certificate {file} ended on {end:%Y-%m-%d}: peers refuse it"
    days = (end - now).days
    when = "in less than a day" if not days else f"in {days} day{'' if days == 1 else 's'}"
    return "warning", f"the certificate {file} ends on {end:%Y-%m-%d}, {when}: renew it"


def _end(certificate: bytes) -> datetime:
    """`notAfter` of a DER certificate."""
    tag, validity = der.signed_fields(certificate)[der.VALIDITY]
    if tag != der.SEQUENCE:
        raise ValueError("there is no validity")
    _, end = der.parts(validity)
    return der.time(*end)
