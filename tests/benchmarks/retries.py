"""How long a person's `retry` waits for its turn to write while thousands of images are being indexed.

python -m tests.benchmarks.retries
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from node.clock import SystemClock
from node.desk import actions, pausing, site
from node.desk.actor import Actor, ActorKind, who_types
from node.ledger import deliveries, studies
from node.ledger.database import FILE, Ledger
from node.ledger.pauses import Pausable, Pause
from node.store.layout import DataFolder
from tests.benchmarks.figures import quantile, table
from tests.support.images.receipts import arrive, ct
from tests.support.sites.site import Site, destination

IMAGES = 10_000
GOAL = 0.25
"""Seconds of the 99th percentile."""
_BETWEEN = 0.05
"""Seconds between two retries."""
_STUDY = "1.2.826.0.1.8"
_A_STUDY = 250
_PERSON = Actor(ActorKind.OS, "bench")


@dataclass(frozen=True, slots=True)
class Retries:
    """The retries of one run."""

    images: int
    """That were indexed meanwhile."""
    drained: float
    """Seconds until they were."""
    seconds: tuple[float, ...]
    """What each retry took, from the call to its answer; the start of the program is not in it."""

    @property
    def p99(self) -> float:
        """Seconds."""
        return quantile(self.seconds, 0.99)


def measure(images: int, folder: Path) -> Retries:
    """Start a node beside this many images that wait to be indexed, and retry a delivery until they are."""
    made = Site(folder, {"pacs": destination("PACS", 104)}, rules=[])
    data_folder = DataFolder(made.data)
    for number in range(images):
        study = f"{_STUDY}.{1 + number // _A_STUDY}"
        arrive(
            data_folder, ct(number, StudyInstanceUID=study, SOPInstanceUID=f"{study}.1.{number}"), association="over"
        )
    delivery = _delivery(made.data)
    with made:
        ledger = site.open_ledger(site.load(made.config))
        pause = Pause(Pausable.DESTINATION, "pacs", str(_PERSON), SystemClock().now(), "nothing is sent meanwhile")
        pausing.pause(ledger, site.load(made.config), pause, who_types())
        began, seconds = time.monotonic(), []
        while data_folder.waiting():
            actions.cancel(ledger, str(delivery), SystemClock().now(), _PERSON)
            asked = time.monotonic()
            actions.retry(ledger, str(delivery), SystemClock().now(), _PERSON)
            seconds.append(time.monotonic() - asked)
            time.sleep(_BETWEEN)
        drained = time.monotonic() - began
        ledger.close()
    return Retries(images, drained, tuple(seconds))


def show(found: Retries) -> str:
    """For people."""
    row = [f"{found.images:,}", f"{found.drained:.0f}", str(len(found.seconds))]
    figures = [f"{quantile(found.seconds, share) * 1000:.0f}" for share in (0.5, 0.99, 1.0)]
    return table(["Images", "indexed in s", "retries", "p50 ms", "p99 ms", "longest ms"], [[*row, *figures]])


def goal(found: Retries) -> list[str]:
    """The line of the table of goals."""
    verdict = "met" if found.p99 <= GOAL else f"missed by {found.p99 - GOAL:.2f} s"
    what = f"p99 of a person's retry while {found.images:,} images are indexed, s"
    return ["one queue of writers", what, f"≤ {GOAL:g}", f"{found.p99:.2f}", verdict]


def _delivery(data: Path) -> int:
    """A result that waits in the outbox."""
    ledger, now = Ledger(data / FILE), SystemClock().now()
    with ledger.transaction() as database:
        studies.received(
            database,
            now,
            study=_STUDY,
            patient_id="P1",
            issuer_of_patient_id="",
            accession_number="A1",
            association="over",
            received_at=now,
            due_at=now,
        )
        number = deliveries.enqueue(
            database,
            now,
            sop_instance_uid=f"{_STUDY}.9",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
            study=_STUDY,
            job=None,
            file="results/none.dcm",
            destination="pacs",
        )
    ledger.close()
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.retries", description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(options.images, Path(scratch) / "node")))
