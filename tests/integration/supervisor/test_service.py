"""`serve` as systemd starts it: handed a socket, watched, reloaded, stopped; one node for all of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from node.dimse.scu import Peer, echo
from tests.integration.supervisor.test_supervisor import _SERVE
from tests.support.dimse.raw_dimse import RawPeer, data_set
from tests.support.shared_data import ROOT
from tests.support.wait import until

_HANDED = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="dicom")
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[2:]])
"""
"""What systemd does between fork and exec."""
_OF_PLUGINS = "plugins.zip"
"""Our own code, which the plugins' user reads, in a folder that only we can enter."""


class SystemdSide:
    """The ends that systemd has: where it is notified, and the socket that callers reach."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[str] = []
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(folder / "notify"))
        self._notified.setblocking(False)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]

    def has_heard(self, word: str) -> bool:
        try:
            while True:
                self.heard += self._notified.recv(65536).decode().split("\n")
        except BlockingIOError:
            return any(line.startswith(word) for line in self.heard)

    def forget(self) -> None:
        self.has_heard("")
        self.heard.clear()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[SystemdSide]:
    made = SystemdSide(tmp_path)
    yield made
    made.listening.close()


def test_a_node_of_systemd(tmp_path: Path, systemd: SystemdSide) -> None:
    """Who calls before it runs is answered by it; READY=1 comes when it answers; then a sign for the watchdog;
    RELOADING=1, a refusal, STOPPING=1. Every file that it writes is closed to other users."""
    config, data = tmp_path / "config.yaml", tmp_path / "data"
    node = {"time_zone": "UTC", "data": str(data), "listen": {"host": "127.0.0.1", "port": systemd.port}}
    right = json.dumps({"node": node, "modalities": {"ct1": {"ae_title": "RAW"}}})
    config.write_text(right)
    early = socket.create_connection(("127.0.0.1", systemd.port), timeout=240)
    os.set_inheritable(systemd.listening.fileno(), True)
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
    command = [sys.executable, "-c", _HANDED, str(systemd.listening.fileno()), _SERVE, str(config)]
    with (tmp_path / "serve.log").open("wb") as log:
        handed = (systemd.listening.fileno(),)
        serving = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, pass_fds=handed, umask=0)
    children: list[psutil.Process] = []
    try:
        until(lambda: systemd.has_heard("READY=1") or serving.poll() is not None, what="READY=1")
        assert serving.poll() is None, (tmp_path / "serve.log").read_text()
        children = psutil.Process(serving.pid).children(recursive=True)
        echo(Peer("127.0.0.1", systemd.port, "PACSNODE", "RAW", 60))
        peer = RawPeer(early)
        peer.associate()
        assert peer.store(data_set()) == 0
        peer.release()
        assert {"STATUS=Receives images as PACSNODE, and works.", "WATCHDOG=1"} <= set(systemd.heard)
        until(lambda: list((data / "store").rglob("*.dcm")), what="the image to be indexed")
        _assert_closed(data)
        _assert_reloads(systemd, serving, config, right)
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(240) == 0
        assert systemd.has_heard("STOPPING=1")
    finally:
        if serving.poll() is None:
            serving.kill()
        for each in children:
            if each.is_running():
                each.kill()
        serving.wait(120)
    assert "SELF" not in (tmp_path / "serve.log").read_text()


def _assert_closed(data: Path) -> None:
    """Whatever the umask of whoever started it."""
    for each in data.rglob("*"):
        if each.name != _OF_PLUGINS and not each.is_symlink():
            assert stat.S_IMODE(each.lstat().st_mode) & 0o077 == 0, each
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def _assert_reloads(systemd: SystemdSide, serving: subprocess.Popen[bytes], config: Path, right: str) -> None:
    systemd.forget()
    config.write_text(f"{right[:-1]}, rulez: []}}")
    serving.send_signal(signal.SIGHUP)
    until(lambda: systemd.has_heard("STATUS=Receives images as PACSNODE. What was saved last is refused"), what="it")
    assert systemd.heard[0] == "RELOADING=1"
    assert "READY=1" in systemd.heard
    systemd.forget()
    config.write_text(right)
    serving.send_signal(signal.SIGHUP)
    until(lambda: systemd.has_heard("STATUS=Receives images as PACSNODE, and works."), what="the end of the refusal")
    systemd.forget()
