"""Who gets in: AE titles, addresses, TLS, against the real receiver process."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from node.app.refused import RefusedCallerIntake
from node.clock import SystemClock
from node.config.loading import load
from node.desk.callers import to_enter
from node.dimse.scu import BusyError, Peer, RejectedError, UnreachableError, echo
from node.dimse.storage_scu import send
from node.dimse.tls import Credentials
from node.ledger import refused_callers
from node.ledger.database import Ledger
from node.outcome import AnswerReading
from node.stage import Node
from node.store.arrival import read_arrival
from node.store.callers import RefusedCaller
from node.store.journal import Journal
from node.wake import Wakes
from tests.support.dimse.certificates import SERVER_NAME, Certificates
from tests.support.dimse.raw_dimse import (
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    COMMAND_LAST,
    DATA_LAST,
    RawPeer,
    associate_rq,
    data_set,
    p_data,
    store_rq,
)
from tests.support.images.files_to_send import content_of, plain
from tests.support.ports import refusing_port
from tests.support.programs.peers import storescu
from tests.support.sites.receiver import Receiver, data_set_of
from tests.support.wait import until


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(
        tmp_path_factory.mktemp("receiver"),
        node={"accept": "known", "also_called": ["RESEARCH"]},
        modalities={
            "ct": {"ae_title": "CT1", "addresses": ["127.0.0.0/8"]},
            "elsewhere": {"ae_title": "MR1", "addresses": ["192.0.2.0/24"]},
        },
        destinations={"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}},
    ) as running:
        yield running


def answer(receiver: Receiver, calling: bytes, called: bytes = b"PACSNODE") -> tuple[int, bytes]:
    with RawPeer(receiver.connect()) as peer:
        peer.send(associate_rq(called, calling))
        kind, body = peer.receive()
        return kind, body if kind == ASSOCIATE_RJ else b""


@pytest.mark.parametrize(
    ("calling", "called", "expected"),
    [
        (b"CT1", b"PACSNODE", (ASSOCIATE_AC, b"")),
        (b"CT1", b"RESEARCH", (ASSOCIATE_AC, b"")),
        (b"PACS", b"PACSNODE", (ASSOCIATE_AC, b"")),
        (b"CT1", b"OTHER", (ASSOCIATE_RJ, b"\x00\x01\x01\x07")),
        (b"UNKNOWN", b"PACSNODE", (ASSOCIATE_RJ, b"\x00\x01\x01\x03")),
        (b"MR1", b"PACSNODE", (ASSOCIATE_RJ, b"\x00\x01\x01\x03")),
    ],
    ids=["known", "also-called", "destination", "fault_22", "fault_23", "fault_24"],
)
def test_faults_22_23_24_ae_titles_and_addresses(
    receiver: Receiver, calling: bytes, called: bytes, expected: tuple[int, bytes]
) -> None:
    """Known callers under our names get in; each refusal has its code of PS3.8 Table 9-21."""
    assert answer(receiver, calling, called) == expected


def test_fault_24_a_known_ae_from_another_address_is_audited(receiver: Receiver) -> None:
    """The log line says who, from where and why, and is marked for security."""
    answer(receiver, b"MR1")
    line = receiver.events("receive.association-refused")[-1]
    assert (line["calling"], line["peer"], line["security"]) == ("MR1", "127.0.0.1", True)
    assert "address" in line["reason"]


def test_refusals_are_told_apart_by_our_own_scu(receiver: Receiver) -> None:
    """Each names what to change."""
    with pytest.raises(RejectedError, match="it is not called WRONG"):
        echo(Peer("127.0.0.1", receiver.port, "WRONG", "CT1", 10))
    with pytest.raises(RejectedError, match="it does not know our AE title WHO"):
        echo(Peer("127.0.0.1", receiver.port, "PACSNODE", "WHO", 10))
    with refusing_port() as port, pytest.raises(UnreachableError, match="no connection"):
        echo(Peer("127.0.0.1", port, "PACSNODE", "CT1", 10))


def test_a_full_node_is_busy_to_our_own_scu(tmp_path: Path) -> None:
    """A transient rejection is worth another try."""
    with Receiver(tmp_path, node={"maximum_associations": 1}) as small, RawPeer(small.connect()) as first:
        first.associate()
        with pytest.raises(BusyError, match="limit of associations"):
            echo(Peer("127.0.0.1", small.port, "PACSNODE", "CT1", 10))


@pytest.mark.parametrize("calling", [b"EVIL\nINFO ok", b"A\x1b[2J", b"A\\B", "Å".encode("latin-1")])
def test_fault_27_control_characters_in_an_ae_title_make_no_log_line(receiver: Receiver, calling: bytes) -> None:
    """It is refused, and the log has one line for it, with no control character."""
    before = len(receiver.log_file.read_text().splitlines())
    kind, _ = answer(receiver, calling)
    assert kind != ASSOCIATE_AC

    def new_lines() -> list[str]:
        lines = receiver.log_file.read_bytes().decode("utf-8").splitlines()[before:]
        return [line for line in lines if "receive.association-ended" not in line]

    lines = until(new_lines, what="a log line")
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert lines[0].startswith("{")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.made_in(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Receiver]:
    certificate, key = certificates.pair("server")
    tls = {
        "port": 2762,  # the one bound is inherited from the test
        "certificate": str(certificate),
        "key": str(key),
        "authorities": str(certificates.folder / "authority.pem"),
    }
    with Receiver(
        tmp_path_factory.mktemp("secure"),
        node={"listen": {"tls": tls}},
        modalities={"ct2": {"ae_title": "CT2", "certificate": {"subject": "organizationName=Hospital,commonName=ct2"}}},
        limits={"association_request": 3.0, "pdu": 3.0, "idle": 30.0},
        tls=True,
    ) as running:
        yield running


def handshake(
    receiver: Receiver, certificates: Certificates, client: str | None, version: ssl.TLSVersion | None = None
) -> RawPeer:
    context = ssl.create_default_context(cafile=str(certificates.folder / "authority.pem"))
    context.check_hostname = False
    if version is not None:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
    if client is not None:
        context.load_cert_chain(*certificates.pair(client))
    connection = socket.create_connection(("127.0.0.1", receiver.tls_port), timeout=60)
    return RawPeer(context.wrap_socket(connection))


def test_tls_with_a_certificate_is_served_and_its_subject_recorded(
    secure: Receiver, certificates: Certificates
) -> None:
    """An object stored over TLS says who brought it; large records and small ones alike."""
    with handshake(secure, certificates, "ct1") as peer:
        peer.associate()
        assert peer.store(data_set(tail=bytes(0)), fragment=7) == 0
        assert peer.store(data_set()) == 0
        peer.release()
    arrival, _ = read_arrival(secure.received()[-1])
    assert arrival.tls_subject == "organizationName=Hospital,commonName=ct1"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("client", "version"),
    [
        (None, None),
        ("expired", None),
        ("foreign", None),
        ("ct1", ssl.TLSVersion.TLSv1),
        ("ct1", ssl.TLSVersion.TLSv1_1),
    ],
    ids=["fault_25_none", "fault_25_expired", "fault_25_wrong_authority", "fault_26_tls_1_0", "fault_26_tls_1_1"],
)
def test_faults_25_26_the_handshake_fails_and_is_audited(
    secure: Receiver, certificates: Certificates, client: str | None, version: ssl.TLSVersion | None
) -> None:
    """No, expired or foreign certificate, or an old protocol: no association, a security line in the log."""
    before = len(secure.events("dimse.tls-handshake-failed"))
    with (
        pytest.raises((ssl.SSLError, ConnectionError, AssertionError)),
        handshake(secure, certificates, client, version) as peer,
    ):
        peer.associate()  # under TLS 1.3 the client learns only with its first read
    lines = until(lambda: secure.events("dimse.tls-handshake-failed")[before:], what="the audit line")
    assert all(line["security"] is True and line["peer"] == "127.0.0.1" for line in lines)
    causes = {"expired": "certificate has expired", "foreign": "unable to get local issuer certificate"}
    assert lines[0]["cause"] == causes.get(client or "")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_finding_m11_who_is_refused_before_an_association_is_named(
    secure: Receiver, certificates: Certificates
) -> None:
    """By the subject that its certificate claims and the cause, in TLS 1.2 and 1.3, in the log and for `status`."""
    claimed = "organizationName=Hospital,commonName="
    for client, version in ((None, None), ("expired", None), ("foreign", None), ("foreign", ssl.TLSVersion.TLSv1_2)):
        before = len(secure.events("dimse.tls-handshake-failed"))
        with (
            pytest.raises((ssl.SSLError, ConnectionError, AssertionError)),
            handshake(secure, certificates, client, version) as peer,
        ):
            peer.associate()
        [line] = until(lambda seen=before: secure.events("dimse.tls-handshake-failed")[seen:], what="the audit line")
        assert line.get("tls_subject", "") == (f"{claimed}{client}" if client else "")
    with RawPeer(socket.create_connection(("127.0.0.1", secure.tls_port), timeout=20)) as plain_peer:
        plain_peer.send(associate_rq())
        assert plain_peer.closed()
    journal = Journal(secure.data_folder.data)

    def reasons() -> set[str]:
        return {each.reason for path in journal.refused() for each in journal.read_refused(path)}

    named = {
        "shows no certificate",
        f"shows a certificate that is refused: certificate has expired ({claimed}expired)",
        f"shows a certificate that is refused: no authority that is trusted signed it ({claimed}foreign)",
        "speaks no TLS",
    }
    until(lambda: named <= reasons(), what="the refused callers")


def test_fault_05_a_silent_client_on_the_tls_port_stops_nobody(secure: Receiver, certificates: Certificates) -> None:
    """Others shake hands while it says nothing; it is closed at the deadline."""
    with socket.create_connection(("127.0.0.1", secure.tls_port), timeout=60) as silent:
        for _ in range(3):
            with handshake(secure, certificates, "ct1") as peer:
                peer.associate()
                assert peer.store(data_set()) == 0
                peer.release()
        with RawPeer(secure.connect()) as plain:
            plain.associate()
            assert plain.store(data_set()) == 0
        assert silent.recv(1) == b""


def _answer_over_tls(receiver: Receiver, certificates: Certificates, client: str, calling: bytes) -> int:
    with handshake(receiver, certificates, client) as peer:
        peer.send(associate_rq(calling=calling))
        return peer.receive()[0]


def test_fault_25_a_bound_ae_title_needs_its_own_certificate(secure: Receiver, certificates: Certificates) -> None:
    """With its certificate it is served; with another's, or without TLS, it is refused as unknown and audited."""
    assert _answer_over_tls(secure, certificates, "ct2", b"CT2") == ASSOCIATE_AC
    assert _answer_over_tls(secure, certificates, "ct1", b"CT2") == ASSOCIATE_RJ
    line = secure.events("receive.association-refused")[-1]
    assert (line["calling"], line["security"], line["reason"]) == (
        "CT2",
        True,
        "known calling AE title with another certificate than its own",
    )
    assert line["tls_subject"] == "organizationName=Hospital,commonName=ct1"
    assert len(line["tls_fingerprint"]) == 64
    assert answer(secure, b"CT2") == (ASSOCIATE_RJ, b"\x00\x01\x01\x03")
    assert secure.events("receive.association-refused")[-1]["reason"] == "known calling AE title with no certificate"
    assert _answer_over_tls(secure, certificates, "ct2", b"OTHER") == ASSOCIATE_AC


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Receiver]:
    """A TLS port to which certificates are optional."""
    certificate, key = certificates.pair("server")
    tls = {
        "port": 2762,
        "certificate": str(certificate),
        "key": str(key),
        "client_certificates": "optional",
        "authorities": str(certificates.folder / "authority.pem"),
    }
    with Receiver(tmp_path_factory.mktemp("lenient"), node={"listen": {"tls": tls}}, tls=True) as running:
        yield running


@pytest.mark.parametrize("client", [None, "ct1"])
def test_an_optional_certificate_may_be_missing(
    lenient: Receiver, certificates: Certificates, client: str | None
) -> None:
    """Both are served; what was shown is recorded."""
    with handshake(lenient, certificates, client) as peer:
        peer.associate()
        assert peer.store(data_set()) == 0
        peer.release()
    subject = read_arrival(lenient.received()[-1])[0].tls_subject
    assert subject == ("" if client is None else "organizationName=Hospital,commonName=ct1")


def test_fault_25_an_optional_certificate_must_be_right(lenient: Receiver, certificates: Certificates) -> None:
    """One that is shown and is expired or foreign is refused, and audited."""
    for client in ("expired", "foreign"):
        before = len(lenient.events("dimse.tls-handshake-failed"))
        with (
            pytest.raises((ssl.SSLError, ConnectionError, AssertionError)),
            handshake(lenient, certificates, client) as peer,
        ):
            peer.associate()
        until(lambda seen=before: lenient.events("dimse.tls-handshake-failed")[seen:], what="the audit line")


@pytest.mark.parametrize(
    ("profile", "served"),
    [
        ("--profile-bcp195", True),
        ("--profile-bcp195-nd", True),
        ("--profile-bcp195-ex", True),
        ("--profile-aes", False),
        ("--profile-null", False),
    ],
)
def test_dcmtk_over_tls_with_each_profile(
    secure: Receiver, certificates: Certificates, tmp_path: Path, profile: str, served: bool
) -> None:
    """By the profiles of BCP 195 it gets in, and what it sends arrives byte for byte; by the retired ones, with RSA key
    exchange and CBC, or unencrypted, it does not (PS3.15 B.9 to B.13)."""
    certificate, key = certificates.pair("ct1")
    before, [path] = len(secure.received()), plain(tmp_path)
    own = ("+tls", str(key), str(certificate))
    authority = ("+cf", str(certificates.folder / "authority.pem"))
    sent = storescu(secure.tls_port, [path], "PACSNODE", options=("-R", *own, *authority, profile))
    assert (sent.returncode == 0) is served, sent.stderr
    assert [data_set_of(copy) for copy in secure.received()[before:]] == [content_of(path)] * served


@pytest.mark.parametrize("certificate", ["required", "optional"])
def test_dcmtk_over_tls_without_a_certificate(
    secure: Receiver, lenient: Receiver, certificates: Certificates, tmp_path: Path, certificate: str
) -> None:
    """`+tla` shows none: it gets in only where none is required."""
    receiver, served = {"required": (secure, False), "optional": (lenient, True)}[certificate]
    before, [path] = len(receiver.received()), plain(tmp_path)
    authority = ("+cf", str(certificates.folder / "authority.pem"))
    sent = storescu(receiver.tls_port, [path], "PACSNODE", options=("-R", "+tla", *authority))
    assert (sent.returncode == 0) is served, sent.stderr
    assert [data_set_of(copy) for copy in receiver.received()[before:]] == [content_of(path)] * served


def test_only_suites_with_forward_secrecy_and_authenticated_encryption(
    secure: Receiver, certificates: Certificates
) -> None:
    """TLS 1.3 where the client has it; under 1.2 a suite with RSA key exchange or CBC is refused (PS3.15 B.13)."""
    context = ssl.create_default_context(cafile=str(certificates.folder / "authority.pem"))
    context.check_hostname = False
    context.load_cert_chain(*certificates.pair("ct1"))
    address = ("127.0.0.1", secure.tls_port)
    with context.wrap_socket(socket.create_connection(address, timeout=60)) as connection:
        assert connection.version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    with context.wrap_socket(socket.create_connection(address, timeout=60)) as connection:
        assert connection.version() == "TLSv1.2"
    context.set_ciphers("ECDHE-ECDSA-AES256-SHA384:AES256-GCM-SHA384")
    with pytest.raises(ssl.SSLError), context.wrap_socket(socket.create_connection(address, timeout=60)):
        pass


def _called(
    secure: Receiver,
    certificates: Certificates,
    client: str | None,
    server_name: str = SERVER_NAME,
    by: str = "authority",
) -> Peer:
    """The TLS port as our own SCU calls it."""
    certificate, key = certificates.pair(client) if client else (None, None)
    credentials = Credentials(certificates.folder / f"{by}.pem", certificate, key, server_name)
    return Peer("127.0.0.1", secure.tls_port, "PACSNODE", "US", 10, credentials)


def test_our_own_scu_sends_over_tls(secure: Receiver, certificates: Certificates) -> None:
    """A large object arrives whole, under our certificate's subject."""
    path = Path(str(get_testdata_file("CT_small.dcm")))
    [(_, outcome)] = send(_called(secure, certificates, "ct1"), [path])
    assert outcome.reading is AnswerReading.STORED
    copy = secure.received()[-1]
    assert read_arrival(copy)[0].tls_subject == "organizationName=Hospital,commonName=ct1"
    assert path.read_bytes().endswith(data_set_of(copy))


@pytest.mark.parametrize(
    ("client", "server_name", "by", "said"),
    [
        (None, SERVER_NAME, "authority", "does it ask for a certificate"),
        ("ct1", "other.example", "authority", "certificate that is not accepted: Hostname mismatch"),
        ("ct1", SERVER_NAME, "stranger", "certificate that is not accepted: self-signed"),
    ],
    ids=["no certificate", "another name", "another authority"],
)
def test_our_own_scu_sends_nothing_where_trust_is_missing(
    secure: Receiver, certificates: Certificates, client: str | None, server_name: str, by: str, said: str
) -> None:
    """It is worth another try, because somebody may mend it; it says what, and nothing was sent."""
    before = len(secure.events("receive.association-accepted"))
    with pytest.raises(UnreachableError, match=said):
        echo(_called(secure, certificates, client, server_name, by))
    assert len(secure.events("receive.association-accepted")) == before


def test_our_own_scu_says_where_no_tls_is_spoken(receiver: Receiver, certificates: Certificates) -> None:
    """The plain port, called over TLS."""
    credentials = Credentials(certificates.folder / "authority.pem", None, None, SERVER_NAME)
    with pytest.raises(UnreachableError, match=r"no TLS connection: .* does it speak TLS"):
        echo(Peer("127.0.0.1", receiver.port, "PACSNODE", "US", 10, credentials))


def test_a_key_that_cannot_be_read_is_told(secure: Receiver, certificates: Certificates, tmp_path: Path) -> None:
    """It is our own configuration that has to change."""
    credentials = Credentials(certificates.folder / "authority.pem", tmp_path / "none.pem", tmp_path / "none.key", "x")
    with pytest.raises(RejectedError, match="certificates or key cannot be read"):
        echo(Peer("127.0.0.1", secure.tls_port, "PACSNODE", "US", 10, credentials))


def associated(receiver: Receiver, calling: bytes) -> RawPeer:
    """An association that does nothing; the body of the accept is read."""
    peer = RawPeer(receiver.connect())
    peer.associate(calling=calling)
    return peer


def test_finding_a7_idle_associations_of_one_caller_keep_nobody_out(tmp_path: Path) -> None:
    """It has four of five places; another gets in at once. When all are taken, the one idle for longest gives way."""
    limits = {"gives_way": 1.0}
    with Receiver(tmp_path, node={"maximum_associations": 5}, limits=limits) as receiver:
        greedy = [associated(receiver, b"GREEDY") for _ in range(4)]
        with RawPeer(receiver.connect()) as fifth:
            fifth.send(associate_rq(calling=b"GREEDY"))
            assert fifth.receive() == (ASSOCIATE_RJ, b"\x00\x02\x03\x02")
        with associated(receiver, b"CT1") as first:
            assert first.store(data_set()) == 0
            [greed] = [each for each in receiver.data_folder.callers() if each[0] == "GREEDY"]
            assert receiver.data_folder.callers()[greed] == 4
            until(lambda: _gets_in(receiver, b"MR1"), what="an idle association to give way")
            assert greedy[0].receive()[0] == 5
            greedy[0].send(b"\x06\0\0\0\0\x04\0\0\0\0")
            assert first.store(data_set()) == 0
        for peer in greedy:
            peer.connection.close()


def _gets_in(receiver: Receiver, calling: bytes) -> bool:
    with RawPeer(receiver.connect()) as peer:
        peer.send(associate_rq(calling=calling))
        return peer.receive()[0] == ASSOCIATE_AC


def test_finding_a7_an_association_that_is_busy_does_not_give_way(tmp_path: Path) -> None:
    """In the midst of an object, however slow it comes: others are refused for now."""
    with (
        Receiver(tmp_path, node={"maximum_associations": 1}, limits={"gives_way": 0.2}) as receiver,
        associated(receiver, b"SLOW") as slow,
    ):
        slow.send(p_data(1, COMMAND_LAST, store_rq()))
        ends = time.monotonic() + 1.5
        while time.monotonic() < ends:
            assert not _gets_in(receiver, b"SLOW")
        slow.send(p_data(1, DATA_LAST, data_set()))
        assert slow.status() == 0


def test_finding_a8_a_destination_calls_from_its_host(tmp_path: Path) -> None:
    """Not from elsewhere, where it is no modality; `also_from` says where else."""
    destinations = {
        "here": {"ae_title": "HERE", "host": "localhost", "port": 104},
        "away": {"ae_title": "AWAY", "host": "192.0.2.1", "port": 104},
        "both": {"ae_title": "BOTH", "host": "192.0.2.1", "port": 104, "also_from": ["127.0.0.0/8"]},
    }
    with Receiver(tmp_path, node={"accept": "known"}, destinations=destinations) as receiver:
        assert _gets_in(receiver, b"HERE")
        assert _gets_in(receiver, b"BOTH")
        assert answer(receiver, b"AWAY") == (ASSOCIATE_RJ, b"\x00\x01\x01\x03")
        line = receiver.events("receive.association-refused")[-1]
        assert "not its host's" in line["reason"]


def test_finding_o3_refused_callers_reach_the_ledger_and_status(tmp_path: Path) -> None:
    """Counted, by caller and reason, soon after the first; with what to enter in the configuration."""
    with Receiver(tmp_path, node={"accept": "known"}, modalities={"ct": {"ae_title": "CT1"}}) as receiver:
        for _ in range(3):
            answer(receiver, b"NEW_MR")
        answer(receiver, b"CT1", b"PACSN0DE")
        journal = Journal(receiver.data_folder.data)
        until(journal.refused, what="the refused callers in the journal")
        ledger = Ledger(receiver.data_folder.data / "ledger.db")
        clock = SystemClock()

        def known() -> list[RefusedCaller]:
            RefusedCallerIntake(Node(ledger, receiver.data_folder, clock, Wakes()), journal).run_once()
            return refused_callers.recent(ledger.database, clock.now(), 10)

        found = until(lambda: found if len(found := known()) == 2 else None, what="both callers")
        assert journal.refused() == []
        lines = {each.calling_ae_title: to_enter(each, load(receiver.config)) for each in found}
        ledger.close()
    assert lines == {
        "NEW_MR": "modalities: {new-mr: {ae_title: NEW_MR, addresses: [127.0.0.1]}}",
        "CT1": "there, that we are PACSNODE; or node.also_called: [PACSN0DE]",
    }
    assert {each.calling_ae_title: each.times for each in found}["CT1"] == 1
