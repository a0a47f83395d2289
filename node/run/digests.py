"""What runs when a plugin runs, as a digest that is taken when it runs: whoever replaces weights or code has another.

Two digests, since they answer two questions:

- `software`: is it the same device as in another report? What the vendor gave: every file of the plugin's folder (the
  manifest and the weights among them), the files outside that its manifest asks for (`readable`,
  `node.run.granted_files`), a program of a command that lies elsewhere, the image of a container by its digest, and the
  packages of an interpreter of the plugin's own. It is part of the Device UID (0018,1002).
- `whole`: would a process that runs already, or a trial of before, say the same? The software, and what the node adds:
  the interpreter itself, the packages of the node's own interpreter, the contract (`plugins/`), the graphics driver.

Of the folder counts what can run or be read, so every file, but for bytecode (`__pycache__`: it follows from the
source), version control, and `examples/` at the top (what the plugin is tried with; a plugin does not read it). Links
are followed. Installed packages count by what their installer recorded (RECORD with the digest of each file), not file
by file: hundreds of thousands of files would be looked at before each job. So a file that was edited within
`site-packages`, which is nobody's release, is not noticed; one of a package that is installed as a link to its source
(`pip install --editable`) is.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from node.errors import PermanentError
from node.run import granted_files, interpreter
from node.run.file_digests import FileDigests, LongReadError, QuickDigests
from node.run.interpreter import Interpreter
from plugins import bundle, untrusted
from plugins.manifest import Manifest
from plugins.runtime import RuntimeKind

EXAMPLES = "examples"
"""Folder of a plugin's folder with what it is tried with: no part of what runs."""
MOST_FILES = 100_000
_PASSED_OVER = frozenset({"__pycache__", ".git", ".hg", ".svn"})
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
"""What marks a folder as one that packages are installed in."""
_RECORDS = ("RECORD", "METADATA", "PKG-INFO")
_DRIVER = Path("/proc/driver/nvidia/version")
_OURS = ("pacsnode-", "_editable_impl_pacsnode")


class TooManyFilesError(PermanentError):
    """More files than a plugin has: a link leads somewhere else, perhaps."""


@dataclass(frozen=True, slots=True)
class CodeDigest:
    """SHA-256, in hexadecimal, of what runs; equal where `whole` is."""

    whole: str
    """Of all that may move a result, but for the images and the parameters."""
    software: str = field(compare=False)
    """Of what the vendor gave."""
    weights: str = field(compare=False)
    """Of the names and contents of the files that the manifest's `weights` match; "" where it names none."""
    parts: Mapping[str, str] = field(compare=False)
    """What `whole` was made of, by name: to say what has changed."""

    def changed(self, later: CodeDigest) -> str:
        """The first part that is not the same in another digest; "" where all are."""
        names = sorted({*self.parts, *later.parts})
        return next((name for name in names if self.parts.get(name) != later.parts.get(name)), "")


class FileReader(Protocol):
    """Whatever takes the digest of a file."""

    def of(self, path: Path, /) -> str:
        """SHA-256 of what a regular file holds, in hexadecimal; raises OSError."""
        ...


class CodeDigests:
    """Takes digests of plugins, for all threads of a process; see the module."""

    def __init__(self, data: Path | None = None) -> None:
        """With the data folder, digests of large files outlive the process."""
        self._files = FileDigests(data)
        self._locks: dict[Path, threading.Lock] = {}

    def of(self, manifest: Manifest) -> CodeDigest:
        """The digest of a plugin as it is now. Raises OSError where a file cannot be read, and TooManyFilesError.

        Some milliseconds where nothing has changed, else as long as it takes to read what has; a second thread that
        asks for the same plugin waits for the first.
        """
        with self._lock_of(manifest):
            return self._taken(manifest, self._files)

    def quick(self, manifest: Manifest) -> CodeDigest:
        """The same for a thread that others wait for: LongReadError where much is to be read, or another one reads."""
        lock = self._lock_of(manifest)
        if not lock.acquire(blocking=False):
            raise LongReadError(str(manifest.folder))
        try:
            return self._taken(manifest, QuickDigests(self._files))
        finally:
            lock.release()

    def _lock_of(self, manifest: Manifest) -> threading.Lock:
        return self._locks.setdefault(manifest.folder, threading.Lock())

    def _taken(self, manifest: Manifest, files: FileReader) -> CodeDigest:
        look = _CodeLook(files)
        software = dict(look.software(manifest))
        parts = software | dict(look.of_the_node(manifest))
        weights = {path.relative_to(manifest.folder).as_posix(): files.of(path) for path in manifest.weight_files()}
        self._files.keep()
        return CodeDigest(_total(parts), _total(software), _total(weights) if weights else "", parts)


def for_command(data: Path | None) -> CodeDigests:
    """For a command on a site: large files that a node of this data folder has read are not read again."""
    return CodeDigests(data if data is not None and data.is_dir() else None)


@dataclass(frozen=True, slots=True)
class _CodeLook:
    """One look at all that counts."""

    files: FileReader

    def software(self, manifest: Manifest) -> Iterator[tuple[str, str]]:
        """Name and digest of what the vendor gave."""
        yield from self._folder(manifest.folder, "file")
        yield from granted_files.digests(manifest.runtime.privileges.readable, self.files.of)
        yield from self._elsewhere(manifest)

    def _folder(self, root: Path, kind: str, within: str = "") -> Iterator[tuple[str, str]]:
        """Name and digest of all that counts below a folder; names begin with `kind`: no two kinds share one."""
        environments: list[Path] = []
        for path in _files_below(root, environments):
            yield f"{kind} {within}{path.relative_to(root).as_posix()}", self._file(path)
        for environment in environments:
            for packages in sorted(environment.glob("lib/python*/site-packages")):
                yield from self._packages(packages)

    def _file(self, path: Path) -> str:
        try:
            return self.files.of(path) if path.is_file() else "not a file"
        except FileNotFoundError:  # gone since the look
            return "not there"

    def _elsewhere(self, manifest: Manifest) -> Iterator[tuple[str, str]]:
        """What the vendor gave outside the plugin's folder."""
        runtime = manifest.runtime
        if runtime.kind is RuntimeKind.CONTAINER:
            yield "image", runtime.image
        elif runtime.kind is RuntimeKind.COMMAND:
            program = manifest.folder / runtime.command[0]
            if not program.is_relative_to(manifest.folder):
                yield "program", self._file(program)
                if (asked := interpreter.environment_of(program)) is not None:
                    yield "version of the interpreter", asked.version
                    yield from self._imported(asked, manifest.folder)
        elif runtime.has_worker and runtime.interpreter:
            asked = interpreter.ask(manifest.folder / runtime.executable)
            yield "version of the interpreter", asked.version
            yield from self._imported(asked, manifest.folder)

    def of_the_node(self, manifest: Manifest) -> Iterator[tuple[str, str]]:
        """What it runs with at this site."""
        runtime = manifest.runtime
        yield "driver", self._file(_DRIVER)
        yield "exchange", str(untrusted.SCHEMA)
        if not runtime.has_worker:
            return
        if runtime.providers:
            yield "providers", " ".join(runtime.providers)
        path = manifest.folder / runtime.executable
        yield "interpreter", f"{path} {self._file(path)}"
        yield "contract", _total({each.as_posix(): self._file(each) for each in bundle.contract()})
        if not runtime.interpreter:
            asked = interpreter.ask(path)
            yield "version of the interpreter", asked.version
            yield from self._imported(asked, manifest.folder)

    def _imported(self, asked: Interpreter, done: Path) -> Iterator[tuple[str, str]]:
        """What is installed for an interpreter; `done` is a folder that is digested already."""
        for folder in asked.imports_from:
            if folder.is_relative_to(done):
                continue
            if folder.name in interpreter.INSTALLED:
                yield from self._packages(folder)
            elif not any(folder.is_relative_to(prefix) for prefix in asked.prefixes):  # else of the standard library
                yield from self._folder(folder, "source", f"{folder}/")

    def _packages(self, folder: Path) -> Iterator[tuple[str, str]]:
        """The packages that are installed in a folder; not the node itself, whose contract counts instead."""
        for path in sorted(folder.iterdir()):
            if path.name.startswith(_OURS):
                continue
            if path.suffix in (".dist-info", ".egg-info") and path.is_dir():
                records = (path / each for each in _RECORDS if (path / each).is_file())
                yield f"package {path}", self._file(next(records, path / _RECORDS[0]))
                if (source := _editable(path)) is not None:
                    yield from self._folder(source, "source", f"{source}/")
            elif path.suffix in (".py", ".pth", ".egg-info", ".egg-link"):
                yield f"package {path}", self._file(path)


def _files_below(root: Path, environments: list[Path]) -> list[Path]:
    """All files that count below a folder, in the order of their names; folders with packages go to `environments`."""
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back
            continue
        seen.add((status.st_dev, status.st_ino))
        if folder != root and any((folder / mark).exists() for mark in _ENVIRONMENTS):
            environments.append(folder)
            continue
        for entry in os.scandir(folder):
            counts = entry.name not in _PASSED_OVER and not (folder == root and entry.name == EXAMPLES)
            if counts:
                (folders if _is_folder(entry) else found).append(folder / entry.name)
        if len(found) + len(folders) > MOST_FILES:
            raise TooManyFilesError(f"{root} has more than {MOST_FILES:,} files: a link leads out of it, perhaps")
    return sorted(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _editable(installed: Path) -> Path | None:
    """The folder of a package that was installed as a link to its source; None where it was not (PEP 610)."""
    try:
        origin = json.loads((installed / "direct_url.json").read_bytes())
        linked = origin["dir_info"]["editable"]
        place = Path(unquote(urlsplit(origin["url"]).path))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return place if linked and place.is_dir() else None


def _total(parts: Mapping[str, str]) -> str:
    lines = (f"{digest}\0{name}\0".encode(errors="surrogateescape") for name, digest in sorted(parts.items()))
    return hashlib.sha256(b"".join(lines)).hexdigest()
