"""Our SCU against peers that accept an association in an odd way (PS3.8 9.3.3, annex D)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from node.dimse.engine.requesting import ConnectingSocket
from node.dimse.scu import Peer, RejectedError, find_study
from node.dimse.storage_scu import StorageSCU
from node.errors import NodeError
from node.outcome import AnswerReading
from tests.support.dimse.raw_dimse import CT, EXPLICIT, command, p_data, pdu

CT_FILE = Path(str(get_testdata_file("CT_small.dcm")))
_DATA_LAST = 2


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _accepted(number: int = 1, result: int = 0, syntax: bytes | None = EXPLICIT.encode()) -> bytes:
    syntaxes = b"" if syntax is None else _item(0x40, syntax)
    return _item(0x21, struct.pack(">BxBx", number, result) + syntaxes)


def _associate_ac(
    contexts: bytes, user: bytes, version: int = 1, title: bytes = b"PACS".ljust(16), behind: bytes = b""
) -> bytes:
    items = _item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + _item(0x50, user) + behind
    return pdu(2, struct.pack(">Hxx16s16s32x", version, title, b"PACSNODE".ljust(16)) + items)


def _length(octets: int) -> bytes:
    return _item(0x51, struct.pack(">L", octets))


CLASS = _item(0x52, b"1.2.3.4")


def _read(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = connection.recv(count - len(content))
        if not part:
            raise ConnectionError("it ended")
        content += part
    return content


def _serve(connection: socket.socket, accept: bytes) -> None:
    """Accept, and answer a C-STORE with success."""
    with connection, contextlib.suppress(OSError):
        while True:
            kind, length = struct.unpack(">BxL", _read(connection, 6))
            body = _read(connection, length)
            if kind == 1:
                connection.sendall(accept)
            elif kind == 4 and body[5] == _DATA_LAST:
                uid = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
                answer = command(0x8001, e0002=CT, e0120=1, e0800=0x0101, e0900=0, e1000=uid)
                connection.sendall(p_data(body[4], 3, answer))
            elif kind == 5:
                connection.sendall(pdu(6, bytes(4)))
            elif kind == 7:
                return


@contextlib.contextmanager
def accepting(accept: bytes) -> Iterator[Peer]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=_serve, args=(connection, accept), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield Peer("127.0.0.1", server.getsockname()[1], "PACS", "PACSNODE", 3)
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "user", [CLASS, _length(0) + CLASS, b"", _length(8) + CLASS], ids=["absent", "0", "no user items", "8"]
)
def test_finding_d3_without_a_maximum_length_pdus_are_as_long_as_we_like(user: bytes) -> None:
    """PS3.8 D.1: the object is sent and stored, whether the sub-item is absent, says 0, or is as small as it may be."""
    with accepting(_associate_ac(_accepted(), user)) as peer, StorageSCU(peer, [(CT, EXPLICIT)]) as association:
        outcome = association.store(CT_FILE)
    assert (outcome.reading, outcome.status) == (AnswerReading.STORED, 0)


ODD = {
    "length of 1": (_accepted(), _length(1) + CLASS),
    "length of 7": (_accepted(), _length(7) + CLASS),
    "no transfer syntax": (_accepted(syntax=None), _length(16384) + CLASS),
    "empty transfer syntax": (_accepted(syntax=b""), _length(16384) + CLASS),
    "a syntax that was not proposed": (_accepted(syntax=b"1.2.3"), _length(16384) + CLASS),
    "a syntax that is no text": (_accepted(syntax=b"1.2.\xff"), _length(16384) + CLASS),
    "no context": (b"", _length(16384) + CLASS),
    "unknown result": (_accepted(result=9), _length(16384) + CLASS),
    "unknown item": (_accepted() + _item(0x77, b"abc"), _length(16384) + CLASS),
    "short length": (_accepted(), _item(0x51, b"\0\1") + CLASS),
    "a class that is no text": (_accepted(), _length(16384) + _item(0x52, b"1.\xff")),
}


@pytest.mark.parametrize(("contexts", "user"), ODD.values(), ids=ODD.keys())
def test_finding_d3_an_odd_accept_is_a_failure_with_a_name(contexts: bytes, user: bytes) -> None:
    """Never anything that a stage does not foresee, for C-STORE and C-FIND."""
    with accepting(_associate_ac(contexts, user)) as peer:
        with contextlib.suppress(NodeError), StorageSCU(peer, [(CT, EXPLICIT)]) as association:
            assert association.store(CT_FILE).reading in (AnswerReading.KIND_REFUSED, AnswerReading.STORED)
        with pytest.raises(NodeError):
            find_study(peer, "1.2.3", ["PatientID"])


_USER = _length(16384) + CLASS
TOLERATED = {
    "another context whose UID has a byte above 7F": _associate_ac(_accepted() + _accepted(3, syntax=b"1.\xff"), _USER),
    "an even context ID": _associate_ac(_accepted(2) + _accepted(), _USER),
    "a context of 1 byte": _associate_ac(_item(0x21, b"\3") + _accepted(), _USER),
    "a context that is cut short inside": _associate_ac(_accepted() + _item(0x21, b"\3\0\0\0\x40\0\0\xff"), _USER),
    "a title padded with NUL": _associate_ac(_accepted(), _USER, title=b"PACS".ljust(16, b"\0")),
    "a title with a byte above 7F": _associate_ac(_accepted(), _USER, title=b"PACS\xe9".ljust(16)),
    "an unknown item": _associate_ac(_accepted(), _USER, behind=_item(0x99, b"private")),
    "an unknown sub-item": _associate_ac(_accepted(), _item(0xFF, b"") + _USER),
    "a version name of 30 characters": _associate_ac(_accepted(), _USER + _item(0x55, b"V" * 30)),
    "an answer about a user that was not named": _associate_ac(_accepted(), _USER + _item(0x59, b"\xff\xff")),
    "a window and roles that are cut short": _associate_ac(_accepted(), _USER + _item(0x53, b"") + _item(0x54, b"\0")),
    "protocol version 3": _associate_ac(_accepted(), _USER, version=3),
    "a syntax padded with NUL": _associate_ac(_accepted(syntax=EXPLICIT.encode() + b"\0"), _USER),
}


@pytest.mark.parametrize("accept", TOLERATED.values(), ids=TOLERATED.keys())
def test_findings_a1_to_a6_what_is_odd_beside_an_accepted_context_costs_nothing(accept: bytes) -> None:
    """The object is sent and stored: what the answer says beside that is refused or ignored (PS3.8 9.3.1)."""
    with accepting(accept) as peer, StorageSCU(peer, [(CT, EXPLICIT)]) as association:
        outcome = association.store(CT_FILE)
    assert (outcome.reading, outcome.status) == (AnswerReading.STORED, 0)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (pdu(3, b"\0\1\1\x07"), "it is not called PACS"),
        (pdu(3, b"\0\1\1\0"), "it gives no reason"),
        (pdu(3, b"\0\1\0\x63"), "it gives no reason"),
        (pdu(3, b"\0\x09\x09\xff"), "it gives no reason"),
        (pdu(7, b"\0\0\x09\xff"), "did not answer the association request"),
        (_associate_ac(_accepted(), _length(1)), "against PS3.8: A-ASSOCIATE-AC with a maximum length of 1 bytes"),
        (_associate_ac(_accepted(), b"\x51\0\xff\xff"), "against PS3.8: .* cut short"),
    ],
)
def test_findings_a1_to_a6_a_refusal_is_told_in_its_own_words(ending: bytes, words: str) -> None:
    """Also with a source and a reason that PS3.8 does not name; what cannot be understood is called that."""
    with accepting(ending) as peer, pytest.raises(NodeError, match=words):
        find_study(peer, "1.2.3", ["PatientID"])


class _WakesLate(threading.Event):
    """Whoever waits for it is descheduled then, until the peer's answer has closed the connection, if that happens."""

    def __init__(self, connection: ConnectingSocket) -> None:
        super().__init__()
        self._connection = connection

    def wait(self, timeout: float | None = None) -> bool:
        reached = super().wait(timeout)
        end = time.monotonic() + 0.3
        while self._connection._is_connected and time.monotonic() < end:
            threading.Event().wait(0.01)
        return reached


def test_findings_a1_to_a6_a_refusal_counts_however_soon_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the thread that asks gets no turn between the connection and the end of it."""
    make = ConnectingSocket.__init__

    def made(self: ConnectingSocket, *arguments: Any) -> None:
        make(self, *arguments)
        self._ready = _WakesLate(self)

    monkeypatch.setattr(ConnectingSocket, "__init__", made)
    with accepting(pdu(3, b"\0\1\1\x07")) as peer, pytest.raises(RejectedError, match="it is not called PACS"):
        find_study(peer, "1.2.3", ["PatientID"])


@pytest.mark.parametrize("host", ["pacs..example", f"{'x' * 70}.example", "\ud800"])
def test_finding_m5_a_host_that_cannot_be_looked_up_is_a_failure_with_a_name(host: str) -> None:
    """The system's look-up raises UnicodeError there."""
    with pytest.raises(NodeError, match="not a name or address of a machine"):
        find_study(Peer(host, 104, "PACS", "PACSNODE", 3), "1.2.3", ["PatientID"])
