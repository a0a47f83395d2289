"""podman or docker, as it is found on this machine: what it holds of a container's limits, and which images it has.

Asked once in a process's life, since each question costs a tenth of a second. Nothing here runs a container.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from node.errors import PermanentError

AUTO = "auto"
"""As the site's `node.containers`: podman, else docker."""
SELINUX = Path("/sys/fs/selinux/enforce")
"""What it holds says whether SELinux enforces (selinux(8)); it is not there where the kernel has none."""
_SECONDS = 60.0
_LOAD_SECONDS = 3600.0
_KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "DBUS_SESSION_BUS_ADDRESS"),
    *("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
    *("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS"),
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"),
)
"""Of the node's own environment: where the engine keeps images, and how it is reached."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}
_PODMAN = "{{.Version.Version}}|{{.Host.Security.Rootless}}|{{.Host.CgroupsVersion}}|{{.Host.CgroupControllers}}"
_DOCKER = "{{.ServerVersion}}|{{.SecurityOptions}}|{{.MemoryLimit}}|{{.PidsLimit}}|{{.CPUCfsQuota}}"


class EngineError(PermanentError):
    """The engine cannot be used, or did not do what it was asked; the message says why."""


class EngineKind(StrEnum):
    """The engines whose options are known here."""

    PODMAN = "podman"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """An image that the engine has."""

    id: str
    """`sha256:…`, as the engine calls it."""
    volumes: tuple[str, ...]
    """Places in it for which docker makes a folder of its own in each container."""
    architecture: str


@dataclass(frozen=True, slots=True)
class Engine:
    """One that answered."""

    kind: EngineKind
    program: str
    version: str
    rootless: bool
    """To the kernel, root of its containers is the user that the node runs as."""
    holds_memory: bool = True
    """Whether a limit that it is given for memory is held by the kernel; else the guard alone watches it."""
    holds_processes: bool = True
    holds_processors: bool = True

    @property
    def apart(self) -> bool:
        """Whether what runs in its containers is another user than the node."""
        return not self.rootless and os.geteuid() == 0

    def __str__(self) -> str:
        """As people call it."""
        return f"{self.kind} {self.version}{', rootless' if self.rootless else ''}"

    def image(self, reference: str) -> ContainerImage | None:
        """The image of this digest or name; None where it is not here. Raises EngineError."""
        done = call([self.program, "image", "inspect", reference])
        if done.returncode:
            if "no such" in done.stderr.lower() or "not known" in done.stderr.lower():
                return None
            raise EngineError(f"{self.kind}: {_last_line(done.stderr)}")
        try:
            found: Mapping[str, Any] = json.loads(done.stdout)[0]
            number = str(found["Id"]).removeprefix("sha256:")
            volumes = (found.get("Config") or {}).get("Volumes") or {}
            return ContainerImage(f"sha256:{number}", tuple(sorted(volumes)), str(found.get("Architecture", "")))
        except (ValueError, LookupError, TypeError) as error:
            raise EngineError(f"{self.kind}: what it says of the image {reference} cannot be read") from error

    def pinned(self, reference: str) -> ContainerImage:
        """The image of a manifest. EngineError where it is not here, is another one, or is for another machine."""
        found = self.image(reference)
        if found is None:
            raise EngineError(f"runtime.image: {reference} is not here ({self}){self._instead(reference)}")
        here = _ARCHITECTURES.get(platform.machine(), platform.machine())
        if found.architecture and found.architecture != here:
            raise EngineError(f"runtime.image: {reference} is for {found.architecture}, and this machine is {here}")
        return found

    def _instead(self, reference: str) -> str:
        name = reference.partition("@")[0]
        other = self.image(name) if "@" in reference else None
        if other is None:
            return ": load it with `pacsnode plugin load ARCHIVE`; no image is fetched from a registry"
        return f": {name} is here with another digest, {other.id}"

    def load(self, archive: Path) -> str:
        """Take over the image of an archive: its id. Raises EngineError, also for an archive that is damaged."""
        done = call([self.program, "load", "--input", str(archive)], _LOAD_SECONDS)
        if done.returncode:
            raise EngineError(f"{archive}: {self.kind} refuses it: {_last_line(done.stderr)}")
        named = [
            line.rpartition(": ")[2].strip() for line in done.stdout.splitlines() if line.startswith("Loaded image")
        ]
        names = [each for line in named for each in line.split(",")]
        found = self.image(names[-1]) if names else None
        if found is None:
            raise EngineError(f"{archive}: {self.kind} does not say which image it loaded")
        return found.id


def selinux_enforces() -> bool:
    """Whether SELinux would keep a container from its attempt's files, which have the labels of the data folder."""
    try:
        return SELINUX.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False


def environment() -> dict[str, str]:
    """What the engine's own program gets of the node's environment."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


@cache
def found(setting: str) -> Engine:
    """The engine that the site names, or podman, else docker. EngineError where none can be used.

    `setting`: `auto`, `podman`, `docker`, or the absolute path of such a program.
    """
    names = list(EngineKind) if setting == AUTO else [setting]
    problems = []
    for name in names:
        program = shutil.which(name)
        if program is None:
            problems.append(f"{name} is not installed")
            continue
        try:
            return _asked(EngineKind(Path(name).name), program)
        except EngineError as error:
            problems.append(str(error))
    raise EngineError(f"there is nothing to run containers with: {'; '.join(problems)}")


def _asked(kind: EngineKind, program: str) -> Engine:
    is_podman = kind is EngineKind.PODMAN
    done = call([program, "info", "--format", _PODMAN if is_podman else _DOCKER])
    fields = done.stdout.strip().split("|")
    if done.returncode or len(fields) != (4 if is_podman else 5) or not fields[0]:
        raise EngineError(f"{kind} does not work here: {_last_line(done.stderr) or done.stdout.strip()}")
    if is_podman:
        version, rootless, groups, controllers = fields
        held = set(controllers.strip("[]").split()) if groups == "v2" else set()
        holds = [rootless != "true" or each in held for each in ("memory", "pids", "cpu")]
        return Engine(kind, program, version, rootless == "true", *holds)
    version, options, *limits = fields
    return Engine(kind, program, version, "rootless" in options, *(each == "true" for each in limits))


def call(command: Sequence[str], seconds: float = _SECONDS) -> subprocess.CompletedProcess[str]:
    """Have the engine's program do something; EngineError where it cannot be run, or does not end."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{command[0]} does not work here: {error}") from error


def _last_line(text: str) -> str:
    """What a program says at its end, without the word that it begins with."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else ""
