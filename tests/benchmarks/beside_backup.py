"""How long a modality waits for the answer to an object while a backup is made: no longer than without one.

python -m tests.benchmarks.beside_backup
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian

from node.dimse.scu import Peer
from node.dimse.storage_scu import StorageSCU
from node.outcome import AnswerReading
from node.store.layout import DataFolder
from tests.benchmarks.figures import quantile, table
from tests.support.images.receipts import arrive, ct
from tests.support.sites.site import Site, destination
from tests.support.wait import until

IMAGES = 3000
GOAL = 0.1
"""Seconds by which the 99th percentile may be longer beside a backup."""
_CT = "1.2.840.10008.5.1.4.1.1.2"
_STUDY = "1.2.826.0.1.9"
_BEFORE = 300
"""Objects that are sent without a backup."""


@dataclass(frozen=True, slots=True)
class BesideBackup:
    """Seconds from each C-STORE-RQ to its answer."""

    without: tuple[float, ...]
    beside: tuple[float, ...]
    backup_seconds: float

    @property
    def longer(self) -> float:
        """By how much the 99th percentile is longer, in seconds."""
        return quantile(self.beside, 0.99) - quantile(self.without, 0.99)


def measure(images: int, folder: Path) -> BesideBackup:
    """Send without a pause before and while a first backup of this many images is made, onto the same disk."""
    made = Site(folder, {"pacs": destination("PACS", 104)}, rules=[])
    data_folder = DataFolder(made.data)
    pixels = bytes(1 << 18)
    for number in range(images):
        arrive(data_folder, ct(number, StudyInstanceUID=_STUDY, SOPInstanceUID=f"{_STUDY}.{number}", PixelData=pixels))
    with made:
        until(lambda: not data_folder.waiting())
        numbers, one = count(images), folder / "one.dcm"
        with StorageSCU(Peer("127.0.0.1", made.port, "PACSNODE", "CT1"), {(_CT, ExplicitVRLittleEndian)}) as sender:
            without = sent(sender, one, numbers, lambda sent: sent < _BEFORE)
            began = time.monotonic()
            command = [sys.executable, "-m", "node.cli", "backup", str(folder / "b"), "--config", str(made.config)]
            backup = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            beside = sent(sender, one, numbers, lambda _: backup.poll() is None)
            seconds = time.monotonic() - began
    assert backup.returncode == 0, "the backup failed"
    return BesideBackup(without, beside, seconds)


def sent(sender: StorageSCU, file: Path, numbers: count[int], go_on: Callable[[int], bool]) -> tuple[float, ...]:
    """Send one object after the other; what each answer took.

    Not by pynetdicom's own requests: one in some thousands loses its answer to the reactor (`dimse.engine.requesting`).
    """
    seconds: list[float] = []
    while go_on(len(seconds)):
        number = next(numbers)
        image = ct(number, StudyInstanceUID=f"{_STUDY}.1", SOPInstanceUID=f"{_STUDY}.1.{number}")
        image.ensure_file_meta()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.save_as(file, enforce_file_format=True)
        asked = time.monotonic()
        outcome = sender.store(file)
        assert outcome.reading is AnswerReading.STORED, outcome
        seconds.append(time.monotonic() - asked)
    return tuple(seconds)


def show(found: BesideBackup) -> str:
    """For people."""
    runs = {"without a backup": found.without, "beside one": found.beside}
    rows = [
        [
            name,
            str(len(each)),
            *(f"{value * 1000:.0f}" for value in (quantile(each, 0.5), quantile(each, 0.99), max(each))),
        ]
        for name, each in runs.items()
    ]
    verdict = "met" if found.longer <= GOAL else "missed"
    goal = f"p99 longer by {found.longer * 1000:.0f} ms; goal ≤ {GOAL * 1000:.0f} ms: {verdict}"
    return f"{table(['C-STORE', 'objects', 'median ms', 'p99 ms', 'longest ms'], rows)}\n{goal}\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(parser.parse_args().images, Path(scratch) / "backup")))
