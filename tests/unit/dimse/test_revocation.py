"""Lists of revoked certificates: whom they keep out, in which forms they come, and until when they are good."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.dimse.revocation import RevocationError, lists_at, reminder, without_list
from node.dimse.tls import Credentials, client_context, server_context, why_refused
from tests.support.dimse.certificates import SERVER_NAME, Certificates
from tests.support.dimse.handshakes import shake_hands

_PAST = ("20200101000000Z", "20200201000000Z")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """`ct2` and the authority `withdrawn` are revoked by `authority`; `ct3` by `issuing`, and `ct4` is signed by
    `withdrawn`; lists `root.pem`, `issuing.crl`, `withdrawn.crl` and, over since 2020, `old.crl`."""
    made = Certificates.made_in(tmp_path_factory.mktemp("certificates"))
    for name, below in (("issuing", "ct3"), ("withdrawn", "ct4")):
        made.issue(name, extra=["-extensions", "issuing"])
        made.issue(below, by=name)
        chain = (made.folder / f"{below}.pem").read_text() + (made.folder / f"{name}.pem").read_text()
        (made.folder / f"{below}.pem").write_text(chain)
    made.list_revoked(made.folder / "old.crl", times=_PAST)
    made.list_revoked(made.folder / "long.crl", times=(_PAST[0], "20991231000000Z"))
    made.list_revoked(made.folder / "withdrawn.crl", "withdrawn")
    for name, by in (("ct2", "authority"), ("withdrawn", "authority"), ("ct3", "issuing")):
        made.revoke(name, by)
    made.list_revoked(made.folder / "root.crl")
    made.list_revoked(made.folder / "issuing.crl", "issuing")
    return made


def lists(certificates: Certificates, folder: Path, *names: str) -> Path:
    """A folder with these lists."""
    for name in names:
        (folder / name).write_bytes((certificates.folder / name).read_bytes())
    return folder


def refused(certificates: Certificates, caller: str, revoked: Path, authority: str = "authority") -> str:
    """Why this caller is refused; empty where it is not."""
    trusted = certificates.folder / f"{authority}.pem"
    server = server_context(*certificates.pair("server"), "required", trusted, revoked)
    own = Credentials(certificates.folder / "authority.pem", *certificates.pair(caller), SERVER_NAME)
    try:
        shake_hands(server, client_context(own))
    except ssl.SSLCertVerificationError as error:
        return why_refused(error)
    return ""


def test_finding_a8_a_revoked_client_certificate_is_refused(certificates: Certificates) -> None:
    """By a list in PEM or in DER, in a file; one that is not on it is served."""
    listed = certificates.folder / "root.crl"
    for form in (listed, certificates.as_der(listed)):
        assert refused(certificates, "ct1", form) == ""
        assert refused(certificates, "ct2", form) == "certificate revoked"


def test_finding_a8_where_every_root_has_a_list_an_authority_below_it_can_be_revoked(
    certificates: Certificates, tmp_path: Path
) -> None:
    """Lists of the whole chain count; a certificate of an authority without a list is refused in words."""
    folder = lists(certificates, tmp_path, "root.crl", "withdrawn.crl")
    assert refused(certificates, "ct4", folder) == "certificate revoked"
    assert refused(certificates, "ct1", folder) == ""
    assert refused(certificates, "ct3", folder) == "its authority has no list among those of revoked certificates"


def test_finding_a8_an_issuing_authority_that_is_trusted_by_name_needs_its_own_list_alone(
    certificates: Certificates, tmp_path: Path
) -> None:
    """The list of a root that is not trusted is no harm."""
    assert refused(certificates, "ct3", certificates.folder / "issuing.crl", "issuing") == "certificate revoked"
    folder = lists(certificates, tmp_path, "root.crl", "withdrawn.crl")
    assert refused(certificates, "ct4", folder, "withdrawn") == ""


def test_finding_a8_a_list_that_has_ended_lets_nobody_in(certificates: Certificates, tmp_path: Path) -> None:
    """In words; where a newer one of the same authority is in the folder, that one counts."""
    folder = lists(certificates, tmp_path, "old.crl")
    assert refused(certificates, "ct1", folder) == "the list of revoked certificates has ended: fetch a new one"
    lists(certificates, tmp_path, "root.crl")
    assert refused(certificates, "ct1", folder) == ""
    assert refused(certificates, "ct2", folder) == "certificate revoked"


def test_finding_a8_an_older_list_that_is_good_for_longer_does_not_let_the_revoked_in(
    certificates: Certificates, tmp_path: Path
) -> None:
    """An authority that has gone from yearly to weekly lists: the newest counts."""
    folder = lists(certificates, tmp_path, "long.crl", "root.crl")
    assert refused(certificates, "ct2", folder) == "certificate revoked"
    assert refused(certificates, "ct1", folder) == ""


def test_finding_a8_a_server_with_a_revoked_certificate_gets_nothing(
    certificates: Certificates, tmp_path: Path
) -> None:
    """What we send results to is checked like who sends to us."""
    certificates.issue("server2", extra=["-extensions", "server"])
    trusted, root = certificates.folder / "authority.pem", certificates.folder / "root.crl"
    server = server_context(*certificates.pair("server2"), "none", None)
    shake_hands(server, client_context(Credentials(trusted, None, None, SERVER_NAME, root)))
    certificates.revoke("server2")
    listed = certificates.list_revoked(tmp_path / "new.crl")
    context = client_context(Credentials(trusted, None, None, SERVER_NAME, listed))
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake_hands(server, context)


def test_finding_a8_a_person_is_reminded_before_a_list_ends(certificates: Certificates, tmp_path: Path) -> None:
    """When a quarter of its time is left, with that time; afterwards it is an alert. Older lists do not matter."""
    [root] = lists_at(certificates.folder / "root.crl")
    assert (root.name, root.until) == ("commonName=authority", root.since + timedelta(days=7))
    assert root.until is not None
    folder = lists(certificates, tmp_path, "root.crl", "old.crl")
    assert reminder(folder, root.until - timedelta(days=2)) is None
    about = f"the list of certificates that commonName=authority revoked ({folder})"
    end = f"{root.until:%Y-%m-%d %H:%M} UTC"
    left = f"{about} is good for 40 hours more, until {end}: fetch a new one"
    assert reminder(folder, root.until - timedelta(hours=40)) == ("warning", left)
    over = f"{about} ended {end}: every certificate of it is refused"
    assert reminder(folder, root.until + timedelta(hours=1)) == ("alert", over)
    assert reminder(tmp_path / "none", datetime.now(UTC)) is None


def test_finding_a8_an_authority_without_a_list_is_named(certificates: Certificates) -> None:
    """Before its first caller is refused."""
    trusted = certificates.folder / "authority.pem"
    assert without_list(trusted, certificates.folder / "root.crl") == []
    assert without_list(trusted, certificates.folder / "issuing.crl") == ["commonName=authority"]


def test_finding_a8_what_is_no_list_is_refused(certificates: Certificates, tmp_path: Path) -> None:
    """A certificate, half a list, an empty folder: each in words."""
    half = tmp_path / "half.der"
    half.write_bytes(certificates.as_der(certificates.folder / "root.crl").read_bytes()[:-9])
    text = tmp_path / "half.crl"
    text.write_text((certificates.folder / "root.crl").read_text()[:300] + "\n-----END X509 CRL-----\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    for each in (certificates.folder / "ct1.pem", half, text):
        with pytest.raises(RevocationError, match="is not a list of revoked certificates, in PEM or DER"):
            lists_at(each)
    with pytest.raises(RevocationError, match="has no file with a list"):
        lists_at(empty)
