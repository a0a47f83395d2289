"""`serve` as a whole: lock, sockets, children; what dies comes back, what ends leaves nothing."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from node.cli import main
from node.dimse.scu import Peer, echo
from node.errors import NodeError
from node.ledger.database import Ledger
from tests.support.dimse.raw_dimse import COMMAND_LAST, DATA, DATA_LAST, RawPeer, data_set, p_data, pixels, store_rq
from tests.support.shared_data import ROOT
from tests.support.sites.earlier import unpack
from tests.support.wait import until

_SERVE = (
    "import sys; from pathlib import Path; from node.config.loading import read; from node.errors import NodeError\n"
    "from node.serve.supervisor import serve; from node.config.in_force import InForce\n"
    "from node.clock import SystemClock\n"
    "path = Path(sys.argv[1])\n"
    "try: sys.exit(serve(InForce.of(read(path), SystemClock().now(), 'a test'), ['rules: none', 'plugins: none']))\n"
    "except NodeError as error: sys.exit(f'{type(error).__name__}: {error}')"
)


class Served:
    """`serve` in a process of its own."""

    def __init__(self, folder: Path, **node: Any) -> None:
        self._prepare(folder, **node)
        self._start("-c", _SERVE, str(self.config))

    @classmethod
    def by_command(cls, folder: Path) -> Served:
        """Started again by `pacsnode serve`, on the file as it is."""
        served = cls.__new__(cls)
        served.folder, served.data, served.config = folder, folder / "data", folder / "config.yaml"
        served.log = (folder / "serve.log").open("ab")
        served._start("-m", "node.cli", "serve", "--allow-root", "--config", str(served.config))
        return served

    def _prepare(self, folder: Path, **node: Any) -> None:
        self.folder = folder
        self.data = folder / "data"
        listen = {"host": "127.0.0.1", "port": 0}
        settings = {"time_zone": "UTC", "accept": "any", "data": str(self.data), "listen": listen} | node
        self.config = folder / "config.yaml"
        self.config.write_text(json.dumps({"node": settings | {"logs": {"format": "json"}}}))
        self.log = (folder / "serve.log").open("ab")

    def _start(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.children: list[psutil.Process] = []

    def wait_until_it_serves(self) -> None:
        until(self._answers, what=f"the node to answer; {self.folder / 'serve.log'}")
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "serve.log").read_text()
        try:
            echo(self.peer())
        except (NodeError, OSError, ValueError):
            return False
        return len(self.receivers()) > 0

    @property
    def port(self) -> int:
        return int(json.loads((self.data / "listening.json").read_text())["port"])

    def peer(self) -> Peer:
        return Peer("127.0.0.1", self.port, "PACSNODE", "TEST", 30)

    def connect(self) -> RawPeer:
        return RawPeer(socket.create_connection(("127.0.0.1", self.port), timeout=60))

    def receivers(self) -> list[psutil.Process]:
        found = []
        for each in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # or a zombie
                found += [each] if "node.receive" in each.cmdline() else []
        return found

    def end(self) -> None:
        """Kill what is left of this node, by process id."""
        for process in (
            [*self.children, psutil.Process(self.process.pid)] if self.process.poll() is None else self.children
        ):
            if process.is_running():
                process.kill()
        self.process.wait(120)
        self.log.close()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    node = Served(folder)
    try:
        node.wait_until_it_serves()
        yield node
    finally:
        node.end()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """One that the test may end."""
    with serving(tmp_path) as node:
        yield node


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One that goes on, whatever is done to it."""
    with serving(tmp_path_factory.mktemp("kept")) as node:
        yield node


def gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def gone_for_good(processes: list[psutil.Process]) -> bool:
    """Buried, and not only dead: till then the kernel may still let one that calls in, and break that off."""
    return not any(each.is_running() for each in processes)


def test_it_says_what_it_listens_on_and_ends_on_sigterm(served: Served) -> None:
    """One line for the port, then the caller's lines; SIGTERM ends every process, exit 0, no file says it listens."""
    port = served.port
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == 0
    assert served.process.stdout is not None
    lines = served.process.stdout.read().splitlines()
    assert lines == [f"listens on 127.0.0.1 port {port} (DICOM), AE title PACSNODE", "rules: none", "plugins: none"]
    assert gone(served.children)
    assert not (served.data / "listening.json").exists()


def test_fault_58_sigterm_drains(served: Served) -> None:
    """An object under way is received, answered and on disk before the node ends."""
    with served.connect() as peer:
        peer.associate()
        peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, data_set()))
        until(lambda: list((served.data / "incoming").glob("*.part")), what="the object to be begun")
        served.process.send_signal(signal.SIGTERM)
        until(lambda: "receive.draining" in (served.folder / "serve.log").read_text(), what="the drain to begin")
        peer.send(p_data(1, DATA_LAST, pixels(100)))
        assert peer.status() == 0
        peer.release()
    assert served.process.wait(60) == 0
    kept = [*(served.data / "incoming").glob("*.dcm"), *(served.data / "store").rglob("*.dcm")]
    assert len(kept) == 1


def test_fault_55_a_receiver_that_dies_is_started_again(kept: Served) -> None:
    """The port stays open meanwhile: who calls then waits, and is kept."""
    [first] = kept.receivers()
    first.kill()
    until(lambda: gone_for_good([first]), what="the kernel to have closed its files")
    with kept.connect() as peer:
        peer.associate()
        assert peer.store(data_set()) == 0
        peer.release()
    [second] = kept.receivers()
    assert second.pid != first.pid
    assert "serve.process-died" in (kept.folder / "serve.log").read_text()


def test_the_children_end_with_a_supervisor_that_is_killed(served: Served) -> None:
    """kill -9: nothing orphaned keeps the port or the lock; another node starts in its place and sweeps what was half
    received, which was promised to nobody."""
    port = served.port
    incoming = served.data / "incoming"
    with served.connect() as peer:
        peer.associate()
        peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, data_set()))
        until(lambda: list(incoming.glob("*.part")), what="the object to be begun")
        served.process.kill()
        served.process.wait(120)
        until(lambda: gone(served.children), what="the children to end")
    assert len(list(incoming.glob("*.part"))) == 1
    again = Served(served.folder, listen={"host": "127.0.0.1", "port": port})
    try:
        again.wait_until_it_serves()
        assert again.port == port
        assert list(incoming.glob("*.part")) == []
    finally:
        again.end()


def test_fault_59_a_second_node_on_one_data_folder_is_refused(kept: Served) -> None:
    """It says whose the folder is, starts nothing, and the first goes on."""
    before = (kept.data / "listening.json").read_bytes()
    second = subprocess.run(
        [sys.executable, "-c", _SERVE, str(kept.config)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1].startswith(
        f"DataFolderInUseError: another node (process {kept.process.pid}) uses the data folder {kept.data}"
    )
    assert second.stdout == ""
    assert (kept.data / "listening.json").read_bytes() == before
    echo(kept.peer())


@pytest.mark.parametrize("damage", ["not a database", "newer"])
def test_fault_54_a_ledger_that_cannot_be_used_is_refused_before_anything_listens(tmp_path: Path, damage: str) -> None:
    """Damaged, or written by a newer program: one clear message, nothing changed, no port opened."""
    (tmp_path / "data").mkdir()
    ledger = tmp_path / "data" / "ledger.db"
    if damage == "newer":
        Ledger(ledger).close()
        with sqlite3.connect(ledger) as connection:
            columns = "migration_set, name, applied_at"
            connection.execute(f"INSERT INTO _sqlite_migrations ({columns}) VALUES ('pacsnode', '9999_later', 'x')")
        connection.close()
    else:
        ledger.write_bytes(b"this was a ledger once" * 1000)
    before = ledger.read_bytes()
    node = Served(tmp_path)
    assert node.process.wait(timeout=60) == 1
    said = (tmp_path / "serve.log").read_text()
    assert "LedgerError" in said
    assert "Nothing was changed" in said
    assert ledger.read_bytes() == before
    assert not (tmp_path / "data" / "listening.json").exists()
    node.log.close()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """The address, the reason and what to change; nothing is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        node = Served(tmp_path, listen={"host": "127.0.0.1", "port": port})
        assert node.process.wait(60) == 1
        node.end()
    said = (tmp_path / "serve.log").read_text().splitlines()[-1]
    assert said.startswith(f"ListenError: cannot listen on 127.0.0.1 port {port}: port {port} is in use")


def test_associations_spread_over_the_receivers(tmp_path: Path) -> None:
    """Of sixteen that are open together each of two receivers has some: who has less to do accepts first."""
    node = Served(tmp_path, receivers=2)
    try:
        node.wait_until_it_serves()
        said = node.folder / "serve.log"
        until(lambda: said.read_text().count("receive.started") == 2, what="two receivers")
        with ExitStack() as opened:
            for _ in range(16):  # enough that a hiccup of the machine, which lets the busier one be first, evens out
                opened.enter_context(node.connect()).associate()
            busy = [connections_of(each) for each in node.receivers()]
            assert sum(busy) == 16
            assert min(busy) >= 3, busy
    finally:
        node.end()


def connections_of(receiver: psutil.Process) -> int:
    return sum(each.status == psutil.CONN_ESTABLISHED for each in receiver.net_connections())


def test_several_receivers_share_the_port(tmp_path: Path) -> None:
    """Each takes associations; killing one hurts its own only, and it comes back."""
    node = Served(tmp_path, receivers=3)
    try:
        node.wait_until_it_serves()
        receivers = until(lambda: len(found := node.receivers()) == 3 and found, what="three receivers")
        until(lambda: (tmp_path / "serve.log").read_text().count("receive.started") == 3, what="all to accept")
        with ExitStack() as stack:
            peers = [stack.enter_context(_served_by(node, each, receivers)) for each in receivers]  # type: ignore[arg-type]
            receivers[0].kill()  # type: ignore[index]
            assert peers[0].closed()
            assert [peer.store(data_set()) for peer in peers[1:]] == [0, 0]
            with node.connect() as another:
                another.associate()
                assert another.store(data_set()) == 0
        until(lambda: len(node.receivers()) == 3, what="the third to be back")
    finally:
        node.end()


def _served_by(node: Served, receiver: psutil.Process, receivers: list[psutil.Process]) -> RawPeer:
    """An association that this receiver took, because the others stood still."""
    others = [each for each in receivers if each != receiver]
    for each in others:
        each.suspend()
    until(lambda: all(_stands_still(each) for each in others), what="the others to stand still")
    try:
        peer = node.connect()
        peer.associate()
        assert peer.store(data_set()) == 0
    finally:
        for each in others:
            each.resume()
    return peer


def _stands_still(process: psutil.Process) -> bool:
    """Whether every thread of it is stopped."""
    states = [
        path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{process.pid}/task").glob("*/stat")
    ]
    return set(states) == {"T"}


def test_finding_m2_an_upgrade_says_at_once_what_is_missing_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the data folder of an earlier release, from which an image was lost: the node serves, indexes what waited, and
    `status` says at the top how many files are missing, and which."""
    data = unpack("2f7d039", tmp_path)
    [lost, *_] = sorted((data / "store").rglob("*.dcm"))
    lost.unlink()
    node = Served(tmp_path)
    try:
        node.wait_until_it_serves()
        until(lambda: not list((data / "incoming").glob("*.dcm")), what="what waited to be indexed")
        with pytest.raises(SystemExit):
            main(["status", "--config", str(node.config), "--json"])
        said = json.loads(capsys.readouterr().out)
    finally:
        node.end()
    [warning] = [text for text in said["health"]["warnings"] if "missing after the last upgrade" in text]
    assert f"1 of images, 0 of results; such as {lost.stem}" in warning
    [alert] = [each for each in said["alerts"] if each["kind"] == "files.missing"]
    assert alert["detail"]["examples"] == [lost.stem]


def test_finding_o5_a_node_that_is_started_again_on_a_spoilt_file_serves_and_is_red(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the configuration that was accepted last: `status` says so at the top and as an alert, until the file is put
    right; `check` refuses the file all the while."""

    def command(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--config", str(served.config)])
        return int(ended.value.code or 0), capsys.readouterr().out

    def status() -> dict[str, Any]:
        said: dict[str, Any] = json.loads(command("status", "--json")[1])
        return said

    def refused() -> list[Any]:
        return [each for each in status()["alerts"] if each["kind"] == "rules.refused"]

    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == 0
    right = served.config.read_text()
    served.config.write_text(f"{right[:-1]}, nodde: 1}}")
    again = Served.by_command(served.folder)
    try:
        again.wait_until_it_serves()
        assert any("nodde" in text for text in status()["health"]["warnings"])
        until(refused, what="the alert")
        assert command("check")[0] == 2
        served.config.write_text(right)
        until(lambda: not refused(), what="the end of the alert")
        assert not any("nodde" in text for text in status()["health"]["warnings"])
    finally:
        again.end()
    assert (
        "is refused: the node starts on the configuration that was accepted"
        in (served.folder / "serve.log").read_text()
    )
