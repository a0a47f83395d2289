"""`pacsnode uninstall`: takes away what `pacsnode install` wrote; data, configuration and users stay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from node.errors import PermanentError, UsageError
from node.installation import places, record
from node.installation.making import ROOT
from node.installation.manager import systemctl
from node.installation.places import below
from node.run.users import NAME as PLUGINS
from node.serve.users import NODE


def uninstall(root: Path, *, dry_run: bool) -> Iterator[str]:
    """Stop the service, remove its files, and say what stays and how that would go.

    Users stay as long as files are theirs: else the next user of the machine might get their numbers, and the images.
    Raises UsageError and PermanentError.
    """
    if os.geteuid() != 0 and root == ROOT and not dry_run:
        raise UsageError("only root can remove a service: sudo pacsnode uninstall (--dry-run shows what it would do)")
    known = record.read(root)
    if not known:
        raise UsageError(f"there is no {below(root, places.RECORD)}: nothing here was written by `pacsnode install`")
    if root == ROOT and not dry_run and below(root, places.SERVICE).exists():
        yield from systemctl("disable", "--now", places.SOCKET.name, places.SERVICE.name)
    for name, digest in known.items():
        yield _removed(below(root, Path(name)), name, digest, dry_run=dry_run)
    if not dry_run:
        below(root, places.RECORD).unlink()
        if root == ROOT:
            yield from systemctl("daemon-reload")
    yield ""
    yield f"Left as they are: {places.DATA} (images, ledger, results), {places.SETTINGS} (configuration, secrets),"
    yield f"the users {NODE} and {PLUGINS}, and the node's journal (/var/log/journal/*.pacsnode)."
    yield "When nobody needs them any more:"
    yield f"  rm -r {places.DATA} {places.SETTINGS}; userdel {PLUGINS}; userdel {NODE}"


def _removed(path: Path, name: str, digest: str, *, dry_run: bool) -> str:
    found = record.current(path)
    if found is None:
        return f"{name} is gone already"
    if record.digest(found) != digest:
        return f"{name} was changed by a person and is left as it is"
    if dry_run:
        return f"would remove {name}"
    try:
        path.unlink()
    except OSError as error:
        raise PermanentError(f"{path} cannot be removed: {error.strerror}") from error
    return f"removed {name}"
