"""What runs of the crash matrix came to: a line of JSON each, and the table that docs/reliability.md shows of them.

    python -m tests.support.faults.crash_table RUNS    sums up the lines of a run of `make crash` for the page

The sums are kept in `crash_matrix.json` beside this file; `fault_table` writes the page from them.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SUMS = Path(__file__).with_name("crash_matrix.json")


@dataclass(frozen=True)
class CrashOutcome:
    """One run."""

    seed: int
    first: str
    """The victim of its first kill."""
    killed: int
    """How many were killed: a victim may not have been there."""
    disk: bool
    jump: bool
    archive: bool
    """Whether the archive behaved oddly."""
    lost: int
    """Objects that were answered with success, or results, that are not there."""
    twice: int
    """Results that are there with two contents, or under two names."""
    failed: str
    """What else did not hold; empty where all did."""
    seconds: float
    """From the last fault until nothing was under way."""


def note(path: Path, outcome: CrashOutcome) -> None:
    """Add a line; several processes may."""
    with path.open("a") as lines:
        lines.write(json.dumps(asdict(outcome)) + "\n")


def sums(outcomes: Iterable[CrashOutcome]) -> list[dict[str, Any]]:
    """A row for each first victim, for runs with disk, clock and archive, and for all."""
    groups: dict[str, list[CrashOutcome]] = defaultdict(list)
    for each in outcomes:
        groups[f"{each.first} killed"].append(each)
        for name, there in (
            ("with a disk that fails", each.disk),
            ("with a clock that jumps", each.jump),
            ("with an archive that behaves oddly", each.archive),
        ):
            if there:
                groups[name].append(each)
    everything = [each for name, runs in groups.items() if name.endswith("killed") for each in runs]
    names = sorted(groups, key=lambda name: (name.startswith("with"), name))
    return [_sum(name, groups[name]) for name in names] + [_sum("all", everything)]


def _sum(name: str, runs: list[CrashOutcome]) -> dict[str, Any]:
    seconds = [each.seconds for each in runs if not each.failed] or [0.0]
    return {
        "case": name,
        "runs": len(runs),
        "killed": sum(each.killed for each in runs),
        "lost": sum(each.lost for each in runs),
        "twice": sum(each.twice for each in runs),
        "failed": sum(bool(each.failed) for each in runs),
        "seconds": round(statistics.median(seconds), 1),
        "longest": round(max(seconds), 1),
    }


def lines(found: list[dict[str, Any]]) -> Iterator[str]:
    """The table, in Markdown."""
    yield "| case | runs | processes killed | lost | twice | otherwise failed | s to rest, median | longest |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in found:
        yield "| " + " | ".join(str(value) for value in row.values()) + " |"


def main() -> None:
    """Sum up."""
    read = [CrashOutcome(**json.loads(line)) for line in Path(sys.argv[1]).read_text().splitlines()]
    SUMS.write_text(json.dumps(sums(read), indent=1) + "\n")


if __name__ == "__main__":
    main()
