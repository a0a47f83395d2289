"""Plugins as another user than the node, without a user on this machine for them: what needs root, and bubblewrap."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from pathlib import Path

import pytest

from node.run import sandbox, users
from node.run.sandbox import Isolation

UID = 64001
"""Nobody's on this machine."""
ROOT = Path(__file__).parents[2]
PRIVATE_ETC = """
set -e
mount --make-rprivate /
mkdir "$0/etc"; cp -a /etc/. "$0/etc/"; mount --bind "$0/etc" /etc
"""
"""/etc of the processes that this script starts, and nobody else's; its first argument is an empty folder."""


@cache
def _found() -> Isolation | str:
    program = shutil.which("bwrap")
    if program is None or os.geteuid() != 0:
        return "needs bubblewrap and root"
    apart = sandbox.probe_as(program, users.of_root(UID, UID, "tests"))
    return apart if apart.whole else apart.reason


def apart() -> Isolation:
    """The isolation of a node that is root and has another user for plugins; skips where there is none."""
    found = _found()
    if isinstance(found, str):
        pytest.skip(found)
    return found


def in_private_etc(folder: Path, script: str, *command: str) -> list[str]:
    """A command line that runs a script with a copy of /etc, then becomes a command; skips where that is impossible."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    return ["unshare", "--mount", "sh", "-c", f'{PRIVATE_ETC}\n{script}\nexec "$@"', str(folder), *command]


def interpreter_prefix() -> Path:
    """Where the interpreter of these tests is installed."""
    return Path(sys.base_prefix)


def same_user() -> Isolation:
    """The isolation of plugins that are the node's own user; skips where there is none."""
    program = shutil.which("bwrap")
    found = sandbox.probe(program) if program else Isolation(None, "needs bubblewrap")
    if not found.whole:
        pytest.skip(found.reason)
    return found
