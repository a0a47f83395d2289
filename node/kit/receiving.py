"""The images that a person names, received by a node of the kit; and what a run of it left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from node.errors import UsageError
from node.kit.small_node import ImageSet, SmallNode
from node.ledger.job import Job
from node.run import answer
from plugins import exchange
from plugins.contract import Result


@dataclass(frozen=True, slots=True)
class GivenImages:
    """The files that a person names, and what is to be different about them."""

    files: tuple[Path, ...]
    roles: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    age: int | None = None
    """Years: PatientAge of the images of the study itself."""


def receive(node: SmallNode, images: GivenImages) -> tuple[ImageSet, dict[str, ImageSet]]:
    """The images of the study, and those of each role; what the node has received already is not sent again."""
    key = repr(images)
    if key not in node.known_images:
        node.known_images[key] = _receive(node, images)
    return node.known_images[key]


def _receive(node: SmallNode, images: GivenImages) -> tuple[ImageSet, dict[str, ImageSet]]:
    changed = node.node.store.data / "changed"
    files = images.files if images.age is None else [*_aged(images.files, images.age, changed)]
    roles = {role: node.receive(given) for role, given in images.roles.items()} if not files else {}
    if roles:  # each series has its role: the study is that of the first
        return ImageSet(next(iter(roles.values())).study, ()), roles
    own = node.receive(files)
    return own, {role: node.receive(given) for role, given in images.roles.items()}


def _aged(files: Sequence[Path], years: int, folder: Path) -> Iterator[Path]:
    """Copies whose patient has this age; the date of birth, which would say another, goes."""
    folder.mkdir()
    for number, file in enumerate(files):
        try:
            dataset = pydicom.dcmread(file)
        except InvalidDicomError:
            continue
        dataset.PatientAge = f"{years:03}Y"
        dataset.pop("PatientBirthDate", None)
        target = folder / f"{number:06}.dcm"
        dataset.save_as(target)
        yield target


def files_of(paths: Sequence[Path]) -> tuple[Path, ...]:
    """All files of files and folders, in order of their names; UsageError where a path is not there."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder")
    found = (file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]))
    return tuple(file for file in found if file.is_file())


def kept_result(node: SmallNode, job: Job) -> Result | None:
    """The result of a job as it was kept; None where the job has none of its plugin's own or of the node's."""
    if job.result is None:
        return None
    folder = node.node.store.data / job.result
    return exchange.read_result(folder, exchange.read_request(folder))


def log_of(node: SmallNode, job: Job) -> str:
    """What the attempts at a job printed."""
    path = node.node.store.results / job.id / answer.LOG
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
