"""How fast this machine receives and writes, found by doing it for a few seconds, and kept for the next time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import node
from node.clock import SystemClock
from node.dimse.status import StoreStatus
from node.errors import TransientError

if TYPE_CHECKING:
    from node.dimse.scu import Peer

MEASURED = "run/measured.json"
"""In the data folder: what was measured last."""
_FILES, _OBJECTS = 60, 150
_LARGEST = 4 << 20
"""Bytes of an object: of larger ones a few seconds would say too little."""
_MAY_START = 60.0
_PACKAGES = Path(node.__file__).resolve().parents[1]
_CT, _EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"


@dataclass(frozen=True, slots=True)
class MeasuredMachine:
    """What was found."""

    store_seconds: float
    """A C-STORE request of one association, answered when the object is on the disk."""
    write_bytes: float
    """Bytes a second, written and synchronised file by file."""
    image_bytes: int
    """Of the objects that were sent."""
    on: date


def known(data: Path) -> MeasuredMachine | None:
    """What was measured before; None where nothing was."""
    try:
        said = json.loads((data / MEASURED).read_text())
        return MeasuredMachine(
            float(said["store_seconds"]),
            float(said["write_bytes"]),
            int(said["image_bytes"]),
            date.fromisoformat(said["on"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measure(data: Path, image_bytes: float) -> MeasuredMachine:
    """Measure in a folder beside the data, on its disk, which is removed again; and keep it.

    Raises OSError, and TransientError where no receiver can be started.
    """
    octets = max(1024, min(int(image_bytes), _LARGEST))
    data.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".measuring-", dir=data))
    try:
        found = MeasuredMachine(_receive(folder, octets), _write(folder, octets), octets, SystemClock().now().date())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    (data / MEASURED).parent.mkdir(mode=0o700, exist_ok=True)
    (data / MEASURED).write_text(json.dumps({**asdict(found), "on": found.on.isoformat()}))
    return found


def _write(folder: Path, octets: int) -> float:
    content = os.urandom(octets)
    began = time.monotonic()
    for number in range(_FILES):
        with (folder / f"{number}.bin").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    return _FILES * octets / (time.monotonic() - began)


def _receive(folder: Path, octets: int) -> float:
    """Seconds a C-STORE takes, by a receiver of its own that is on no port of the node."""
    from node.dimse.scu import Peer  # pynetdicom, which the arithmetic does not need

    files = _objects(folder / "sent", octets)
    config = folder / "config.json"
    settings = {"time_zone": "UTC", "accept": "any", "data": str(folder / "data"), "logs": {"level": "error"}}
    config.write_text(json.dumps({"node": settings}))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = Peer("127.0.0.1", listening.getsockname()[1], "PACSNODE", "MEASURE", 60)
        number = str(listening.fileno())
        command = [sys.executable, "-P", "-m", "node.receive", "--config", str(config), "--listen", number]
        environment = {**os.environ, "PYTHONPATH": str(_PACKAGES)}
        with subprocess.Popen(command, pass_fds=[listening.fileno()], env=environment) as receiver:
            try:
                _send(peer, files[:1])  # waits in the queue of the socket until the receiver runs
                began = time.monotonic()
                _send(peer, files[1:])
                return (time.monotonic() - began) / len(files[1:])
            finally:
                receiver.send_signal(signal.SIGTERM)
                receiver.wait(_MAY_START)


def _send(peer: Peer, files: Sequence[Path]) -> None:
    from node.dimse.storage_scu import send

    for _, outcome in send(peer, files):
        if outcome.status != StoreStatus.SUCCESS:
            raise TransientError(f"what was sent for the measurement was not kept: {outcome.text}")


def _objects(folder: Path, octets: int) -> list[Path]:
    """Objects as a CT makes them, of this size."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    folder.mkdir()
    files = []
    for number in range(_OBJECTS):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = _CT, f"2.25.{number + 1}"
        image.StudyInstanceUID, image.SeriesInstanceUID, image.PatientID = "2.25.1.1", "2.25.1.1.1", "MEASURE"
        image.Modality, image.PixelData = "CT", bytes(octets // 2 * 2)
        image["PixelData"].VR = "OW"
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = UID(_EXPLICIT)
        files.append(folder / f"{number}.dcm")
        image.save_as(files[-1], enforce_file_format=True)
    return files
