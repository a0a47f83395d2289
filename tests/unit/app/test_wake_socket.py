"""Another process wakes the node: at once, and harmlessly whatever it sends."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.app.wake_listener import WakeListener
from node.wake_socket import FILE, address_of, ring
from tests.support.wait import until


class WakeCounter:
    """Counts wakes."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self) -> None:
        self.times.append(time.monotonic())


@pytest.fixture
def wakened() -> WakeCounter:
    return WakeCounter()


@pytest.fixture(params=["short", "long"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data folder, also one whose path is longer than a socket's may be."""
    folder = tmp_path / ("d" if request.param == "short" else "data-of-a-hospital-with-a-long-name" * 5)
    folder.mkdir()
    return folder


@pytest.fixture
def listening(data: Path, wakened: WakeCounter) -> Iterator[WakeListener]:
    made = WakeListener(data, wakened)
    yield made
    made.close()


def test_one_byte_wakes_the_node(data: Path, listening: WakeListener, wakened: WakeCounter) -> None:
    """Within a moment; nobody but the owner of the data folder can send it."""
    ring(data)
    until(lambda: len(wakened.times) == 1, what="a wake")
    ring(data)
    until(lambda: len(wakened.times) == 2, what="another")
    assert [stat.S_IMODE((data / each).stat().st_mode) for each in (FILE, "run")] == [0o600, 0o700]


def test_nothing_happens_where_no_node_runs(data: Path, wakened: WakeCounter) -> None:
    """Neither without a socket, nor with one that a dead node left, nor with a file of that name."""
    ring(data)
    (data / "run").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead, address_of(data / FILE) as address:
        dead.bind(address)
    ring(data)
    (data / FILE).unlink()
    (data / FILE).write_text("not a socket")
    ring(data)
    again = WakeListener(data, wakened)
    before = len(wakened.times)
    ring(data)
    until(lambda: len(wakened.times) > before, what="the wake of the node that replaced the file")
    again.close()
    assert not (data / FILE).exists()


def test_a_flood_wakes_the_node_now_and_then(data: Path, listening: WakeListener, wakened: WakeCounter) -> None:
    """Whoever sends without a gap, and more than a byte, neither blocks nor costs more than a few wakes a second."""
    over = threading.Event()

    def flood() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, address_of(data / FILE) as address:
            sender.setblocking(False)
            while not over.is_set():
                try:
                    sender.sendto(os.urandom(1000), address)
                except BlockingIOError:
                    ring(data)

    flooding = threading.Thread(target=flood)
    began = time.monotonic()
    flooding.start()
    try:
        until(lambda: len(wakened.times) >= 3, what="some wakes")
    finally:
        over.set()
        flooding.join(20)
    assert len(wakened.times) <= 2 + (time.monotonic() - began) / 0.2
    until(lambda: not _waiting(listening), what="the socket to be empty")
    before = len(wakened.times)
    ring(data)
    until(lambda: len(wakened.times) > before, what="a wake after the flood")


def _waiting(listening: WakeListener) -> bool:
    try:
        return bool(listening._socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
    except BlockingIOError:
        return False


def test_a_full_socket_keeps_no_command_waiting(data: Path) -> None:
    """A node that hears nothing: the command goes on."""
    (data / "run").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        with address_of(data / FILE) as address:
            deaf.bind(address)
        began = time.monotonic()
        for _ in range(1000):
            ring(data)
        assert time.monotonic() - began < 5


def test_nothing_is_heard_after_the_end(data: Path, wakened: WakeCounter) -> None:
    """Its file is gone, and its thread does not wake anybody."""
    WakeListener(data, wakened).close()
    ring(data)
    assert not wakened.times
