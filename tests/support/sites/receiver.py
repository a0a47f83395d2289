"""The real receiver process on a loopback port, without a supervisor around it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.store import seal
from node.store.arrival import read_arrival
from node.store.layout import DataFolder
from node.store.seal import cut_to_length
from tests.support.shared_data import ROOT
from tests.support.wait import until

_LAUNCH = (
    "import json, sys; from node.dimse.association import ConnectionLimits; from node.receive.process import main; "
    "main(sys.argv[2:], ConnectionLimits(**json.loads(sys.argv[1])))"
)


class Receiver:
    """Starts on entering, ends on leaving; `limits` shortens deadlines so that a test need not wait long."""

    def __init__(
        self,
        folder: Path,
        node: Mapping[str, Any] | None = None,
        modalities: Mapping[str, Any] | None = None,
        destinations: Mapping[str, Any] | None = None,
        limits: Mapping[str, float] | None = None,
        tls: bool = False,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._limits = dict(limits or {})
        self._tls = tls
        self._wrapper = wrapper
        self.config = folder / "config.yaml"
        settings = {
            "time_zone": "UTC",
            "data": str(folder / "data"),
            "accept": "any",
            "logs": {"format": "json"},
            "limits": {"free_space": 0},  # a test says when the disk is full, not the machine
        }
        sections = {
            "node": settings | dict(node or {}),
            "modalities": dict(modalities or {}),
            "destinations": dict(destinations or {}),
        }
        self.config.write_text(json.dumps(sections))  # JSON is YAML
        self.log_file = folder / "receiver.log"
        self.data_folder = DataFolder(folder / "data")
        self.wake, self._wake_end = os.pipe()
        os.set_blocking(self.wake, False)

    def __enter__(self) -> Receiver:
        listening = _listen()
        tls_listening = _listen() if self._tls else None
        self.port: int = listening.getsockname()[1]
        self.tls_port: int = tls_listening.getsockname()[1] if tls_listening else 0
        alive_end, self._alive = os.pipe()
        descriptors = {"listen": listening.fileno(), "wake": self._wake_end, "alive": alive_end}
        if tls_listening is not None:
            descriptors["tls"] = tls_listening.fileno()
        command = [
            *self._wrapper,
            sys.executable,
            "-c",
            _LAUNCH,
            json.dumps(self._limits),
            "--config",
            str(self.config),
        ]
        for name, descriptor in descriptors.items():
            command += [f"--{name}", str(descriptor)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, pass_fds=list(descriptors.values()), cwd=ROOT, stderr=log, stdout=log
            )
        os.close(alive_end)
        listening.close()
        if tls_listening is not None:
            tls_listening.close()
        until(lambda: self.events("receive.started") or self.process.poll() is not None, what="the receiver")
        assert self.process.poll() is None, self.log_file.read_text()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(120)
        for descriptor in (self._alive, self.wake, self._wake_end):
            if descriptor >= 0:
                os.close(descriptor)

    def let_go(self) -> None:
        """What the supervisor's death looks like from here."""
        os.close(self._alive)
        self._alive = -1

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def log(self) -> list[dict[str, Any]]:
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line["event"] == name] if self.log_file.exists() else []

    def received(self) -> list[Path]:
        """Whole receipts, in order of arrival; one that was just answered for gets its name in a moment."""
        until(lambda: not any(map(seal.read, self.parts())), what="the sealed objects to be named")
        return [self.data_folder.arrived(receipt) for receipt in self.data_folder.waiting()]

    def parts(self) -> list[Path]:
        return sorted(self.data_folder.incoming.glob("*.part"))

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self) -> float:
        """What it has used of a core, whatever else this machine did meanwhile."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=240)
        connection.settimeout(60)
        return connection

    def idle(self) -> bool:
        """No association is open and no thread of one is left."""
        return not os.listdir(self.data_folder.associations)


def _listen() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    return listening


def data_set_of(path: Path) -> bytes:
    """The data set of a file this node received, byte for byte; cut to its length as the indexer does first."""
    cut_to_length(path)
    _, offset = read_arrival(path)
    return path.read_bytes()[offset:]


@contextmanager
def small_disk(tmp_path: Path, size: str, node: Mapping[str, Any] | None = None) -> Iterator[Receiver]:
    """A receiver whose data folder is a file system of this size, in a mount namespace of its own."""
    unshare = shutil.which("unshare")
    script = f'mount -t tmpfs -o size={size} tmpfs "{tmp_path}/data" && exec "$@"'
    trial = [unshare or "unshare", "-rm", "sh", "-c", script, "sh"]
    (tmp_path / "data").mkdir()
    if unshare is None or subprocess.run([*trial, "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespace here (unshare -rm), so no small disk")
    with Receiver(tmp_path, node, wrapper=trial) as receiver:
        receiver.data_folder = DataFolder(Path(f"/proc/{receiver.process.pid}/root{tmp_path}/data"))
        yield receiver
