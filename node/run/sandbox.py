"""A plugin's own view of the machine, by bubblewrap: its folder, its interpreter, and nothing else.

In the sandbox a plugin has its own process, network, IPC and user namespaces, no capabilities and no
network interface; it sees the system's libraries, its interpreter and its own folder read-only, and
may write into `out/` and `scratch/` of its job. The data folder, the configuration, other users'
files and other processes are not there (case 74). /proc, /sys and /dev are read-only: the kernel's settings
belong to root, which a plugin of a node that runs as root still is to the kernel, without any capability (case 103).

Whether that works depends on the machine (user namespaces are often forbidden in containers), so it
is tried once, for real: a script in the sandbox looks whether it is so. Where it does not work, plugins run with
limits but unconfined, and `isolation` says so for `check` and `status`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from node.run import guard
from node.run.executor import Limits

_CONFINED = ("--unshare-user", "--unshare-all", "--cap-drop", "ALL", "--die-with-parent", "--new-session")
_WAYS = ((*_CONFINED, "--disable-userns"), _CONFINED)  # bubblewrap before 0.8 cannot forbid further namespaces
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ["alternatives", "fonts", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "nsswitch.conf"]
_ETC += ["passwd"]
_DEVICES = ("/dev/nvidia*", "/dev/dri", "/dev/kfd")  # a GPU hidden from its plugin would end as a deadline, hours later
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
_NOT_SO = 3


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A bubblewrap that was seen to work."""

    program: str
    options: tuple[str, ...]

    def wrap(
        self, command: Sequence[str], folder: Path, readable: Sequence[Path], hidden: Path, limits: Limits
    ) -> list[str]:
        """`command` in a sandbox around the job's `folder`.

        `readable` is what it needs besides the system; `hidden` is the data folder, which is covered even where it
        lies in something readable.
        """
        arguments = [self.program, *self.options, *_system()]
        # What lies in these is memory that no process is seen to have: bounded. TMPDIR is scratch/, on disk.
        arguments += ["--size", str(_TMP_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's, not ours
        arguments += ["--size", str(limits.memory_bytes), "--tmpfs", "/dev/shm"]  # noqa: S108 - the sandbox's
        inside = [path for path in (*readable, folder) if path.is_relative_to(hidden)]
        outside = [path for path in readable if path not in inside]
        for path in outside:
            arguments += ["--ro-bind", str(path), str(path)]
        if any(hidden.is_relative_to(path) for path in (*outside, *map(Path, _SYSTEM))):
            arguments += ["--tmpfs", str(hidden)]
        for path in inside:
            arguments += ["--ro-bind", str(path), str(path)]
        for name in ("out", "scratch"):
            arguments += ["--bind", str(folder / name), str(folder / name)]
        arguments += [*_READ_ONLY, "--chdir", str(folder / "scratch"), "--", *command]
        return arguments


def _system() -> list[str]:
    """What every program needs: libraries, a few files of /etc, /proc, /dev and the GPU's devices."""
    arguments = []
    for path in map(Path, _SYSTEM):
        if path.is_symlink():  # /lib → usr/lib, on systems with a merged /usr
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            arguments += ["--ro-bind", str(path), str(path)]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--ro-bind-try", "/sys", "/sys"]
    for pattern in _DEVICES:
        for device in sorted(Path("/").glob(pattern[1:])):
            arguments += ["--dev-bind", str(device), str(device)]
    return arguments


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the machine allows."""

    sandbox: Sandbox | None
    reason: str
    """Why there is none, or what it leaves open; empty where there is one that leaves nothing open."""

    @property
    def whole(self) -> bool:
        """Whether plugins are confined in every respect."""
        return self.sandbox is not None and not self.reason

    def __str__(self) -> str:
        """One line for `check` and `status`."""
        if self.sandbox and self.reason:
            return f"isolated only in part: in the sandbox, {self.reason} (bubblewrap)"
        if self.sandbox:
            return "isolated: plugins have no network and see only their own job (bubblewrap)"
        return (
            f"not isolated: plugins can read what the node's user can, and use the network ({self.reason}). "
            "Their time, memory, processes and disk are still limited"
        )


@cache
def isolation() -> Isolation:
    """What this machine allows, tried once in a process's life."""
    program = shutil.which("bwrap")
    return probe(program) if program else Isolation(None, "bubblewrap is not installed")


def probe(program: str) -> Isolation:
    """Try a bubblewrap, for real."""
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
            preexec_fn=guard.settle_child,  # two system calls; tried before there are threads
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    message = done.stdout.decode(errors="replace").strip()
    return done.returncode, (message or f"exit status {done.returncode}") if done.returncode else ""
