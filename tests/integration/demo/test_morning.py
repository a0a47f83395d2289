"""`pacsnode demo` as a whole: what it shows, what it ends with, and that it leaves nothing running."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.cli import demo
from node.cli.demo import studies
from node.cli.demo.studies import MORNING
from tests.support.shared_data import ROOT
from tests.support.wait import until

HEAD, PHANTOM = MORNING[4], MORNING[5]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def processes_of(folder: Path) -> list[int]:
    """Those that name the folder in their command, or have it as their current one."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            of = each.name.isdigit() and (
                str(folder).encode() in (each / "cmdline").read_bytes() or str(folder) in os.readlink(each / "cwd")
            )
        except OSError:  # it has ended, or is of somebody else
            continue
        if of and int(each.name) != os.getpid():
            found.append(int(each.name))
    return found


def results_in(folder: Path) -> set[Path]:
    """What the small PACS has been sent, and the pictures that were made of it."""
    return {*folder.glob("demo/pacs/**/*.dcm"), *folder.glob("demo/pictures/**/*.png")}


def test_rows_as_they_should_be_end_with_zero_and_one_that_is_not_is_named_and_ends_with_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A phantom and a head CT. No line is wider than 100 columns, and the report of the first is there.

    On a second run the truth of the sound scanner is said to be a drift. It runs nothing again: the files are the
    same ones (.ci/run compares what two runs that are right say of them).
    """
    monkeypatch.setattr(studies, "MORNING", (PHANTOM, HEAD))
    assert demo.run([]) == 0
    first = capsys.readouterr().out
    assert max(map(len, first.splitlines())) <= 100
    assert "2 of 2 are as their truth demands" in first
    assert "OUT OF LIMITS" in first
    named = re.findall(r"demo/\S+\.(?:dcm|png)", first)
    assert len(named) > 3
    held = results_in(here)
    assert {here / name for name in named} <= held
    drifted = replace(PHANTOM, numbers=(replace(PHANTOM.numbers[0], value=70.0),))
    monkeypatch.setattr(studies, "MORNING", (drifted, HEAD))
    assert demo.run([]) == 1
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "1 of 2 are as their truth demands" in said
    assert f"WRONG {PHANTOM.name} {PHANTOM.accession}: CT_QA_WATER: the report says 6." in said
    assert "true is 70" in said
    for piece in ("no rule; emphysema not", "BodyPartExamined: CHEST", "HEAD in all 31"):
        assert piece in said
    assert HEAD.accession not in said.split("WRONG")[-1]
    assert results_in(here) == held
    assert processes_of(here) == []


MOMENTS = {
    "while phantoms are made": "phantoms",
    "while the node starts": "node.log",
    "when the node listens": "data/listening.json",
    "while a plugin works": "data/work/*/*",
}
"""What is there below `demo` from then on."""
_NIGHT = pytest.mark.at_night("Ctrl-C before and after these moments, and SIGKILL when the node listens")


def started(folder: Path) -> subprocess.Popen[str]:
    """The command, with this as its current folder."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "node.cli", "demo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("moment", "sent"),
    [
        ("while phantoms are made", signal.SIGINT),
        pytest.param("while the node starts", signal.SIGINT, marks=_NIGHT),
        pytest.param("when the node listens", signal.SIGINT, marks=_NIGHT),
        ("while a plugin works", signal.SIGINT),
        pytest.param("while a plugin works", signal.SIGTERM, marks=pytest.mark.at_night("the same moment with Ctrl-C")),
    ],
)
def test_it_ends_with_everything_that_it_started(moment: str, sent: signal.Signals, tmp_path: Path) -> None:
    """At each of these moments: exit code 130, no process of it and nobody who listens; two signals end it no worse."""
    folder = tmp_path / "demo"
    running = started(tmp_path)
    until(lambda: any(folder.glob(MOMENTS[moment])) or running.poll() is not None, what=moment)
    listening = folder / "data" / "listening.json"
    port = json.loads(listening.read_text())["port"] if listening.exists() else None
    running.send_signal(sent)
    running.send_signal(sent)
    output, _ = running.communicate(timeout=240)
    assert running.returncode == 130, output
    assert "Stopped" in output
    until(lambda: not processes_of(tmp_path), what="its processes to end")
    if port is not None:
        with socket.socket() as one, pytest.raises(ConnectionRefusedError):
            one.connect(("127.0.0.1", port))


def test_a_demonstration_that_is_killed_leaves_no_node_running(tmp_path: Path) -> None:
    """SIGKILL while the node works: supervisor, receivers, node, plugin end by themselves, and nobody listens."""
    running = started(tmp_path)
    listening = tmp_path / "demo" / "data" / "listening.json"
    until(lambda: listening.exists() or running.poll() is not None, what="the node to listen")
    port = json.loads(listening.read_text())["port"]
    running.kill()
    running.communicate(timeout=240)
    until(lambda: not processes_of(tmp_path), what="its processes to end")
    with socket.socket() as one, pytest.raises(ConnectionRefusedError):
        one.connect(("127.0.0.1", port))
