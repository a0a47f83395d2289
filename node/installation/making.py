"""`pacsnode install`: users, folders, units and the journal of a node that is a service."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from node.config import loading
from node.config.models import Configuration
from node.errors import PermanentError, UsageError
from node.installation import places, record, units
from node.installation.manager import systemctl
from node.installation.places import InstalledFolder, below
from node.installation.units import InstalledFile
from node.run.users import NAME as PLUGINS
from node.serve import users
from node.serve.users import NODE

ROOT = Path("/")
_HOMES = tuple(Path("/", each) for each in ("home", "root", "run/user"))
"""What ProtectHome= hides."""


def install(root: Path, *, dry_run: bool) -> Iterator[str]:
    """Do it, and say of each thing whether it was made, was there, or was left alone because a person changed it.

    `root`: the machine, or a folder with a system that is being built; users and owners belong to the machine alone.
    Raises UsageError, ConfigurationError and PermanentError before anything is made, or where the system refuses.
    """
    if os.geteuid() != 0 and root == ROOT and not dry_run:
        raise UsageError("only root can install a service: sudo pacsnode install (--dry-run shows what it would do)")
    program = places.program()
    config = below(root, places.CONFIG)
    configuration = loading.load(config) if config.exists() else None
    wanted = list(units.wanted(configuration, program, apparmor=places.APPARMOR_SWITCH.exists()))
    yield from _reachable(program)
    if root != ROOT:
        yield "users and owners: not below another root; on the machine itself, `pacsnode install` makes them"
    elif dry_run:
        yield f"would make the users {NODE} and {PLUGINS}, and let {NODE} use the number of the other one"
    else:
        yield from users.make()
    for folder in places.FOLDERS:
        yield _folder(root, folder, dry_run=dry_run)
    known = record.read(root)
    for file in wanted:
        yield from _file(root, file, known, dry_run=dry_run)
    if not dry_run:
        record.write(root, known)
        if root == ROOT:
            yield from systemctl("daemon-reload")
    yield from _next(configuration)


def _reachable(program: Path) -> Iterator[str]:
    """Whether the service could run this program."""
    real = program.resolve()
    for each in (program, real):
        if home := next((home for home in _HOMES if each.is_relative_to(home)), None):
            yield f"CAUTION: the service cannot see {each}, because nothing in {home} is there for it: install in /opt"
            return
    closed = next((each for each in real.parents if not each.stat().st_mode & stat.S_IXOTH), None)
    if not real.exists():
        yield f"CAUTION: there is no program {program}"
    elif closed is not None:
        yield f"CAUTION: the user {NODE} cannot reach {program}: chmod o+x {closed}"


def _folder(root: Path, folder: InstalledFolder, *, dry_run: bool) -> str:
    path, said = below(root, folder.path), f"{folder.path} ({folder.owner}:{folder.group}, {folder.mode:04o})"
    if path.is_dir():
        return f"folder {said} is there" if _is_so(path, folder, root) else _mended(path, folder, root, dry_run=dry_run)
    if dry_run:
        return f"would make the folder {said}"
    try:
        path.mkdir(parents=True)
        _put_right(path, folder, root)
    except OSError as error:
        raise PermanentError(f"{path} cannot be made: {error.strerror}") from error
    return f"made the folder {said}"


def _is_so(path: Path, folder: InstalledFolder, root: Path) -> bool:
    """Nobody has more rights than is wanted, and the owner is right."""
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & ~folder.mode:
        return False
    try:
        owned = pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        return root != ROOT
    return root != ROOT or owned == (folder.owner, folder.group)


def _mended(path: Path, folder: InstalledFolder, root: Path, *, dry_run: bool) -> str:
    said = f"{folder.path} to {folder.owner}:{folder.group}, {folder.mode:04o}"
    if dry_run:
        return f"would set {said}"
    _put_right(path, folder, root)
    return f"set {said}"


def _put_right(path: Path, folder: InstalledFolder, root: Path) -> None:
    if root == ROOT:
        os.chown(path, pwd.getpwnam(folder.owner).pw_uid, grp.getgrnam(folder.group).gr_gid)
    path.chmod(folder.mode)


def _file(root: Path, file: InstalledFile, known: dict[str, str], *, dry_run: bool) -> Iterator[str]:
    path, name = below(root, file.path), str(file.path)
    found = record.current(path)
    if found == file.text:
        known[name] = record.digest(file.text)
        yield f"{name} is as it is to be"
    elif found is not None and known.get(name) != record.digest(found):
        rest = ". It would be:" if dry_run else " (see --dry-run)"
        yield f"{name} was changed by a person and is left as it is{rest}"
        yield from _shown(file.text) if dry_run else ()
    elif dry_run:
        yield f"would write {name}:"
        yield from _shown(file.text)
    else:
        record.write_file(path, file.text)
        known[name] = record.digest(file.text)
        yield f"wrote {name}" if found is None else f"wrote {name} again, as it is to be now"


def _shown(text: str) -> Iterator[str]:
    return (f"    {line}" for line in text.splitlines())


def _next(configuration: Configuration | None) -> Iterator[str]:
    yield ""
    yield "Next:"
    if places.APPARMOR_SWITCH.exists():
        yield "  systemctl reload apparmor      (plugins are confined by user namespaces, which its profile allows)"
    if configuration is None:
        yield f"  pacsnode init --config {places.CONFIG} --port 104"
    yield f"  pacsnode check --security --config {places.CONFIG}"
    yield "  systemctl enable --now pacsnode.socket pacsnode.service"
    yield f"  sudo -u {NODE} pacsnode doctor --config {places.CONFIG}"
    yield "  journalctl --namespace=pacsnode -f"
