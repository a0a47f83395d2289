"""What systemd is told, and what it hands over, without a node: each claim by a socket that this test holds."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.config.from_values import validated
from node.serve import activation, self_test
from node.serve.listening import ListenError, Ports
from node.serve.service_manager import NodeSign, ServiceManager, WatchedService
from node.store.pulse import PULSE
from tests.support.dimse.raw_dimse import VERIFICATION, associate_ac, command, p_data, pdu
from tests.support.wait import until

VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", self_test.VARIABLE)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ServiceManager()),
        ({"NOTIFY_SOCKET": "/run/n"}, ServiceManager("/run/n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "3000000"}, ServiceManager("@n", 3.0)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, ServiceManager("@n", 3.0)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, ServiceManager("@n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "soon"}, ServiceManager("@n")),
    ],
)
def test_the_variables_of_systemd(given: dict[str, str], expected: ServiceManager) -> None:
    """Those that were meant for another process do not count."""
    assert ServiceManager.of(given, 7) == expected


class Peer:
    """A receiver of our own: answers every association by what it is given, and counts them."""

    def __init__(self, *answers: bytes) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.socket.getsockname()
        self.asked: list[bytes] = []
        self._answers = answers
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                for answer in self._answers:
                    self.asked.append(connection.recv(4096))
                    connection.sendall(answer)


SUCCESS = p_data(1, 3, command(0x8030, e0002=VERIFICATION, e0120=1, e0800=0x0101, e0900=0))
FAILURE = p_data(1, 3, command(0x8030, e0002=VERIFICATION, e0120=1, e0800=0x0101, e0900=0x0110))
RELEASED = pdu(6, bytes(4))


@pytest.mark.parametrize(
    ("answers", "is_good"),
    [
        ((associate_ac(), SUCCESS, RELEASED), True),
        ((associate_ac(), FAILURE, RELEASED), False),
        ((pdu(3, bytes([0, 2, 3, 2])),), True),  # refused for now: too many associations
        ((pdu(3, bytes([0, 1, 1, 3])),), False),  # refused for ever
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), False),
        ((b"",), False),
    ],
)
def test_what_counts_as_an_answer(answers: tuple[bytes, ...], is_good: bool) -> None:
    """C-ECHO with success, or a refusal for now; what is no DICOM is none."""
    peer = Peer(*answers)
    with peer.socket:
        assert self_test.answers(peer.address, "PACSNODE", "ABC", 20) is is_good


def test_who_does_not_listen_does_not_answer() -> None:
    """No exception."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    assert self_test.answers(address, "PACSNODE", "ABC", 20) is False


class Told:
    """systemd's end of the socket."""

    def __init__(self, folder: Path, watchdog: float) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.settimeout(60)
        self.manager = ServiceManager(str(folder / "notify"), watchdog)

    def next(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def is_quiet(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    made = Told(tmp_path, watchdog=40.0)
    yield made
    made.socket.close()


def _tested(state: WatchedService, address: tuple[str, int] | None, node_runs: bool, rung: threading.Event) -> None:
    rung.clear()
    state.look(address, node_runs)
    until(rung.is_set, what="the self-test")
    state.look(address, node_runs)


def test_ready_comes_when_receivers_answer_and_the_node_runs(told: Told, tmp_path: Path) -> None:
    """Each missing thing has its sentence. READY=1 is said once; what came of a reload is in the sentence."""
    rung = threading.Event()
    state = WatchedService(told.manager, tmp_path, "PACSNODE", rung.set)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()
    _tested(state, nobody, True, rung)
    assert told.next() == ["STATUS=Starting: the receivers do not answer yet."]
    peer = Peer(associate_ac(), SUCCESS, RELEASED)
    with peer.socket:
        state._next = 0.0
        _tested(state, peer.address, False, rung)
        [status] = told.next()
        assert "the node process does not run" in status
        state._next = 0.0
        _tested(state, peer.address, True, rung)
        assert told.next() == ["READY=1", "WATCHDOG=1", "STATUS=Receives images as PACSNODE, and works."]
        assert self_test.title_in_force().encode() in peer.asked[0]
        state.reloading()
        assert told.next()[0] == "RELOADING=1"
        state.reloaded("config.yaml:3: no")
        assert told.next() == ["READY=1"]
        _tested(state, peer.address, True, rung)
        assert told.next() == [
            "WATCHDOG=1",
            "STATUS=Receives images as PACSNODE. What was saved last is refused: config.yaml:3: no",
        ]
    state.stopping()
    assert told.next()[0] == "STOPPING=1"


def test_no_sign_goes_to_the_watchdog_while_the_node_hangs(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pulse is timed by our own clock, so that a machine whose clock is set is not taken for one that hangs."""
    now = [1000.0]
    monkeypatch.setattr("node.serve.service_manager.time.monotonic", lambda: now[0])
    rung = threading.Event()
    state = WatchedService(told.manager, tmp_path, "PACSNODE", rung.set)
    (tmp_path / PULSE).write_text("{}")
    _tested(state, None, True, rung)  # TLS alone: receivers cannot be asked
    assert told.next()[:2] == ["READY=1", "WATCHDOG=1"]
    now[0] += 200
    _tested(state, None, True, rung)
    assert told.next() == [
        "STATUS=Images are received and wait: the node process has given no sign of life for three minutes."
    ]
    os.utime(tmp_path / PULSE, (1, 1))
    now[0] += 1
    _tested(state, None, True, rung)
    assert told.next()[0] == "WATCHDOG=1"
    assert NodeSign(tmp_path / "nothing").is_fresh()


def test_without_systemd_nothing_is_tested(tmp_path: Path) -> None:
    """No thread, no title, no time at which to look."""
    state = WatchedService(ServiceManager(), tmp_path, "PACSNODE", lambda: None)
    state.look(("127.0.0.1", 1), True)
    state.reloading()
    assert (state.due_at(), self_test.title_in_force()) == (None, "")
    ServiceManager(str(tmp_path / "nobody-listens")).tell("READY=1")


def _configuration(port: int, tmp_path: Path) -> Ports:
    values = {"node": {"time_zone": "UTC", "data": str(tmp_path), "listen": {"host": "127.0.0.1", "port": port}}}
    return Ports.open(validated(values, tmp_path))


def _hand_over(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> None:
    monkeypatch.setattr(activation, "_FIRST", descriptor)
    for name, value in (("LISTEN_FDS", "1"), ("LISTEN_PID", str(os.getpid())), ("LISTEN_FDNAMES", "dicom")):
        os.environ[name] = value


def test_a_socket_that_systemd_opened_is_the_one_that_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the port is taken for everybody else; the variables are gone for those that are started next."""
    opened = socket.create_server(("127.0.0.1", 0))
    port = opened.getsockname()[1]
    with pytest.raises(ListenError, match="in use by another program"):
        _configuration(port, tmp_path)
    descriptor = opened.detach()
    _hand_over(monkeypatch, descriptor)
    ports = _configuration(port, tmp_path)
    assert [each.fileno() for each in ports.sockets.values()] == [descriptor]
    assert "LISTEN_FDS" not in os.environ
    ports.close()


def test_a_socket_that_no_key_of_the_configuration_names_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A modality that called there would wait for ever; the message says what makes both agree."""
    opened = socket.create_server(("127.0.0.1", 0))
    port = opened.getsockname()[1]
    _hand_over(monkeypatch, opened.detach())
    with pytest.raises(ListenError, match=rf"port {port} .*\(dicom\), and the .* port 11112: `pacsnode install`"):
        _configuration(11112, tmp_path)


def test_sockets_of_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As sd_listen_fds(3) has it: what a parent forgot to take out of the environment is nobody's."""
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert activation.take() == []
