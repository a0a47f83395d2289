"""What somebody may do to a DICOM port, and whether an honest sender is served meanwhile: 25 attacks.

A receiver holds where, one second into the attack, an honest sender stores an object within five seconds (trying again
where it is refused for now, as modalities do), its memory does not grow by more than 60 MB, and it still runs.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path

import psutil

from tests.benchmarks import receivers
from tests.benchmarks.figures import table
from tests.benchmarks.receivers import Contender, Running
from tests.support.dimse.raw_dimse import (
    ASSOCIATE_AC,
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
    store_rq,
)
from tests.support.images.receipts import ct, encoded
from tests.support.wait import until

SERVED_WITHIN, MAY_GROW = 5.0, 60 * 2**20
_LEAD = 1.0
"""Seconds of attack before the honest sender calls."""
_LOOK = 0.2
_CONTEXTS = {1: (CT, [EXPLICIT]), 3: (VERIFICATION, [EXPLICIT])}
_numbers = count(1)


class Attacker(RawPeer):
    """One connection of an attack; `over` is set when the attack ends."""

    def __init__(self, target: Running, over: threading.Event) -> None:
        super().__init__(socket.create_connection(("127.0.0.1", target.port), timeout=10))
        self.connection.settimeout(1)
        self.over = over
        self.called = target.ae_title.encode()

    def associate_as_anybody(self) -> None:
        """ConnectionError where it is refused."""
        self.send(associate_rq(called=self.called, calling=b"ATTACKER", contexts=_CONTEXTS))
        if self.receive()[0] != ASSOCIATE_AC:
            raise ConnectionError("refused")


Then = Callable[[Attacker], object]


def _stays(peer: Attacker) -> None:
    peer.over.wait()


def _listens(peer: Attacker) -> None:
    peer.receive()


def _goes(peer: Attacker) -> None:
    pass


def _resets(peer: Attacker) -> None:
    peer.reset()


def _drips(content: bytes) -> Then:
    """A byte at a time, ten a second."""

    def drip(peer: Attacker) -> None:
        for position in range(len(content)):
            if peer.over.wait(0.1):
                return
            peer.send(content[position : position + 1])

    return drip


def _pours(pieces: Callable[[], Iterable[bytes]]) -> Then:
    """As much as is taken, without reading what is answered."""

    def pour(peer: Attacker) -> None:
        for piece in pieces():
            if peer.over.is_set():
                return
            peer.send(piece)

    return pour


def _pours_on(piece: bytes = bytes(1 << 20)) -> Then:
    return _pours(lambda: repeat(piece))


def _objects() -> Iterator[bytes]:
    """C-STORE requests, each of another object."""
    for number in _numbers:
        uid = f"1.2.826.0.9.{number}"
        content = encoded(ct(SOPInstanceUID=uid, StudyInstanceUID="1.2.826.0.9"))
        yield p_data(1, COMMAND_LAST, store_rq(sop_instance=uid)) + p_data(1, DATA_LAST, content)


def _mutated(peer: Attacker) -> None:
    """An object's message with a few bytes changed."""
    chance = random.Random(next(_numbers))
    message = bytearray(next(_objects()))
    for _ in range(5):
        message[chance.randrange(120)] = chance.randrange(256)
    peer.send(bytes(message))
    peer.receive()


def _large_request() -> bytes:
    syntaxes = [f"1.2.3.4.{number}" for number in range(500)]
    return associate_rq(contexts={number: (CT, [*syntaxes, EXPLICIT]) for number in range(1, 256, 2)})


@dataclass(frozen=True, slots=True)
class Attack:
    """What each of several connections does, again and again: `first` is sent, `then` follows."""

    name: str
    first: bytes
    then: Then
    associated: bool = False
    """An association comes first, as anybody may have one."""
    connections: int = 10

    def begin(self, peer: Attacker) -> None:
        """Do it once. Raises OSError or AssertionError where the receiver has ended it."""
        if self.associated:
            peer.associate_as_anybody()
        if self.first:
            peer.send(self.first)
        self.then(peer)


_BEGUN = p_data(1, COMMAND_LAST, store_rq())
_HUGE = 0xFFFFFFF0
ATTACKS = [
    Attack("silent connections", b"", _stays),
    Attack("a flood of silent connections", b"", _stays, connections=300),
    Attack("connect and close", b"", _goes),
    Attack("connect and reset", b"", _resets),
    Attack("half a PDU header", b"\1\0\0", _stays),
    Attack("half an A-ASSOCIATE-RQ", associate_rq()[:80], _stays),
    Attack("an A-ASSOCIATE-RQ that drips", b"", _drips(associate_rq())),
    Attack("an A-ASSOCIATE-RQ of 4 GiB", struct.pack(">BxL", 1, _HUGE), _pours_on(), connections=2),
    Attack("an A-ASSOCIATE-RQ with 64,000 syntaxes", _large_request(), _listens, connections=2),
    Attack("another protocol", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", _listens),
    Attack("an unknown PDU type", struct.pack(">BxL", 0x99, _HUGE), _pours_on(), connections=2),
    Attack("associate and abort", pdu(7, bytes(4)), _goes, associated=True),
    Attack("idle associations", b"", _stays, associated=True, connections=30),
    Attack("half a P-DATA-TF", _BEGUN[:40], _stays, associated=True),
    Attack("a P-DATA-TF that drips", b"", _drips(_BEGUN), associated=True),
    Attack("a P-DATA-TF of 4 GiB", struct.pack(">BxL", 4, _HUGE), _pours_on(), associated=True, connections=2),
    Attack("a presentation data value of length 0", pdu(4, bytes(4) + b"\1\3"), _listens, associated=True),
    Attack("a value longer than its PDU", pdu(4, struct.pack(">LBB", 1 << 30, 1, 3)), _listens, associated=True),
    Attack("a command set without end", b"", _pours_on(p_data(1, COMMAND, bytes(16000))), True, 2),
    Attack("a command that is none", p_data(1, COMMAND_LAST, command(0x7777, e0110=1)), _listens, associated=True),
    Attack("a data set without command", p_data(1, DATA_LAST, data_set()), _listens, associated=True),
    Attack("reset within an object", _BEGUN + p_data(1, DATA, data_set()), _resets, associated=True),
    Attack("objects whose answers nobody reads", b"", _pours(_objects), True, 2),
    Attack("C-ECHO whose answers nobody reads", b"", _pours_on(p_data(3, COMMAND_LAST, echo_rq()) * 500), True, 2),
    Attack("mutated messages", b"", _mutated, associated=True),
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attack on one receiver."""

    served: float | None
    """Seconds until the honest sender's object was stored; None: not in time."""
    grown: int
    """Bytes of memory more at the peak than before."""
    lives: bool

    @property
    def holds(self) -> bool:
        """Whether an honest sender would not have noticed."""
        return self.lives and self.served is not None and self.grown <= MAY_GROW

    def __str__(self) -> str:
        if self.holds:
            return "holds"
        reasons = [
            *([] if self.lives else ["ended"]),
            *(["not served"] if self.served is None else []),
            *([f"+{self.grown / 2**20:.0f} MB"] if self.grown > MAY_GROW else []),
        ]
        return ", ".join(reasons)


CONTENDERS = (receivers.FSYNC, receivers.DCMTK, receivers.ORTHANC, receivers.PYNETDICOM)
Outcomes = dict[str, list[Outcome]]


def measure(folder: Path, *, short: bool) -> Outcomes:
    """Every attack on every receiver (short: on the node alone); outcomes by receiver, in the order of ATTACKS."""
    found: Outcomes = {}
    for contender in CONTENDERS[:1] if short else CONTENDERS:
        found[contender.name] = list(_all_on(contender, folder / str(len(found))))
    return found


def _all_on(contender: Contender, folder: Path) -> Iterator[Outcome]:
    """One after the other on one process, or a fresh one where the last attack was too much for it."""
    with ExitStack() as stack:
        running: Running | None = None
        for number, attack in enumerate(ATTACKS):
            if running is None:
                running = stack.enter_context(contender.start(folder / str(number)))
                _load(running)
            outcome = _under(attack, running)
            yield outcome
            if not outcome.holds or _served(running, 20.0) is None:
                stack.close()
                running = None


def _load(running: Running) -> None:
    """Store an object, and where there is an index have it indexed: what is loaded with the first one is no growth."""
    before = running.indexed()
    _served(running, 30.0)
    if before is not None:
        until(lambda: (running.indexed() or 0) > before, what="the first object to be indexed")


def _under(attack: Attack, running: Running) -> Outcome:
    over = threading.Event()
    before = peak = _memory(running)
    threads = [
        threading.Thread(target=_attack, args=(attack, running, over), daemon=True) for _ in range(attack.connections)
    ]
    for thread in threads:
        thread.start()
    over.wait(_LEAD)
    honest: list[float | None] = []
    sender = threading.Thread(target=lambda: honest.append(_served(running, SERVED_WITHIN)), daemon=True)
    sender.start()
    while sender.is_alive():
        peak = max(peak, _memory(running))
        sender.join(_LOOK)
    peak = max(peak, _memory(running))
    over.set()
    for thread in threads:
        thread.join(15)
    return Outcome(honest[0], peak - before, _answers(running))


def _attack(attack: Attack, running: Running, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(OSError, AssertionError), Attacker(running, over) as peer:
            attack.begin(peer)  # type: ignore[arg-type]
        over.wait(0.01)


def _served(running: Running, within: float) -> float | None:
    """Seconds until an object is stored, on as many associations as it takes; None: not in time."""
    began, number = time.monotonic(), f"{os.getpid()}.{next(_numbers)}"
    uid = f"1.2.826.0.8.{number}"
    content = encoded(ct(SOPInstanceUID=uid, StudyInstanceUID=f"{uid}.1", SeriesInstanceUID=f"{uid}.2"))
    while (left := began + within - time.monotonic()) > 0:
        with suppress(OSError, AssertionError):
            connection = socket.create_connection(("127.0.0.1", running.port), timeout=left)
            with RawPeer(connection) as peer:
                peer.associate(called=running.ae_title.encode(), calling=b"HONEST", contexts=_CONTEXTS)
                if peer.store(content, store_rq(sop_instance=uid)) == 0:
                    return time.monotonic() - began
        time.sleep(0.1)  # as a modality that was refused for now
    return None


def _answers(running: Running) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", running.port), timeout=5):
        return True
    return False


def _memory(running: Running) -> int:
    """Proportional set size of all its processes: what one that forks shares counts once."""
    octets = 0
    for process in running.processes():
        with suppress(psutil.Error):
            octets += process.memory_full_info().pss
    return octets


def show(found: Outcomes) -> str:
    """Which receiver holds which attack."""
    rows = [
        [attack.name, *(str(outcomes[number]) for outcomes in found.values())] for number, attack in enumerate(ATTACKS)
    ]
    held = [f"{sum(each.holds for each in outcomes)} of {len(outcomes)}" for outcomes in found.values()]
    return table(["attack", *found], [*rows, ["**holds**", *held]])


def goal(found: Outcomes) -> list[str]:
    """The node's row in the table of goals."""
    held = sum(outcome.holds for outcome in found[receivers.FSYNC.name])
    missed = len(ATTACKS) - held
    return ["attacks", "held by the node", f"{len(ATTACKS)}", str(held), f"missed by {missed}" if missed else "met"]
