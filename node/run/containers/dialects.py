"""What a container finds where, and what becomes of what it leaves: a row for each dialect that images speak.

A row is all that a further dialect takes. `prepare` is called before the container is made, `collect` when it has
ended by itself with 0, in the guard, after its files were taken back; both get the attempt's folder. What `collect`
reads was written by a program that may be hostile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from node.run.containers import grand_challenge, left_files, mercure, packages
from plugins.exchanges import ExchangeForm

if TYPE_CHECKING:  # a guard imports this module, and needs neither manifests nor arrays
    from plugins.manifest import Manifest


@dataclass(frozen=True, slots=True)
class MountedPlace:
    """A file or folder of the attempt, and where the container finds it."""

    source: str
    """Below the attempt's folder."""
    inside: str
    is_writable: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of image wants to be spoken to."""

    places: tuple[MountedPlace, ...]
    """Besides `scratch/`, which is /tmp in every container."""
    folder: str
    """What `{folder}` in `command` of the manifest stands for."""
    environment: Mapping[str, str]
    prepare: Callable[[Path, Manifest], None] = lambda *_: None
    """Lay the files out; OSError."""
    collect: Callable[[Path], str] = lambda _: ""
    """Leave `out/result.json`; returns what is to be said in the log, OSError."""

    def inside(self, source: str) -> str:
        """Where the container finds this file or folder of the attempt."""
        return next(each.inside for each in self.places if each.source == source)


DIALECTS: Mapping[ExchangeForm, Dialect] = {
    ExchangeForm.PACSNODE: Dialect(
        places=(
            MountedPlace("request.json", "/job/request.json"),
            MountedPlace("in", "/job/in"),
            MountedPlace("out", "/job/out", is_writable=True),
            MountedPlace("scratch", "/job/scratch", is_writable=True),
        ),
        folder="/job",
        environment={"PACSNODE_FOLDER": "/job"},
    ),
    ExchangeForm.NIFTI: Dialect(  # the node lays out and reads these files for every kind (`node.run.nifti`)
        places=(
            MountedPlace("in", "/job/in"),
            MountedPlace("out", "/job/out", is_writable=True),
            MountedPlace("scratch", "/job/scratch", is_writable=True),
        ),
        folder="/job",
        environment={},
    ),
    ExchangeForm.MERCURE: Dialect(
        places=(MountedPlace("in", mercure.IN), MountedPlace(left_files.LEFT, mercure.OUT, is_writable=True)),
        folder=mercure.IN,
        environment={"MERCURE_IN_DIR": mercure.IN, "MERCURE_OUT_DIR": mercure.OUT},
        prepare=lambda folder, _: mercure.prepare(folder),
        collect=mercure.collect,
    ),
    ExchangeForm.MONAI: Dialect(
        places=(
            *(MountedPlace("in", f"{each}/input") for each in packages.MONAI_FOLDERS),
            *(MountedPlace(left_files.LEFT, f"{each}/output", is_writable=True) for each in packages.MONAI_FOLDERS),
            MountedPlace(packages.LOGS, packages.MONAI_VARIABLES["HOLOSCAN_LOGS_PATH"], is_writable=True),
        ),
        folder=packages.MONAI_VARIABLES["HOLOSCAN_INPUT_PATH"],
        environment=packages.MONAI_VARIABLES,
        prepare=lambda folder, _: packages.prepare_monai(folder),
        collect=packages.collect,
    ),
    ExchangeForm.MHUB: Dialect(
        places=(
            MountedPlace(packages.MHUB_DATA, "/app/data", is_writable=True),
            MountedPlace("in", "/app/data/input_data"),
            MountedPlace(left_files.LEFT, "/app/data/output_data", is_writable=True),
            MountedPlace(packages.MHUB_SCRATCH, "/app/tmp", is_writable=True),
        ),
        folder="/app/data/input_data",
        environment={},
        prepare=lambda folder, _: packages.prepare_mhub(folder),
        collect=packages.collect,
    ),
    ExchangeForm.GRAND_CHALLENGE: Dialect(
        places=(MountedPlace("in", "/input"), MountedPlace("out", "/output", is_writable=True)),
        folder="/input",
        environment={},
        prepare=grand_challenge.prepare,
        collect=grand_challenge.collect,
    ),
}
"""The table."""
