"""The releases that are installed below one folder, and which of them is in use.

ROOT/releases/<version>/venv/      the release with its own virtual environment
ROOT/releases/<version>/…          its schemas, documentation, plugins and image; its SBOM
ROOT/releases/<version>/release.json    written last: a folder without it is half a release, and counts for nothing
ROOT/current                       link to the release in use; replaced in one step
ROOT/previous                      link to the one before
ROOT/minisign.pub                  the key that bundles have to be signed with, pinned by the first installation
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from node.errors import NotFoundError, PermanentError, TransientError, UsageError
from node.release import signatures
from node.store.durable import sync_folder, write_durably

DEFAULT_ROOT = Path("/opt/pacsnode")
CURRENT, PREVIOUS = "current", "previous"
_PINNED = "minisign.pub"
_MARK = "release.json"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+!-]*")


@dataclass(frozen=True, slots=True)
class Release:
    """A release that is installed."""

    version: str
    folder: Path
    bundle: str
    """SHA-256 of the manifest of the bundle that it came with."""

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def command(self) -> Path:
        """Its `pacsnode`."""
        return self.folder / "venv" / "bin" / "pacsnode"


class Releases:
    """What is installed below one folder."""

    def __init__(self, root: Path = DEFAULT_ROOT) -> None:
        self.root = root.absolute()
        self._folder = self.root / "releases"

    @contextmanager
    def held(self) -> Iterator[None]:
        """One installation or upgrade at a time; TransientError where another one is under way."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PermanentError(f"{error.filename}: {error.strerror}; releases are installed by root") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise TransientError(f"{self.root}: another installation or upgrade is under way there") from None
        finally:
            os.close(descriptor)

    def all(self) -> list[Release]:
        """Every whole release, by name."""
        marks = sorted(self._folder.glob(f"*/{_MARK}"))
        return [self.get(each.parent.name) for each in marks]

    def get(self, version: str) -> Release:
        """NotFoundError where it is not installed."""
        if not _VERSION.fullmatch(version):
            raise UsageError(f"{version}: neither a bundle nor the version of a release")
        folder = self._folder / version
        try:
            said = json.loads((folder / _MARK).read_text())
            return Release(str(said["version"]), folder, str(said["bundle"]))
        except FileNotFoundError:
            names = ", ".join(sorted(each.parent.name for each in self._folder.glob(f"*/{_MARK}"))) or "none"
            raise NotFoundError(f"{self.root}: release {version} is not installed there (installed: {names})") from None
        except (ValueError, KeyError, TypeError) as error:
            raise PermanentError(f"{folder / _MARK}: damaged; remove {folder} and install the bundle again") from error

    def linked(self, link: str) -> Release | None:
        """The release that `current` or `previous` names; None where there is none."""
        try:
            return self.get(Path(os.readlink(self.root / link)).name)
        except (OSError, NotFoundError):
            return None

    @contextmanager
    def new(self, version: str) -> Iterator[Path]:
        """The folder to install a release into; removed where the block raises.

        It has its final name, which a virtual environment has in its scripts; `finish` makes it count.
        """
        folder = self._folder / version
        if folder.exists():
            shutil.rmtree(folder)  # half a release: of an installation that was cut short
        folder.mkdir()
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def finish(self, version: str, bundle: str) -> Release:
        """All of it is there: from now on it is a release."""
        folder = self._folder / version
        os.sync()  # thousands of files, which pip has not synchronised
        write_durably(folder / _MARK, json.dumps({"version": version, "bundle": bundle}).encode())
        return self.get(version)

    def switch(self, to: Release) -> None:
        """Make it the one in use, in one step; `previous` names the one before."""
        before = self.linked(CURRENT)
        if before is not None and before.version != to.version:
            self._link(PREVIOUS, before)
        self._link(CURRENT, to)

    def _link(self, name: str, to: Release) -> None:
        made = self.root / f".{name}"
        made.unlink(missing_ok=True)
        made.symlink_to(Path("releases") / to.version)
        made.rename(self.root / name)
        sync_folder(self.root)

    def pinned_key(self, named: str | None) -> str:
        """The key that bundles have to be signed with: the pinned one, or else the one that is named.

        Raises UsageError where neither is there, PermanentError where they differ.
        """
        given = None if named is None else signatures.public_key(named)
        try:
            pinned = signatures.public_key((self.root / _PINNED).read_text())
        except FileNotFoundError:
            if given is None:
                raise UsageError(
                    f"{self.root} knows no key yet: name the maker's public key with --public-key"
                ) from None
            return given
        if given not in (None, pinned):
            raise PermanentError(
                f"--public-key is {signatures.key_id(given)}, but {self.root / _PINNED} pins"
                f" {signatures.key_id(pinned)}: bundles of another key are not installed"
            )
        return pinned

    def pin(self, key: str) -> None:
        """Hold later bundles to this key."""
        if not (self.root / _PINNED).exists():
            write_durably(self.root / _PINNED, f"{key}\n".encode())
            (self.root / _PINNED).chmod(0o644)

    def running(self) -> list[int]:
        """Process numbers of nodes that run from one of these releases."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline"]):
            words = process.info["cmdline"] or []
            if "serve" in words and any(self._is_ours(each) for each in words[:3]):
                found.append(int(process.info["pid"]))
        return found

    def _is_ours(self, word: str) -> bool:
        return word.startswith((f"{self._folder}/", f"{self.root / CURRENT}/"))
