"""Syslog over TLS: what the trail has comes whole and in order, what cannot be sent waits, a stranger gets nothing."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from node.audit import syslog
from node.audit.sending import SyslogStage
from node.ledger import audit_marks
from node.ledger.alert_kinds import AlertKind
from node.ledger.audit_marks import AuditMark
from node.ledger.event_kinds import EventKind
from tests.support import history
from tests.support.dimse.certificates import SERVER_NAME, Certificates
from tests.support.sites.audit_site import GOOD, AuditSite
from tests.support.wait import until

MESSAGE = re.compile(
    rb"<85>1 (\S+) (\S+) pacsnode - DICOM\+RFC3881 \[meta sequenceId=\"(\d+)\"\] \xef\xbb\xbf(<AuditMessage>.*)",
    re.DOTALL,
)


class SyslogPeer:
    """Takes octet-counted frames over TLS, until it is closed."""

    def __init__(self, certificates: Certificates, *, wants_certificate: bool = False, port: int = 0) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificates.pair("server"))
        if wants_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certificates.folder / "authority.pem")
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port = self._listening.getsockname()[1]
        self.received = b""
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
                self.connections.append(plain)
                connection = self._context.wrap_socket(plain, server_side=True)
                self.connections.append(connection)
                while got := connection.recv(65536):
                    self.received += got
            except OSError:
                if self._listening.fileno() < 0:
                    return

    def messages(self) -> list[bytes]:
        """Each frame; a frame that is not whole is an error."""
        found, rest = [], self.received
        while rest:
            length, _, rest = rest.partition(b" ")
            found.append(rest[: int(length)])
            assert len(found[-1]) == int(length)
            rest = rest[int(length) :]
        return found

    def close(self) -> None:
        self._listening.close()
        for each in self.connections:
            with suppress(OSError):  # over already
                each.shutdown(socket.SHUT_RDWR)  # also where its thread waits for more
            each.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.made_in(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def peer(certificates: Certificates) -> Iterator[SyslogPeer]:
    made = SyslogPeer(certificates)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "_REFUSAL", 0.1)


def site_for(folder: Path, certificates: Certificates, port: int, **tls: object) -> AuditSite:
    """A site that sends there, with three views of a study written."""
    trust = {"authorities": str(certificates.folder / "authority.pem"), "server_name": SERVER_NAME}
    site = AuditSite(folder, syslog={"host": "127.0.0.1", "port": port, "tls": trust | tls})
    site.project()
    views(site, 3)
    return site


def views(site: AuditSite, number: int) -> None:
    for _ in range(number):
        site.happens(EventKind.STUDY_VIEWED, study=GOOD, actor="os:hóng")
    site.project()


def arrived(peer: SyslogPeer, number: int) -> list[tuple[bytes, ...]]:
    until(lambda: peer.received.count(b"</AuditMessage>") >= number)
    found = [MESSAGE.fullmatch(each) for each in peer.messages()]
    assert all(found)
    return [each.groups() for each in found if each]


def test_each_entry_is_one_message_as_it_is_in_the_files(
    tmp_path: Path, certificates: Certificates, peer: SyslogPeer
) -> None:
    """Octets counted, RFC 5424 header with PRI 85 and DICOM+RFC3881, a BOM, UTF-8; and nothing twice."""
    site = site_for(tmp_path, certificates, peer.port)
    stage = SyslogStage(site.node, site.configuration)
    while not stage.run_once():
        pass
    views(site, 2)
    while not stage.run_once():
        pass
    stage.close()
    got = arrived(peer, 5)
    assert [text.decode() for *_, text in got] == [each["message"] for each in site.messages()]
    assert [int(number) for _, _, number, _ in got] == [1, 2, 3, 4, 5]
    assert [at.decode() for at, *_ in got] == [each["happened"] for each in site.messages()]
    assert audit_marks.get(site.ledger.database, AuditMark.SENT).number == 5


def test_what_is_not_taken_waits_and_comes_in_order_when_the_server_is_back(
    tmp_path: Path, certificates: Certificates
) -> None:
    """After ten minutes it is an alert; a stage that was started again goes on where the old one was."""
    first = SyslogPeer(certificates)
    site = site_for(tmp_path, certificates, first.port)
    stage = SyslogStage(site.node, site.configuration)
    stage.run_once()
    arrived(first, 3)
    first.close()
    views(site, 2)
    assert stage.run_once() > 1
    assert history.open_alerts(site.ledger.database) == []
    site.hand.pass_(minutes=11)
    for _ in range(2):
        stage.run_once()
    (alert,) = history.open_alerts(site.ledger.database)
    assert (alert.kind, alert.times) == (AlertKind.AUDIT_BEHIND, 1)
    stage.close()
    second = SyslogPeer(certificates, port=first.port)
    again = SyslogStage(site.node, site.configuration)
    again.run_once()
    assert [int(number) for _, _, number, _ in arrived(second, 2)] == [4, 5]
    assert audit_marks.get(site.ledger.database, AuditMark.SENT).trouble is None
    again.close()
    second.close()


def test_a_server_that_wants_a_certificate_gets_no_message_without_one(
    tmp_path: Path, certificates: Certificates
) -> None:
    """It says so only after the handshake of TLS 1.3: a message that was sent at once would be lost."""
    peer = SyslogPeer(certificates, wants_certificate=True)
    site = site_for(tmp_path, certificates, peer.port)
    stage = SyslogStage(site.node, site.configuration)
    assert stage.run_once() > 1
    mark = audit_marks.get(site.ledger.database, AuditMark.SENT)
    assert (mark.number, peer.received) == (0, b"")
    assert mark.trouble
    certificate, key = certificates.pair("ct1")
    other = site_for(tmp_path / "other", certificates, peer.port, certificate=str(certificate), key=str(key))
    stage = SyslogStage(other.node, other.configuration)
    stage.run_once()
    assert len(arrived(peer, 3)) == 3
    stage.close()
    peer.close()


@pytest.mark.parametrize("wrong", [{"server_name": "other.example"}, {"authorities": "stranger.pem"}])
def test_a_server_whose_certificate_is_not_right_gets_nothing(
    tmp_path: Path, certificates: Certificates, peer: SyslogPeer, wrong: dict[str, str]
) -> None:
    """Another name than it should have, or signed by another authority."""
    if "authorities" in wrong:
        wrong = {"authorities": str(certificates.folder / wrong["authorities"])}
    site = site_for(tmp_path, certificates, peer.port, **wrong)
    SyslogStage(site.node, site.configuration).run_once()
    mark = audit_marks.get(site.ledger.database, AuditMark.SENT)
    assert mark.number == 0
    assert "certificate verify failed" in (mark.trouble or "").lower()
    assert peer.received == b""


def test_a_server_that_is_named_later_gets_what_comes_from_then_on(tmp_path: Path) -> None:
    """What was before is in the files; one that is named no more keeps no file from going."""
    site = AuditSite(tmp_path)
    views(site, 2)
    server = {"host": "127.0.0.1", "tls": {"authorities": "ca.pem"}}
    named = AuditSite(tmp_path / "other", syslog=server).configuration
    site.stage.use(named)
    views(site, 1)
    database = site.ledger.database
    assert audit_marks.get(database, AuditMark.SENT).number == 2
    site.stage.use(site.configuration)
    views(site, 1)
    assert not audit_marks.is_set(database, AuditMark.SENT)
