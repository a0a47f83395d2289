"""The lock of a data folder: one node at a time, and nobody else on this machine reads it."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import structlog

from node.errors import DataFolderInUseError, PermanentError

log = structlog.get_logger(__name__)


def take_lock(data: Path) -> int:
    """Lock the data folder for this node and its children; the descriptor that holds the lock.

    Raises DataFolderInUseError where another node has it, PermanentError where the folder cannot be used.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        _keep_others_out(data)
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PermanentError(f"the data folder {data} cannot be used: {error.strerror} ({error.filename})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise DataFolderInUseError(
            f"another node (process {holder}) uses the data folder {data}: stop it, or give this one its own"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _keep_others_out(data: Path) -> None:
    """Take the rights of group and others from the data folder, so that none of its files can be reached by them.

    Raises PermanentError where they have some and this user may not change that.
    """
    mode = stat.S_IMODE(data.stat().st_mode)
    if not mode & 0o077:
        return
    try:
        data.chmod(mode & 0o700)
    except OSError as error:
        raise PermanentError(
            f"the data folder {data} can be reached by other users (mode {mode:04o}), and its mode cannot be changed: "
            f"{error.strerror}. Patients' images are in it: chmod 700 {data}, or make it the node's own"
        ) from error
    log.warning("store.data-folder-tightened", folder=str(data), mode=f"{mode:04o}", now=f"{mode & 0o700:04o}")
