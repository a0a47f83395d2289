"""Whose the files of an attempt are: what its plugin needs, while it runs as another user, and then the node's again.

Run as root, or as root of the plugin's user namespace (`node.run.users`): as such a guard calls it, and so does
`python -I -m node.run.handover FOLDER` for a folder whose guard has died.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from node.run import nested, users
from node.run.users import NoPluginUserError, PluginUser

_WRITABLE, _READABLE = ("out", "scratch"), ("request.json",)
_RECLAIM_SECONDS = 600.0


def give(folder: Path, user: PluginUser) -> None:
    """Let it read an attempt's folder, and own what it writes into."""
    for path in folder.iterdir():
        if path.name in _WRITABLE:
            os.chown(path, user.uid, user.gid)
            path.chmod(0o711)  # bubblewrap, which has no right to it, goes into it; nobody else comes so far
        elif path.is_dir():
            _let_read(path, user.gid)
        elif path.name in _READABLE:
            _readable(path, user.gid)
    os.chown(folder, -1, user.gid)
    folder.chmod(0o750)


def _let_read(folder: Path, group: int) -> None:
    for here, _, files in os.walk(folder):
        os.chown(here, -1, group)
        os.chmod(here, 0o750)  # noqa: S103 - for the plugin's group
        for name in files:
            _readable(Path(here, name), group)


def _readable(file: Path, group: int) -> None:
    os.chown(file, -1, group)
    file.chmod(0o640)


def take_back(folder: Path) -> None:
    """Make all that lies in a folder this process's own, whatever a plugin left there; OSError where it cannot be."""
    if folder.is_symlink() or not folder.exists():
        return
    os.chown(folder, os.geteuid(), os.getegid())
    folder.chmod(0o700)
    nested.go_through(folder, _own, lambda *_: None)


def _own(here: int) -> list[str]:
    """Take what is in a folder; returns the folders in it, which can be opened then."""
    folders = []
    for name in os.listdir(here):
        os.chown(name, os.geteuid(), os.getegid(), dir_fd=here, follow_symlinks=False)
        if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            os.chmod(name, 0o700, dir_fd=here)
            folders.append(name)
    return folders


def reclaim(folder: Path) -> None:
    """Take back, from any process of the node, a folder that a guard could not; OSError where it cannot be."""
    if os.geteuid() == 0:
        take_back(folder)
        return
    try:
        user = users.found()
    except NoPluginUserError:  # so it ran as the node's own user
        return
    line = user.command([sys.executable, "-I", "-m", __name__, str(folder)])
    try:
        subprocess.run(line, check=True, timeout=_RECLAIM_SECONDS, stdin=subprocess.DEVNULL, capture_output=True)
    except subprocess.SubprocessError as error:
        raise OSError(f"{folder} cannot be taken back from {user.name}: {error}") from error


if __name__ == "__main__":
    take_back(Path(sys.argv[1]))
