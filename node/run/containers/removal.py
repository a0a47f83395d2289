"""Containers are removed with all that their engine keeps of them: processes, mounts, the layer, volumes.

Whoever ends an attempt does that by the container's name: its guard, else the node that saw its guard die, else the
next start of the node, by the label that all containers of this node and its folder `work/` have.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from node.run.containers import engine
from node.run.containers.engine import EngineError, EngineKind
from node.run.containers.order import ContainerOrder, label_of

SECONDS = 60.0
"""For one removal: a disk that is busy makes it slow."""
_MONITOR = "conmon"
"""podman's process beside each container, which ends after it, when it has had podman tidy up."""
_MONITOR_SECONDS = 10.0
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5
_OPTIONS = {EngineKind.PODMAN: ("--time", "0", "--ignore"), EngineKind.DOCKER: ()}


def remove(order: ContainerOrder) -> str:
    """End a container and remove it; why its engine could not, or "". It need not be there."""
    return _removed(order.engine, order.program, [order.name])


def remove_all(work: Path, setting: str) -> str:
    """The same for all containers of the attempts below a folder `work/`, of an earlier life of the node.

    `setting`: as for `node.run.containers.engine.found`. What is returned says also that no engine answers.
    """
    try:
        found = engine.found(setting)
        listed = engine.call(
            [found.program, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label_of(work)}"], SECONDS
        )
    except (EngineError, OSError) as error:
        return str(error)
    if listed.returncode:
        return listed.stderr.strip()[-200:]
    names = listed.stdout.split()
    return _removed(found.kind, found.program, names) if names else ""


def _removed(kind: EngineKind, program: str, names: Sequence[str]) -> str:
    problem = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_SECONDS)  # it was about to be made, or its engine was about to remove it
        try:
            done = engine.call([program, "rm", "--force", "--volumes", *_OPTIONS[kind], *names], SECONDS)
        except EngineError as error:
            problem = str(error)
            continue
        if done.returncode == 0 or "no such container" in done.stderr.lower():
            _end_monitors(names)
            return ""
        problem = done.stderr.strip()[-200:]
    return problem


def _end_monitors(names: Sequence[str]) -> None:
    """Wait for the end of what podman had beside these containers, and bring it about where it does not come."""
    until = time.monotonic() + _MONITOR_SECONDS
    while monitors := [each for each in psutil.process_iter() if _is_monitor(each, names)]:
        if time.monotonic() > until:
            for each in monitors:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            return
        time.sleep(0.02)


def _is_monitor(process: psutil.Process, names: Sequence[str]) -> bool:
    try:
        is_one = process.name() == _MONITOR and process.status() != psutil.STATUS_ZOMBIE
        return is_one and not set(names).isdisjoint(process.cmdline())
    except psutil.Error:  # it has ended, or is another user's
        return False
