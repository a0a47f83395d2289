"""Whom our TLS contexts trust, and until when certificates are valid."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.dimse.certificates import ends_at, reminder
from node.dimse.tls import Credentials, PassphraseError, client_context, server_context
from tests.support.dimse.certificates import SERVER_NAME, Certificates, lock
from tests.support.dimse.handshakes import shake_hands


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """With an authority `issuing` below `authority`, and a pair that it has signed."""
    made = Certificates.made_in(tmp_path_factory.mktemp("certificates"))
    made.issue("issuing", extra=["-extensions", "issuing"])
    made.issue("node", by="issuing", extra=["-extensions", "server"])
    made.issue("ct3", by="issuing")
    return made


@pytest.mark.parametrize("authority", ["issuing", "authority"])
def test_finding_m11_an_issuing_authority_alone_is_enough(certificates: Certificates, authority: str) -> None:
    """Its root need not be in the file: who is named is trusted, in both directions; nobody else is."""
    trusted = certificates.folder / f"{authority}.pem"
    for name in ("node", "ct3"):
        text = "".join((certificates.folder / f"{each}.pem").read_text() for each in (name, "issuing"))
        (certificates.folder / f"{name}-chain.pem").write_text(text)
    own, key = certificates.folder / "node-chain.pem", certificates.folder / "node.key"
    server = server_context(own, key, "required", trusted)
    caller = certificates.folder / "ct3-chain.pem", certificates.folder / "ct3.key"
    shake_hands(server, client_context(Credentials(trusted, *caller, SERVER_NAME)))
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        shake_hands(server, client_context(Credentials(trusted, *certificates.pair("foreign"), SERVER_NAME)))
    assert "issuer certificate" in caught.value.verify_message
    stranger = certificates.folder / "stranger.pem"
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, client_context(Credentials(stranger, *caller, SERVER_NAME)))


def test_finding_m11_the_end_of_a_certificate_is_known_and_said_a_month_before(certificates: Certificates) -> None:
    """The first end of a chain; of a file that is none, nothing."""
    node = certificates.folder / "node.pem"
    end = ends_at(node)
    assert end is not None
    assert timedelta(days=9) < end - datetime.now(UTC) <= timedelta(days=10)
    assert reminder(node, end - timedelta(days=31)) is None
    assert reminder(node, end - timedelta(days=3)) == (
        "warning",
        f"the certificate {node} ends on {end:%Y-%m-%d}, in 3 days: renew it",
    )
    assert reminder(node, end - timedelta(hours=1)) == (
        "warning",
        f"the certificate {node} ends on {end:%Y-%m-%d}, in less than a day: renew it",
    )
    assert reminder(node, end) == ("alert", f"the certificate {node} ended on {end:%Y-%m-%d}: peers refuse it")
    expired = certificates.folder / "expired.pem"
    assert ends_at(expired) == datetime(2020, 2, 1, tzinfo=UTC)
    both = certificates.folder / "both.pem"
    both.write_text(f"bag attributes\n{node.read_text()}{expired.read_text()}")
    assert ends_at(both) == ends_at(expired)


def test_an_end_beyond_2049_is_known(certificates: Certificates) -> None:
    """It is written in another form (RFC 5280 4.1.2.5)."""
    certificates.issue("long", extra=["-enddate", "20991231235959Z"])
    assert ends_at(certificates.folder / "long.pem") == datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("content", ["", "nothing", "-----BEGIN CERTIFICATE-----\nMAAw\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_has_no_end(tmp_path: Path, content: str) -> None:
    """The check of TLS says what it is; a file that may not be read, or is not there, is no reminder."""
    file = tmp_path / "a.pem"
    assert ends_at(file) is None
    file.write_text(content)
    assert ends_at(file) is None


def test_finding_m11_a_key_with_a_passphrase_is_refused_at_once(certificates: Certificates) -> None:
    """By whoever would use it, in words."""
    certificate, key = certificates.pair("ct1")
    lock(key)
    with pytest.raises(PassphraseError, match=r"ct1\.key has a passphrase"):
        server_context(certificate, key, "none", None)
