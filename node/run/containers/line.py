"""The command line by which a container is run, and the user that its program is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.errors import PermanentError
from node.run import users
from node.run.containers import dialects, engine
from node.run.containers.engine import Engine, EngineKind
from node.run.containers.order import ContainerOrder, label_of
from node.run.executor import AttemptLimits
from node.run.inherited import OOM_SCORE
from node.run.kinds.nifti_program import filled, parameters_of, words_of
from node.run.process import CommandLine
from node.run.users import NoPluginUserError
from plugins import exchange
from plugins.manifest import Manifest
from plugins.privileges import Privileges

_NOBODY = 65534
_MORE_PROCESSES, _MORE_BYTES = 64, 64 * 2**20
"""Beyond the limits that the guard watches, so that it sees and names what went beyond them."""
_NET_SECONDS = 600
"""How much longer than the deadline podman lets a container live that nobody ends: a net below all others."""
_SCRATCH = "/tmp"  # noqa: S108 - of the container
_HARD = (
    *("--pull=never", "--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"),
    *("--ipc=private", "--log-driver=none", "--no-healthcheck", "--hostname=plugin"),
    f"--oom-score-adj={OOM_SCORE}",
)
_UNLABELLED = "--security-opt=label=disable"
"""Where SELinux enforces. The other way, to relabel what is mounted (`:z`), would change the labels of the data folder
and of folders of the site for good, which podman-run(1) advises against."""
_NOT_IN_MOUNTS = re.compile(r"""[,"\x00-\x1f\x7f]""")
_PODMAN = ("--read-only-tmpfs=false", "--image-volume=ignore", "--systemd=false", "--http-proxy=false")


@dataclass(frozen=True, slots=True)
class ContainerUser:
    """Who the program in a container is."""

    options: tuple[str, ...]
    """Of the engine."""
    owner: tuple[int, int] | None = None
    """Whom its files are handed over to; None where it is, to the kernel, the node's own user."""


def user_of(found: Engine, wanted: tuple[int, int] | None) -> ContainerUser:
    """The user that a manifest wants, or one without a right to anything; PermanentError where that is not possible.

    Root of a container that is run without root is the node's user: what it writes is the node's, and it has no
    capability. Otherwise a node that is root hands the files over, and one that is not runs it as its own user.
    """
    if found.rootless and wanted is None:
        return ContainerUser(("--user=0:0",))
    if found.rootless and found.kind is EngineKind.PODMAN:
        assert wanted is not None
        uid, gid = wanted
        return ContainerUser((f"--userns=keep-id:uid={uid},gid={gid}", f"--user={uid}:{gid}"))
    if os.geteuid() == 0 and not found.rootless:
        owner = wanted or _without_rights()
        return ContainerUser((f"--user={owner[0]}:{owner[1]}",), owner)
    mine = os.geteuid(), os.getegid()
    if wanted not in (None, mine) or found.rootless:
        raise PermanentError(f"runtime.user: {found} of a node that is not root can run it as its own user only")
    return ContainerUser((f"--user={mine[0]}:{mine[1]}",))


def _without_rights() -> tuple[int, int]:
    """The user that plugins run as here, else the one that owns nothing."""
    try:
        found = users.found()
    except NoPluginUserError:
        return _NOBODY, _NOBODY
    return found.uid, found.gid


def command_line(
    found: Engine, manifest: Manifest, folder: Path, limits: AttemptLimits, privileges: Privileges
) -> CommandLine:
    """What runs a manifest's image on the folder of an attempt, `work/JOB/ATTEMPT`; PermanentError."""
    runtime, dialect = manifest.runtime, dialects.DIALECTS[manifest.runtime.exchange]
    user = user_of(found, runtime.user)
    order = ContainerOrder(found.kind, found.program, str(folder), runtime.exchange, user.owner)
    arguments = [
        *(found.program, "run", f"--name={order.name}", f"--label={label_of(folder.parent.parent)}", *_HARD),
        *((_UNLABELLED,) if engine.selinux_enforces() else ()),
        *_of_engine(found, order, limits),
        *user.options,
        *_limits(found, limits, runtime.resources.cpus),
        *_mounts(folder, dialect, privileges),
        *(f"--env={name}={value}" for name, value in _environment(dialect).items()),
        *(f"--env={name}" for name, _ in privileges.environment),  # the values are in the engine's own environment
        *((f"--device=nvidia.com/gpu={limits.gpu or 'all'}",) if privileges.gpu else ()),
        runtime.image,
        *_command(manifest, dialect, folder),
    ]
    return CommandLine(arguments, engine.environment(), readable=(), container=order, says_when=manifest.nifti is None)


def _command(manifest: Manifest, dialect: dialects.Dialect, folder: Path) -> Iterator[str]:
    words = {"{folder}": dialect.folder}
    if manifest.nifti is not None:
        folders = dialect.inside(exchange.IN), dialect.inside(exchange.OUT)
        words |= words_of(manifest.nifti, *folders, parameters_of(folder))
    return (filled(each, words) for each in manifest.runtime.command)


def _of_engine(found: Engine, order: ContainerOrder, limits: AttemptLimits) -> Iterator[str]:
    if found.kind is EngineKind.PODMAN:
        yield from _PODMAN
        yield f"--pidfile={order.pid_file}"
        yield f"--timeout={int(limits.deadline_seconds) + _NET_SECONDS}"


def _limits(found: Engine, limits: AttemptLimits, cpus: float) -> Iterator[str]:
    """Those that the kernel holds here; the guard watches memory and processes in any case."""
    yield f"--shm-size={limits.memory_bytes}"
    if found.holds_memory:
        most = limits.memory_bytes + _MORE_BYTES
        yield from (f"--memory={most}", f"--memory-swap={most}")
    if found.holds_processes:
        yield f"--pids-limit={limits.processes + _MORE_PROCESSES}"
    if found.holds_processors and cpus:
        yield f"--cpus={cpus:g}"


def _mounts(folder: Path, dialect: dialects.Dialect, privileges: Privileges) -> Iterator[str]:
    places = (dialects.MountedPlace("scratch", _SCRATCH, is_writable=True), *dialect.places)
    for each in sorted(places, key=lambda place: place.inside):  # what lies in another one comes after it
        yield _mount(folder / each.source, each.inside, is_writable=each.is_writable)
    for path in privileges.readable:
        yield _mount(path, str(path), is_writable=False)


def check_path(path: Path) -> None:
    """PermanentError for a path that an engine takes for something else: it reads a mount as a row of CSV."""
    if _NOT_IN_MOUNTS.search(str(path)):
        raise PermanentError(
            f"{str(path)!r}: a container cannot be given a path with a comma, a quotation mark or a control character"
        )


def _mount(source: Path, inside: str, *, is_writable: bool) -> str:
    check_path(source)
    return f"--mount=type=bind,source={source},destination={inside}{'' if is_writable else ',readonly'}"


def _environment(dialect: dialects.Dialect) -> dict[str, str]:
    return {"HOME": _SCRATCH, "TMPDIR": _SCRATCH, **dialect.environment}
