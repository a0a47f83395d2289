"""What is left of attempts whose guard or node has died: their processes are ended, their files taken back."""

from __future__ import annotations

from pathlib import Path

import structlog

from node.run import cgroups, handover, tags

WARM = ".warm"
"""In `work/`, the folders of workers (`node.run.worker_folder`): no job has this name."""
NESTED = "*/data/work"
"""In `work/`, the folders `work/` of nodes that run the examples of a plugin (`node.kit.small_node`)."""
log = structlog.get_logger(__name__)


def end(folder: Path) -> bool:
    """End every process of the attempt of this folder; false where one outlived it."""
    group = cgroups.of(folder)
    grouped = group is None or group.end()
    ended = tags.end(folder)
    _take_back(folder)
    return grouped and ended


def end_all(work: Path) -> bool:
    """The same for every attempt of an earlier life of the node, trials of examples too.

    `work` is the absolute path of `work/`, as that life left it.
    """
    nodes = (work, *sorted(work.glob(NESTED)))
    grouped = [group.end() for node in nodes for each in (node, node / WARM) for group in cgroups.left(each)]
    ended = tags.end(work)
    for job in work.iterdir():
        if job.is_dir() and not job.is_symlink():
            _take_back(job)
    return all(grouped) and ended


def _take_back(folder: Path) -> None:
    try:
        handover.reclaim(folder)
    except OSError as error:  # what needs the folder says so
        log.warning("run.not-taken-back", reason=str(error))
