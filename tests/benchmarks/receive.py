"""Receiving: images a second, CPU, memory, and how long the index needs to drain; receivers in turn, A B A B.

One scenario starts its receivers side by side. In each round every receiver gets the same files, fresh in this
round (a duplicate would be cheaper for some), from the same sender; what one left to be written back is flushed
before the next has its turn.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

from tests.benchmarks import samples
from tests.benchmarks.figures import spread, table
from tests.benchmarks.receivers import Contender, Disk, Running
from tests.benchmarks.samples import Kind
from tests.support.programs.peers import PATIENT, dcmtk
from tests.support.wait import until


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who gets what, and how it is sent."""

    name: str
    kind: Kind
    images: int
    """In each association."""
    associations: int
    contenders: Sequence[Contender]
    nodelay: bool = True
    pdu: int = 131072
    """Bytes of the sender's P-DATA-TF PDUs, at most."""


@dataclass(slots=True)
class Figures:
    """What one receiver did, one value a round."""

    images_a_second: list[float] = field(default_factory=list)
    cpu_seconds_a_gigabyte: list[float] = field(default_factory=list)
    by_process: dict[str, list[float]] = field(default_factory=dict)
    """The same of each kind of process, and of the senders."""
    drain_seconds: list[float] = field(default_factory=list)
    megabytes: dict[str, float] = field(default_factory=dict)
    """Proportional set size by process, at the end."""


def measure(scenario: Scenario, rounds: int, folder: Path) -> dict[str, Figures]:
    """Run a scenario; figures by contender."""
    found = {each.name: Figures() for each in scenario.contenders}
    with ExitStack() as stack:
        running = {
            each.name: stack.enter_context(each.start(folder / f"receiver-{number}"))
            for number, each in enumerate(scenario.contenders)
        }
        for number in range(-1, rounds):  # the first is not counted: programs load, files are opened for the first time
            files = folder / "files"
            _write(files, scenario, number + 2)
            for name, receiver in _rotated(running, number):
                figures = Figures() if number < 0 else found[name]
                _one(scenario, receiver, files, figures)
            shutil.rmtree(files)
    shutil.rmtree(folder)
    return found


def _rotated(running: Mapping[str, Running], number: int) -> list[tuple[str, Running]]:
    """Another one first in each round: who comes after the files were written finds the disk busier than the rest."""
    order = list(running.items())
    first = number % len(order)
    return order[first:] + order[:first]


def _write(folder: Path, scenario: Scenario, number: int) -> None:
    for association in range(1, scenario.associations + 1):
        samples.write_study(
            folder / str(association), scenario.kind, scenario.images, f"1.2.826.0.1.{number}.{association}"
        )


def _one(scenario: Scenario, receiver: Running, files: Path, figures: Figures) -> None:
    """Send once to one receiver, and wait until it has indexed all of it."""
    os.sync()
    total = scenario.images * scenario.associations
    before, cpu = receiver.indexed(), _cpu_seconds(receiver.processes())
    senders = _cpu_of_senders()
    if isinstance(receiver, Disk):
        seconds = receiver.take(sorted(files.rglob("*.dcm")))
    else:
        seconds = _send(scenario, receiver, files)
    ended, senders = time.perf_counter(), _cpu_of_senders() - senders
    if before is not None:
        until(lambda: receiver.indexed() == before + total, 600, "the index to drain")
    figures.drain_seconds.append(time.perf_counter() - ended)
    _wait_for_rest(receiver)  # what it does afterwards is its own CPU, and not the next one's disturbance
    octets = sum(path.stat().st_size for path in files.rglob("*.dcm"))
    processes = receiver.processes()
    figures.images_a_second.append(total / seconds)
    spent = {role: seconds - cpu.get(role, 0.0) for role, seconds in _cpu_seconds(processes).items()}
    figures.cpu_seconds_a_gigabyte.append(sum(spent.values()) / octets * 1e9)
    for role, taken in (spent | {"senders": senders}).items():
        figures.by_process.setdefault(role, []).append(taken / octets * 1e9)
    figures.megabytes = _memory(processes)


def _wait_for_rest(receiver: Running) -> None:
    """Until a receiver has written nothing for a second, a minute at most (others may write on their own time)."""
    end, written = time.monotonic() + 60, -1
    while (now := _written(receiver.processes())) != written and time.monotonic() < end:
        written = now
        time.sleep(1.0)


def _written(processes: Sequence[psutil.Process]) -> int:
    octets = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            octets += process.io_counters().write_bytes
    return octets


def _send(scenario: Scenario, receiver: Running, files: Path) -> float:
    """Seconds that dcmtk's storescu needs, one process an association."""
    command = [
        dcmtk("storescu"),
        *PATIENT,
        "-R",
        "--max-send-pdu",
        str(scenario.pdu),
        "-aet",
        "CT1",
        "-aec",
        receiver.ae_title,
        "+sd",
        "+r",
        "127.0.0.1",
        str(receiver.port),
    ]
    environment = {**os.environ, "TCP_NODELAY": str(int(scenario.nodelay))}
    began = time.perf_counter()
    senders = [
        subprocess.Popen([*command, str(each)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for each in sorted(files.iterdir())
    ]
    said = [sender.communicate(timeout=900)[0] for sender in senders]
    seconds = time.perf_counter() - began
    assert all(sender.returncode == 0 for sender in senders), said
    return seconds


def _cpu_seconds(processes: Sequence[psutil.Process]) -> dict[str, float]:
    """User and system time of each kind of process, with those of their children that have ended."""
    seconds: dict[str, float] = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            role = _role(process.cmdline())
            seconds[role] = seconds.get(role, 0.0) + sum(process.cpu_times()[:4])
    return seconds


def _cpu_of_senders() -> float:
    """Of all children of the bench that have ended: while a scenario runs, those are senders."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(processes: Sequence[psutil.Process]) -> dict[str, float]:
    found: dict[str, float] = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            name = _role(process.cmdline())
            found[name] = found.get(name, 0) + process.memory_full_info().pss / 1e6
    return found


def _role(command: Sequence[str]) -> str:
    """What a process is, in one word."""
    words = " ".join(command)
    roles = {
        "node.receive": "receiver",
        "node.app": "node",
        "forkserver": "readers, encoder",
        "node.cli": "supervisor",
        "resource_tracker": "tracker",
    }
    return next((role for part, role in roles.items() if part in words), "all")


def show(scenario: Scenario, found: dict[str, Figures]) -> str:
    """A scenario's table; each ratio is pacsnode's images a second by the other's, round by round."""
    ours = [each.name for each in scenario.contenders if each.name.startswith("pacsnode")]
    head = [
        "receiver",
        "images/s",
        "CPU s/GB",
        "of which",
        "index drains, s",
        "memory, MB",
        *(f"{name} ÷ it" for name in ours),
    ]
    rows = []
    for name, one in found.items():
        drain = spread(one.drain_seconds, 2) if name in ours or "Orthanc" in name else "no index"
        memory = ", ".join(f"{role} {size:.0f}" for role, size in sorted(one.megabytes.items()))
        ratios = [_ratio(found[own], one) if own != name else "" for own in ours]
        cpu = [spread(one.cpu_seconds_a_gigabyte, 1), shares(one)]
        rows.append([name, spread(one.images_a_second), *cpu, drain, memory, *ratios])
    return f"### {scenario.name}\n\n{table(head, rows)}\n"


def shares(figures: Figures) -> str:
    """CPU seconds a gigabyte by process, where it is any; the senders' come on top."""
    middle = {role: median(values) for role, values in figures.by_process.items()}
    named = {role: value for role, value in sorted(middle.items()) if value >= 0.05 and role not in ("all", "senders")}
    ours = [f"{role} {value:.1f}" for role, value in named.items()]
    return ", ".join([*ours, f"(senders {middle['senders']:.1f})"])


def ratios(ours: Figures, theirs: Figures) -> list[float]:
    """Ours by theirs, in images a second, of each round."""
    return [a / b for a, b in zip(ours.images_a_second, theirs.images_a_second, strict=True)]


def _ratio(ours: Figures, theirs: Figures) -> str:
    return spread(ratios(ours, theirs), 2)
