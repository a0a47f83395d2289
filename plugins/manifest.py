"""`plugin.toml`: who an algorithm is, how it is run, what it may return and which parameters it takes.

A mistake in it is found when the node starts (or by `pacsnode check`), with file, line and key.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from plugins.contract import AlgorithmIdentity, Code, ContractError, Result
from plugins.encoding import did_you_mean

MANIFEST = "plugin.toml"
SCHEMA = 1
DEADLINE_SECONDS = 600
MEMORY_MB = 4096

ParameterValue = bool | int | float | str


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names file, line and key."""


class ParameterError(ValueError):
    """A parameter's value that the plugin's manifest does not allow; the message names the parameter."""


class RuntimeKind(StrEnum):
    """How the plugin's process is started."""

    PYTHON = "python"
    """`plugins.worker` imports `entry` in a Python process."""
    COMMAND = "command"
    """A program that reads request.json and writes out/result.json itself."""


class Output(StrEnum):
    """The parts of a `Result` that a plugin may fill, named as there."""

    FINDINGS = "findings"
    SEGMENTATION = "segmentation"
    HEATMAPS = "heatmaps"
    KEY_IMAGES = "key_images"
    PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class Runtime:
    """How to run it: `entry` ("module:Class") for python, `command` for command."""

    kind: RuntimeKind
    entry: str = ""
    command: tuple[str, ...] = ()
    """Program and arguments; `{folder}` stands for the job's folder. A relative program is in the plugin's folder."""
    interpreter: str = ""
    """A Python ≥ 3.11 with the plugin's own packages (a relative path is in the plugin's folder); empty: the node's."""
    deadline_seconds: int = DEADLINE_SECONDS
    memory_mb: int = MEMORY_MB

    @property
    def executable(self) -> str:
        """The interpreter to start for kind python."""
        return self.interpreter or sys.executable


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting that a rule may give: its type is that of its default."""

    name: str
    default: ParameterValue
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def accept(self, value: object) -> ParameterValue:
        """`value` as this parameter takes it; raises `ParameterError`."""
        wanted = type(self.default)
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not wanted:
            raise ParameterError(f"parameter {self.name!r}: expected {_TYPE_NAMES[wanted]}, got {value!r}")
        assert isinstance(value, bool | int | float | str)
        if isinstance(value, str) and self.choices and value not in self.choices:
            raise ParameterError(
                f"parameter {self.name!r}: {value!r} is none of {', '.join(self.choices)}"
                f"{did_you_mean(value, self.choices)}"
            )
        if not isinstance(value, str):
            self._check_bounds(value)
        return value

    def _check_bounds(self, value: float) -> None:
        if value != value or (self.minimum is not None and value < self.minimum):
            raise ParameterError(f"parameter {self.name!r}: {value} is below {self.minimum}")
        if self.maximum is not None and value > self.maximum:
            raise ParameterError(f"parameter {self.name!r}: {value} is above {self.maximum}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A plugin as its plugin.toml describes it."""

    folder: Path
    identity: AlgorithmIdentity
    runtime: Runtime
    outputs: tuple[Output, ...]
    concepts: tuple[Code, ...]
    """Every code that its findings, scores and measurements may have."""
    parameters: tuple[Parameter, ...] = ()

    def parameters_for(self, given: Mapping[str, object]) -> dict[str, ParameterValue]:
        """All parameters: the given ones, checked, and the defaults of the rest; raises `ParameterError`."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise ParameterError(
                    f"parameter {name!r}: {self.identity.name} has no such parameter{did_you_mean(name, known)}"
                )
        return {
            name: parameter.accept(given[name]) if name in given else parameter.default
            for name, parameter in known.items()
        }

    def identity_with(self, parameters: Mapping[str, ParameterValue]) -> AlgorithmIdentity:
        """The algorithm's identity with the parameters of one job, as text, in the manifest's order."""
        shown = tuple((name, _shown(value)) for name, value in parameters.items())
        return replace(self.identity, parameters=shown)

    def undeclared(self, result: Result) -> list[str]:
        """What the result holds that the manifest does not announce, in words; empty means that all is announced."""
        problems = [
            f"it returned {output.value}, which {MANIFEST} does not list in outputs"
            for output in Output
            if getattr(result, output.value) and output not in self.outputs
        ]
        known = {(code.value, code.scheme) for code in self.concepts}
        problems += [
            f"it returned {code.meaning!r} ({code.value}, {code.scheme}), which {MANIFEST} does not list in concepts"
            for code in _codes(result)
            if (code.value, code.scheme) not in known
        ]
        return list(dict.fromkeys(problems))


def _codes(result: Result) -> list[Code]:
    codes = []
    for finding in result.findings:
        codes.append(finding.code)
        codes += [measurement.concept for measurement in finding.measurements]
        if finding.score and finding.score.concept:
            codes.append(finding.score.concept)
    return codes


def _shown(value: ParameterValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


_TYPE_NAMES: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


# --- reading -------------------------------------------------------------------------------------


def load(folder: Path) -> Manifest:
    """Read `plugin.toml` of a plugin's folder; raises `ManifestError`."""
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError (names line and column) and UnicodeDecodeError
        raise ManifestError(f"{path}: {error}") from error
    table = _Table(document, "", path, text)
    if table.take("schema", int) != SCHEMA:
        raise table.error("schema", f"expected {SCHEMA}, the version that this program understands")
    manifest = Manifest(
        folder=folder.resolve(),
        identity=_identity(table.table("identity"), folder),
        runtime=_runtime(table.table("runtime")),
        outputs=tuple(table.member("outputs", Output, name) for name in table.texts("outputs")),
        concepts=tuple(_code(entry) for entry in table.tables("concepts")),
        parameters=tuple(_parameter(name, entry) for name, entry in table.named_tables("parameters")),
    )
    table.finish()
    return manifest


@dataclass
class _Table:
    """One table of the document: hands out its keys, and complains with file, line and key."""

    values: dict[str, Any]
    place: str
    path: Path
    text: str
    taken: set[str] = field(default_factory=set)

    def error(self, key: str, problem: str) -> ManifestError:
        where = f"{self.place}.{key}".strip(".")
        line = _line(self.text, self.place, key)
        return ManifestError(f"{self.path}{f':{line}' if line else ''}: {where}: {problem}")

    def take(self, key: str, kind: type, default: Any = ...) -> Any:
        self.taken.add(key)
        if key not in self.values:
            if default is ...:
                raise self.error(key, "is missing")
            return default
        value = self.values[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.error(key, f"expected {_TOML_NAMES[kind]}, got {value!r}")
        return value

    def texts(self, key: str, default: Any = ...) -> tuple[str, ...]:
        values = self.take(key, list, default)
        if not all(isinstance(value, str) for value in values):
            raise self.error(key, "expected a list of texts")
        return tuple(values)

    def member(self, key: str, kind: type[StrEnum], name: str) -> Any:
        try:
            return kind(name)
        except ValueError:
            known = [member.value for member in kind]
            raise self.error(key, f"{name!r} is none of {', '.join(known)}{did_you_mean(name, known)}") from None

    def table(self, key: str, default: Any = ...) -> _Table:
        return _Table(self.take(key, dict, default), f"{self.place}.{key}".strip("."), self.path, self.text)

    def tables(self, key: str) -> list[_Table]:
        entries = self.take(key, list)
        if not entries or not all(isinstance(entry, dict) for entry in entries):
            raise self.error(key, f"expected one table [[{key}]] or more")
        return [_Table(entry, f"{key}[{index}]", self.path, self.text) for index, entry in enumerate(entries)]

    def named_tables(self, key: str) -> list[tuple[str, _Table]]:
        parent = self.table(key, {})
        return [(name, parent.table(name)) for name in parent.values]

    def finish(self) -> None:
        for key in self.values:
            if key not in self.taken:
                raise self.error(key, f"unknown key{did_you_mean(key, self.taken)}")


_TOML_NAMES: dict[type, str] = {**_TYPE_NAMES, list: "a list", dict: "a table"}


def _line(text: str, place: str, key: str) -> int | None:
    """Line on which a key stands (or else its table begins), found by reading the text as a person would."""
    table, wanted = re.sub(r"\[\d+\]", "", place), int(match[1]) if (match := re.search(r"\[(\d+)\]", place)) else 0
    current, seen, header = "", -1, None
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            current = match[1]
            seen += current == table
            if current in (table, f"{table}.{key}".strip(".")) and (seen == wanted or current != table):
                header = number
        elif current == table and (not table or seen == wanted) and re.match(rf'\s*"?{re.escape(key)}"?\s*=', line):
            return number
    return header


def _identity(table: _Table, folder: Path) -> AlgorithmIdentity:
    weights = table.texts("weights", ())
    arguments = {
        "name": table.take("name", str),
        "version": table.take("version", str),
        "manufacturer": table.take("manufacturer", str),
        "model_name": table.take("model_name", str, ""),
        "udi": table.take("udi", str, ""),
        "intended_use": table.take("intended_use", str),
        "weights_digest": _digest(table, folder, weights) if weights else "",
    }
    if "family" in table.values:
        arguments["family"] = _code(table.table("family"))
    table.finish()
    try:
        return AlgorithmIdentity(**arguments)
    except ContractError as error:
        raise table.error("name", str(error)) from error


def _digest(table: _Table, folder: Path, patterns: tuple[str, ...]) -> str:
    """SHA-256 over names and contents of all files that the patterns match."""
    root = folder.resolve()
    files: set[Path] = set()
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise table.error("weights", f"{pattern!r} leaves the plugin's folder")
        found = {path for path in root.glob(pattern) if path.is_file()}
        if not found:
            raise table.error("weights", f"{pattern!r} matches no file in {folder}")
        files |= found
    total = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{content}  {path.relative_to(root).as_posix()}\n".encode())
    return total.hexdigest()


def _runtime(table: _Table) -> Runtime:
    kind = table.member("kind", RuntimeKind, table.take("kind", str))
    runtime = Runtime(
        kind=kind,
        entry=table.take("entry", str) if kind is RuntimeKind.PYTHON else "",
        command=table.texts("command") if kind is RuntimeKind.COMMAND else (),
        interpreter=table.take("interpreter", str, "") if kind is RuntimeKind.PYTHON else "",
        deadline_seconds=table.take("deadline_seconds", int, DEADLINE_SECONDS),
        memory_mb=table.take("memory_mb", int, MEMORY_MB),
    )
    if kind is RuntimeKind.PYTHON and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", runtime.entry):
        raise table.error("entry", f"{runtime.entry!r} is not module:Class")
    if kind is RuntimeKind.COMMAND and not runtime.command:
        raise table.error("command", "is empty; give the program and its arguments")
    for key in ("deadline_seconds", "memory_mb"):
        if getattr(runtime, key) <= 0:
            raise table.error(key, "must be above zero")
    table.finish()
    return runtime


def _code(table: _Table) -> Code:
    arguments = [table.take(key, str) for key in ("value", "scheme", "meaning")]
    table.finish()
    try:
        return Code(*arguments)
    except ContractError as error:
        raise table.error("value", str(error)) from error


def _parameter(name: str, table: _Table) -> Parameter:
    default = table.values.get("default")
    if type(default) not in _TYPE_NAMES:
        raise table.error("default", "is missing" if default is None else f"{default!r} is not number, text or boolean")
    parameter = Parameter(
        name=name,
        default=table.take("default", type(default)),
        description=table.take("description", str),
        minimum=table.take("minimum", float, None),
        maximum=table.take("maximum", float, None),
        choices=table.texts("choices", ()),
    )
    table.finish()
    if isinstance(parameter.default, bool | str) and (parameter.minimum, parameter.maximum) != (None, None):
        raise table.error("default", "only a number has a minimum or a maximum")
    try:
        parameter.accept(parameter.default)
    except ParameterError as error:
        raise table.error("default", str(error)) from error
    return parameter
