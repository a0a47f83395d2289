"""The node process dies again and again under a real supervisor: people learn of it, and a monitor, too."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from node.store import pulse
from tests.integration.supervisor.test_supervisor import Served
from tests.support.shared_data import ROOT
from tests.support.sites.listeners import web_service
from tests.support.wait import until


def _node_process(served: Served) -> psutil.Process | None:
    for each in psutil.Process(served.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # or a zombie
            if "node.app" in each.cmdline():
                return each
    return None


def _check(served: Served) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node.cli", "status", "--check", "--config", str(served.config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_node_that_keeps_dying_is_told_by_the_supervisor(tmp_path: Path) -> None:
    """Killed three times: one message, by webhook, while the ports stay open. Alive it gave signs of life."""
    with web_service() as pager, web_service() as watch:
        served = Served.__new__(Served)
        served._prepare(tmp_path)
        plain = json.loads(served.config.read_text()) | {
            "people": {"admin": {"webhook": {"url": pager.url}}},
            "alerts": {"to": "admin"},
            "heartbeat": {"url": watch.url, "file": str(tmp_path / "alive")},
        }
        served.config.write_text(json.dumps(plain))
        served._start("-m", "node.cli", "serve", "--allow-root", "--config", str(served.config))
        try:
            served.wait_until_it_serves()
            until(lambda: watch.methods and (tmp_path / "alive").exists(), what="a sign of life")
            until(lambda: pulse.last(served.data) or None, what="the stages to turn")
            line = _check(served).stdout
            assert line.startswith(("PACSNODE OK", "PACSNODE WARNING")), line
            killed: set[int] = set()
            while not pager.received:
                assert len(killed) < 9
                process = until(lambda: _other(served, killed), what="the next node process")
                killed.add(process.pid)
                process.kill()
            (message,) = pager.received[:1]
            assert (message["occasion"], message["urgent"]) == ("outage", True)
            assert "node dies again and again" in message["headline"]
            assert served.receivers()
        finally:
            served.children = psutil.Process(served.process.pid).children(recursive=True)
            served.end()


def _other(served: Served, killed: set[int]) -> psutil.Process | None:
    process = _node_process(served)
    return process if process is not None and process.pid not in killed else None
