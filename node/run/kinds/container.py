"""Plugins that are container images, run by podman or docker without a network and with a read-only root.

The engine is started by the guard, as the node's user, never in a plugin's confinement: the container is that. Its
image is pinned by its digest and is here already: nothing is fetched when a job runs. By which files it is spoken to,
its dialect says (`node.run.containers.dialects`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from node.errors import PermanentError
from node.run import process, users
from node.run.containers import dialects, engine
from node.run.containers.engine import Engine, EngineKind
from node.run.containers.line import check_path, command_line, user_of
from node.run.executor import AttemptLimits, Exit, ExitKind, ProcessWatch
from node.run.process import JobPlace
from node.run.sandbox import Isolation
from plugins.manifest import Manifest

_DEVICES = ("/etc/cdi", "/var/run/cdi")
"""Where the devices of this machine are described to engines (Container Device Interface)."""
_STEERING = re.compile(
    r"(LD_|GLIBC_|MALLOC_|GO|DOCKER_|_?CONTAINER|PODMAN_|STORAGE_|XDG_|BUILDAH_|REGISTRY_|DBUS_|LISTEN_|CNI_|NETAVARK|SSL_"
    r"|(NOTIFY_SOCKET|USER|LOGNAME|TMP|TEMP|SSH_AUTH_SOCK|(?i:(HTTP|HTTPS|FTP|ALL|NO)_PROXY))$)"
)
"""How variables begin, or are called, that would mean something to the engine, which hands them on: where its sockets
and images are, what it loads, and which descriptors and sockets (systemd's) it gives to a container.
"""


@dataclass(frozen=True)
class ContainerExecutor:
    """Runs one plugin in a container for each job."""

    manifest: Manifest
    work: Path
    isolation: Isolation
    engine: Engine

    def execute(self, folder: Path, limits: AttemptLimits, watch: ProcessWatch) -> Exit:
        """See `node.run.executor.Executor`."""
        folder = folder.resolve()
        try:
            dialects.DIALECTS[self.manifest.runtime.exchange].prepare(folder, self.manifest)
            line = command_line(self.engine, self.manifest, folder, limits, self.isolation.privileges)
        except (OSError, PermanentError) as error:
            return Exit(ExitKind.NOT_STARTED, detail=str(error))
        place = JobPlace(folder, logs=folder, hidden=self.work.parent)
        return process.run(line, place, limits, watch, self.isolation)


def confinement(manifest: Manifest, isolation: Isolation) -> Isolation:
    """See `node.run.kinds.registry.ConfinementOf`."""
    found = engine.found(isolation.containers)
    runtime, privileges = manifest.runtime, isolation.privileges
    _check_image(found, found.pinned(runtime.image), runtime.image)
    owner = user_of(found, runtime.user).owner
    if runtime.privileges.network:
        raise PermanentError(
            "runtime.network: a container has no network, and none can be granted to it: an engine starts the program "
            "before a relay to a service could listen; what calls a service is a plugin of kind command"
        )
    for name, _ in privileges.environment:
        if _STEERING.match(name):
            raise PermanentError(f"runtime.environment: {name} would steer {found.kind} itself")
    for path in privileges.readable:
        try:
            check_path(path)
        except PermanentError as error:
            raise PermanentError(f"runtime.readable: {error}") from error
        if owner and path.exists() and not users.may_read(path):
            raise PermanentError(f"runtime.readable: user {owner[0]} may not read {path}: chmod -R o+rX {path}")
    if privileges.gpu and not any(Path(each).is_dir() and any(Path(each).iterdir()) for each in _DEVICES):
        raise PermanentError(f"runtime.gpu: no GPU is described in {' or '.join(_DEVICES)}: nvidia-ctk cdi generate")
    return replace(isolation, sandbox=None, reason="", same_user=_same_user(found), engine=found)


def _check_image(found: Engine, image: engine.ContainerImage, reference: str) -> None:
    if image.volumes and found.kind is EngineKind.DOCKER:
        shown = ", ".join(image.volumes)
        raise PermanentError(
            f"runtime.image: {reference} has volumes ({shown}), which docker lets it write without a limit"
        )


def _same_user(found: Engine) -> str:
    """Why the program is the node's own user to the kernel; "" where it is not."""
    return "" if found.apart else f"{found} runs it as the node's own user, without any capability"


def executor(manifest: Manifest, work: Path, isolation: Isolation) -> ContainerExecutor:
    """See `node.run.kinds.registry.ExecutorOf`."""
    assert isolation.engine is not None, "its confinement was asked for first"
    return ContainerExecutor(manifest, work, isolation, isolation.engine)
