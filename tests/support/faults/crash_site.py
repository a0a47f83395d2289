"""The site of one run of the crash matrix: what its plan wants beside reception, a plugin and delivery."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread

from tests.support.faults.crash_plan import CrashPlan, Feature
from tests.support.sites.site import Site, destination, rule

SLICES = 6
"""Of each study; the rule wants all of them."""
DISK_MIB = 96
"""Of a data folder that is filled: not small, because whatever fills it has to leave room for the rest of a run."""
MERGED = {"PatientID": "MERGED", "PatientName": "Merged^Patient"}
"""Under which the archive has the studies of a run with `adopt`."""
_RETRY = {"first": "300ms", "factor": 1, "longest": "300ms"}


@dataclass(frozen=True)
class CrashPorts:
    """Where who listens."""

    node: int
    archive: int
    sink: str
    """URL of the web service that takes notifications."""


def site_of(folder: Path, plan: CrashPlan, ports: CrashPorts, environment: Mapping[str, str]) -> Site:
    """A node for this plan; without faults where `environment` is empty."""
    features = plan.features
    whole = {"where": {"Modality": "CT", "image_count": {"at_least": SLICES}}, "take": "one"}
    tells: dict[str, Any] = {"notify": {"on": "findings", "whom": "duty"}} if Feature.NOTIFY in features else {}
    copies = {"name": "copies", "when": {"Modality": "CT"}, "mode": "clinical", "forward": {"to": ["pacs"]}}
    pacs = {
        "retry": _RETRY,
        "associations": 2 if Feature.TWO_LANES in features else 1,
        "commitment": "require" if Feature.COMMIT in features else "off",
        "on_identity_change": "adopt" if Feature.ADOPT in features else "hold",
    }
    return Site(
        folder,
        {"pacs": {**destination("PACS", ports.archive), **pacs}},
        [rule(choose=whole, **tells), *([copies] if Feature.FORWARD in features else [])],
        node={"listen": {"host": "127.0.0.1", "port": ports.node}, "limits": {"free_space": "1MiB"}},
        environment=environment,
        faults="crashing",
        sections=_sections(plan, ports),
    )


def _sections(plan: CrashPlan, ports: CrashPorts) -> dict[str, object]:
    found: dict[str, object] = {}
    if Feature.NOTIFY in plan.features:
        found["people"] = {"duty": {"webhook": {"url": ports.sink}}}
        found["notify"] = {"retry": _RETRY}
    if Feature.RETAIN in plan.features:
        found["retention"] = {"images": "2h", "results": "2h"}
    return found


def give_to_archive(held: Path, files: Mapping[str, Path], plan: CrashPlan) -> None:
    """What the archive has from elsewhere; nothing where it gets the images from the node, before the results."""
    if Feature.FORWARD in plan.features:
        return
    for uid, path in files.items():
        if Feature.ADOPT not in plan.features:
            (held / f"{uid}.dcm").symlink_to(path)
            continue
        image = dcmread(path)
        for name, value in MERGED.items():
            setattr(image, name, value)
        image.save_as(held / f"{uid}.dcm")


# --- a disk that can be full ----------------------------------------------------------------------


def mount(folder: Path) -> bool:
    """Make the folder a small disk of its own, where the test may: then SQLite, too, finds it full."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def unmount(folder: Path) -> None:
    """Whoever still uses it."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=60)


def fill(folder: Path) -> Path:
    """Take all the space that is left there; the file that has it."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (2**20, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler
