"""The site that the demonstration runs: a node on a configuration of its own, and a small PACS."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import node
from node.cli.demo.interruption import Interruption
from node.dimse.demo_pacs import DemoPACS
from node.dimse.scu import Peer
from node.dimse.storage_scu import send
from node.errors import PermanentError
from node.ledger import database
from node.ledger.database import Ledger
from node.outcome import AnswerReading
from node.serve.listening import LISTENING

POLL_SECONDS = 0.2
ZONE = ZoneInfo("Asia/Seoul")
_PACS = "DEMOPACS"
_STARTS_WITHIN, _ENDS_WITHIN = 60.0, 60.0
_TAKEN = (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING, AnswerReading.ASK)
_CONFIGURATION = """\
# Written by `pacsnode demo`, again each time. config.example.yaml is the one to start from.
node:
  ae_title: PACSNODE
  time_zone: {zone}
  data: data
  listen: {{host: 127.0.0.1, port: 0}}
  accept: any
  completion: {{quiet: {quiet}, quiet_by_modality: {{}}}}
  limits: {{free_space: 200MiB}}
destinations:
  pacs: {{ae_title: {pacs}, host: 127.0.0.1, port: {port}}}
{console}{rules}"""


class DemoError(PermanentError):
    """The demonstration did not show what it promises; the text says what is missing, and where to look."""


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where everything of it is."""

    path: Path
    has_console: bool = False
    """Whether node and console are left running afterwards."""

    @property
    def log(self) -> Path:
        """What the node says while it runs."""
        return self.path / "node.log"

    @property
    def config(self) -> Path:
        """The node's configuration."""
        return self.path / "config.yaml"

    @property
    def data(self) -> Path:
        """The node's data folder."""
        return self.path / "data"

    @property
    def pictures(self) -> Path:
        """Pages of results as PNG; made where it is missing."""
        folder = self.path / "pictures"
        folder.mkdir(exist_ok=True)
        return folder

    @staticmethod
    def shown(path: Path) -> str:
        """Relative to where the person is."""
        return os.path.relpath(path)


@dataclass(frozen=True, slots=True)
class DemoSite:
    """Node and PACS while they run."""

    folder: DemoFolder
    pacs: DemoPACS
    port: int
    ledger: Ledger

    def send(self, files: Sequence[Path], calling: str) -> Iterator[None]:
        """To the PACS and then to the node, as a modality that sends twice; yields after each object. DemoError."""
        for name, peer in (
            ("the PACS", Peer("127.0.0.1", self.pacs.port, _PACS, calling)),
            ("pacsnode", Peer("127.0.0.1", self.port, "PACSNODE", calling)),
        ):
            for path, outcome in send(peer, files):
                if outcome.reading not in _TAKEN:
                    raise DemoError(f"{name} did not take {path.name}: {outcome.text}")
                yield


@contextmanager
def running(folder: DemoFolder, rules: str, quiet: str, interruption: Interruption) -> Iterator[DemoSite]:
    """Node and PACS, until the context ends, however it does. `rules`: sections of the configuration, as YAML."""
    folder.path.mkdir(exist_ok=True)
    with DemoPACS(folder.path / "pacs", _PACS) as pacs:
        console = _console(folder)
        written = _CONFIGURATION.format(
            zone=ZONE, pacs=_PACS, port=pacs.port, quiet=quiet, rules=rules, console=console
        )
        folder.config.write_text(written, encoding="utf-8")
        with _node(folder, interruption) as port:
            yield DemoSite(folder, pacs, port, Ledger.existing(folder.data / database.FILE))


def _console(folder: DemoFolder) -> str:
    """The section, on a port that is free now."""
    if not folder.has_console:
        return ""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"console: {{host: 127.0.0.1, port: {free.getsockname()[1]}}}\n"


@contextmanager
def _node(folder: DemoFolder, interruption: Interruption) -> Iterator[int]:
    """The real `pacsnode serve`; yields the port that it listens on."""
    listening = folder.data / LISTENING
    listening.unlink(missing_ok=True)
    process: subprocess.Popen[bytes] | None = None
    with folder.log.open("wb") as output:
        try:
            with interruption.deferred():
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "node.cli.demo.serving", str(folder.config)],
                    stdin=subprocess.PIPE,  # its end is ours: the node ends with us, whatever ends us
                    stdout=output,
                    stderr=output,
                    env={**os.environ, "PYTHONPATH": str(Path(node.__file__).resolve().parents[1])},
                    start_new_session=True,  # Ctrl-C is for the demonstration, which then ends the node
                )
            interruption.check()
            yield _port(process, listening)
        finally:
            with interruption.deferred():
                if process is not None:
                    _end(process)


def _port(process: subprocess.Popen[bytes], listening: Path) -> int:
    end = time.monotonic() + _STARTS_WITHIN
    while not listening.exists():
        if process.poll() is not None or time.monotonic() > end:
            raise DemoError("the node did not start")
        time.sleep(POLL_SECONDS)
    return int(json.loads(listening.read_text())["port"])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()  # its children end with it
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
