"""The supervisor's small decisions: the lock, the pauses, the words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.errors import DataFolderInUseError, PermanentError
from node.serve import keepalive, listening
from node.serve.keepalive import Child
from node.store.lock import take_lock
from tests.support.shared_data import ROOT


def test_fault_59_the_lock_is_held_as_long_as_any_process_has_it(tmp_path: Path) -> None:
    """Also by a child that outlives its supervisor."""
    lock = take_lock(tmp_path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock]) as child:
        os.close(lock)
        with pytest.raises(DataFolderInUseError, match=f"process {os.getpid()}"):
            take_lock(tmp_path)
        assert child.stdin is not None
        child.stdin.close()
        child.wait(120)
    os.close(take_lock(tmp_path))


def test_what_keeps_dying_is_started_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.5 s, doubling up to 30 s; a process that ran well for a while begins again at 0.5 s."""
    now = [1000.0]
    monkeypatch.setattr(keepalive.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
    child = Child("broken", [], ())
    pauses = []

    def die_after(seconds: float) -> None:
        child.process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        child.started_at = now[0]
        child.process.wait(120)
        now[0] += seconds
        assert child.noticed_dead()
        assert not child.noticed_dead()
        assert child.due_at == now[0] + child.pause
        pauses.append(child.pause)

    for _ in range(8):
        die_after(0.1)
    die_after(100.0)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 0.5]


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("192.0.2.1", 11112, "this machine has no such address; change node.listen.host"),
        ("no-such-host.invalid", 11112, "cannot listen on no-such-host.invalid port 11112"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_explained(host: str, port: int, words: str) -> None:
    """The address and what to change."""
    with pytest.raises(listening.ListenError, match=words):
        listening.listen_on(host, port, "node.listen")


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o777, 0o701])
def test_finding_x6_a_data_folder_that_others_can_reach_is_tightened(tmp_path: Path, mode: int) -> None:
    """Whatever made it: from then on nobody but the node's own user gets at a file in it."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    os.close(take_lock(data))
    assert data.stat().st_mode & 0o777 == mode & 0o700


def test_finding_x6_what_cannot_be_tightened_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of another user: its mode, the reason, and what to do."""

    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(self))

    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(PermanentError, match=r"can be reached by other users \(mode 0755\).*chmod 700"):
        take_lock(tmp_path)


def test_finding_x4_what_serve_prints_may_go_nowhere(tmp_path: Path) -> None:
    """Standard output on a full disk: the lines are lost, nothing is raised, and the program ends with 0."""
    code = (
        "from node.observe import logs; from node.serve import supervisor\n"
        "logs.configure(process='supervisor'); supervisor._print(['listens'] * 1000)"
    )
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
