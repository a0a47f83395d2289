"""Association requests that are odd in one place: the receiver takes what it can take (findings A1 to A6)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.support.dimse.odd_requests import ODD, Request, context
from tests.support.dimse.raw_dimse import (
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    COMMAND_LAST,
    DATA_LAST,
    VERIFICATION,
    RawPeer,
    data_set,
    echo_rq,
    p_data,
    store_rq,
)
from tests.support.sites.receiver import Receiver
from tests.support.wait import until


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver"), modalities={"ct": {"ae_title": "RAW"}}) as running:
        yield running


def results(accept: bytes) -> dict[int, int]:
    """Presentation context ID → result of an A-ASSOCIATE-AC's body; each ID is answered once."""
    position, found = 68, {}
    while position < len(accept):
        kind, length = struct.unpack_from(">BxH", accept, position)
        if kind == 0x21:
            assert accept[position + 4] not in found
            found[accept[position + 4]] = accept[position + 6]
        position += 4 + length
    return found


@pytest.mark.parametrize("request_of", ODD.values(), ids=ODD.keys())
def test_findings_a1_to_a6_an_odd_request_is_answered_and_its_good_context_stores(
    receiver: Receiver, request_of: Request
) -> None:
    """The odd context is refused, the odd item ignored, each context answered; the AE titles go back as they came."""
    with RawPeer(receiver.connect()) as peer:
        peer.send(request_of.encoded)
        kind, body = peer.receive()
        assert kind == ASSOCIATE_AC
        assert body[4:36] == request_of.called + request_of.calling
        assert results(body) == dict(request_of.results)
        if 1 in request_of.results:
            peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA_LAST, data_set()))
            assert peer.status() == 0
        peer.release()
    assert receiver.events("dimse.protocol-error") == []


@pytest.mark.parametrize(
    ("calling", "logged"),
    [
        (b"RAW".ljust(16, b"\0"), "RAW"),
        (b"RAW\0\xff\xfe".ljust(16), "RAW"),
        (b" RAW".ljust(16), "RAW"),
        (b"A\\B".ljust(16), "A?B"),
        (b"A\nB\x1b[2J".ljust(16), "A?B?[2J"),
        ("SALLE É".encode("latin-1").ljust(16), "SALLE \\xc9"),
        (b"".ljust(16), ""),
    ],
)
def test_finding_a3_a_title_is_what_stands_before_its_padding(receiver: Receiver, calling: bytes, logged: str) -> None:
    """The object's file names the caller, and so does the log, where nothing of it can pass for something else."""
    ended = len(receiver.events("receive.association-ended"))
    with RawPeer(receiver.connect()) as peer:
        peer.send(Request(calling=calling).encoded)
        assert peer.receive()[0] == ASSOCIATE_AC
        peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA_LAST, data_set()))
        assert peer.status() == 0
        peer.release()
    until(lambda: receiver.events("receive.association-ended")[ended:], what="the end")
    assert receiver.events("receive.association-accepted")[-1]["calling"] == logged


@pytest.mark.parametrize("version", [0, 2, 0xFFFE])
def test_finding_a5_without_version_1_a_request_is_rejected(receiver: Receiver, version: int) -> None:
    """Bit 0 alone is looked at; where it is not set: protocol version not supported (PS3.8 Table 9-21)."""
    with RawPeer(receiver.connect()) as peer:
        peer.send(Request(version=version).encoded)
        assert peer.receive() == (ASSOCIATE_RJ, b"\0\1\2\2")


def test_finding_a2_an_even_context_beside_ours_takes_no_message(receiver: Receiver) -> None:
    """It was refused: what comes in it ends the association, as in any context that was not accepted."""
    with RawPeer(receiver.connect()) as peer:
        peer.send(Request(context(1, VERIFICATION.encode()) + context(2)).encoded)
        assert peer.receive()[0] == ASSOCIATE_AC
        peer.send(p_data(1, COMMAND_LAST, echo_rq()))
        assert peer.status() == 0
        peer.send(p_data(2, COMMAND_LAST, store_rq()))
        assert peer.closed()


def test_finding_a4_a_megabyte_of_unknown_items_is_ignored_in_bounded_memory(receiver: Receiver) -> None:
    """250,000 empty items, the most that a request holds, 20 times: answered, and nothing of them is kept."""
    request = Request(behind=b"\x99\0\0\0" * 250_000).encoded

    def associate() -> None:
        with RawPeer(receiver.connect()) as peer:
            peer.send(request)
            assert peer.receive()[0] == ASSOCIATE_AC
            peer.release()

    associate()
    before = receiver.memory()
    for _ in range(20):
        associate()
    assert receiver.memory() - before < 30 << 20
