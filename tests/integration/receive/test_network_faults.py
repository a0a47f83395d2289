"""Faults and attacks on the wire, against the real receiver process: it ends them, and others do not notice."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.dimse.association import ConnectionLimits
from node.store.arrival import read_arrival
from tests.support.dimse.raw_dimse import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    COMMAND,
    COMMAND_LAST,
    CT,
    DATA,
    DATA_LAST,
    EXPLICIT,
    VERIFICATION,
    RawPeer,
    associate_rq,
    command,
    data_set,
    echo_rq,
    p_data,
    pdu,
    pdv,
    pixels,
    store_rq,
)
from tests.support.shared_data import ROOT
from tests.support.sites.receiver import Receiver, data_set_of
from tests.support.wait import until

JUMPING = ROOT / "tests" / "support" / "faults" / "jumping"
SHORT = {"association_request": 2.0, "pdu": 2.0, "idle": 5.0, "waiting_connections": 8}
"""Long enough for honest clients on a busy machine; tests of silent ones wait for them."""


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver"), limits=SHORT) as running:
        yield running


def peer_of(receiver: Receiver) -> RawPeer:
    return RawPeer(receiver.connect())


def stores_still(receiver: Receiver) -> None:
    """An honest client is served, and what it sends arrives."""
    before = len(receiver.received())
    with peer_of(receiver) as honest:
        honest.associate()
        content = data_set(tail=pixels(50000))
        assert honest.store(content) == 0x0000
        honest.release()
    assert len(receiver.received()) == before + 1
    assert data_set_of(receiver.received()[-1]) == content


def associated(receiver: Receiver) -> RawPeer:
    peer = peer_of(receiver)
    peer.associate(
        contexts={1: (CT, [EXPLICIT]), 3: (VERIFICATION, [EXPLICIT]), 5: ("1.2.840.10008.5.1.4.31", [EXPLICIT])}
    )
    return peer


def aborted(peer: RawPeer) -> bool:
    """True where the node ended it by an A-ABORT, whatever it had still to say before."""
    while True:
        kind, _ = peer.receive()
        if kind in (0, ABORT):
            return kind == ABORT


def test_fault_01_a_silent_connection_is_closed_and_takes_no_place(receiver: Receiver) -> None:
    """It is closed at the ACSE timeout; while it waits it does not count as an association."""
    with peer_of(receiver) as silent:
        stores_still(receiver)
        assert silent.closed()


@pytest.mark.parametrize("started", [b"\x01\x00\x00", associate_rq()[:40]], ids=["header", "body"])
def test_fault_02_a_partial_pdu_meets_a_deadline(receiver: Receiver, started: bytes) -> None:
    """Half a header, half an A-ASSOCIATE-RQ: closed, and the thread is free again."""
    with peer_of(receiver) as partial:
        partial.send(started)
        assert partial.closed()
    stores_still(receiver)


def test_fault_03_a_partial_p_data_meets_a_deadline(receiver: Receiver) -> None:
    """In the middle of a data set: closed, and nothing of the object is left."""
    with associated(receiver) as partial:
        partial.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, data_set()[:40])[:30])
        until(receiver.parts, what="the object to be begun")
        assert partial.closed()
    until(lambda: not receiver.parts(), what="the part to go")
    stores_still(receiver)


def test_fault_04_one_byte_at_a_time_meets_the_deadline_of_the_whole_pdu(receiver: Receiver) -> None:
    """Bytes that keep coming do not prolong it."""
    with associated(receiver) as dripping:
        whole = p_data(1, COMMAND_LAST, store_rq())
        dripping.connection.settimeout(0.2)  # the pace of the drip: no data in that time, so the next byte goes
        sent = 0
        try:
            while sent < len(whole):
                dripping.send(whole[sent : sent + 1])
                sent += 1
                try:
                    if not dripping.connection.recv(1):
                        break
                except TimeoutError:
                    continue
        except ConnectionError:
            pass
        assert sent < len(whole), "the whole PDU was taken, byte by byte"
    stores_still(receiver)


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"]
)
def test_fault_06_another_protocol_is_aborted_with_one_log_line(receiver: Receiver, greeting: bytes) -> None:
    """SSH, HTTP and TLS on the DICOM port."""
    before = len(receiver.log())
    with peer_of(receiver) as stranger:
        stranger.send(greeting)
        assert aborted(stranger)
        assert stranger.closed()
    lines = [line for line in receiver.log()[before:] if "association" not in line]  # an earlier test's may still end
    assert [line["event"] for line in lines] == ["dimse.protocol-error"], lines


@pytest.mark.parametrize("associate_first", [False, True])
@pytest.mark.parametrize("kind", [1, 4, 5, 7])
def test_fault_07_a_length_of_4_gib_is_aborted_at_the_header(
    receiver: Receiver, kind: int, associate_first: bool
) -> None:
    """Nothing of it is waited for or allocated."""
    with associated(receiver) if associate_first else peer_of(receiver) as giant:
        giant.send(struct.pack(">BxL", kind, 0xFFFFFFF0))
        assert aborted(giant)
    stores_still(receiver)


def test_fault_08_a_giant_associate_request_is_capped(receiver: Receiver) -> None:
    """One that announces more than 1 MiB is aborted."""
    with peer_of(receiver) as giant:
        giant.send(pdu(1, b"")[:2] + struct.pack(">L", (1 << 20) + 1))
        assert aborted(giant)
    stores_still(receiver)


def test_fault_08_a_large_associate_request_is_answered(tmp_path: Path) -> None:
    """128 contexts with 61 transfer syntaxes each: decoding takes less CPU time than the usual deadline allows."""
    with Receiver(tmp_path, limits={"association_request": 240.0}) as receiver, peer_of(receiver) as large:
        syntaxes = [f"1.2.3.4.{number}" for number in range(60)]
        before = receiver.cpu_seconds()
        large.send(associate_rq(contexts={number: (CT, [*syntaxes, EXPLICIT]) for number in range(1, 256, 2)}))
        assert large.receive()[0] == ASSOCIATE_AC
        assert receiver.cpu_seconds() - before < ConnectionLimits().association_request


def test_fault_08_a_request_that_takes_longer_to_decode_than_it_may_ends(tmp_path: Path) -> None:
    """It comes in time, but the deadline is over before all of its 64,000 transfer syntaxes are decoded: the connection
    ends, no thread is left."""
    limits = {"association_request": 0.3, "idle": 20.0, "pdu": 20.0}
    with Receiver(tmp_path, limits=limits) as receiver:
        syntaxes = [f"1.2.3.4.{number}" for number in range(500)]
        request = associate_rq(contexts={number: (CT, [*syntaxes, EXPLICIT]) for number in range(1, 256, 2)})
        quiet = receiver.threads()
        with peer_of(receiver) as large:
            large.send(request)
            assert large.closed()
        until(lambda: receiver.threads() <= quiet, what="the threads to end")
        assert receiver.events("receive.thread-died") == []
        assert receiver.events("receive.association-accepted") == []


def test_fault_09_a_pdu_over_the_announced_maximum_is_aborted(receiver: Receiver) -> None:
    """131,072 bytes were announced."""
    with associated(receiver) as peer:
        peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, bytes(131072 - 6 + 1)))
        assert aborted(peer)
    until(lambda: not receiver.parts(), what="the part to go")


@pytest.mark.parametrize(
    "body", [b"", struct.pack(">LBB", 0, 1, 3), struct.pack(">LBB", 1, 1, 3), struct.pack(">LBB", 900, 1, 3)]
)
def test_fault_10_a_wrong_pdv_length_is_aborted(receiver: Receiver, body: bytes) -> None:
    """0, 1, past the end, and no presentation data value at all."""
    with associated(receiver) as peer:
        peer.send(pdu(4, body))
        assert aborted(peer)


@pytest.mark.parametrize(
    "encoded",
    [
        b"garbage, not a command",
        bytes(16),
        command(0x7777, e0002=CT, e0110=1, e1000="1.2"),
        command(0x8001, e0002=CT, e0120=1, e0900=0, e0800=0x0101),
        command(0x0001, e0002=CT, e1000="1.2"),
        command(0x0020, e0002=CT, e0110=1),
    ],
    ids=["garbage", "zeroes", "unknown-field", "a-response", "no-message-id", "c-find"],
)
def test_fault_11_a_garbage_command_is_aborted_and_others_live(receiver: Receiver, encoded: bytes) -> None:
    """Unknown Command Field, no command set at all, a request that this context is not for."""
    with associated(receiver) as other, associated(receiver) as peer:
        peer.send(p_data(1, COMMAND_LAST, encoded) + p_data(1, DATA_LAST, data_set()))
        assert aborted(peer)
        assert other.store(data_set()) == 0x0000


def test_fault_11_a_command_without_end_is_aborted(receiver: Receiver) -> None:
    """Its fragments are bounded."""
    with associated(receiver) as peer:
        for _ in range(5):
            peer.send(p_data(1, COMMAND, bytes(4000)))
        assert aborted(peer)


@pytest.mark.parametrize("context_id", [5, 7, 2, 0, 255])
def test_fault_12_a_context_that_was_not_accepted_is_aborted(receiver: Receiver, context_id: int) -> None:
    """Rejected (worklist), never proposed, even."""
    with associated(receiver) as peer:
        peer.send(p_data(context_id, COMMAND_LAST, store_rq()))
        assert aborted(peer)


def test_fault_12_a_message_that_changes_its_context_is_aborted(receiver: Receiver) -> None:
    """Command on one context, data set on another."""
    with associated(receiver) as peer:
        peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(3, DATA_LAST, data_set()))
        assert aborted(peer)
    until(lambda: not receiver.parts(), what="the part to go")


def test_fault_13_a_second_associate_request_is_aborted(receiver: Receiver) -> None:
    """An association is asked for once."""
    with associated(receiver) as peer:
        peer.send(associate_rq())
        assert aborted(peer)


@pytest.mark.parametrize(
    "parts",
    [
        [(1, DATA_LAST, data_set())],
        [(1, COMMAND, store_rq()[:20]), (1, DATA_LAST, data_set())],
        [(1, COMMAND_LAST, store_rq()), (1, COMMAND_LAST, store_rq())],
    ],
    ids=["data-first", "data-within-command", "two-commands"],
)
def test_fault_14_data_set_and_command_out_of_order_is_aborted(
    receiver: Receiver, parts: list[tuple[int, int, bytes]]
) -> None:
    """A message is a command, then its data set."""
    with associated(receiver) as peer:
        peer.send(b"".join(p_data(*part) for part in parts))
        assert aborted(peer)


@pytest.mark.parametrize("length", [1, 6, 7])
def test_fault_15_a_peer_that_takes_no_message_is_rejected(receiver: Receiver, length: int) -> None:
    """Maximum length 1 to 7."""
    with peer_of(receiver) as peer:
        peer.send(associate_rq(maximum_length=length))
        assert peer.receive() == (ASSOCIATE_RJ, b"\x00\x01\x01\x01")


def test_a_peer_with_a_tiny_or_unlimited_maximum_is_served(receiver: Receiver) -> None:
    """Responses are cut to what the peer takes."""
    for length in (8, 128, 0):
        with peer_of(receiver) as peer:
            peer.associate(maximum_length=length, contexts={1: (VERIFICATION, [EXPLICIT])})
            peer.send(p_data(1, COMMAND_LAST, echo_rq()))
            kind, body = peer.receive()
            assert kind == 4
            assert length == 0 or len(body) <= length


def test_fault_16_pipelined_requests_are_answered_in_bounded_memory(receiver: Receiver) -> None:
    """200 C-STORE requests without waiting for an answer: each is answered, none is held in memory."""
    stores_still(receiver)
    before_memory, before = receiver.memory(), len(receiver.received())
    content = data_set(tail=pixels(100_000))
    with associated(receiver) as peer:
        for number in range(200):
            peer.send(p_data(1, COMMAND_LAST, store_rq(message_id=number)))
            peer.send(p_data(1, DATA, content[:60000]) + p_data(1, DATA_LAST, content[60000:]))
        assert [peer.status() for _ in range(200)] == [0] * 200
        peer.release()
    assert len(receiver.received()) == before + 200
    assert receiver.memory() < before_memory + (10 << 20)


def test_finding_x3_pipelined_requests_of_other_kinds_wait_in_bounded_memory(receiver: Receiver) -> None:
    """C-ECHO requests, each with 1 MB that it should not have, from a peer that reads nothing: they stay its own."""
    before = receiver.memory()
    large = p_data(3, COMMAND_LAST, command(0x0030, e0002=VERIFICATION, e0110=1)) + p_data(3, DATA, bytes(100_000)) * 10
    with associated(receiver) as peer:
        peer.connection.settimeout(3.0)
        try:
            for _ in range(300):
                peer.send(large + p_data(3, DATA_LAST, b""))
        except OSError:  # the connection is full, or ended
            pass
        assert receiver.memory() < before + (48 << 20)
    stores_still(receiver)


def test_finding_x3_a_message_in_drops_is_ended(tmp_path: Path) -> None:
    """Whole PDUs, each in time, with a byte of the object: the message meets its own deadline, and leaves nothing."""
    with Receiver(tmp_path, limits={**SHORT, "message": 2.0}) as strict:
        with associated(strict) as dripping:
            dripping.send(p_data(1, COMMAND_LAST, store_rq()))
            began = time.monotonic()
            while not dripping.ended(0.1):
                dripping.send(p_data(1, DATA, b"\0"))
                assert time.monotonic() - began < 120
        assert "slower than" in until(lambda: strict.events("dimse.protocol-error"))[0]["reason"]
        until(lambda: not strict.parts(), what="the part to go")
        stores_still(strict)


def test_finding_x3_an_association_may_last_as_long_as_it_makes_requests(receiver: Receiver) -> None:
    """A C-ECHO a second, longer than any of the deadlines: nothing ends it."""
    with associated(receiver) as lasting:
        lasting.connection.settimeout(1.0)
        for _ in range(8):
            with pytest.raises(TimeoutError):
                lasting.connection.recv(1)
            lasting.connection.settimeout(60.0)
            lasting.send(p_data(3, COMMAND_LAST, echo_rq()))
            assert lasting.status() == 0
            lasting.connection.settimeout(1.0)


def test_fault_82_repeated_association_requests_leave_nothing(receiver: Receiver, full_length: bool) -> None:
    """A-ASSOCIATE-RQs one behind the other on a connection; 300 times, with `make soak` 10,000 times."""

    def attack() -> None:
        with peer_of(receiver) as peer:
            peer.send(associate_rq() * 4)
            assert aborted(peer)

    _flat(receiver, attack, 10_000 if full_length else 300)


def test_several_values_in_one_pdu_are_one_message(receiver: Receiver) -> None:
    """Command and data set may share a PDU (PS3.8 E.2)."""
    with associated(receiver) as peer:
        peer.send(
            pdu(
                4, pdv(1, COMMAND_LAST, store_rq()) + pdv(1, DATA, data_set()[:50]) + pdv(1, DATA_LAST, data_set()[50:])
            )
        )
        assert peer.status() == 0
    until(receiver.idle, what="the association to end")
    assert data_set_of(receiver.received()[-1]) == data_set()


def test_fault_18_reset_mid_object(receiver: Receiver) -> None:
    """No file, no part, and the association no longer shows as open."""
    before = len(receiver.received())
    peer = associated(receiver)
    peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, data_set()))
    until(receiver.parts, what="the object to be begun")
    peer.reset()
    until(lambda: not receiver.parts() and receiver.idle(), what="the part and the association to go")
    assert len(receiver.received()) == before


@pytest.mark.parametrize("end", [pdu(5, bytes(4)), pdu(7, bytes(4))], ids=["release", "abort"])
def test_fault_19_release_right_behind_an_object(receiver: Receiver, end: bytes) -> None:
    """The object is whole and answered for, or not there: never half."""
    before = len(receiver.received())
    content = data_set(tail=pixels(200_000))
    with associated(receiver) as peer:
        message = p_data(1, COMMAND_LAST, store_rq())
        message += p_data(1, DATA, content[:100_000]) + p_data(1, DATA_LAST, content[100_000:])
        peer.send(message + end)
        assert peer.closed()
    until(receiver.idle, what="the association to end")
    assert receiver.parts() == []
    assert [data_set_of(path) for path in receiver.received()[before:]] == [content]


@pytest.mark.parametrize("end", [pdu(5, bytes(4)), pdu(7, bytes(4))], ids=["release", "abort"])
def test_fault_19_release_within_an_object(receiver: Receiver, end: bytes) -> None:
    """What is not whole is not kept."""
    before = len(receiver.received())
    with associated(receiver) as peer:
        peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, data_set()) + end)
        assert peer.closed()
    until(lambda: receiver.idle() and not receiver.parts(), what="the part and the association to go")
    assert len(receiver.received()) == before


@pytest.mark.parametrize("answers", [True, False])
def test_fault_20_an_idle_association_is_released_and_its_place_is_free(receiver: Receiver, answers: bool) -> None:
    """The node asks for release; a peer that does not answer is aborted."""
    until(receiver.idle, what="earlier associations to end")
    before = len(receiver.events("receive.association-ended"))
    with associated(receiver) as idle:
        assert idle.receive()[0] == 5
        if answers:
            idle.send(pdu(6, bytes(4)))
        assert idle.closed()
    until(receiver.idle, what="the place to be free")
    [end] = until(lambda: receiver.events("receive.association-ended")[before:], what="the end to be logged")
    assert end["how"].startswith("released" if answers else "aborted")


def _flat(receiver: Receiver, attack: Callable[[], None], times: int) -> None:
    """Threads, descriptors and memory after many attacks are what they were after a few."""
    for _ in range(20):
        attack()
    until(receiver.idle, what="the associations to end")
    stores_still(receiver)
    quiet = until(lambda: receiver.threads() if receiver.threads() <= 6 else 0, what="threads to end")
    descriptors, memory = receiver.descriptors(), receiver.memory()
    for _ in range(times):
        attack()
    stores_still(receiver)
    until(lambda: receiver.threads() <= quiet + 1, what=f"threads to be {quiet} again")
    until(lambda: receiver.descriptors() <= descriptors + 2, what="descriptors to be closed")
    assert receiver.memory() < memory + (20 << 20)


def test_fault_21_many_aborted_associations_leave_nothing(receiver: Receiver, full_length: bool) -> None:
    """Associate, begin an object, abort; 300 times, with `make soak` 10,000 times."""

    def attack() -> None:
        with associated(receiver) as peer:
            peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, data_set()) + pdu(7, bytes(4)))

    _flat(receiver, attack, 10_000 if full_length else 300)
    until(lambda: not receiver.parts(), what="the parts to go")


def test_fault_21_many_connections_that_close_leave_nothing(receiver: Receiver, full_length: bool) -> None:
    """Connect, say nothing, close; 300 times, with `make soak` 10,000 times."""
    _flat(receiver, lambda: receiver.connect().close(), 10_000 if full_length else 300)


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_fault_57_a_jump_of_the_clock_ends_no_association(tmp_path: Path, seconds: int) -> None:
    """The receiver's wall clock is set by an hour: an association goes on, silent ones end neither sooner nor later."""
    jump = tmp_path / "jump"
    environment = ["env", f"PYTHONPATH={JUMPING}", f"PACSNODE_TEST_JUMP={jump}"]
    limits = {"idle": 6.0, "association_request": 8.0}
    with Receiver(tmp_path / "node", limits=limits, wrapper=environment) as jumping:
        with peer_of(jumping) as silent, associated(jumping) as idle, associated(jumping) as peer:
            assert peer.store(data_set()) == 0
            connected = time.monotonic()  # or somewhat before
            jump.write_text(str(seconds))
            peer.connection.settimeout(1.0)  # several looks at the timers, while both run over the jump
            with pytest.raises(TimeoutError):
                peer.connection.recv(1)
            peer.connection.settimeout(60)
            assert peer.store(data_set()) == 0
            stored = time.monotonic()
            assert silent.closed()
            assert time.monotonic() - connected > 4, "sooner than after the 8 s that a silent connection has"
            assert idle.receive()[0] == 5  # the node asks for release
            assert peer.receive()[0] == 5
            assert time.monotonic() - stored > 5, "sooner than after 6 s of silence"
            peer.send(pdu(6, bytes(4)))
            assert peer.closed()
        until(jumping.idle, what="the associations to end")
        before, after = (
            read_arrival(path)[0].received_at for path in jumping.received()
        )  # the order is not the clock's
    assert (after - before).total_seconds() == pytest.approx(seconds, abs=60)


def test_fault_17_a_flood_of_silent_connections_does_not_keep_others_out(receiver: Receiver) -> None:
    """The oldest that has said nothing makes room; threads stay bounded."""
    peers = [peer_of(receiver) for _ in range(60)]
    try:
        stores_still(receiver)
        assert receiver.threads() < 40
    finally:
        for peer in peers:
            peer.connection.close()
    assert receiver.events("dimse.waiting-connection-dropped")


def test_fault_17_associations_above_the_limit_are_rejected_for_now(tmp_path: Path) -> None:
    """2,3,2; as soon as one ends there is room again."""
    with Receiver(tmp_path, node={"maximum_associations": 3}) as small:
        peers = [associated(small) for _ in range(3)]
        with peer_of(small) as fourth:
            fourth.send(associate_rq())
            assert fourth.receive() == (ASSOCIATE_RJ, b"\x00\x02\x03\x02")
        peers.pop().reset()
        until(lambda: len(small.data_folder.open_associations()) == 2, what="a place to be free")
        peers.append(associated(small))
        assert peers[-1].store(data_set()) == 0
        for peer in peers:
            peer.connection.close()
