"""How long a modality waits for an answer while a thousand studies go: images are sent one by one all the while.

python -m tests.benchmarks.purging
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.clock import SystemClock
from node.desk import retention, site
from node.desk.actor import Actor, ActorKind
from node.dimse import storage_scu
from node.dimse.scu import Peer
from node.ledger import instances, purges, retention_runs, studies
from node.ledger.database import FILE, Ledger
from node.ledger.instances import Instance, InstanceStatus
from node.outcome import AnswerReading
from node.store.layout import DataFolder
from tests.benchmarks.figures import quantile, table
from tests.support.images.receipts import ct
from tests.support.sites.site import Site, destination

STUDIES, IMAGES = 1000, 20
GOAL = 0.1
"""Seconds by which the longest answer may be longer than the longest without a purge."""
_OCTETS = 50_000
_BESIDE = 400
"""Images that are sent before, for the comparison."""


@dataclass(frozen=True, slots=True)
class PurgeFigures:
    """The answers of one run."""

    studies: int
    images: int
    """Of each study."""
    seconds: float
    """Until all had gone."""
    before: tuple[float, ...]
    """What each C-STORE took, in seconds, before anything went."""
    meanwhile: tuple[float, ...]

    @property
    def pause(self) -> float:
        """Seconds by which the longest answer was longer than the longest before."""
        return max(0.0, max(self.meanwhile) - max(self.before))


def measure(count: int, folder: Path) -> PurgeFigures:
    """Fill a node with old studies that no rule wanted, have them go, and send images all the while."""
    made = Site(folder, {"pacs": destination("PACS", 104)}, rules=[])
    plain = json.loads(made.config.read_text())
    made.config.write_text(json.dumps(plain | {"retention": {"unmatched": "1d"}}))
    _fill(made.data, count)
    image = folder / "image.dcm"
    with made:
        ledger, configuration = site.open_ledger(site.load(made.config)), site.load(made.config)
        peer = Peer("127.0.0.1", made.port, "PACSNODE", "CT1")
        before = _send_while(peer, image, lambda sent: sent < _BESIDE)
        retention.begin(ledger, configuration, SystemClock().now(), Actor(ActorKind.OS, "bench"))
        began = time.monotonic()
        meanwhile = _send_while(peer, image, lambda _: _is_under_way(ledger))
        seconds = time.monotonic() - began
        ledger.close()
    return PurgeFigures(count, IMAGES, seconds, before, meanwhile)


def show(found: PurgeFigures) -> str:
    """For people."""
    head = ["While", "C-STOREs", "p50 ms", "p99 ms", "longest ms"]
    words = {"nothing goes": found.before, f"{found.studies:,} studies go, in {found.seconds:.0f} s": found.meanwhile}
    rows = [
        [name, f"{len(each):,}", *(f"{quantile(each, share) * 1000:.0f}" for share in (0.5, 0.99, 1.0))]
        for name, each in words.items()
    ]
    return table(head, rows)


def goal(found: PurgeFigures) -> list[str]:
    """The line of the table of goals."""
    verdict = "met" if found.pause <= GOAL else f"missed by {found.pause - GOAL:.2f} s"
    what = f"longest answer to a C-STORE while {found.studies:,} studies go, beyond the longest before, s"
    return ["retention", what, f"≤ {GOAL:g}", f"{found.pause:.2f}", verdict]


def _is_under_way(ledger: Ledger) -> bool:
    database = ledger.database
    return retention_runs.under_way(database) is not None or bool(purges.under_way(database))


def _send_while(peer: Peer, path: Path, more: Callable[[int], bool]) -> tuple[float, ...]:
    """Send new images on associations of 50; what each answer took."""
    seconds: list[float] = []
    while more(len(seconds)):
        files = []
        for number in range(50):
            uid = f"1.2.826.0.1.7.{time.monotonic_ns()}.{number}"
            files.append(path.with_name(f"{number}.dcm"))
            dataset = ct(number, SOPInstanceUID=uid, StudyInstanceUID="1.2.826.0.1.7")
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.save_as(files[-1], enforce_file_format=True)
        asked = time.monotonic()
        for _, outcome in storage_scu.send(peer, files):
            assert outcome.reading in (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING), outcome
            seconds.append(time.monotonic() - asked)
            asked = time.monotonic()
    return tuple(seconds)


def _fill(data: Path, count: int) -> None:
    """Studies of a month ago, with files that are whole for whoever only deletes them."""
    store, now = DataFolder(data), SystemClock().now() - timedelta(days=30)
    ledger = Ledger(data / FILE)
    content, example = bytes(_OCTETS), _example()
    for number in range(count):
        study = f"1.2.826.0.1.9.{number}"
        with ledger.transaction() as database:
            studies.received(
                database,
                now,
                study=study,
                patient_id="P",
                issuer_of_patient_id="",
                accession_number="",
                association="a",
                received_at=now,
                due_at=now,
            )
            for image in range(IMAGES):
                receipt = store.new_receipt()
                path = store.stored(receipt)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
                uid = f"{study}.1.{image}"
                series = f"{study}.1"
                row = replace(example, receipt=receipt, sop_instance_uid=uid, study_instance_uid=study)
                instances.insert(database, replace(row, series_instance_uid=series, received_at=now))
            studies.complete(database, now, study)
            studies.decided(database, now, study, 1)
    ledger.close()


def _example() -> Instance:
    return Instance(
        receipt="",
        sop_instance_uid="",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        study_instance_uid="",
        series_instance_uid="",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        status=InstanceStatus.CURRENT,
        digest="0" * 64,
        comparison={},
        marks={},
        frames=1,
        bytes=_OCTETS,
        calling_ae_title="CT1",
        called_ae_title="PACSNODE",
        peer_address="127.0.0.1",
        association="a",
        origin="received",
        received_at=SystemClock().now(),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.purging", description=__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(options.studies, Path(scratch) / "node")))


if __name__ == "__main__":
    main()
