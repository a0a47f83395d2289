"""Malformed conversations and mutated files against the real receiver, and what it stored through the header reader.

`make test` tries a number of examples, `make fuzz` new ones for as long as it is told. A conversation that breaks the
receiver is written to a file; kept under `tests/regressions/conversations/` it is tried in every run from then on.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from pydicom import dcmread
from pydicom.data import get_testdata_file

from node.dimse.contexts import ACCEPTED, is_storage
from node.index.children import HeaderReader
from node.ledger import instances
from node.store.arrival import read_arrival
from tests.support.dimse.dimse_grammar import conversations
from tests.support.dimse.raw_dimse import (
    COMMAND_LAST,
    DATA,
    DATA_LAST,
    RawPeer,
    associate_rq,
    data_set,
    p_data,
    pixels,
    store_rq,
)
from tests.support.shared_data import ROOT, SHARED_DATA
from tests.support.sites.index_room import Room, room_of
from tests.support.sites.receiver import Receiver, data_set_of
from tests.support.wait import until

REGRESSIONS = ROOT / "tests" / "regressions" / "conversations"
BUNDLED = [
    "CT_small.dcm",
    "MR_small.dcm",
    "rtplan.dcm",
    "JPEG2000.dcm",
    "test-SR.dcm",
    "image_dfl.dcm",
    "ExplVR_BigEnd.dcm",
]
LIMITS = {"association_request": 5.0, "pdu": 5.0, "idle": 5.0}


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver"), node={"durability": "os"}, limits=LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def room(receiver: Receiver) -> Iterator[Room]:
    reader = HeaderReader(children=1)
    yield room_of(receiver.data_folder, reader)
    reader.close()


@pytest.fixture(scope="session")
def fuzz_seconds(request: pytest.FixtureRequest) -> float:
    """How long to fuzz; 0: a fixed number of examples."""
    return float(request.config.getoption("--fuzz-seconds"))


def converse(receiver: Receiver, stream: bytes) -> list[int]:
    """Send what stands in `stream`, the first PDU ahead and the rest after its answer; the statuses that came back."""
    with RawPeer(receiver.connect()) as peer:
        first = 6 + struct.unpack(">L", stream[2:6])[0] if len(stream) >= 6 else len(stream)
        with contextlib.suppress(OSError):  # it ends the connection as soon as it has seen enough
            peer.send(stream[:first])
            if first <= len(stream):
                peer.receive()
            peer.send(stream[first:])
            peer.connection.shutdown(socket.SHUT_WR)  # nothing more comes
        statuses: list[int] = []
        while True:
            kind, body = peer.receive()
            if kind == 0:
                return statuses
            if kind == 4 and b"\x00\x00\x00\x01\x02\x00\x00\x00\x01\x80" in body:
                at = body.index(b"\x00\x00\x00\x09\x02\x00\x00\x00")
                statuses.append(int.from_bytes(body[at + 8 : at + 10], "little"))


def defects(receiver: Receiver, since: int) -> list[str]:
    """Log lines that tell of a defect, from this many bytes on."""
    with receiver.log_file.open("rb") as log:
        log.seek(since)
        lines = log.read().decode().splitlines()
    return [line for line in lines if '"exception"' in line or '"C001"' in line or '"receive.thread-died"' in line]


def survives(receiver: Receiver, stream: bytes) -> None:
    """It lives and serves, no exception was logged, nothing half is left, and what was promised is there."""
    since = receiver.log_file.stat().st_size
    before = set(receiver.received())
    statuses = converse(receiver, stream)
    until(receiver.idle, what="the association to end")
    assert receiver.process.poll() is None
    assert defects(receiver, since) == []
    assert receiver.parts() == []
    new = [path for path in receiver.received() if path not in before]
    assert len(new) >= statuses.count(0)
    for path in new:
        assert read_arrival(path)[0].sop_instance_uid
    with RawPeer(receiver.connect()) as honest:
        honest.associate()
        assert honest.store(data_set(tail=pixels(100))) == 0
        honest.release()
    for path in receiver.received():
        path.unlink()


@contextlib.contextmanager
def keeping(stream: bytes, folder: Path) -> Iterator[None]:
    """Write the conversation to a file where it breaks something."""
    try:
        yield
    except BaseException as error:
        crasher = folder / f"{hashlib.sha256(stream).hexdigest()[:12]}.bin"
        crasher.write_bytes(stream)
        error.add_note(f"the conversation is in {crasher}: keep it in {REGRESSIONS}")
        raise


def in_rounds(attempt: Callable[[int], None], seconds: float) -> None:
    """Once, or again with other seeds until the time is over."""
    end = time.monotonic() + seconds
    attempt(0)
    number = random.SystemRandom().randrange(1 << 32)
    while time.monotonic() < end:
        number += 1
        attempt(number)


def test_conversations_that_break_the_grammar(receiver: Receiver, fuzz_seconds: float, tmp_path: Path) -> None:
    """Whatever a peer says, the receiver lives, serves the next one, and keeps its promises."""

    def attempt(number: int) -> None:
        @seed(number)
        @settings(max_examples=150, database=None, suppress_health_check=list(HealthCheck))
        @given(conversations())
        def examine(stream: bytes) -> None:
            with keeping(stream, tmp_path):
                survives(receiver, stream)

        examine()

    in_rounds(attempt, fuzz_seconds / 2)


@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*.bin")), ids=lambda path: path.stem)
def test_conversations_that_once_broke_something(receiver: Receiver, path: Path) -> None:
    """Each is a file: what one peer sent."""
    survives(receiver, path.read_bytes())


def sources() -> list[Path]:
    """Sound files of pydicom's own, and where they are, small real ones of many makers and syntaxes."""
    paths = [Path(str(get_testdata_file(name))) for name in BUNDLED]
    real = sorted(SHARED_DATA.glob("pydicom_pydicom/**/*.dcm")) if SHARED_DATA.exists() else []
    return paths + [path for path in real if 1000 < path.stat().st_size < 200_000][:150]


def data_set_and_request(path: Path) -> tuple[str, str, bytes, bytes] | None:
    """SOP class, transfer syntax, data set and C-STORE request of a file; None where it is not one that can be sent."""
    content = path.read_bytes()
    if content[128:136] != b"DICM\2\0\0\0":
        return None
    meta = dcmread(path, stop_before_pixels=True, force=True).file_meta
    start = 144 + int.from_bytes(content[140:144], "little")
    uid = str(meta.get("MediaStorageSOPInstanceUID", ""))
    sop_class, syntax = str(meta.get("MediaStorageSOPClassUID", "")), str(meta.get("TransferSyntaxUID", ""))
    sendable = uid and is_storage(sop_class) and syntax in ACCEPTED
    return (sop_class, syntax, content[start:], store_rq(sop_class, uid)) if sendable else None


def mutations(content: bytes, chance: random.Random) -> bytes:
    """A few bytes flipped, lengths overwritten, a piece cut out, doubled or cut off."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(max(1, min(len(changed), chance.choice((400, 4000, len(changed))))))
        match chance.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                changed[at : at + 4] = chance.choice(
                    (b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80")
                )
            case 2:
                del changed[at : at + chance.choice((1, 2, 8, 100))]
            case 3:
                changed[at:at] = changed[at : at + chance.choice((2, 8, 64))]
            case 4:
                changed[at : at + 2] = chance.choice((b"SQ", b"UN", b"UI", b"OB", b"??", b"PN", b"DS"))
            case _:
                if chance.randrange(4) == 0:
                    del changed[at + 300 :]
    return bytes(changed)


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_through_receiver_and_header_reader(
    receiver: Receiver, room: Room, fuzz_seconds: float, tmp_path: Path
) -> None:
    """Stored byte for byte with a row each, or refused with A900 or C000; neither receiver nor reader dies."""
    files = [found for path in sources() if (found := data_set_and_request(path)) is not None]
    assert len(files) >= len(BUNDLED) - 1

    def attempt(number: int) -> None:
        chance = random.Random(number)
        since = receiver.log_file.stat().st_size
        for _ in range(150):
            sop_class, syntax, content, request = chance.choice(files)
            changed = mutations(content, chance)
            with keeping(object_stream(sop_class, syntax, changed, request), tmp_path):
                _store(receiver, sop_class, syntax, changed, request)
        _all_indexed(receiver, room)
        assert defects(receiver, since) == []

    in_rounds(attempt, fuzz_seconds / 2)


def object_stream(sop_class: str, syntax: str, content: bytes, request: bytes) -> bytes:
    """The conversation that sends one object."""
    return (
        associate_rq(contexts={1: (sop_class, [syntax])})
        + p_data(1, COMMAND_LAST, request)
        + b"".join(p_data(1, DATA, content[start : start + 16000]) for start in range(0, len(content), 16000))
        + p_data(1, DATA_LAST, b"")
    )


def _store(receiver: Receiver, sop_class: str, syntax: str, content: bytes, request: bytes) -> None:
    with RawPeer(receiver.connect()) as peer:
        peer.associate(contexts={1: (sop_class, [syntax])})
        before = set(receiver.received())
        status = peer.store(content, request)
        assert status in (0x0000, 0xA900, 0xC000), hex(status)
        arrived = [path for path in receiver.received() if path not in before]
        assert [data_set_of(path) for path in arrived] == ([content] if status == 0 else [])
        peer.release()


def _all_indexed(receiver: Receiver, room: Room) -> None:
    """Every receipt has its row and its place."""
    receipts = [path.stem for path in receiver.received()]
    room.index.run_once()
    while receiver.received():
        room.index.run_once()
    assert [each for each in receipts if instances.by_receipt(room.ledger.database, each) is None] == []
