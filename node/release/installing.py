"""Installing a bundle: a folder of its own, a virtual environment in it, and nothing from any network."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node.errors import NotFoundError, PermanentError, TransientError
from node.release import archive, verifying
from node.release.archive import REQUIREMENTS, WHEELS, BundleManifest
from node.release.releases import CURRENT, PREVIOUS, Release, Releases
from node.release.wheels import Wheel

_SPARE = 64 << 20
"""Bytes that stay free at least."""


@dataclass(frozen=True, slots=True)
class InstallOutcome:
    """What came of it."""

    release: Release
    in_use: bool
    """`current` names it."""
    node: int | None = None
    """The node that runs on the release before, which is therefore still the one in use."""
    was_there: bool = False


def install(bundle: Path, releases: Releases, public_key: str | None = None) -> InstallOutcome:
    """Install a bundle, and use it unless a node runs on another release of the same folder.

    Where anything fails, nothing is changed. Raises UsageError, PermanentError or TransientError.
    """
    with releases.held():
        release, was_there = place(bundle, releases, public_key)
        nodes = releases.running()
        current = releases.linked(CURRENT)
        if nodes and current is not None and current.version != release.version:
            return InstallOutcome(release, in_use=False, node=nodes[0], was_there=was_there)
        releases.switch(release)
        return InstallOutcome(release, in_use=True, was_there=was_there)


def place(bundle: Path, releases: Releases, public_key: str | None = None) -> tuple[Release, bool]:
    """Install a bundle beside the release in use; the release, and whether it was there already.

    Called while `releases` is held.
    """
    key = releases.pinned_key(public_key)
    os.umask(0o022)  # the node's user reads what root installs
    with verifying.own_copy(bundle, releases.root) as copy:
        manifest = verifying.verify(copy, key)
        digest = hashlib.sha256(manifest.to_json()).hexdigest()
        release = _there(manifest.version, digest, releases)
        if release is None:
            _check_machine(manifest, releases.root)
            with releases.new(manifest.version) as folder:
                verifying.unpack(copy, key, folder)
                _check_wheels(folder, manifest)
                _make_environment(folder, manifest)
                release = releases.finish(manifest.version, digest)
            releases.pin(key)
            return release, False
    releases.pin(key)
    return release, True


def roll_back_to(releases: Releases) -> Release:
    """The release before the one in use; NotFoundError where there is none."""
    found = releases.linked(PREVIOUS)
    if found is None:
        raise NotFoundError(f"{releases.root}: there is no release before the one in use")
    return found


def _there(version: str, digest: str, releases: Releases) -> Release | None:
    try:
        found = releases.get(version)
    except NotFoundError:
        return None
    if found.bundle != digest:
        raise PermanentError(
            f"release {version} is installed from another bundle: two releases never have the same version"
        )
    return found


def _check_machine(manifest: BundleManifest, root: Path) -> None:
    """Raises PermanentError where the wheels are for another machine, TransientError where the disk is too small."""
    _, _, minor_and_machine = manifest.platform.partition("manylinux_2_")
    minor, _, machine = minor_and_machine.partition("_")
    if machine and machine != platform.machine():
        raise PermanentError(f"the bundle is for {machine}, and this machine is {platform.machine()}")
    glibc = platform.libc_ver()[1].split(".")
    if minor.isdigit() and len(glibc) > 1 and glibc[1].isdigit() and int(minor) > int(glibc[1]):
        raise PermanentError(f"the bundle needs glibc 2.{minor}, and this machine has {'.'.join(glibc)}")
    free = shutil.disk_usage(root).free
    if manifest.unpacked + _SPARE > free:
        raise TransientError(
            f"{root}: {manifest.unpacked >> 20} MiB are needed, and {free >> 20} MiB are free; nothing was changed"
        )


def _check_wheels(folder: Path, manifest: BundleManifest) -> None:
    """No wheel unpacks to more than the manifest says, and the disk was asked for."""
    found = sum(Wheel.read(each).unpacked for each in (folder / WHEELS).glob("*.whl"))
    if archive.unpacked_size(manifest.members, found) > manifest.unpacked:
        raise PermanentError("the wheels of the bundle unpack to more than its manifest says; nothing was changed")


def _make_environment(folder: Path, manifest: BundleManifest) -> None:
    """The virtual environment, from the bundle's wheels alone; they are removed when they are installed."""
    venv = folder / "venv"
    _run([_interpreter(manifest.python), "-m", "venv", str(venv)], "python -m venv")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    pinned = ["--isolated", "--no-index", "--no-deps", "--no-cache-dir", "--require-hashes", "--only-binary=:all:"]
    _run([*pip, *pinned, "--find-links", str(folder / WHEELS), "-r", str(folder / REQUIREMENTS)], "pip install")
    said = _run([str(venv / "bin" / "pacsnode"), "--version"], "the installed pacsnode")
    if said.strip() != f"pacsnode {manifest.version}":
        raise PermanentError(f"the bundle says {manifest.version}, and what it installs {said.strip()!r}")
    shutil.rmtree(folder / WHEELS)


def _interpreter(version: str) -> str:
    """The machine's Python of this version, outside of any virtual environment; PermanentError."""
    own = Path(getattr(sys, "_base_executable", sys.executable))
    if version == sysconfig.get_python_version() and own.is_file():
        return str(own)
    if found := shutil.which(f"python{version}"):
        return found
    raise PermanentError(f"the bundle is for Python {version}, which this machine does not have (python{version})")


def _run(command: Sequence[str], what: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd="/")
    if done.returncode:
        raise PermanentError(f"{what} failed; nothing was changed\n{(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
