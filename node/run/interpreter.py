"""What a Python interpreter says of itself: its version, and the folders that it imports from."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

import node
from node.errors import PermanentError

_ASK = (
    "import json, platform, sys;"
    "print(json.dumps([platform.python_version(), list(sys.version_info[:2]), sys.prefix, sys.base_prefix, sys.path]))"
)
_ASK_SECONDS = 30.0
_OLDEST = [3, 11]
INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of the folders that packages are installed into."""


class InterpreterError(PermanentError):
    """It does not run, or is too old; the text begins with the manifest's key."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that was asked. Its folders exist; the checkout of a node under development is not among them."""

    version: str
    prefixes: tuple[Path, ...]
    """Of its environment and of the Python that this was made from."""
    imports_from: tuple[Path, ...]


def ask(path: Path) -> Interpreter:
    """What the interpreter says; raises InterpreterError.

    It is started again only where it, or the settings of its environment, are another file than before.
    """
    return _ask(path, _seen(path), _seen(path.parent.parent / "pyvenv.cfg"))


def lacks(asked: Interpreter, folder: Path, modules: Iterable[str]) -> list[str]:
    """Those of the modules that are in no folder it imports from, nor in the plugin's own. Nothing is imported."""
    places = [str(folder), *map(str, asked.imports_from)]
    return [name for name in modules if PathFinder.find_spec(name, places) is None]


def environment_of(program: Path) -> Interpreter | None:
    """The Python whose virtual environment a program is in, such as `venv/bin/python` or a command that was installed
    there; None where it is in none (PEP 405). Raises InterpreterError.
    """
    settings = program.parent.parent / "pyvenv.cfg"
    python = program.parent / "python"
    if not settings.is_file() or not python.exists():
        return None
    return _ask(python, _seen(python), _seen(settings), oldest=False)


def _seen(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


@cache
def _ask(
    path: Path, _program: tuple[int, int] | None, _settings: tuple[int, int] | None, *, oldest: bool = True
) -> Interpreter:
    try:
        answer = subprocess.run(
            [str(path), "-I", "-c", _ASK], capture_output=True, timeout=_ASK_SECONDS, check=True, text=True
        ).stdout
        version, numbers, prefix, base, paths = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        key = "runtime.interpreter" if oldest else "runtime.command"
        raise InterpreterError(f"{key}: {path} does not run: {error}") from error
    if oldest and numbers < _OLDEST:
        shown = ".".join(map(str, numbers))
        raise InterpreterError(f"runtime.interpreter: {path} is Python {shown}, but 3.11 or newer is needed")
    ours = Path(node.__file__).resolve().parent.parent
    found = {Path(entry): None for entry in paths if entry and Path(entry).is_dir()}
    if ours.name not in INSTALLED:  # a checkout; where pacsnode is installed, its packages are beside it
        found.pop(ours, None)
    return Interpreter(version, (Path(prefix), Path(base)), tuple(found))
