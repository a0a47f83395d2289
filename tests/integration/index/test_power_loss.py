"""The indexer and a power loss: no file leaves incoming/ before its row is on the disk, and none is counted twice.

The node looks at incoming/ and nowhere else when it starts. A file in store/ without its row would be lost for ever,
a row whose file is still in incoming/ is not: so all depends on the order in which the two become durable. The order is
read off the indexer's system calls, as `test_power_loss.py` of the receiver does, and what it permits is then built.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.index.children import HeaderReader
from node.ledger import instances
from node.ledger.instances import InstanceStatus
from node.store.layout import DataFolder
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.programs.peers import program
from tests.support.shared_data import ROOT
from tests.support.sites.index_room import room_of

OBJECTS = 6
_INDEX = """
import sys
from pathlib import Path
from node.index.children import HeaderReader
from node.store.layout import DataFolder
from tests.support.sites.index_room import room_of
room = room_of(DataFolder(Path(sys.argv[1])), HeaderReader(1))
room.index.run_once()
room.index.close()
"""
_CALL = re.compile(r"\d+ +(?P<name>\w+)\((?P<arguments>.*?)(\) += (?P<result>-?\d+).*| <unfinished \.\.\.>)")
_DESCRIPTOR = re.compile(r"^\d+<(?P<path>/[^>]*)>")
_PATHS = re.compile(r'"([^"]*)"')


@dataclass
class Order:
    """What the indexer did to its disk, in the order in which it did it."""

    unsynced: bool = False
    """Something in the ledger's log that is not on the disk."""
    written: bool = False
    moved_too_early: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    folders_to_sync: set[str] = field(default_factory=set)
    """Whose newest names are not on the disk."""

    def call(self, name: str, arguments: str) -> None:
        """One call of the record; one that syncs counts only where it was not interrupted by another thread's."""
        descriptor = _DESCRIPTOR.match(arguments)
        path = descriptor["path"] if descriptor else ""
        paths = _PATHS.findall(arguments)
        if name in ("write", "pwrite64") and path.endswith("ledger.db-wal"):
            self.unsynced = self.written = True
        elif name in ("fsync", "fdatasync"):
            self.unsynced = self.unsynced and not path.endswith("ledger.db-wal")
            self.folders_to_sync.discard(path)
        elif name == "rename" and "/store/" in paths[1]:
            self.moved.append(Path(paths[1]).stem)
            self.folders_to_sync.add(str(Path(paths[1]).parent))
            if self.unsynced or not self.written:
                self.moved_too_early.append(self.moved[-1])
        elif name == "mkdir" and Path(paths[0]).parent.name == "store":
            self.folders_to_sync.add(str(Path(paths[0]).parent))


def indexed(data: Path, trace: Path) -> Order:
    """Index what lies in a data folder, in a process of its own, and read its record."""
    calls = "write,pwrite64,fsync,fdatasync,rename,mkdir"
    strace = [program("strace", "strace"), "-f", "-y", "-s", "300", "-e", f"trace={calls}", "-o", str(trace)]
    done = subprocess.run(
        [*strace, sys.executable, "-c", _INDEX, str(data)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    order = Order()
    for line in trace.read_text(errors="replace").splitlines():
        found = _CALL.match(line)
        if found and (found["result"] is None or int(found["result"]) >= 0):
            order.call(found["name"], found["arguments"])
    return order


@dataclass
class Past:
    """A data folder before and after it was indexed."""

    before: Path
    after: Path
    receipts: list[str]
    order: Order


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    folder = tmp_path_factory.mktemp("index")
    data_folder = DataFolder(folder / "data")
    receipts = [arrive(data_folder, ct(number)) for number in range(1, OBJECTS + 1)]
    shutil.copytree(data_folder.data, folder / "before")
    return Past(folder / "before", data_folder.data, receipts, indexed(data_folder.data, folder / "trace"))


def test_a_row_is_on_the_disk_before_its_file_moves(past: Past) -> None:
    """At each rename the ledger's log has nothing that is not synchronised; in the end every folder's names are."""
    assert sorted(past.order.moved) == past.receipts
    assert past.order.moved_too_early == []
    assert past.order.folders_to_sync == set()


@pytest.mark.parametrize("lost", ["no rename", "every rename", "every other rename", "rows and renames"])
def test_fault_56_whatever_of_it_a_power_loss_takes_each_instance_is_there_once(
    past: Past, tmp_path: Path, lost: str
) -> None:
    """The legal states after a power loss: rows are there and any of the files have moved, or neither is the case."""
    data = tmp_path / "data"
    shutil.copytree(past.before if lost == "rows and renames" else past.after, data)
    data_folder = DataFolder(data)
    back = {"every rename": past.receipts, "every other rename": past.receipts[::2]}.get(lost, [])
    for receipt in back:
        data_folder.stored(receipt).rename(data_folder.arrived(receipt))
    reader = HeaderReader(1)
    try:
        room = room_of(data_folder, reader)
        room.index.run_once()
        kept = instances.of_study(room.ledger.database, STUDY, list(InstanceStatus))
        assert [(one.receipt, one.status) for one in kept] == [(each, InstanceStatus.CURRENT) for each in past.receipts]
        assert sorted(path.stem for path in data_folder.store.rglob("*.dcm")) == past.receipts
        assert data_folder.waiting() == []
        assert room.events("instance.duplicate") == []
    finally:
        reader.close()
