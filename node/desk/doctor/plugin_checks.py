"""What plugins need of the machine: a sandbox, and a GPU where one asks for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from node.config.models import Configuration
from node.desk.doctor import system_checks
from node.desk.doctor.finding import Diagnosis, DoctorFinding
from node.run import machine
from node.run.catalogue import usable
from node.run.confinement import tried

_IN_CONTAINER = (Path("/run/.containerenv"), Path("/.dockerenv"))
_DRIVER = Path("/proc/driver/nvidia")


def sandbox(configuration: Configuration) -> DoctorFinding:
    """How plugins are confined, tried for real; where they are not in full, which switch forbids it."""
    found = tried(configuration)
    if found.isolated and not found.severity:
        return DoctorFinding("confinement of plugins", Diagnosis.GOOD, found.text)
    diagnosis = Diagnosis.WRONG if found.severity == "alert" else Diagnosis.DOUBTFUL
    forbidding = next(_forbidding(), None)
    if found.isolated or forbidding is None:
        step = "" if found.isolated and os.geteuid() != 0 else "`pacsnode install`, as root, makes the users."
        return DoctorFinding("confinement of plugins", diagnosis, found.text, step or "docs/plugins.md, Confinement.")
    why, step = forbidding
    return DoctorFinding("confinement of plugins", diagnosis, f"{found.text}. {why[0].upper()}{why[1:]}", step)


def _forbidding() -> Iterator[tuple[str, str]]:
    """What forbids a sandbox here, and what to do."""
    if shutil.which("bwrap") is None:
        yield "bubblewrap is not installed", "Install the package bubblewrap."
    for each in system_checks.SWITCHES:
        try:
            if each.file.read_text().strip() == each.forbids:
                yield f"{each.said} ({each.name} is {each.forbids})", each.step
        except OSError:  # this kernel has no such switch
            continue
    if any(each.exists() for each in _IN_CONTAINER):
        yield (
            "this is inside a container, whose seccomp filter forbids namespaces",
            "Start the container with a filter that allows them.",
        )


def gpu(configuration: Configuration) -> DoctorFinding:
    """Whether plugins that ask for a GPU have one."""
    wanting = sorted(name for name, each in usable(configuration).plugins.items() if each.resources.needs_gpu)
    found = machine.this_machine(configuration.node).gpus
    if found:
        named = ", ".join(each.name for each in found)
        return DoctorFinding("GPU", Diagnosis.GOOD, f"{len(found)}: {named}")
    if not wanting:
        driver = "; a driver is loaded that lists none" if _DRIVER.exists() else ""
        return DoctorFinding("GPU", Diagnosis.GOOD, f"none, and no plugin asks for one{driver}")
    return DoctorFinding(
        "GPU",
        Diagnosis.WRONG,
        f"none, and these plugins ask for one, so their jobs wait: {', '.join(wanting)}",
        "Install the NVIDIA driver until `nvidia-smi` lists a GPU to the node's user,"
        " or say under node.machine.gpus what is there.",
    )
