"""The user that plugins run as, and the user namespace in which a guard can switch to it.

A guard makes a user namespace in which it is root, and in which there is one user more: the plugin's. A node that is
root maps every user as it is. A node that is not needs newuidmap(1), and a range of /etc/subuid and /etc/subgid. In
the namespace no further one can be made: a plugin, which has no capability, gets none by making one.

To the kernel the guard is still the node's user, and the plugin is another one: it can neither signal its guard nor
trace it, and has no right to anything that is the node's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "pacsnode-plugin"
"""The system user of plugins; `pacsnode install --users-only` makes it."""
SUB_USERS, SUB_GROUPS = Path("/etc/subuid"), Path("/etc/subgid")
_CLONE_NEWUSER = 0x10000000
_MOST_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
_TOOLS = ("newuidmap", "newgidmap")
_MAP_SECONDS = 20.0
_libc = ctypes.CDLL(None, use_errno=True)

IdentityMap = tuple[tuple[int, int, int], ...]
"""First number inside, first outside, how many: see user_namespaces(7)."""


class NoPluginUserError(Exception):
    """Plugins cannot run as another user than the node; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class PluginUser:
    """Who a plugin is, by the numbers of its user namespace."""

    uid: int
    gid: int
    users: IdentityMap
    groups: IdentityMap
    name: str
    """For people: as the machine calls it, or its number outside."""

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> PluginUser:
        """As `dataclasses.asdict` and JSON left it."""
        maps = {key: tuple(tuple(each) for each in plain[key]) for key in ("users", "groups")}
        return cls(**{**plain, **maps})

    def command(self, line: list[str]) -> list[str]:
        """A command line that runs another in the namespace, as its root."""
        return [sys.executable, "-I", "-m", __name__, *map(str, self._numbers()), "--", *line]

    def switch(self) -> list[str]:
        """What to put before a command, in the namespace, to run it as this user and without any capability."""
        ids = ["--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups"]
        none = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs"]
        return ["/usr/bin/setpriv", *ids, *none, "--"]

    def _numbers(self) -> Iterator[int]:
        yield from (self.uid, self.gid)
        for maps in (self.users, self.groups):
            yield len(maps)
            for each in maps:
                yield from each


def found() -> PluginUser:
    """The user for plugins of this machine; NoPluginUserError where there is none that this process can switch to."""
    return _as_root() if os.geteuid() == 0 else _by_sub_ids()


def _as_root() -> PluginUser:
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        raise NoPluginUserError(f"there is no user {NAME}: `pacsnode install --users-only` makes it") from None
    return of_root(entry.pw_uid, entry.pw_gid, NAME)


def of_root(uid: int, gid: int, name: str) -> PluginUser:
    """For a node that is root: every user is in the namespace, under its own number."""
    return PluginUser(uid, gid, _same("uid_map"), _same("gid_map"), name)


def _same(name: str) -> IdentityMap:
    """Each number that this process knows, mapped to itself: in a container these may be few."""
    lines = Path("/proc/self", name).read_text(encoding="ascii").splitlines()
    return tuple((int(first), int(first), int(count)) for first, _, count in map(str.split, lines))


def _by_sub_ids() -> PluginUser:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise NoPluginUserError(f"{missing[0]} is not installed (package uidmap), and a node without root needs it")
    try:
        me, group = pwd.getpwuid(os.geteuid()).pw_name, os.getegid()
    except KeyError:
        raise NoPluginUserError(f"the node's user {os.geteuid()} has no name") from None
    try:
        number = pwd.getpwnam(NAME).pw_uid
    except KeyError:
        number = -1
    uid, gid = (_sub_id(file, me, number) for file in (SUB_USERS, SUB_GROUPS))
    users = ((0, os.geteuid(), 1), (1, uid, 1))
    return PluginUser(1, 1, users, ((0, group, 1), (1, gid, 1)), NAME if uid == number else f"user {uid}")


def _sub_id(file: Path, me: str, best: int) -> int:
    """A number that `me` may use besides its own: the best one, else the first."""
    ranges = sub_ids(file, me, os.geteuid())
    if not ranges:
        raise NoPluginUserError(f"{file} has no line for {me}: as root, `pacsnode install --users-only` adds it")
    return best if any(best in each for each in ranges) else ranges[0].start


def sub_ids(file: Path, name: str, uid: int) -> list[range]:
    """The numbers that a user may use by /etc/subuid or /etc/subgid (subuid(5))."""
    found = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        owner, _, rest = line.partition(":")
        first, _, count = rest.partition(":")
        if owner in (name, str(uid)) and first.isdecimal() and count.isdecimal() and int(count):
            found.append(range(int(first), int(first) + int(count)))
    return found


def may_read(path: Path) -> bool:
    """Whether other users may read a file, or a folder: by its mode, or perhaps by an access control list."""
    mode = path.stat().st_mode
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
    return mode & needed == needed or "system.posix_acl_access" in os.listxattr(path)


def enter(user: PluginUser) -> None:
    """Become root of a new user namespace that has this user; OSError where the system refuses.

    The process must have one thread. Its user outside stays the same.
    """
    ready, begun = os.pipe()
    me = os.getpid()
    mapper = os.fork()
    if mapper == 0:
        os._exit(_mapped(me, user) if os.read(ready, 1) == b"x" else 1)
    os.close(ready)
    refused = _libc.unshare(_CLONE_NEWUSER) and ctypes.get_errno()
    os.write(begun, b"-" if refused else b"x")
    os.close(begun)
    status = os.waitstatus_to_exitcode(os.waitpid(mapper, 0)[1])
    if refused:
        raise OSError(refused, f"no user namespace can be made: {os.strerror(refused)}")
    if status:
        raise OSError(errno.EPERM, "the users of a namespace cannot be mapped")
    _MOST_NAMESPACES.write_text("0", encoding="ascii")


def _mapped(process: int, user: PluginUser) -> int:
    """Exit status of a child that gives the namespace of its parent its users."""
    try:
        if os.geteuid() == 0:
            for name, maps in (("gid_map", user.groups), ("uid_map", user.users)):
                text = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in maps)
                Path(f"/proc/{process}", name).write_text(text, encoding="ascii")
            return 0
        for tool, maps in zip(_TOOLS, (user.users, user.groups), strict=True):
            numbers = [str(number) for each in maps for number in each]
            subprocess.run([tool, str(process), *numbers], check=True, timeout=_MAP_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        os.write(2, f"{error}\n".encode())
        return 1
    return 0


def _read(arguments: list[str]) -> tuple[PluginUser, list[str]]:
    """What `PluginUser.command` wrote."""
    end = arguments.index("--")
    numbers = iter(map(int, arguments[:end]))
    uid, gid = next(numbers), next(numbers)
    users, groups = (tuple((next(numbers), next(numbers), next(numbers)) for _ in range(next(numbers))) for _ in "ug")
    return PluginUser(uid, gid, users, groups, NAME), arguments[end + 1 :]


def main() -> int:
    """Enter the namespace and become the other command."""
    user, line = _read(sys.argv[1:])
    try:
        enter(user)
        os.execvp(line[0], line)  # noqa: S606 - the node's own command line
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
