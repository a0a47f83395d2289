"""`[runtime]` of a manifest: what kind of thing a plugin is, how it is run, and what it may take."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from plugins import boxes, privileges, resources, services
from plugins.boxes import BoxUse
from plugins.exchanges import ExchangeForm
from plugins.manifest_table import ManifestTable
from plugins.onnx_session import CPU_PROVIDER
from plugins.privileges import NOTHING, Privileges
from plugins.resources import Resources
from plugins.services import ServiceUse

DEADLINE_SECONDS, LOADING_SECONDS, MEMORY_MB = 600, 300, 4096
ONNXRUNTIME = "onnxruntime"
ONNX_ENTRY = "onnx"
"""`Runtime.entry` of a model file: no class has this name, since it has no colon."""
_MOST = 10_000_000
"""Seconds or MB: beyond what any timer, machine or engine takes."""


class RuntimeKind(StrEnum):
    """How the plugin's process is started."""

    PYTHON = "python"
    """`plugins.worker` imports `entry` in a Python process."""
    COMMAND = "command"
    """A program that is started for each job."""
    CONTAINER = "container"
    """A container image, which podman or docker runs."""
    ONNX = "onnx"
    """A model file, which `plugins.worker` loads; no code."""
    DICOM = "dicom"
    """A vendor's box, which is sent images and sends objects back."""
    HTTP = "http"
    """A web service, which is asked by HTTP."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether nothing of it runs on this machine."""
        return self in (RuntimeKind.DICOM, RuntimeKind.HTTP)


class PatientIdentity(StrEnum):
    """What a plugin learns of who the patient is."""

    PSEUDONYM = "pseudonym"
    """Images and request with pseudonyms: see docs/plugins.md, "Whose images they are"."""
    FULL = "full"
    """The images as received."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """How to run it: `entry` ("module:Class", or `ONNX_ENTRY`) for workers, `command` for command."""

    kind: RuntimeKind
    entry: str = ""
    command: tuple[str, ...] = ()
    """Program and arguments; `{folder}` stands for the job's folder, `{plugin}` for the plugin's own.

    A relative program is in the plugin's folder. Of a container: the arguments of its entry point, in place of those
    that the image has."""
    image: str = ""
    """Of a container: the image by its digest, `sha256:…` or `NAME@sha256:…`."""
    exchange: ExchangeForm = ExchangeForm.PACSNODE
    user: tuple[int, int] | None = None
    """Of a container: the user and group that its program runs as, in numbers; None where that does not matter."""
    interpreter: str = ""
    """A Python ≥ 3.11 with the plugin's own packages (a relative path is in the plugin's folder); empty: the node's."""
    requires: tuple[str, ...] = ()
    """Modules that this Python has to have, by the names that they are imported by."""
    providers: tuple[str, ...] = ()
    """What computes in onnxruntime, as the site wants it; empty: as the plugin has it."""
    deadline_seconds: int = DEADLINE_SECONDS
    memory_mb: int = MEMORY_MB
    loading_seconds: int = LOADING_SECONDS  # of kind python, before the deadline begins
    identity: PatientIdentity = PatientIdentity.PSEUDONYM
    """What it needs where no rule says otherwise."""
    privileges: Privileges = NOTHING
    """What it asks for beyond its own job."""
    resources: Resources = field(default_factory=Resources)
    box: BoxUse | None = None
    """Of kind dicom."""
    service: ServiceUse | None = None
    """Of kind http."""

    @property
    def has_worker(self) -> bool:
        """Whether `plugins.worker` runs it, in a Python process that is kept between jobs."""
        return self.kind in (RuntimeKind.PYTHON, RuntimeKind.ONNX)

    @property
    def needs_examples(self) -> bool:
        """Whether it does not run without examples: preprocessing that is nearly right shows in nothing else."""
        return self.kind is RuntimeKind.ONNX

    @property
    def executable(self) -> str:
        """The interpreter to start for a worker."""
        return self.interpreter or sys.executable

    def with_providers(self, names: tuple[str, ...]) -> Runtime:
        """As a site has it computed; a GPU is asked for, or is not any more. ValueError where it uses no onnxruntime.

        Empty: as it is.
        """
        if not names:
            return self
        if ONNXRUNTIME not in self.requires:
            raise ValueError(f'it does not say that it uses {ONNXRUNTIME} (requires, or kind = "onnx")')
        resources, needs_gpu = self.resources, any(each != CPU_PROVIDER for each in names)
        if needs_gpu and not resources.needs_gpu:
            resources = replace(resources, gpu=True)
        elif not needs_gpu:
            resources = replace(resources, gpu=False, gpu_memory=0)
        return replace(self, providers=names, resources=resources, privileges=replace(self.privileges, gpu=needs_gpu))


def read(table: ManifestTable) -> Runtime:
    """The table `[runtime]` of a manifest; ManifestError."""
    asked, needed = privileges.read(table), resources.read(table.table("resources", {}))
    kind = table.member("kind", RuntimeKind, table.take("kind", str))
    runtime = Runtime(
        kind=kind,
        **_KEYS_OF[kind](table),
        deadline_seconds=table.take("deadline_seconds", int, _DEADLINES.get(kind, DEADLINE_SECONDS)),
        memory_mb=table.take("memory_mb", int, MEMORY_MB),
        identity=table.member("identity", PatientIdentity, table.take("identity", str, PatientIdentity.PSEUDONYM)),
        privileges=replace(asked, gpu=asked.gpu or needed.needs_gpu),
        resources=needed,
    )
    for key in ("deadline_seconds", "memory_mb", "loading_seconds"):
        if getattr(runtime, key) <= 0:
            raise table.error(key, "must be above zero")
        if getattr(runtime, key) > _MOST:
            raise table.error(key, f"must not be above {_MOST}")
    table.finish()
    return runtime


def _python(table: ManifestTable) -> dict[str, Any]:
    entry = table.take("entry", str)
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", entry):
        raise table.error("entry", f"{entry!r} is not module:Class")
    return {"entry": entry, "requires": _modules(table), **_worker(table)}


def _onnx(table: ManifestTable) -> dict[str, Any]:
    return {"entry": ONNX_ENTRY, "requires": (ONNXRUNTIME,), **_worker(table)}


def _worker(table: ManifestTable) -> dict[str, Any]:
    loading = table.take("loading_seconds", int, LOADING_SECONDS)
    return {"interpreter": table.take("interpreter", str, ""), "loading_seconds": loading}


def _modules(table: ManifestTable) -> tuple[str, ...]:
    names = table.texts("requires", [])
    for name in names:
        if not name.isidentifier():
            raise table.error("requires", f"{name!r} is not the name of a module, as in `import onnxruntime`")
    return names


def _command(table: ManifestTable) -> dict[str, Any]:
    command = table.texts("command")
    if not command:
        raise table.error("command", "is empty; give the program and its arguments")
    return {"command": command, "exchange": _not_mercure(table)}


def _not_mercure(table: ManifestTable) -> ExchangeForm:
    exchange = _exchange(table)
    if exchange.is_of_containers:
        raise table.error("exchange", f'"{exchange}" is for kind = "{RuntimeKind.CONTAINER}"')
    return exchange


def _exchange(table: ManifestTable) -> ExchangeForm:
    found: ExchangeForm = table.member("exchange", ExchangeForm, table.take("exchange", str, ExchangeForm.PACSNODE))
    return found


def _container(table: ManifestTable) -> dict[str, Any]:
    image = table.take("image", str)
    if not _PINNED.fullmatch(image):
        raise table.error(
            "image",
            f"{image!r} is not pinned by its digest: sha256:… as `pacsnode plugin load` says it, or NAME@sha256:…",
        )
    return {
        "image": image,
        "command": table.texts("command", []),
        "exchange": _exchange(table),
        "user": _user(table),
    }


def _user(table: ManifestTable) -> tuple[int, int] | None:
    text = table.take("user", str, "")
    if not text:
        return None
    match = _USER.fullmatch(text)
    if match is None or "0" in match.groups():
        raise table.error(
            "user", f'{text!r} is not a user and a group in numbers, such as "1000:1000"; 0 is root, who no plugin is'
        )
    return int(match[1]), int(match[2])


def _dicom(table: ManifestTable) -> dict[str, Any]:
    return {"box": boxes.read(table)}


def _http(table: ManifestTable) -> dict[str, Any]:
    return {"service": services.read(table), "exchange": _not_mercure(table)}


_PINNED = re.compile(r"(?:[A-Za-z0-9][\w.-]*(?::[0-9]+)?(?:/[\w.-]+)*@)?sha256:[0-9a-f]{64}", re.ASCII)
_USER = re.compile(r"(0|[1-9][0-9]{0,8}):(0|[1-9][0-9]{0,8})")
_KEYS_OF = {
    RuntimeKind.PYTHON: _python,
    RuntimeKind.COMMAND: _command,
    RuntimeKind.CONTAINER: _container,
    RuntimeKind.ONNX: _onnx,
    RuntimeKind.DICOM: _dicom,
    RuntimeKind.HTTP: _http,
}
"""The keys that a kind has beside those that all have."""
_DEADLINES = {RuntimeKind.DICOM: boxes.DEADLINE_SECONDS, RuntimeKind.HTTP: services.DEADLINE_SECONDS}
"""Of kinds that take longer than a program of this machine."""
