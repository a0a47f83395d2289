"""What a command costs: CPU seconds of `--version`, and of those that ask the ledger, on a small and a large site.

As installed: Python finds the bytecode of its modules.

python -m tests.benchmarks.start
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from node.config import in_force, loading
from node.config.in_force import InForce
from node.ledger.database import FILE, Ledger
from node.run import confinement
from tests.benchmarks import ledger_rows
from tests.benchmarks.figures import table
from tests.support.sites.past import CONFIG, GOOD, NOW, tell

VERSION_GOAL, STATUS_GOAL = 0.15, 0.4
"""CPU seconds of `pacsnode --version`, and of `pacsnode status` at `STUDIES` studies."""
STUDIES = 100_000
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Start:
    """One command, and what it cost."""

    command: str
    seconds: float
    """CPU, user and system: the median of some rounds."""


def measure(folder: Path) -> list[Start]:
    """Call each command some times on a site that is made in `folder`."""
    small, large = _site(folder / "small"), _site(folder / "large", STUDIES)
    return [
        Start("--version", _median("--version")),
        Start("status", _median("status", "--config", str(small))),
        Start(f"study, {STUDIES:,} studies", _median("study", GOOD, "--config", str(large))),
        Start(f"status, {STUDIES:,} studies", _median("status", "--config", str(large))),
    ]


def show(found: list[Start]) -> str:
    """For people."""
    goals = {"--version": f"{VERSION_GOAL:.2f}", f"status, {STUDIES:,} studies": f"{STATUS_GOAL:.2f}"}
    rows = [(each.command, f"{each.seconds:.2f}", goals.get(each.command, "")) for each in found]
    return table(["Command", "CPU s", "Goal"], rows)


def _site(folder: Path, more: int = 0) -> Path:
    """What a node that ran leaves: its configuration, what it found, a ledger with four studies and so many more."""
    (folder / "data").mkdir(parents=True)
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    os.utime(config, (1_700_000_000, 1_700_000_000))  # it was saved long before it was read
    ledger = Ledger(folder / "data" / FILE)
    with ledger.transaction() as database:
        tell(database)
        if more:
            ledger_rows.add_studies(database, more)
    ledger.close()
    loaded = loading.read(config)
    in_force.write(InForce.of(loaded, NOW, "bench"))
    confinement.note(loaded.configuration)
    return config


def _median(*arguments: str) -> float:
    _cpu_seconds(arguments)  # leaves the bytecode
    return statistics.median(_cpu_seconds(arguments) for _ in range(_ROUNDS))


def _cpu_seconds(arguments: tuple[str, ...]) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "node.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(Path(scratch))))
