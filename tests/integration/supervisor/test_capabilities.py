"""`serve` as an ordinary user that was given CAP_NET_BIND_SERVICE by systemd or the like: for the port only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from node.run import sandbox
from tests.integration.supervisor.test_supervisor import _SERVE
from tests.support.shared_data import ROOT
from tests.support.wait import until

USER = "48123"
"""A user id that nobody has; no account is needed."""


def _as_user(*command: str) -> list[str]:
    """The command as that user, with the one capability, handed on to what it starts."""
    granted = ["--ambient-caps", "+net_bind_service", "--inh-caps", "+net_bind_service"]
    return ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", *granted, *command]


ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": os.pathsep.join([str(ROOT), *(each for each in sys.path if each.endswith("site-packages"))]),
    "PYTHONDONTWRITEBYTECODE": "1",
}


@pytest.fixture
def interpreter() -> str:
    """A Python that this user may run, with this one's packages."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("takes root and setpriv (Debian: util-linux)")
    tried = [sys.executable, "/usr/bin/python3"]
    for each in tried:
        again = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import node.app.process'], check=True)"
        command = _as_user(each, "-c", again)  # what setpriv may start, its children may not always
        if subprocess.run(command, env=ENVIRONMENT, cwd="/", capture_output=True, check=False).returncode == 0:
            return each
    pytest.skip(f"another user can run none of {tried} with the node's packages")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that this user may write into."""
    made = Path(tempfile.mkdtemp(prefix="pacsnode-"))
    os.chown(made, int(USER), int(USER))
    yield made
    shutil.rmtree(made)


def _reserved_port() -> int:
    for port in range(600, 1023):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("no port below 1024 is free")


def _capabilities(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line[:6]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")}


def test_finding_x9_the_capability_binds_the_port_and_goes_no_further(interpreter: str, folder: Path) -> None:
    """Port below 1024; the supervisor keeps the right for a reload, its children have none; plugins are confined."""
    if not sandbox.isolation().whole:
        pytest.skip(f"bubblewrap: {sandbox.isolation().reason}")
    port = _reserved_port()
    node = {"time_zone": "UTC", "accept": "any", "data": str(folder / "data")}
    config = folder / "config.yaml"
    config.write_text(json.dumps({"node": {**node, "listen": {"host": "127.0.0.1", "port": port}}}))
    log = folder / "serve.log"
    with log.open("wb") as said:
        command = _as_user(interpreter, "-c", _SERVE, str(config))
        serving = subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, stdout=said, stderr=said)
    try:
        found = folder / "data" / "confinement.json"
        until(lambda: found.exists() or serving.poll() is not None, what="the node to try how plugins are confined")
        assert serving.poll() is None, log.read_text()
        assert json.loads(found.read_text())["isolated"] is True
        socket.create_connection(("127.0.0.1", port), timeout=30).close()
        own = _capabilities(serving.pid)
        assert (own["CapPrm"], own["CapInh"], own["CapAmb"]) == (1 << 10, 0, 0)
        children = psutil.Process(serving.pid).children(recursive=True)
        assert len(children) >= 2
        for child in children:
            held = _capabilities(child.pid)
            assert (held["CapPrm"], held["CapEff"], held["CapInh"], held["CapAmb"]) == (0, 0, 0, 0)
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(60)


def test_finding_x9_check_says_what_serve_will_do(interpreter: str) -> None:
    """With the ambient capability still there, as in a unit's ExecStartPre: the probe runs without it."""
    code = "from node.run.sandbox import isolation; print(isolation().whole, isolation().reason)"
    said = subprocess.run(
        _as_user(interpreter, "-c", code), env=ENVIRONMENT, cwd="/", capture_output=True, text=True, check=True
    )
    assert said.stdout.rstrip("\n") == f"{sandbox.isolation().whole} {sandbox.isolation().reason}"
