"""Who on this machine can read images and secrets, who can change what the node does, and what the disk gives away."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from node.config.loading import LoadedConfiguration
from node.config.models import Configuration
from node.desk.security.row import SecurityDocument, SecurityRow, SecuritySeverity

_GOOD, _NOTE = SecuritySeverity.GOOD, SecuritySeverity.NOTE
_WARNING, _CRITICAL = SecuritySeverity.WARNING, SecuritySeverity.CRITICAL
_BLOCKS = Path("/sys/dev/block")
_CRYPT = "CRYPT-"
"""How the device mapper's names of encrypted devices begin (dm-crypt)."""


def rows(loaded: LoadedConfiguration, document: SecurityDocument) -> Iterator[SecurityRow]:
    """The data folder, the configuration and all that it names, secrets, backups, the disk."""
    configuration = loaded.configuration
    yield from _data(configuration, document)
    yield from _changeable(loaded, document)
    yield from _inline(loaded, document)
    for problem in loaded.warnings:
        if "chmod 600" in problem.message:
            where = f"{problem.place.file}:{problem.place.line}"
            change = problem.message.rpartition(": ")[2]
            yield SecurityRow("secret", _CRITICAL, problem.message, where, problem.yaml_path, change)
    yield from _at_rest(configuration, document)


def _data(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    data, path = configuration.node.data, ("node", "data")
    try:
        found = data.stat()
    except OSError as error:
        yield document.row("data", _NOTE, f"{data}: {error.strerror}, so nobody's rights can be seen", path)
        return
    mode = stat.S_IMODE(found.st_mode)
    who = ", ".join(dict.fromkeys(["root", _user(found.st_uid), *(_members(found.st_gid) if mode & 0o070 else [])]))
    if mode & stat.S_IRWXO:
        said = f"every user of this machine can look into {data} (mode {mode:04o})"
        yield document.row("data", _CRITICAL, said, path, f"chmod 700 {data}")
    else:
        yield document.row("data", _GOOD, f"images, ledger and results can be read by {who} (mode {mode:04o})", path)
    said = f"commands that change something (retry, release, cancel, adopt, …) can be given by {who}; each is recorded"
    yield document.row("commands", _NOTE, said, path)
    if found.st_uid == 0:
        said = "the data folder is root's, so the node runs as root: a fault in it could touch all of this machine"
        yield document.row("user", _WARNING, said, path, "pacsnode install")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _members(gid: int) -> list[str]:
    try:
        return [f"group {grp.getgrgid(gid).gr_name}", *grp.getgrgid(gid).gr_mem]
    except KeyError:
        return [f"group {gid}"]


def _changeable(loaded: LoadedConfiguration, document: SecurityDocument) -> Iterator[SecurityRow]:
    """What decides and runs: whoever can write it can have any plugin run on any study."""
    open_to_all = []
    for each in dict.fromkeys([*loaded.files, *(path.parent for path in loaded.files)]):
        try:
            mode = each.stat().st_mode
        except OSError:
            continue
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            open_to_all.append(each)
    for each in open_to_all:
        said = f"every user of this machine can change {each}, and so what is run on images and where it is sent"
        yield document.row("configuration", _CRITICAL, said, (), f"chmod o-w {each}")
    if not open_to_all:
        owners = sorted({_user(each.stat().st_uid) for each in loaded.files if each.exists()})
        said = f"configuration, rules and manifests of plugins belong to {', '.join(owners)}"
        yield document.row("configuration", _GOOD, said, ())


def _inline(loaded: LoadedConfiguration, document: SecurityDocument) -> Iterator[SecurityRow]:
    """A variable that is written into the configuration may be a secret, and everybody may read that."""
    if not loaded.path.stat().st_mode & stat.S_IROTH:
        return
    for name, use in loaded.configuration.plugins.items():
        written = [variable for variable, value in use.allow.environment.items() if isinstance(value, str)]
        if written:
            said = f"{loaded.path} can be read by every user, and holds variables of {name}: {', '.join(written)}"
            path = ("plugins", name, "allow", "environment")
            yield document.row("secret", _WARNING, said, path, f"{{file: FILE}}, or chmod o-r {loaded.path}")


def _at_rest(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    data = configuration.node.data
    yield _disk("images, ledger and results", data, document, ("node", "data"))
    if configuration.backup is None:
        yield document.row("at rest", _NOTE, "the node makes no backups by itself", ("backup",))
    else:
        yield _disk("backups", configuration.backup.to, document, ("backup", "to"))


def _disk(what: str, folder: Path, document: SecurityDocument, path: tuple[str, ...]) -> SecurityRow:
    existing = next((each for each in (folder, *folder.parents) if each.exists()), Path("/"))
    if is_encrypted(existing, _BLOCKS):
        return document.row("at rest", _GOOD, f"{what} are on an encrypted disk ({folder})", path)
    said = f"the node does not encrypt {what}, and no encryption of the disk of {folder} is seen from here"
    return document.row("at rest", _WARNING, said, path, "put it on LUKS, or have the storage encrypt")


def is_encrypted(folder: Path, blocks: Path) -> bool:
    """Whether the disk of a folder, or one that it rests on, is an encrypted device. `blocks`: /sys/dev/block."""
    number = folder.stat().st_dev
    waiting = [blocks / f"{os.major(number)}:{os.minor(number)}"]
    while waiting:
        device = waiting.pop()
        with contextlib.suppress(OSError):  # no device of the mapper
            if (device / "dm" / "uuid").read_text().startswith(_CRYPT):
                return True
        slaves = device / "slaves"
        waiting += [each.resolve() for each in slaves.iterdir()] if slaves.is_dir() else []
    return False
