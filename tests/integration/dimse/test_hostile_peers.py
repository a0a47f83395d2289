"""Whatever a peer answers us with: bounded memory, one deadline, and one failure in words."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from node.dimse import retrieve_scu, scu, storage_scu
from node.dimse.commitment import CommitmentReference, CommitmentRequest, CommitmentResult
from node.dimse.commitment_scu import ask, report
from node.dimse.retrieve_scu import QueryRetrieve
from node.dimse.scu import Peer, echo, find_study, has_instance, probe
from node.dimse.status import ActionStatus
from node.dimse.storage_scu import send
from node.dimse.tls import Credentials
from node.errors import NodeError, TransientError
from node.outcome import AnswerReading
from tests.support.dimse.certificates import Certificates
from tests.support.dimse.hostile import IN_TIME, Script, drip, flood, hostile
from tests.support.dimse.raw_dimse import (
    COMMAND,
    COMMAND_LAST,
    CT,
    DATA_LAST,
    IMPLICIT,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    accepted,
    associate_ac,
    command,
    item,
    p_data,
    pdu,
)

CT_FILE = Path(str(get_testdata_file("CT_small.dcm")))
FIND, MOVE = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2"
COMMITMENT, WELL_KNOWN = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
IMAGE = CommitmentReference(CT, "1.2.3")
ALL = b"".join(map(accepted, range(1, 256, 2)))
PENDING = 0xFF00
MATCH = struct.pack("<HH2sH", 0x20, 0xD, b"UI", 4) + b"1.2\0"


def _stored(peer: Peer) -> None:
    (_, outcome), *_ = send(peer, [CT_FILE])
    if outcome.reading is not AnswerReading.STORED:
        raise TransientError(outcome.text)


REQUESTS: dict[str, Callable[[Peer], object]] = {
    "C-ECHO": echo,
    "probe": lambda peer: probe(peer, [CT], [IMPLICIT]),
    "C-FIND study": lambda peer: find_study(peer, "1.2.3", ["PatientID"]),
    "C-FIND image": lambda peer: has_instance(peer, "1.2", "1.2.3", "1.2.3.4"),
    "C-MOVE": lambda peer: QueryRetrieve(peer).move("1.2", "1.2.3", "PACSNODE", 3600.0),
    "C-STORE": _stored,
    "N-ACTION": lambda peer: ask(peer, CommitmentRequest("1.2.3", (IMAGE,)), lambda _: ActionStatus.SUCCESS),
    "N-EVENT-REPORT": lambda peer: report(peer, CommitmentResult("1.2.3", (IMAGE,), ())),
}
every_request = pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
RESPONSES = {
    "C-ECHO": command(0x8030, e0002="1.2.840.10008.1.1", e0120=1, e0800=0x0101, e0900=0),
    "C-FIND": command(0x8020, e0002=FIND, e0120=1, e0800=1, e0900=PENDING),
    "C-MOVE": command(0x8021, e0002=MOVE, e0120=1, e0800=0x0101, e0900=PENDING),
    "C-STORE": command(0x8001, e0002=CT, e0120=1, e0800=0x0101, e0900=0, e1000="1.2.3"),
}


def _fails_in_words(request_of: Callable[[Peer], object], peer: Peer) -> str:
    """The failure's text; it came in time."""
    began = time.monotonic()
    with pytest.raises(NodeError) as failure:
        request_of(peer)
    assert time.monotonic() - began < IN_TIME
    assert str(failure.value).startswith(str(peer))
    return str(failure.value)


def _said_of_it(request_of: Callable[[Peer], object], peer: Peer) -> str:
    """The failure's text; storage commitment says by None that no answer came in time."""
    try:
        return "no answer by the deadline" if request_of(peer) is None else "an answer"
    except NodeError as error:
        return str(error)


def _asked(peer: RawPeer) -> None:
    assert peer.receive()[0] == 1


def _accept(peer: RawPeer, answer: bytes | None = None) -> None:
    _asked(peer)
    peer.send(associate_ac(ALL) if answer is None else answer)


def _hear(peer: RawPeer) -> None:
    """A whole request: to its last fragment of data, or of a command without any."""
    while True:
        kind, body = peer.receive()
        assert kind == P_DATA
        last, is_command = body[5] & 2, body[5] & 1
        without_data = b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x01" in body
        if last and (not is_command or without_data):
            return


HEADERS = {
    "A-ASSOCIATE-AC of 4 GiB": struct.pack(">BxL", 2, 0xFFFFFFF0),
    "A-ASSOCIATE-RJ of 4 GiB": struct.pack(">BxL", 3, 0xFFFFFFF0),
    "A-ASSOCIATE-RJ of 5 bytes": pdu(3, bytes(5)),
    "P-DATA of 4 GiB": struct.pack(">BxL", 4, 0xFFFFFFF0),
    "A-RELEASE-RQ of 1 MiB": struct.pack(">BxL", 5, 1 << 20),
    "A-RELEASE-RP of 0 bytes": pdu(6, b""),
    "A-ABORT of 64 bytes": pdu(7, bytes(64)),
    "A-ASSOCIATE-RQ of 4 GiB": struct.pack(">BxL", 1, 0xFFFFFFF0),
    "no PDU": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_fault_81_finding_x3_a_length_out_of_bounds_ends_the_request_at_its_header(header: bytes) -> None:
    """In place of the A-ASSOCIATE-AC, each PDU type with a length that it cannot have, and bytes that keep coming."""

    def script(peer: RawPeer) -> None:
        _asked(peer)
        peer.send(header)
        flood(peer, bytes(1 << 16))

    with hostile(script) as peer:
        assert "bytes" in _fails_in_words(echo, peer) or header.startswith(b"HTTP")


@every_request
def test_finding_x3_an_answer_of_4_gib_ends_every_request(request_of: Callable[[Peer], object]) -> None:
    """Each SCU refuses the A-ASSOCIATE-AC at its header."""

    def script(peer: RawPeer) -> None:
        _asked(peer)
        peer.send(HEADERS["A-ASSOCIATE-AC of 4 GiB"])
        flood(peer, bytes(1 << 16))

    with hostile(script) as peer:
        assert "ASSOCIATE_AC PDU of 4294967280 bytes" in _fails_in_words(request_of, peer)


@every_request
def test_fault_81_a_dripping_acceptance_is_ended_for_every_request(request_of: Callable[[Peer], object]) -> None:
    """Ten bytes a second of an A-ASSOCIATE-AC: over at the deadline of the association, whatever is asked for."""

    def script(peer: RawPeer) -> None:
        _asked(peer)
        drip(peer, associate_ac(ALL))

    with hostile(script) as peer:
        assert "deadline" in _fails_in_words(request_of, peer)


@pytest.mark.parametrize("request_of", [each for name, each in REQUESTS.items() if name != "probe"])
def test_fault_81_a_response_that_is_too_long_or_drips_is_ended(request_of: Callable[[Peer], object]) -> None:
    """On the association, a P-DATA PDU of 4 GiB; on the next one, ten bytes a second of a response."""

    def flooding(peer: RawPeer) -> None:
        _accept(peer)
        _hear(peer)
        peer.send(HEADERS["P-DATA of 4 GiB"])
        flood(peer, bytes(1 << 16))

    def dripping(peer: RawPeer) -> None:
        _accept(peer)
        _hear(peer)
        drip(peer, p_data(1, COMMAND_LAST, RESPONSES["C-ECHO"]))

    for script in (flooding, dripping):
        with hostile(script) as peer:
            began = time.monotonic()
            said = _said_of_it(request_of, peer)
            assert time.monotonic() - began < IN_TIME
        assert "bytes" in said or "deadline" in said


@pytest.mark.parametrize(
    "content",
    [p_data(1, COMMAND, b""), p_data(1, COMMAND, bytes(100)), p_data(1, COMMAND_LAST, RESPONSES["C-ECHO"][:-4])],
    ids=["fragments of no byte", "a command without end", "a command cut short"],
)
def test_finding_x3_p_data_that_never_becomes_a_response(content: bytes) -> None:
    """Whole PDUs, but no whole message: the exchange ends at its bounds."""

    def script(peer: RawPeer) -> None:
        _accept(peer)
        _hear(peer)
        flood(peer, content)

    with hostile(script) as peer:
        _fails_in_words(echo, peer)


def _endless(response: bytes, data_set: bytes | None = None) -> Script:
    answer = p_data(1, COMMAND_LAST, response) + (p_data(1, DATA_LAST, data_set) if data_set is not None else b"")

    def script(peer: RawPeer) -> None:
        _accept(peer)
        _hear(peer)
        flood(peer, answer)

    return script


def test_finding_x3_a_c_find_without_end_is_ended_by_its_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matches as fast as they are taken: at the most there may be, in words."""
    monkeypatch.setattr(scu, "_MOST_MATCHES", 100)
    with hostile(_endless(RESPONSES["C-FIND"], MATCH), timeout=20.0) as peer:
        text = _fails_in_words(REQUESTS["C-FIND study"], peer)
    assert "do not end after 101 matches" in text


def _now_and_then(response: bytes) -> Script:
    def script(peer: RawPeer) -> None:
        _accept(peer)
        _hear(peer)
        while not peer.ended(0.2):
            peer.send(response)

    return script


def test_finding_x3_responses_now_and_then_do_not_put_off_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """C-FIND and C-MOVE whose pending responses come five a second: one deadline for the whole exchange."""
    monkeypatch.setattr(retrieve_scu, "_LONGEST_MOVE", 2.0)
    match = p_data(1, COMMAND_LAST, RESPONSES["C-FIND"]) + p_data(1, DATA_LAST, MATCH)
    pending = p_data(1, COMMAND_LAST, RESPONSES["C-MOVE"])
    for name, response in (("C-FIND study", match), ("C-MOVE", pending)):
        with hostile(_now_and_then(response), timeout=1.0) as peer:
            assert "not over at its deadline" in _fails_in_words(REQUESTS[name], peer)


def test_finding_m3_a_c_move_has_one_deadline_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pending responses for ever: over when the time that the fetch has left is over."""
    pending = p_data(1, COMMAND_LAST, RESPONSES["C-MOVE"])
    with hostile(_now_and_then(pending), timeout=5.0) as peer:
        began = time.monotonic()
        with pytest.raises(NodeError, match="not over at its deadline"):
            QueryRetrieve(peer).move("1.2", "1.2.3", "PACSNODE", 1.5)
        assert time.monotonic() - began < IN_TIME


_COMPLETED, _FAILED_ONES, _WARNED = "e1021", "e1022", "e1023"


@pytest.mark.parametrize(
    ("status", "counts", "sent"),
    [
        (0x0000, {}, None),
        (0x0000, {_COMPLETED: 7}, 7),
        (0x0000, {_COMPLETED: 5, _FAILED_ONES: 0, _WARNED: 2}, 7),
        (0x0000, {_WARNED: 2}, 2),
        (0x0000, {_COMPLETED: 0}, 0),
        (0xB000, {_COMPLETED: 7, _FAILED_ONES: 0}, 7),
        (0xB000, {_COMPLETED: 0, _FAILED_ONES: 0, _WARNED: 3}, 3),
    ],
)
def test_finding_m4_legal_endings_of_a_c_move_count_what_was_sent(
    status: int, counts: dict[str, int], sent: int | None
) -> None:
    """PS3.4 C.4.2.1.7: the numbers of sub-operations may be missing, and a warning without a failure is success."""
    final = command(0x8021, e0002=MOVE, e0120=1, e0800=0x0101, e0900=status, **counts)

    def script(peer: RawPeer) -> None:
        _accept(peer)
        _hear(peer)
        peer.send(p_data(1, COMMAND_LAST, final))
        assert peer.receive()[0] == RELEASE_RQ
        peer.send(pdu(RELEASE_RP, bytes(4)))

    with hostile(script, timeout=5.0) as peer:
        assert QueryRetrieve(peer).move("1.2", "1.2.3", "PACSNODE", 30.0) == sent


def test_finding_m10_a_c_find_for_one_study_ends_at_a_hundred_matches() -> None:
    """The identity check of a destination that answers for ever."""
    with hostile(_endless(RESPONSES["C-FIND"], MATCH), timeout=20.0) as peer:
        text = _fails_in_words(lambda peer: find_study(peer, "1.2.3", ["PatientID"]), peer)
    assert "do not end after 101 matches" in text


def test_finding_x3_a_c_move_without_end_is_ended_by_its_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pending responses as fast as they are taken."""
    monkeypatch.setattr(retrieve_scu, "_MOST_ANSWERS", 100)
    with hostile(_endless(RESPONSES["C-MOVE"]), timeout=20.0) as peer:
        assert "did not finish" in _fails_in_words(REQUESTS["C-MOVE"], peer)


@pytest.mark.parametrize("name", ["N-ACTION", "N-EVENT-REPORT"])
def test_finding_x3_requests_of_the_peer_in_place_of_a_response(name: str) -> None:
    """N-EVENT-REPORTs as fast as they are taken while we wait: ended in time, and not a thread for each."""
    event = command(0x0100, e0002=COMMITMENT, e0110=1, e0800=0x0101, e1000=WELL_KNOWN, e1002=1)
    most = 0

    def script(peer: RawPeer) -> None:
        nonlocal most
        _accept(peer)
        _hear(peer)
        for _ in range(2000):
            peer.send(p_data(1, COMMAND_LAST, event) * 10)
            most = max(most, threading.active_count())

    with hostile(script) as peer:
        began = time.monotonic()
        assert REQUESTS[name](peer) is None
        assert time.monotonic() - began < IN_TIME
    assert most < 40


def _answering(answer: bytes) -> Script:
    def script(peer: RawPeer) -> None:
        _accept(peer)
        _hear(peer)
        peer.send(answer)

    return script


OTHERS = {
    "another Message ID": {"field": 0x8001, "e0120": 77},
    "no Message ID": {"field": 0x8001, "e0120": ""},
    "of a C-ECHO": {"field": 0x8030},
    "of an N-ACTION": {"field": 0x8130},
    "a request with a status": {"field": 0x0001},
    "an N-EVENT-REPORT with a status": {"field": 0x0100},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_finding_x3_a_success_that_answers_something_else_is_none(other: dict[str, int | str]) -> None:
    """Status 0000 in a message that does not answer our C-STORE: the object may be there or not, and is sent again."""
    elements = {"e0002": CT, "e0120": 1, "e0800": 0x0101, "e0900": 0, "e1000": "1.2.3", **other}
    answer = p_data(1, COMMAND_LAST, command(**elements))  # type: ignore[arg-type] # by name
    with hostile(_answering(answer), timeout=2.0) as peer:
        (_, outcome), *_ = send(peer, [CT_FILE])
    assert outcome.reading is AnswerReading.UNKNOWN


def test_finding_x3_a_second_response_is_not_taken_for_that_of_the_next_object() -> None:
    """Two objects on one association; the first is answered twice, the second never."""

    def script(peer: RawPeer) -> None:
        _accept(peer)
        _hear(peer)
        peer.send(p_data(1, COMMAND_LAST, RESPONSES["C-STORE"]) * 2)
        _hear(peer)

    with hostile(script, timeout=2.0) as peer:
        first, second = (outcome.reading for _, outcome in send(peer, [CT_FILE, CT_FILE]))
    assert (first, second) == (AnswerReading.STORED, AnswerReading.UNKNOWN)


@pytest.mark.parametrize("name", ["N-ACTION", "N-EVENT-REPORT"])
def test_finding_x3_a_request_with_a_status_is_no_response_to_storage_commitment(name: str) -> None:
    """The peer's own N-ACTION or N-EVENT-REPORT without Message ID, but with what a response has."""
    field = 0x0130 if name == "N-ACTION" else 0x0100
    answer = p_data(1, COMMAND_LAST, command(field, e0002=COMMITMENT, e0120=1, e0800=0x0101, e0900=0))
    with hostile(_answering(answer), timeout=2.0) as peer:
        assert REQUESTS[name](peer) is None


def _implicit(group: int, element: int, value: bytes) -> bytes:
    return struct.pack("<HHL", group, element, len(value)) + value


@pytest.mark.parametrize("charset", [b"idna", b"undefined ", b"rot13 ", b"\\ISO 2022 IR 999", b"\0\0"])
def test_finding_x3_a_match_in_any_character_set_is_read_or_one_failure_in_words(charset: bytes) -> None:
    """Names of Python's own codecs too, some of which raise what no text should."""
    match = _implicit(0x08, 0x05, charset) + _implicit(0x10, 0x20, b"\xff\xff")
    success = command(0x8020, e0002=FIND, e0120=1, e0800=0x0101, e0900=0)
    pending = command(0x8020, e0002=FIND, e0120=1, e0800=1, e0900=PENDING)
    answer = p_data(1, COMMAND_LAST, pending) + p_data(1, DATA_LAST, match) + p_data(1, COMMAND_LAST, success)
    with hostile(_answering(answer), timeout=2.0) as peer:
        try:
            said = f"{len(find_study(peer, '1.2.3', ['PatientID']))} match"
        except TransientError as error:
            said = str(error)
    assert said == "1 match" or "a match that cannot be read" in said


def test_finding_x3_a_peer_that_floods_after_the_response() -> None:
    """C-ECHO is answered; what comes instead of the release is dropped, and the end comes at its deadline."""

    def script(peer: RawPeer) -> None:
        _accept(peer)
        _hear(peer)
        flood(peer, p_data(1, COMMAND_LAST, RESPONSES["C-ECHO"]))

    with hostile(script) as peer:
        began = time.monotonic()
        echo(peer)
        assert time.monotonic() - began < IN_TIME


def _large(folder: Path) -> Path:
    file = folder / "large.dcm"
    file.write_bytes(CT_FILE.read_bytes())
    with file.open("r+b") as content:
        content.truncate(32 << 20)
    return file


@pytest.mark.parametrize("reads", [0, 4096], ids=["nothing", "4 KiB at times"])
def test_finding_x3_a_peer_that_reads_an_object_too_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    """An object of 32 MiB, at a peer that stops reading or goes on in drops: not sent at a deadline by its size."""
    monkeypatch.setattr(storage_scu, "_SLOWEST", 32 << 20)
    file = _large(tmp_path)

    def script(peer: RawPeer) -> None:
        _accept(peer)
        while not over.wait(0.1):
            if reads and not peer.connection.recv(reads):
                return

    over = threading.Event()
    with hostile(script) as peer:
        began = time.monotonic()
        (_, outcome), *_ = send(peer, [file])
        over.set()
        assert time.monotonic() - began < IN_TIME
    assert outcome.reading is AnswerReading.UNKNOWN


def test_fault_81_a_tls_handshake_that_hangs(tmp_path: Path) -> None:
    """A peer that says nothing on its TLS port, or drips a handshake: over at the deadline of the association."""
    certificates = Certificates.made_in(tmp_path)
    tls = Credentials(certificates.folder / "authority.pem", None, None, "node.hospital.example")
    hello = struct.pack(">BHH", 22, 0x0303, 16000) + bytes(16000)
    for script in (lambda peer: None, partial(drip, content=hello)):
        with hostile(script) as plain:
            peer = Peer(plain.host, plain.port, plain.ae_title, plain.calling_ae_title, 1.0, tls)
            assert "handshake was not over" in _fails_in_words(echo, peer)


UNKNOWN = item(0x77, b"what is this")
MAXIMUM = item(0x51, struct.pack(">L", 16384))
ODD = {
    "unknown items": associate_ac(extra=UNKNOWN),
    "unknown sub-items": associate_ac(user_items=UNKNOWN + MAXIMUM),
    "unknown sub-item of a context": associate_ac(accepted(1, more=UNKNOWN)),
    "more contexts than offered": associate_ac(accepted(1) + accepted(3) + accepted(2) + accepted(0)),
    "the context twice": associate_ac(accepted(1) + accepted(1, result=4)),
    "no maximum length": associate_ac(user_items=b""),
    "no limit": associate_ac(user_items=item(0x51, bytes(4))),
    "a maximum length of 4 GiB": associate_ac(user_items=item(0x51, b"\xff" * 4)),
    "a maximum length in two bytes": associate_ac(user_items=item(0x51, b"\x40\x00")),
    "AE titles of NULs": associate_ac(titles=bytes(32)),
    "AE titles of controls": associate_ac(titles=b"\x1b[31m\n\xff\xfe".ljust(32)),
    "a syntax padded with NUL": associate_ac(accepted(1, IMPLICIT + "\0")),
    "an implementation UID that is none": associate_ac(user_items=MAXIMUM + item(0x52, b"\xffnone") + item(0x55, b"")),
    "roles that nobody proposed": associate_ac(user_items=MAXIMUM + item(0x54, b"\0\x011\7\7")),
    "extended negotiation that nobody proposed": associate_ac(
        user_items=MAXIMUM + item(0x56, b"\0\x09") + item(0x59, b"")
    ),
    "further protocol versions": associate_ac(version=0xFFFF),
    "no application context": associate_ac().replace(item(0x10, b"1.2.840.10008.3.1.1.1"), b"")[:2]
    + struct.pack(">L", len(associate_ac()) - 31)
    + associate_ac().replace(item(0x10, b"1.2.840.10008.3.1.1.1"), b"")[6:],
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_fault_80_finding_x3_an_odd_acceptance_is_understood(answer: bytes) -> None:
    """What is unknown or was not asked for is passed over, and the C-ECHO goes through."""

    def script(peer: RawPeer) -> None:
        _accept(peer, answer)
        _hear(peer)
        peer.send(p_data(1, COMMAND_LAST, RESPONSES["C-ECHO"]))
        assert peer.receive()[0] == 5
        peer.send(pdu(6, bytes(4)))

    with hostile(script, timeout=20.0) as peer:
        echo(peer)


BROKEN = {
    "a syntax that was not offered": (associate_ac(accepted(1, "1.2.840.10008.1.2.4.50")), "accepts none"),
    "no syntax": (associate_ac(item(0x21, b"\1\0\0\0")), "accepts none"),
    "a result that does not exist": (associate_ac(accepted(1, result=99)), "accepts none"),
    "no context": (associate_ac(b""), "accepts none"),
    "a maximum length of 7": (associate_ac(user_items=item(0x51, b"\0\0\0\7")), "maximum length of 7"),
    "an item past the end": (associate_ac(extra=b"\x50\0\xff\xff"), "cut short"),
    "a sub-item past the end": (associate_ac(user_items=b"\x51\0\xff\xff"), "cut short"),
    "nothing": (pdu(2, b""), "A-ASSOCIATE-AC of 0 bytes"),
    "a rejection that does not exist": (pdu(3, b"\0\x09\x09\x09"), ""),
    "a rejection for no known reason": (pdu(3, b"\0\1\3\x63"), ""),
    "a release": (pdu(6, bytes(4)), ""),
    "a release request": (pdu(5, bytes(4)), ""),
    "an abort for no known reason": (pdu(7, b"\0\0\x63\x63"), ""),
    "a request in return": (pdu(1, bytes(68)), ""),
    "data": (p_data(1, COMMAND_LAST, RESPONSES["C-ECHO"]), "P-DATA"),
}


@pytest.mark.parametrize(("answer", "words"), BROKEN.values(), ids=BROKEN)
def test_fault_80_finding_x3_a_broken_acceptance_is_one_clear_failure(answer: bytes, words: str) -> None:
    """In words, at once, and never an exception of the library's."""
    with hostile(lambda peer: _accept(peer, answer), timeout=5.0) as peer:
        assert words in _fails_in_words(echo, peer)


def test_fault_80_every_rejection_is_read() -> None:
    """Results, sources and reasons that the Standard knows, and others: a failure in words each time."""
    for result in range(4):
        for source in range(5):
            for reason in (1, 255) if source else (0,):
                answer = pdu(3, bytes((0, result, source, reason)))
                with hostile(partial(_accept, answer=answer), timeout=5.0) as peer:
                    _fails_in_words(echo, peer)


def test_a_request_right_behind_the_acceptance_is_served() -> None:
    """An archive may report before we have said a word: PDUs in one segment with its A-ASSOCIATE-AC."""
    event = command(0x0100, e0002=COMMITMENT, e0110=7, e0800=0x0101, e1000=WELL_KNOWN, e1002=1)

    def script(peer: RawPeer) -> None:
        _accept(peer, associate_ac(ALL) + p_data(1, COMMAND_LAST, event))
        _hear(peer)
        answered.append(peer.status())

    answered: list[int] = []
    with hostile(script, timeout=2.0) as peer:
        REQUESTS["N-ACTION"](peer)
    assert answered == [ActionStatus.INVALID_ARGUMENT]


def _peak_of(*arguments: str) -> tuple[int, str]:
    """MiB that a child process had at its peak, and what it said."""
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    assert isinstance(usage, resource.struct_rusage)
    return usage.ru_maxrss // 1024, said


def test_finding_x3_memory_stays_flat_whatever_the_peer_sends() -> None:
    """`pacsnode echo` at a giant A-ASSOCIATE-AC, and C-FIND at endless large answers, need what honest peers cost."""

    def giant(peer: RawPeer) -> None:
        _asked(peer)
        peer.send(HEADERS["A-ASSOCIATE-AC of 4 GiB"])
        flood(peer, bytes(1 << 20))

    large = MATCH + struct.pack("<HH2sxxL", 0x4008, 0x10B, b"UT", 100_000) + bytes(100_000)
    echoes = [str(Path(sys.executable).with_name("pacsnode")), "echo"]
    finds = [sys.executable, "-c", "import sys; from node.dimse.scu import *; find_study(Peer('127.0.0.1', "]
    with hostile(giant, timeout=5.0) as peer:
        usual, _ = _peak_of(*echoes, "NOBODY@127.0.0.1:1")
        peak, said = _peak_of(*echoes, f"{peer.ae_title}@{peer.host}:{peer.port}")
    assert "ASSOCIATE_AC PDU of 4294967280 bytes" in said.replace("\n", " ")
    assert peak < usual + 32
    with hostile(_endless(RESPONSES["C-FIND"], large), timeout=5.0) as peer:
        code = f"{finds[2]}{peer.port}, 'BAD', 'PACSNODE', 60.0), '1.2.3', ['PatientID'])"
        peak, said = _peak_of(*finds[:2], code)
    assert "do not end after" in said
    assert peak < usual + 96


def test_fault_82_many_associations_that_we_open_leave_nothing(full_length: bool) -> None:
    """Accepted oddly, rejected, or answered with nonsense; 120 times, with `make soak` 10,000 times."""
    answers = [ODD["unknown items"], pdu(3, b"\0\1\1\3"), b"nonsense", associate_ac() + pdu(7, bytes(4))]

    def script(peer: RawPeer) -> None:
        _accept(peer, answers[len(heard) % len(answers)])
        heard.append(1)

    def attack(times: int) -> tuple[int, int, int]:
        for _ in range(times):
            with pytest.raises(NodeError):
                echo(peer)
        memory = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20
        return threading.active_count(), len(os.listdir("/proc/self/fd")), memory

    heard: list[int] = []
    with hostile(script, timeout=0.3) as peer:
        threads, files, memory = attack(40)
        after = attack(10_000 if full_length else 80)
    assert after[0] <= threads + 8
    assert after[1] <= files + 8
    assert after[2] <= memory + 16
