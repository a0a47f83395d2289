"""An ONNX model, opened with onnxruntime as a plugin has to: within its processors, and the same each time.

onnxruntime is an extra of the node (`pacsnode[onnx]`) and is loaded here alone, when a model is opened: in the process
of a plugin, never in the node.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plugins.resources import THREAD_VARIABLES

if TYPE_CHECKING:
    from onnxruntime import InferenceSession as InferenceSession  # whoever names its type takes it from here

INSTALL = "pip install 'pacsnode[onnx]'"
CPU_PROVIDER = "CPUExecutionProvider"
PROVIDERS_VARIABLE = "PACSNODE_ONNX_PROVIDERS"
"""In the environment of a plugin: the providers that the site wants, in place of the plugin's own."""
_SILENT = 4
"""Severity from which on onnxruntime prints: what is wrong is raised as well, and models have names of any kind."""


class ModelError(Exception):
    """A model that cannot be used here. The message is for the admin, and says nothing of any image."""


def open_session(
    path: Path, threads: int | None = None, providers: Sequence[str] = (CPU_PROVIDER,)
) -> InferenceSession:
    """Load the model of a file (and the files of weights that it names, in the same folder).

    `threads`: at most; None is what the job was given, one where its plugin.toml says nothing of processors.
    `providers`: what computes, the best first, by onnxruntime's names, where the site does not say it; the first one
    has to be here. On a processor the same input gives the same output.

    Raises `ModelError` where onnxruntime or a provider is missing, or the file is no model that it can run.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"onnxruntime is not installed: {INSTALL}") from error
    providers = os.environ.get(PROVIDERS_VARIABLE, "").split() or providers
    _require_providers(providers, onnxruntime.get_available_providers())
    if not path.is_file():
        raise ModelError(f"there is no file {path.name}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given_threads() if threads is None else threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = False  # it keeps the most that any job took, for as long as the process is warm
    options.log_severity_level = _SILENT
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others want the processors meanwhile
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:
        raise ModelError(f"{path.name} is no model that onnxruntime can run: {_reason(error)}") from error
    if session.get_providers()[0] != providers[0]:  # onnxruntime goes on with the next one, and only prints why
        raise ModelError(f"{providers[0]} could not be started here: its driver or one of its libraries is missing")
    session.disable_fallback()
    return session


def computed(
    session: InferenceSession, names: Sequence[str], given: Mapping[str, NDArray[np.generic]]
) -> list[NDArray[np.generic]]:
    """The outputs of these names, in their order; `ModelError` where the model cannot compute them."""
    try:
        return [np.asarray(each) for each in session.run(list(names), dict(given))]
    except Exception as error:
        raise ModelError(f"the model could not compute its outputs: {_reason(error)}") from error


def given_threads() -> int:
    """How many threads a job may compute with: what its environment says (`cpus` of its plugin), else one."""
    said = os.environ.get(THREAD_VARIABLES[0], "")
    return min(max(int(said), 1), len(os.sched_getaffinity(0))) if said.isdecimal() else 1


def _require_providers(wanted: Sequence[str], available: Sequence[str]) -> None:
    if not wanted:
        raise ModelError("providers: none is named")
    for provider in wanted:
        if provider not in available:
            here = ", ".join(available)
            raise ModelError(f"provider {provider} is not in the onnxruntime that is installed; it has {here}")


def _reason(error: Exception) -> str:
    """What onnxruntime says, in one line without its own source's places."""
    text = " ".join(str(error).split())
    return text.rpartition(" : ")[2][:400] or "no reason is given"
