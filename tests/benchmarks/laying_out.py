"""Handing images to a plugin, verified: as received, and under pseudonyms; milliseconds of one processor a CT slice."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from node.dicom.confidentiality.key import Key
from node.dicom.part10 import read_object
from node.ledger.instances import Instance, InstanceStatus
from node.run import laying_out
from node.run.laying_out import Copy, Images
from node.store.arrival import Arrival, file_header
from tests.benchmarks import samples
from tests.benchmarks.figures import spread, table

SLICES = 200
GOAL = 0.003
"""Seconds a slice under pseudonyms."""
_UID = "1.2.826.0.1.9"
_AT = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LaidOut:
    """One way of handing images over, round by round."""

    name: str
    seconds: list[float]
    """A slice."""


def measure(folder: Path, rounds: int) -> list[LaidOut]:
    """Both ways in turn, so that whatever the machine does meanwhile is shared."""
    copies = tuple(_copies(folder))
    ways: dict[str, tuple[Key | None, list[float]]] = {
        "as received": (None, []),
        "under pseudonyms": (Key.of(b"s" * 32, "P1", ""), []),
    }
    for number in range(rounds + 1):
        for key, seconds in ways.values():
            began = time.process_time()
            report = laying_out.make(Images(copies, key))
            took = (time.process_time() - began) / len(copies)
            assert not report.damages
            if number:  # the first round warms
                seconds.append(took)
    shutil.rmtree(folder)
    return [LaidOut(name, seconds) for name, (_, seconds) in ways.items()]


def _copies(folder: Path) -> list[Copy]:
    made = []
    for path in sorted(samples.write_study(folder / "sent", samples.CT, SLICES, _UID).iterdir()):
        sent = read_object(path)
        data = path.read_bytes()[sent.offset :]
        arrival = Arrival(
            sent.sop_class_uid, sent.sop_instance_uid, sent.transfer_syntax_uid, "CT1", "NODE", "127.0.0.1", "a", _AT
        )
        path.write_bytes(file_header(arrival) + data)
        row = Instance(
            receipt=path.stem,
            sop_instance_uid=sent.sop_instance_uid,
            sop_class_uid=sent.sop_class_uid,
            study_instance_uid=_UID,
            series_instance_uid=_UID,
            transfer_syntax_uid=sent.transfer_syntax_uid,
            status=InstanceStatus.CURRENT,
            digest=hashlib.sha256(data).hexdigest(),
            comparison={},
            marks={},
            frames=1,
            bytes=len(data),
            calling_ae_title="CT1",
            called_ae_title="NODE",
            peer_address="127.0.0.1",
            association="a",
            origin="received",
            received_at=_AT,
        )
        made.append(Copy(row, path, folder / "in" / path.name))
    return made


def goal(measured: Sequence[LaidOut]) -> list[str]:
    """The row of the goals."""
    found = median(measured[-1].seconds)
    verdict = "met" if found <= GOAL else f"missed by {1000 * (found - GOAL):.1f} ms"
    return ["handing over, CT", "ms a slice", f"≤ {1000 * GOAL:g}", f"{1000 * found:.2f}", verdict]


def show(measured: Sequence[LaidOut]) -> str:
    """As a table."""
    rows = [[each.name, spread([1000 * seconds for seconds in each.seconds], 2)] for each in measured]
    return f"Handing CT slices to a plugin (goal: {1000 * GOAL:g} ms)\n\n" + table(
        ["", "ms of one processor a slice"], rows
    )
