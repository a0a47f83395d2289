"""The system users of an installed node: one for the node, and another for what it runs as plugins.

`pacsnode-plugin` is a user of the node's by /etc/subuid and /etc/subgid: so a node that runs as `pacsnode`, without
root, can run plugins as `pacsnode-plugin` (newuidmap(1)).
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from node.errors import PermanentError, UsageError
from node.run import users

NODE = "pacsnode"
_SECONDS = 60.0


def make() -> Iterator[str]:
    """Make what is missing, and say of each thing whether it was there; nothing is ever changed or removed.

    Raises UsageError where this is not root, PermanentError where the system refuses.
    """
    if os.geteuid() != 0:
        raise UsageError("only root can make users: sudo pacsnode install --users-only")
    for name in (NODE, users.NAME):
        yield _user(name)
    for file, option, number in (
        (users.SUB_USERS, "--add-subuids", pwd.getpwnam(users.NAME).pw_uid),
        (users.SUB_GROUPS, "--add-subgids", pwd.getpwnam(users.NAME).pw_gid),
    ):
        yield _sub_id(file, option, number)
    if shutil.which("newuidmap") is None:
        yield "newuidmap is not there: install the package uidmap, which a node without root needs to switch users"


def _user(name: str) -> str:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        home = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
        _run(["useradd", "--system", "--user-group", *home, name])
        return f"made user {name} ({pwd.getpwnam(name).pw_uid})"
    if 0 in (entry.pw_uid, entry.pw_gid):
        raise PermanentError(f"the user {name} is root, or of its group: remove that user first")
    return f"user {name} is there ({entry.pw_uid}, group {grp.getgrgid(entry.pw_gid).gr_name})"


def _sub_id(file: Path, option: str, number: int) -> str:
    if any(number in each for each in users.sub_ids(file, NODE, pwd.getpwnam(NODE).pw_uid)):
        return f"{file} lets {NODE} use {number}"
    _run(["usermod", option, f"{number}-{number}", NODE])
    return f"added to {file}: {NODE} may use {number}"


def _run(line: list[str]) -> None:
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PermanentError(f"{line[0]} cannot be run: {error}") from error
    if done.returncode:
        raise PermanentError(f"{' '.join(line)}: {done.stderr.strip() or done.returncode}")
