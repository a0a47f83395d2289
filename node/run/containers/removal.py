"""Containers are removed with all that their engine keeps of them: processes, mounts, the layer, volumes.

Whoever ends an attempt does that by the container's name: its guard, else the node that saw its guard die, else the
next start of the node, by the label that all containers of its folder `work/` have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from node.run.containers import engine
from node.run.containers.engine import EngineError, EngineKind
from node.run.containers.order import LABEL, ContainerOrder

SECONDS = 60.0
"""For one removal: a disk that is busy makes it slow."""
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
        listed = engine.call([found.program, "ps", "--all", "--quiet", "--filter", f"label={LABEL}={work}"], SECONDS)
    except EngineError as error:
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
            return ""
        problem = done.stderr.strip()[-200:]
    return problem
