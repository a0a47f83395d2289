"""What a container finds where, and what becomes of what it leaves: a row for each dialect that images speak.

A row is all that a further dialect takes. `prepare` is called before the container is made, `collect` when it has
ended by itself with 0, in the guard, after its files were taken back; both get the attempt's folder. What `collect`
reads was written by a program that may be hostile. MONAI application packages would be a row with their two variables
and folders, MHub and Grand Challenge one with `/input` and `/output`; each with a `collect` for what it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from node.run.containers import mercure
from plugins.exchanges import ExchangeForm


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
    prepare: Callable[[Path], None] = lambda _: None
    """Lay the files out; OSError."""
    collect: Callable[[Path], str] = lambda _: ""
    """Leave `out/result.json`; returns what is to be said in the log, OSError."""


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
        places=(MountedPlace("in", mercure.IN), MountedPlace(mercure.LEFT, mercure.OUT, is_writable=True)),
        folder=mercure.IN,
        environment={"MERCURE_IN_DIR": mercure.IN, "MERCURE_OUT_DIR": mercure.OUT},
        prepare=mercure.prepare,
        collect=mercure.collect,
    ),
}
"""The table."""
