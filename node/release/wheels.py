"""The wheels of a bundle: what a lock file names, for one Python and one platform."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from node.errors import PermanentError, UsageError
from node.store.durable import sha256_of

_GLIBC = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35, 39)
"""Minor versions of glibc 2 for which there are wheels (PEP 600)."""
_NAMED = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
OWN = "pacsnode"
_PIN = re.compile(r"^([\w.\[\]-]+==[^\s;]+)[^\n]*\\\n((?: +--hash=\S+(?: \\)?\n)+)", re.MULTILINE)
"""A package of a lock file, and its hashes."""


@dataclass(frozen=True, slots=True)
class WheelTarget:
    """Where wheels are to be installed."""

    python: str
    """As in 3.11."""
    glibc: int
    """Minor version of glibc 2 that is there at least: 28 in Debian 10 and Rocky 8."""
    machine: str = platform.machine()

    @property
    def platform(self) -> str:
        """The tag of the newest platform, as in manylinux_2_28_x86_64."""
        return f"manylinux_2_{self.glibc}_{self.machine}"

    def tags(self) -> list[str]:
        """Every platform whose wheels run there, the newest first."""
        versions = sorted((each for each in {*_GLIBC, self.glibc} if each <= self.glibc), reverse=True)
        named = [f"{_NAMED[each]}_{self.machine}" for each in versions if each in _NAMED]
        return [*(f"manylinux_2_{each}_{self.machine}" for each in versions), *named, f"linux_{self.machine}"]

    @classmethod
    def parse(cls, python: str, tag: str) -> WheelTarget:
        """UsageError where one of the two is not a name of its kind."""
        found = re.fullmatch(r"manylinux_2_([0-9]+)_(\w+)", tag)
        if not found:
            raise UsageError(f"--platform {tag}: not a platform of glibc, as in manylinux_2_28_x86_64")
        if not re.fullmatch(r"3\.[0-9]+", python):
            raise UsageError(f"--python {python}: not a version of Python, as in 3.11")
        return cls(python, int(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel, and what its metadata say."""

    file: Path
    name: str
    """As its metadata spell it."""
    version: str
    sha256: str
    metadata: Message
    unpacked: int
    """Bytes of all that is in it."""

    @property
    def requirement(self) -> str:
        """A line for pip that takes this file and no other."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"

    @classmethod
    def read(cls, file: Path) -> Wheel:
        """Raises PermanentError where the file is not a wheel."""
        try:
            with zipfile.ZipFile(file) as content:
                names = content.namelist()
                (place,) = [name for name in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
                metadata = BytesParser().parsebytes(content.read(place))
                unpacked = sum(each.file_size for each in content.infolist())
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            raise PermanentError(f"{file}: not a wheel ({error})") from error
        name, version = metadata["Name"], metadata["Version"]
        if not name or not version:
            raise PermanentError(f"{file}: its metadata have neither a name nor a version")
        return cls(file, name, version, sha256_of(file), metadata, unpacked)


def check_tools() -> None:
    """UsageError where what makes bundles is not installed: the extra `bundle`, and pip."""
    missing = [name for name in ("cyclonedx", "uv", "pip") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"making a bundle needs {', '.join(missing)}: pip install 'pacsnode[bundle]'."
            " Verifying and installing one does not"
        )


def collect(lock: Path, target: WheelTarget, house: Path | None, folder: Path) -> list[Wheel]:
    """Bring every wheel that the lock file names for this target into `folder`, sorted by name.

    They come from the folder `house`, or else from where pip usually gets packages. Each is one whose hash the lock
    file has. Raises PermanentError with the tool's own reason.
    """
    if not lock.is_file():
        raise UsageError(f"{lock}: there is no such lock file; name a checkout of pacsnode with --source, or --lock")
    where = ["--no-index", "--find-links", str(house.resolve())] if house else []
    pins = folder / "pins.txt"
    pins.write_text("".join(_pins(lock, target, where)), encoding="utf-8")
    tags = [f"--platform={tag}" for tag in target.tags()]
    abi = f"cp{target.python.replace('.', '')}"
    python = [f"--python-version={target.python}", "--implementation=cp", f"--abi={abi}", "--abi=abi3", "--abi=none"]
    pinned = ["--no-deps", "--require-hashes", "--only-binary=:all:", *python, *tags, *where]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    _run(["pip", "download", *quiet, *pinned, "-r", str(pins), "-d", str(folder)], f"the wheels of {lock}")
    return sorted((Wheel.read(file) for file in folder.glob("*.whl")), key=lambda each: each.file.name)


def _pins(lock: Path, target: WheelTarget, where: Sequence[str]) -> Iterator[str]:
    """The lines of a lock file that apply to the target, with their hashes.

    A lock is of every platform. uv reads its markers for one that is not this machine's, as pip cannot.
    """
    chosen = [f"--python-version={target.python}", f"--python-platform={target.machine}-manylinux_2_{target.glibc}"]
    quiet = ["--quiet", "--no-deps", "--no-header", "--no-annotate", "--no-config", "--no-sources"]
    said = _run(["uv", "pip", "compile", *quiet, *chosen, *where, str(lock)], f"{lock} for {target.platform}")
    wanted = {line.strip() for line in said.splitlines()}
    found = {pin: hashes for pin, hashes in _PIN.findall(lock.read_text(encoding="utf-8")) if pin in wanted}
    if missing := {line for line in wanted if "==" in line} - found.keys():
        raise PermanentError(f"{lock}: {', '.join(sorted(missing)[:3])} is not pinned there with its hashes")
    yield from (f"{pin} \\\n{hashes}" for pin, hashes in found.items())


def own_wheel(source: Path, house: Path | None, named: Path | None, folder: Path) -> Wheel:
    """pacsnode's own wheel: the one that is named, the one in `house`, or else built from the checkout `source`."""
    if named is None:
        found = sorted(house.glob(f"{OWN}-*.whl")) if house else []
        if len(found) > 1:
            raise UsageError(f"{house}: has {len(found)} wheels of pacsnode; name one with --wheel")
        named = found[0] if found else _built(source, folder)
    wheel = Wheel.read(named)
    if wheel.name != OWN:
        raise UsageError(f"{named}: a wheel of {wheel.name}, not of pacsnode")
    return wheel


def _built(source: Path, folder: Path) -> Path:
    if not (source / "pyproject.toml").is_file():
        raise UsageError(f"{source}: not a checkout of pacsnode; name one with --source, or a wheel with --wheel")
    out = folder / "own"
    _run(
        ["uv", "build", "--quiet", "--no-config", "--wheel", "--out-dir", str(out), str(source)], "pacsnode's own wheel"
    )
    (built,) = out.glob("*.whl")
    return built


def output_of(own: Wheel, arguments: Sequence[str]) -> bytes:
    """What the `pacsnode` of a wheel prints, whichever release makes the bundle."""
    with tempfile.TemporaryDirectory(prefix="pacsnode-wheel-") as folder:
        with zipfile.ZipFile(own.file) as content:
            content.extractall(folder)
        command = [sys.executable, "-P", "-m", "node.cli", *arguments]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": folder}, capture_output=True, check=False)
    if done.returncode:
        raise PermanentError(f"{own.file}: pacsnode {' '.join(arguments)} failed\n{done.stderr.decode()[-2000:]}")
    return done.stdout


def _run(command: Sequence[str], what: str) -> str:
    """What a tool of this environment prints; PermanentError with its own reason."""
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()[-2000:]
        raise PermanentError(f"{what}: {command[0]} failed\n{reason}")
    return done.stdout
