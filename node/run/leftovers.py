"""What is left of attempts whose guard or node has died: their processes are ended, their files taken back."""

from __future__ import annotations

from pathlib import Path

import structlog

from node.run import cgroups, handover, tags
from node.run.containers import removal
from node.run.containers.order import ContainerOrder

WARM = ".warm"
"""In `work/`, the folders of workers (`node.run.worker_folder`): no job has this name."""
NESTED = "*/data/work"
"""In `work/`, the folders `work/` of nodes that run the examples of a plugin (`node.kit.small_node`)."""
log = structlog.get_logger(__name__)


def end(folder: Path, container: ContainerOrder | None = None) -> bool:
    """End every process of the attempt of this folder, and its container; false where one outlived it."""
    group = cgroups.of(folder)
    grouped = group is None or group.end()
    ended = tags.end(folder)
    removed = container is None or not _left(removal.remove(container))
    _take_back(folder)
    return grouped and ended and removed


def end_all(work: Path, containers: str = "") -> bool:
    """The same for every attempt of an earlier life of the node, trials of examples too.

    `work` is the absolute path of `work/`, as that life left it. `containers`: what the site runs container images
    with, if that life may have left some.
    """
    nodes = (work, *sorted(work.glob(NESTED)))
    grouped = [group.end() for node in nodes for each in (node, node / WARM) for group in cgroups.left(each)]
    ended = tags.end(work)
    for job in work.iterdir():
        if job.is_dir() and not job.is_symlink():
            _take_back(job)
    removed = [not _left(removal.remove_all(node, containers)) for node in nodes] if containers else []
    return all(grouped) and ended and all(removed)


def _left(problem: str) -> bool:
    """Say why a container may be left; whether it may."""
    if problem:
        log.error("run.containers-left", reason=problem)
    return bool(problem)


def _take_back(folder: Path) -> None:
    try:
        handover.reclaim(folder)
    except OSError as error:  # what needs the folder says so
        log.warning("run.not-taken-back", reason=str(error))
