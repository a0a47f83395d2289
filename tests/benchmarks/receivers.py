"""The receivers that are held against each other, each a process (tree) of its own on a free loopback port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psutil
from pydicom.uid import ExplicitVRLittleEndian

from node.index import header
from node.index.header import HeaderReading
from node.ledger import database
from node.store.arrival import Arrival, file_header
from node.store.layout import DataFolder
from tests.benchmarks import ledger_rows, samples
from tests.support.ports import free_port
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import find_program
from tests.support.sites.site import Site
from tests.support.wait import until


class Running(Protocol):
    """A receiver that listens."""

    port: int
    ae_title: str

    def processes(self) -> list[psutil.Process]:
        """All of its processes."""
        ...

    def indexed(self) -> int | None:
        """How many objects its database knows; None where it has none."""
        ...


@dataclass(frozen=True, slots=True)
class Contender:
    """A receiver under the name that the tables give it."""

    name: str
    start: Callable[[Path], AbstractContextManager[Running]]


class Node(AbstractContextManager["Node"]):
    """pacsnode with all its stages on, as `pacsnode serve` starts it."""

    ae_title = "PACSNODE"

    def __init__(self, folder: Path, durability: str, receivers: int = 1, instances: int = 0) -> None:
        settings = {"accept": "any", "durability": durability, "receivers": receivers}
        self.site = Site(folder / "node", {}, rules=[], node=settings)
        self.port = 0
        if instances:
            grow(self.site.data, instances, folder / "example")

    def __enter__(self) -> Node:
        self.site.__enter__()
        self.port = self.site.port
        until(lambda: _answers(self.port), what="a receiver")
        return self

    def __exit__(self, *how: object) -> None:
        self.site.__exit__(None, None, None)

    def processes(self) -> list[psutil.Process]:
        return self.site.processes()

    def indexed(self) -> int | None:
        ((rows,),) = self.site.ledger.database.execute("SELECT coalesce(max(rowid), 0) FROM instances").fetchall()
        return int(rows)  # none is ever deleted; counting a million would disturb what is measured


def grow(data: Path, instances: int, scratch: Path) -> None:
    """Have a new data folder's ledger hold this many instances."""
    DataFolder(data)
    ledger_rows.fill(data / database.FILE, _example(scratch), instances)


def _example(folder: Path) -> HeaderReading:
    """What the indexer makes of one image."""
    data_folder = DataFolder(folder / "data")
    content = next(samples.write_study(folder / "files", samples.CT, 1, "1.2.9").iterdir()).read_bytes()
    arrival = Arrival(
        samples.CT.sop_class_uid,
        "1.2.9.1.1",
        ExplicitVRLittleEndian,
        "CT1",
        "PACSNODE",
        "127.0.0.1",
        "none",
        datetime.now(UTC),
    )
    path = data_folder.arrived(data_folder.new_receipt())
    path.write_bytes(file_header(arrival) + content[144 + int.from_bytes(content[140:144], "little") :])
    return header.read(path)


class Program(AbstractContextManager["Program"]):
    """A receiver that is one program and its children, without an index."""

    ae_title = "ANY"

    def __init__(self, folder: Path, command: Callable[[int, Path], list[str]], environment: Mapping[str, str]) -> None:
        self.port = free_port()
        received = folder / "received"
        received.mkdir(parents=True)
        self._log = (folder / "log").open("wb")
        self._process = psutil.Popen(
            command(self.port, received),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **environment},
            cwd=folder,
        )

    def __enter__(self) -> Program:
        until(lambda: _answers(self.port), 30, "the program to listen")
        return self

    def __exit__(self, *how: object) -> None:
        for process in reversed(self.processes()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(120)
        self._log.close()

    def processes(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def indexed(self) -> int | None:
        return None


class OrthancReceiver(AbstractContextManager["OrthancReceiver"]):
    """Orthanc with SQLite, fsync on (its default)."""

    def __init__(self, folder: Path, environment: Mapping[str, str], **options: object) -> None:
        self._environment = environment
        self._pacs = Orthanc(folder / "orthanc", options=options)
        self.port = 0
        self.ae_title = self._pacs.ae_title

    def __enter__(self) -> OrthancReceiver:
        with ExitStack() as restored:
            for name, value in self._environment.items():
                restored.callback(_restore, name, os.environ.get(name))
                os.environ[name] = value
            self._pacs.start()
        self.port = self._pacs.dicom_port
        return self

    def __exit__(self, *how: object) -> None:
        self._pacs.__exit__(None, None, None)

    def processes(self) -> list[psutil.Process]:
        return [each for each in psutil.Process().children(recursive=True) if self._is_ours(each)]

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess):  # a sender that has ended since, or is not reaped yet
            return str(self._pacs.folder / "orthanc.json") in process.cmdline()
        return False

    def indexed(self) -> int | None:
        return int(self._pacs.rest("/statistics")["CountInstances"])


class Disk(AbstractContextManager["Disk"]):
    """No receiver: what the disk alone needs, one object after the other, for what a durable receiver cannot leave out.

    Files whose names and blocks are on the disk already are overwritten, with one fdatasync each, as slots are.
    """

    ae_title = ""
    port = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def __exit__(self, *how: object) -> None:
        pass

    def take(self, files: Sequence[Path]) -> float:
        """Seconds for all of them."""
        contents = [path.read_bytes() for path in files]
        ready = [self._folder / str(number) for number in range(len(contents))]
        for path, content in zip(ready, contents, strict=True):
            if not path.exists():
                path.write_bytes(bytes(len(content)))
        os.sync()
        began = time.perf_counter()
        for path, content in zip(ready, contents, strict=True):
            descriptor = os.open(path, os.O_WRONLY)
            os.write(descriptor, content)
            os.fdatasync(descriptor)
            os.close(descriptor)
        return time.perf_counter() - began

    def processes(self) -> list[psutil.Process]:
        return []

    def indexed(self) -> int | None:
        return None


def _restore(name: str, value: str | None) -> None:
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _storescp(port: int, folder: Path) -> list[str]:
    program = str(find_program("storescp"))
    return [program, "--fork", "+xa", "-pdu", str(PDU), "-od", str(folder), "-su", "st", str(port)]


def _pynetdicom(port: int, folder: Path) -> list[str]:
    return [sys.executable, "-m", "pynetdicom", "storescp", str(port), "-od", str(folder), "-q"]


_NODELAY = {"TCP_NODELAY": "1"}
PDU = 131072
FSYNC = Contender("pacsnode, fsync", lambda folder: Node(folder, "fsync"))
OS = Contender("pacsnode, os", lambda folder: Node(folder, "os"))
TWO = Contender("pacsnode, fsync, 2 receivers", lambda folder: Node(folder, "fsync", 2))
DCMTK = Contender("dcmtk storescp", lambda folder: Program(folder, _storescp, _NODELAY))
ORTHANC = Contender("Orthanc", lambda folder: OrthancReceiver(folder, _NODELAY, MaximumPduLength=PDU))
ORTHANC_AS_PACKAGED = Contender(
    "Orthanc as packaged",
    lambda folder: OrthancReceiver(folder, {"TCP_NODELAY": "0"}, MaximumPduLength=16384),
)
PYNETDICOM = Contender("pynetdicom storescp app", lambda folder: Program(folder, _pynetdicom, {}))


DISK = Contender("the disk alone, one fdatasync an object", Disk)


def grown(instances: int) -> Contender:
    """pacsnode with this many instances in its ledger."""
    return Contender(f"pacsnode, {instances:,} instances", lambda folder: Node(folder, "fsync", instances=instances))
