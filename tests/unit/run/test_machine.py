"""This machine: as it is found, and as the configuration says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.config.models import NodeSettings
from node.run import machine
from node.run.machine import found_gpus, listed, this_machine
from node.run.slots import Gpu


def settings(**more: object) -> NodeSettings:
    return NodeSettings.model_validate({"time_zone": "Asia/Seoul", **more})


def test_what_is_not_said_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Processors that this process may use, the memory of the container or of the machine."""
    monkeypatch.setattr(machine, "_MEMORY_LIMIT", tmp_path / "memory.max")
    monkeypatch.setattr(machine, "found_gpus", lambda: (Gpu("GPU-1", 5),))
    found = this_machine(settings())
    assert (found.cpus, found.slots, found.gpus) == (len(os.sched_getaffinity(0)), 2, (Gpu("GPU-1", 5),))
    whole = found.memory
    (tmp_path / "memory.max").write_text("max\n")
    assert this_machine(settings()).memory == whole > 2**28
    (tmp_path / "memory.max").write_text("1000000\n")
    assert this_machine(settings()).memory == 1_000_000


def test_what_is_said_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key of node.machine on its own; an empty list of GPUs is none, whatever is built in."""
    monkeypatch.setattr(machine, "found_gpus", lambda: (Gpu("GPU-1", 5),))
    said = this_machine(settings(machine={"cpus": 1.5, "memory": "2GiB", "gpus": [{"id": "1", "memory": "1GiB"}]}))
    assert (said.cpus, said.memory, said.gpus) == (1.5, 2 * 2**30, (Gpu("1", 2**30),))
    assert this_machine(settings(machine={"gpus": []})).gpus == ()
    assert this_machine(settings(machine={"gpus": [{"id": "0"}]})).gpus == (Gpu("0", 0),)


def test_what_nvidia_smi_prints_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """UUID and MiB; where it does not run, the driver's own list, which has no memory."""
    assert listed("GPU-5e7a, 24564\nGPU-9b, [N/A]\n\n") == (Gpu("GPU-5e7a", 24564 * 2**20), Gpu("GPU-9b", 0))
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'GPU-1, 1'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(machine, "_DRIVER", tmp_path / "gpus")
    assert found_gpus() == (Gpu("GPU-1", 2**20),)
    program.write_text("#!/bin/sh\nexit 9\n")
    assert found_gpus() == ()
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "gpus" / "0000:01:00.0" / "information").write_text("Model: \t X\nGPU UUID: \t GPU-7\n")
    assert found_gpus() == (Gpu("GPU-7", 0),)


def test_some_slot_is_left_for_jobs_that_are_not_urgent() -> None:
    """reserved_for_urgent below jobs_at_once, else the configuration is refused."""
    assert this_machine(settings(jobs_at_once=3, reserved_for_urgent=2)).reserved_for_urgent == 2
    with pytest.raises(ValueError, match="leaves nothing of jobs_at_once"):
        settings(jobs_at_once=2, reserved_for_urgent=2)
