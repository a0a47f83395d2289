"""A plugin's own view of the machine, by bubblewrap: its folder, its interpreter, and nothing else.

In the sandbox a plugin has its own process, network, IPC and user namespaces, no capabilities and no
network interface; it sees the system's libraries, its interpreter and its own folder read-only, and
may write into `out/` and `scratch/` of its job. The data folder, the configuration, other users'
files and other processes are not there (case 74). /proc, /sys and /dev are read-only: the kernel's settings
belong to root (case 103).

There are two forms. *installed*: the plugin is another user than the node (`node.run.users`). *unprivileged*: to the
kernel it is the node's user still, also where that is root, without any capability.

Whether they work depends on the machine (user namespaces are often forbidden in containers), so they
are tried once, for real: a script in the sandbox looks whether it is so. Where none works, plugins run with
limits but unconfined, and `isolation` says so for `check` and `status`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from node.config.allowing import PluginIsolation
from node.run import inherited, users
from node.run.containers import engine
from node.run.containers.engine import Engine
from node.run.enclosure import BLOCK_FD, ENVIRONMENT_FD, HOSTS_FD
from node.run.executor import AttemptLimits
from node.run.users import NoPluginUserError, PluginUser
from plugins.privileges import NOTHING, Privileges

_AUTHORITIES = tuple(map(Path, ("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust")))
"""Whom TLS trusts: for a plugin that connects to something."""
_ENVIRONMENT, _HOSTS = Path("/run/pacsnode/environment"), Path("/etc/hosts")
_APART = (
    *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
    *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"),
    *("--die-with-parent", "--new-session"),
)
"""For a guard that is root in a user namespace: the capabilities that are left switch to the plugin's user."""
_CONFINED = ("--unshare-user", "--unshare-all", "--cap-drop", "ALL", "--die-with-parent", "--new-session")
_WAYS = ((*_CONFINED, "--disable-userns"), _CONFINED)  # bubblewrap before 0.8 cannot forbid further namespaces
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ["alternatives", "fonts", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "nsswitch.conf"]
_ETC += ["passwd"]
_GPUS = ("/dev/nvidia*", "/dev/dri", "/dev/kfd")
_TMP_BYTES = 64 * 2**20
_PROBE_SECONDS = 20.0
_READ_ONLY = ("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/")
_LOOKS = r"""
no() { echo "$1"; exit 3; }
for each in /proc/[0-9]*; do
    case ${each#/proc/} in 1 | $$) ;; *) no "other processes are visible" ;; esac
done
while read -r name _; do
    case $name in Inter-* | face* | lo:*) ;; *) no "there is a network interface, ${name%:*}" ;; esac
done </proc/net/dev
while read -r key value; do
    case $key in
        Cap*:) case $value in *[!0]*) no "capabilities are left ($key $value)" ;; esac ;;
        NoNewPrivs:) [ "$value" = 1 ] || no "new privileges are possible" ;;
    esac
done </proc/self/status
for each in /proc/sys/kernel/core_pattern /proc/sys/vm/overcommit_memory /proc/sysrq-trigger; do
    if [ -e "$each" ] && (: >>"$each") 2>/dev/null; then no "$each can be written"; fi
done
for each in / /usr /proc /sys /dev; do
    if (: >"$each/pacsnode-probe") 2>/dev/null; then no "$each can be written"; fi
done
"""
"""Run by /bin/sh in the sandbox: says the first thing that is not as it has to be, and ends with 3."""
_LOOKS_APART = (
    _LOOKS
    + r"""
while read -r key value _; do
    case $key in Uid: | Gid:) [ "$value" = 0 ] && no "it runs as the node's own user" ;; esac
done </proc/self/status
if unshare --user true 2>/dev/null; then no "further user namespaces are possible"; fi
"""
)
_NOT_SO = 3


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A bubblewrap that was seen to work."""

    program: str
    options: tuple[str, ...]
    user: PluginUser | None = None
    """Whom the plugin runs as; None is the node's own user."""

    def wrap(
        self,
        command: Sequence[str],
        folder: Path,
        readable: Sequence[Path],
        hidden: Path,
        limits: AttemptLimits,
        privileges: Privileges = NOTHING,
    ) -> list[str]:
        """`command` in a sandbox around the job's `folder`.

        `readable` is what it needs besides the system; `hidden` is the data folder, which is covered even where it
        lies in something readable.
        """
        arguments = [self.program, *self.options, *_system(), *_granted(privileges)]
        # What lies in these counts as memory (`node.run.memory_use`). The sizes are a second bound, beyond the one that
        # is watched, so that too much of it is seen and named. TMPDIR is scratch/, on disk.
        for place, size in (("/tmp", _TMP_BYTES), ("/dev/shm", 2 * limits.memory_bytes)):  # noqa: S108 - the sandbox's
            arguments += ["--perms", "1777", "--size", str(size), "--tmpfs", place]
        inside = [path for path in (*readable, folder) if path.is_relative_to(hidden)]
        outside = [path for path in readable if path not in inside]
        arguments += [*_parents(outside), *_bound(outside)]
        covered = any(hidden.is_relative_to(path) for path in (*outside, *map(Path, _SYSTEM)))
        if covered:
            arguments += ["--tmpfs", str(hidden)]
        arguments += [*_parents(inside), *_bound(inside)]
        for name in ("out", "scratch"):
            arguments += ["--bind", str(folder / name), str(folder / name)]
        if covered:
            arguments += ["--remount-ro", str(hidden)]
        switch = self.user.switch() if self.user else []
        with_variables = ["/bin/sh", "-c", f'. {_ENVIRONMENT}; exec "$@"', "sh"] if privileges.environment else []
        arguments += [*_READ_ONLY, "--chdir", str(folder / "scratch"), "--", *switch, *with_variables, *command]
        return arguments


def gpus() -> list[Path]:
    """The devices of the GPUs of this machine."""
    return [device for pattern in _GPUS for device in sorted(Path("/").glob(pattern[1:]))]


def _granted(privileges: Privileges) -> list[str]:
    """What a plugin gets beyond its own job, but for what it may read."""
    arguments = []
    if privileges.environment:
        arguments += [*_parents([_ENVIRONMENT]), "--perms", "0444"]
        arguments += ["--ro-bind-data", str(ENVIRONMENT_FD), str(_ENVIRONMENT)]
    if privileges.network:
        arguments += ["--perms", "0444", "--ro-bind-data", str(HOSTS_FD), str(_HOSTS), "--block-fd", str(BLOCK_FD)]
        arguments += [*_parents(_AUTHORITIES), *(word for each in _AUTHORITIES for word in _tried(each))]
    for device in gpus() if privileges.gpu else ():
        arguments += ["--dev-bind", str(device), str(device)]
    return arguments


def _parents(paths: Iterable[Path]) -> Iterator[str]:
    """Make the folders on the way to these, for everybody to pass: bubblewrap makes them for its own user alone."""
    above = {folder for path in paths for folder in path.parents} - {Path("/")}
    for folder in sorted(above):
        if not any(folder.is_relative_to(each) for each in _SYSTEM):
            yield from ("--perms", "0755", "--dir", str(folder))


def _tried(path: Path) -> tuple[str, str, str]:
    return "--ro-bind-try", str(path), str(path)


def _bound(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        yield from ("--ro-bind", str(path), str(path))


def _system() -> list[str]:
    """What every program needs: libraries, a few files of /etc, /proc and /dev."""
    arguments = []
    for path in map(Path, _SYSTEM):
        if path.is_symlink():  # /lib → usr/lib, on systems with a merged /usr
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            arguments += ["--ro-bind", str(path), str(path)]
    arguments += ["--perms", "0755", "--dir", "/etc"]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return [*arguments, "--proc", "/proc", "--dev", "/dev", "--ro-bind-try", "/sys", "/sys"]


@dataclass(frozen=True, slots=True)
class Isolation:
    """How plugins are confined: what the machine allows, and what the site says."""

    sandbox: Sandbox | None
    reason: str
    """Why there is none, or what it leaves open; empty where there is one that leaves nothing open."""
    same_user: str = ""
    """Why a plugin in the sandbox is the node's own user to the kernel, and what to do."""
    required: bool = False
    """A plugin that is not confined in every respect, as another user, does not run."""
    privileges: Privileges = NOTHING
    """What a plugin gets beyond its own job."""
    containers: str = engine.AUTO
    """What the site runs container images with."""
    engine: Engine | None = None
    """What runs a plugin that is a container image; its container is all its confinement."""

    @property
    def whole(self) -> bool:
        """Whether plugins are confined in every respect."""
        return self.engine is not None or (self.sandbox is not None and not self.reason)

    @property
    def apart(self) -> bool:
        """Whether they are another user than the node besides."""
        if self.engine is not None:
            return self.engine.apart
        return self.whole and self.sandbox is not None and self.sandbox.user is not None

    @property
    def refusal(self) -> str:
        """Why a plugin does not run, and what to do; empty where it may."""
        if not self.required or self.apart:
            return ""
        why = self.reason or self.same_user or "it would run as the node's own user"
        return f"isolation: required asks for more than this machine gives: {why}"

    def __str__(self) -> str:
        """One line for `check` and `status`."""
        if self.engine:
            return _in_container(self.engine, self.same_user)
        if self.sandbox and self.reason:
            return f"isolated only in part: in the sandbox, {self.reason} (bubblewrap)"
        if self.sandbox and self.sandbox.user:
            only = "have no network and see only their own job and what they are granted (bubblewrap)"
            return f"isolated: plugins run as {self.sandbox.user.name}, {only}"
        if self.sandbox:
            same = f"; they run as the same user as the node: {self.same_user}" if self.same_user else ""
            return (
                "isolated: plugins have no network and see only their own job and what they are granted (bubblewrap)"
                f"{same}"
            )
        return (
            f"not isolated: plugins can read what the node's user can, and use the network ({self.reason}). "
            "Their time, memory, processes and disk are still limited"
        )


def _in_container(found: Engine, same_user: str) -> str:
    kernel = {"memory": found.holds_memory, "processes": found.holds_processes, "processors": found.holds_processors}
    lacking = [name for name, held in kernel.items() if not held]
    parts = [f"isolated in a container ({found}): no network, no capability, a root that is read-only"]
    parts += [same_user] if same_user else []
    if lacking:
        rest = "; the guard ends what takes too much memory or too many processes" if not found.holds_memory else ""
        parts.append(f"limits for {', '.join(lacking)} are not held by the kernel here{rest}")
    return "; ".join(parts)


def as_set(found: Isolation, setting: PluginIsolation) -> Isolation:
    """What the machine allows, as the site wants it used."""
    if setting == "off":
        return Isolation(None, "isolation: off")
    return replace(found, required=setting == "required")


@cache
def isolation() -> Isolation:
    """What this machine allows, tried once in a process's life."""
    program = shutil.which("bwrap")
    if program is None:
        return Isolation(None, "bubblewrap is not installed")
    try:
        user = users.found()
    except NoPluginUserError as error:
        return replace(probe(program), same_user=str(error))
    apart = probe_as(program, user)
    return apart if apart.whole else replace(probe(program), same_user=f"as {user.name}, {apart.reason}")


def probe_as(program: str, user: PluginUser) -> Isolation:
    """Try a bubblewrap in which plugins are another user, for real."""
    script = ["/bin/sh", "-c", _LOOKS_APART]
    code, problem = _try(user.command([program, *_APART, *_system(), *_READ_ONLY, "--", *user.switch(), *script]))
    if code in (0, _NOT_SO):
        return Isolation(Sandbox(program, _APART, user), problem)
    return Isolation(None, f"bubblewrap does not work here: {problem}")


def probe(program: str) -> Isolation:
    """Try a bubblewrap as the node's own user, for real."""
    problem = ""
    for options in _WAYS:
        code, problem = _try([program, *options, *_system(), *_READ_ONLY, "--", "/bin/sh", "-c", _LOOKS])
        if code in (0, _NOT_SO):
            return Isolation(Sandbox(program, options), problem)
    return Isolation(None, f"bubblewrap does not work here: {problem}")


def _try(command: list[str]) -> tuple[int | None, str]:
    """The command's exit code, and what it says where that is not 0; no code where it cannot be run."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PROBE_SECONDS,
            env={},
            preexec_fn=inherited.settle_child,  # two system calls; tried before there are threads
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    message = done.stdout.decode(errors="replace").strip()
    return done.returncode, (message or f"exit status {done.returncode}") if done.returncode else ""
