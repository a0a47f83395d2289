"""What a plugin can hold of disk and memory, by whatever way: each is seen soon, and named."""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from node.run import process
from node.run.executor import AttemptLimits, Exit, ExitKind, ProcessWatch
from node.run.process import CommandLine, JobPlace
from node.run.sandbox import Isolation
from node.run.workers import WarmWorkers
from tests.support.sites.job_site import NOT_ISOLATED

MIB = 2**20
LIMITS = AttemptLimits(deadline_seconds=60, memory_bytes=256 * MIB, disk_bytes=64 * MIB)
OVERSHOOT = 400 * MIB
"""What a writer of a few GB a second may have beyond its limit on a machine that is busy."""

BEGIN = """
import mmap, os, sys, time
MIB = 2**20
BLOCK = bytes(MIB)
def fill(descriptor, blocks):
    for _ in range(blocks):
        os.write(descriptor, BLOCK)
"""


def run(folder: Path, body: str, limits: AttemptLimits, isolation: Isolation = NOT_ISOLATED) -> Exit:
    """Run a Python program as a plugin that is any command."""
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True)
    program = folder / "program.py"
    program.write_text(BEGIN + textwrap.dedent(body))
    interpreter = Path(sys.executable).resolve()
    line = CommandLine([str(interpreter), "-I", str(program)], {}, [Path(sys.base_prefix), program])
    watch = ProcessWatch(threading.Event(), lambda _: None, WarmWorkers(folder))
    place = JobPlace(folder, logs=folder, hidden=folder.parent)
    ended = process.run(line, place, limits, watch, isolation)
    assert ended.ending is not ExitKind.NOT_STARTED, (folder / process.LOG).read_text()
    return ended


ON_DISK = {
    "a file": """
    fill(os.open("big", os.O_CREAT | os.O_WRONLY), 20_000)
    """,
    "many files": """
    for number in range(20_000):
        file = os.open(str(number), os.O_CREAT | os.O_WRONLY)
        fill(file, 1)
        os.close(file)
    """,
    "a deleted file that is open": """
    file = os.open("big", os.O_CREAT | os.O_WRONLY)
    os.unlink("big")
    fill(file, 20_000)
    """,
    "a deleted file that is only mapped": """
    file = os.open("big", os.O_CREAT | os.O_RDWR)
    fill(file, 80)
    mapped = mmap.mmap(file, 80 * MIB)
    os.close(file)
    os.unlink("big")
    time.sleep(600)
    """,
    "out": """
    fill(os.open("../out/big", os.O_CREAT | os.O_WRONLY), 20_000)
    """,
    "written and left at once": """
    fill(os.open("big", os.O_CREAT | os.O_WRONLY), 80)
    os._exit(3)
    """,
}


@pytest.mark.parametrize("case", ON_DISK)
def test_finding_x8_what_is_written_is_limited_with_a_name_or_without(
    tmp_path: Path, confinement: Isolation, case: str
) -> None:
    """A plugin that writes as fast as it can is ended close to its limit, and the words say that it wrote too much."""
    ended = run(tmp_path / "job", ON_DISK[case], LIMITS, confinement)
    assert (ended.ending, ended.detail[:24]) == (ExitKind.DISK, "wrote more than 64 MiB: "), ended
    left = sum(path.stat().st_size for path in (tmp_path / "job").rglob("*"))
    assert left < LIMITS.disk_bytes + OVERSHOOT


def test_finding_x8_a_plugin_is_ended_while_reception_still_has_its_space(tmp_path: Path) -> None:
    """Far from its own limit: four fifths of what is above the space that is kept are the most that it gets."""
    kept = shutil.disk_usage(tmp_path).free - 800 * MIB
    limits = replace(LIMITS, disk_bytes=2**40, keep_free_bytes=kept)
    ended = run(tmp_path / "job", ON_DISK["a file"], limits)
    assert ended.ending is ExitKind.DISK
    assert ended.detail.startswith("wrote more than the data disk has room for: ")
    assert ended.detail.endswith(f"{kept // MIB} MiB are kept for receiving")


def test_finding_x8_who_wrote_little_is_not_ended_for_what_others_took(tmp_path: Path) -> None:
    """The disk is beyond its mark by others: a plugin with a few files of its own goes on."""
    limits = replace(LIMITS, keep_free_bytes=2**60)
    body = 'fill(os.open("small", os.O_CREAT | os.O_WRONLY), 8); time.sleep(0.5)'
    assert run(tmp_path / "job", body, limits).ending is ExitKind.EXITED


IN_MEMORY = {
    "memfd": """
    fill(os.memfd_create("x"), 300)
    time.sleep(600)
    """,
    "a deleted file in memory": """
    file = os.open("/dev/shm/pacsnode-test-x8", os.O_CREAT | os.O_WRONLY)
    os.unlink("/dev/shm/pacsnode-test-x8")
    fill(file, 300)
    time.sleep(600)
    """,
    "shared pages": """
    mapped = mmap.mmap(-1, 400 * MIB)
    for place in range(0, 400 * MIB, 4096):
        mapped[place] = 1
    time.sleep(600)
    """,
    "half of it each": """
    keep = bytearray(os.urandom(MIB)) * 150
    fill(os.memfd_create("x"), 150)
    time.sleep(600)
    """,
}


@pytest.mark.parametrize("case", IN_MEMORY)
def test_finding_x8_files_in_memory_are_memory(tmp_path: Path, confinement: Isolation, case: str) -> None:
    """What no process has mapped is seen all the same, beside what is resident."""
    ended = run(tmp_path / "job", IN_MEMORY[case], LIMITS, confinement)
    assert (ended.ending, ended.detail[-15:]) == (ExitKind.MEMORY, "at most 256 MiB"), ended


def test_finding_x8_a_closed_file_in_the_memory_of_a_sandbox_is_memory(tmp_path: Path, confinement: Isolation) -> None:
    """It has a name and nobody has it open: the file system of the sandbox says how much it is."""
    if confinement.sandbox is None:
        pytest.skip("without a sandbox nothing says whose such a file is")
    body = """
    for number in range(2):
        file = os.open(f"/dev/shm/{number}", os.O_CREAT | os.O_WRONLY)
        fill(file, 100)
        os.close(file)
    keep = bytearray(os.urandom(MIB)) * 100
    time.sleep(600)
    """
    ended = run(tmp_path / "job", body, LIMITS, confinement)
    assert ended.ending is ExitKind.MEMORY
    assert "(200 MiB in files in memory)" in ended.detail


HONEST = {
    "shared between processes": """
    file = os.memfd_create("tensor")
    fill(file, 120)
    mapped = mmap.mmap(file, 120 * MIB)
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            for place in range(0, 120 * MIB, 4096):
                mapped[place] = 2
            time.sleep(1.0)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    """,
    "below its limits": """
    fill(os.open("big", os.O_CREAT | os.O_WRONLY), 50)
    keep = bytearray(os.urandom(MIB)) * 100
    time.sleep(0.5)
    """,
    "a file with many names": """
    fill(os.open("big", os.O_CREAT | os.O_WRONLY), 50)
    for number in range(10):
        os.link("big", str(number))
    time.sleep(0.5)
    """,
    "a file with a hole": """
    os.truncate(os.open("sparse", os.O_CREAT | os.O_WRONLY), 200 * MIB)
    time.sleep(0.5)
    """,
}


@pytest.mark.parametrize("case", HONEST)
def test_finding_x8_what_is_held_counts_once(tmp_path: Path, confinement: Isolation, case: str) -> None:
    """Pages that four processes share, a file with ten names and a hole are no more than they are."""
    ended = run(tmp_path / "job", HONEST[case], LIMITS, confinement)
    assert (ended.ending, ended.code) == (ExitKind.EXITED, 0), ended


def test_finding_x8_endless_output_ends_the_plugin(tmp_path: Path, confinement: Isolation) -> None:
    """Whatever it prints takes neither room nor the time until its deadline."""
    limits = replace(LIMITS, printed_bytes=64 * MIB)
    ended = run(tmp_path / "job", "while True: os.write(1, BLOCK)", limits, confinement)
    assert (ended.ending, ended.detail) == (ExitKind.OUTPUT, "printed more than 64 MiB")
    assert (tmp_path / "job" / process.LOG).stat().st_size < 3 * MIB
