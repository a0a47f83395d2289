"""How soon one plugin's result is in the PACS while another takes what it can get: findings, arrays, memory, disk.

python -m tests.benchmarks.beside_greedy
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.figures import table
from tests.support.sites import greedy_site
from tests.support.sites.greedy_site import BesideGreedy

GOAL = 30.0
"""Seconds from the last image to the report in the PACS, quiet period included."""


def measure(folder: Path) -> BesideGreedy | None:
    """Play it once; None where no small disk can be made."""
    folder.mkdir()
    try:
        with greedy_site.started(folder) as (site, pacs):
            return greedy_site.play(site, pacs, folder)
    except greedy_site.NoSmallDiskError:
        return None


def show(found: BesideGreedy | None) -> str:
    """For people."""
    if found is None:
        return "Not measured: no small disk can be mounted here.\n"
    row = [f"{found.reported_seconds:.1f}", str(found.accepted)]
    return table(["report in the PACS after s", "associations accepted meanwhile"], [row])


def goal(found: BesideGreedy | None) -> list[str]:
    """The row of the table of goals."""
    what = "last image to report in the PACS, s"
    if found is None:
        return ["beside a greedy plugin", what, f"≤ {GOAL:g}", "–", "not measured"]
    late = found.reported_seconds - GOAL
    verdict = "met" if late <= 0 else f"missed by {late:.0f} s"
    return ["beside a greedy plugin", what, f"≤ {GOAL:g}", f"{found.reported_seconds:.1f}", verdict]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(Path(scratch) / "greedy")))
