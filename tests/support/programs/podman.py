"""podman with a store of its own, and images that are made of a static busybox: nothing of the machine is touched."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{folder}/tmp"
"""
_STORAGE = """
[storage]
driver = "{driver}"
graphroot = "{folder}/store"
runroot = "{folder}/run"
"""


@dataclass(frozen=True)
class PodmanStore:
    """The folder of a store, and the variables by which podman, and a node, find it."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """Of the environment."""
        files = {"CONTAINERS_CONF": "containers.conf", "CONTAINERS_STORAGE_CONF": "storage.conf"}
        return {name: str(self.folder / file) for name, file in files.items()}

    def call(self, *arguments: str, given: bytes = b"", check: bool = True, seconds: float = 300) -> str:
        """What podman prints."""
        done = subprocess.run(
            ["podman", *arguments],
            input=given,
            capture_output=True,
            timeout=seconds,
            env={**os.environ, **self.variables},
            check=False,
        )
        assert done.returncode == 0 or not check, f"podman {arguments}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode(errors="replace").strip()

    def image(self, name: str, files: Mapping[str, str | bytes] | None = None, changes: Sequence[str] = ()) -> str:
        """Make an image of busybox and these files, which may be run: its id. `changes`: as in a Containerfile."""
        change = [part for each in changes for part in ("--change", each)]
        self.call("import", "--quiet", *change, "-", f"localhost/{name}", given=_root(files or {}))
        return f"sha256:{self.call('image', 'inspect', '--format', '{{.Id}}', f'localhost/{name}')}"

    @cached_property
    def shell(self) -> str:
        """The id of an image whose entry point is a shell."""
        return self.image("shell", changes=['ENTRYPOINT ["/bin/sh"]'])

    def left(self) -> list[str]:
        """What is left of containers: they themselves, their layers, mounts and processes."""
        layers = {each["id"] for each in json.loads(self._kept("vfs-layers/layers.json"))}
        of_images = {each["layer"] for each in json.loads(self._kept("vfs-images/images.json"))}
        mounted = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        return [
            *self.call("ps", "--all", "--external", "--quiet").split(),
            *(f"layer {each}" for each in layers - of_images),
            *(f"mount {each}" for each in mounted if str(self.folder) in each),
            *(f"process {each}" for each in self._processes()),
        ]

    def _kept(self, name: str) -> str:
        try:
            return (self.folder / "store" / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return "[]"

    def _processes(self) -> Iterator[str]:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if os.fsencode(self.folder) in words:  # conmon, runc and podman's cleanup name it
                yield f"{process.name} {words[:200]!r}"


@contextmanager
def podman_store(driver: str = "vfs") -> Iterator[PodmanStore]:
    """A store that is removed in the end. Its path is short: podman refuses one of more than 50 characters.

    vfs works everywhere and copies each layer; `overlay` is for images that are large.
    """
    store = PodmanStore(Path(tempfile.mkdtemp(prefix="pacsnode-", dir="/tmp")))
    try:
        (store.folder / "containers.conf").write_text(_CONFIGURATION.format(folder=store.folder))
        (store.folder / "storage.conf").write_text(_STORAGE.format(folder=store.folder, driver=driver))
        yield store
    finally:
        if shutil.which("podman"):
            store.call("rm", "--all", "--force", "--time", "0", check=False)
            store.call("rmi", "--all", "--force", check=False)
        shutil.rmtree(store.folder, ignore_errors=True)


def lack() -> str:
    """Why containers cannot be run here; "" where they can."""
    absent = [name for name in ("podman", "runc") if shutil.which(name) is None]
    absent += [] if BUSYBOX.exists() else [str(BUSYBOX)]
    if absent:
        return f"no {', '.join(absent)}"
    with podman_store() as store:
        try:
            store.call("run", "--rm", "--network=none", "--cap-drop=all", store.image("probe"), "/bin/true")
        except AssertionError as error:
            return str(error)
    return ""


def _root(files: Mapping[str, str | bytes]) -> bytes:
    """A root file system as a tar archive: busybox under the names of its commands, /etc/passwd, and these files."""
    names = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for folder in ("bin", "etc", "proc", "sys", "dev", "tmp", "run"):
            archive.addfile(_entry(folder, tarfile.DIRTYPE))
        _add(archive, "bin/busybox", BUSYBOX.read_bytes())
        for name in names:
            if name != "busybox":
                link = _entry(f"bin/{name}", tarfile.SYMTYPE)
                link.linkname = "busybox"
                archive.addfile(link)
        for name, content in {"etc/passwd": "root:x:0:0::/:/bin/sh\n", **files}.items():
            _add(archive, name, content.encode() if isinstance(content, str) else content)
    return written.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = _entry(name, tarfile.REGTYPE)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _entry(name: str, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, 0o755
    return entry
