"""The container image of this checkout, built without a network: of a Debian by debootstrap, and wheels on the disk."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.programs.peers import require_peer
from tests.support.programs.podman import PodmanStore
from tests.support.shared_data import ROOT

BASE, IMAGE = "localhost/debian:bookworm", "localhost/pacsnode:tested"
CONTAINERFILE = ROOT / "packaging/container/Containerfile"
UID = 11112
PACKAGES = ("python3", "python3-venv", "bubblewrap", "tini")
CONFINED = ("--cap-drop=all", "--security-opt=no-new-privileges", "--security-opt=unmask=/proc/*")
"""What docs/container.md says to run it with."""
HARDENED = CONFINED[:2]
"""Without the one that lets bubblewrap work."""


def debian(folder: Path) -> Path:
    """A root file system as a tar archive; made once, and kept in the folder."""
    archive, made = folder / "bookworm.tar", folder / "bookworm"
    if not archive.exists():
        require_peer("debootstrap")
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", str(made)]
        subprocess.run(command, check=True, capture_output=True, timeout=1800)
        part = archive.with_suffix(".part")
        with tarfile.open(part, "w") as writer:
            writer.add(made, ".")
        part.rename(archive)
    return archive


def wheelhouse(folder: Path) -> Path:
    """The wheels of the lock file for Debian 12's Python, as pip of this environment gets them."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    command += ["--no-deps", "--only-binary", ":all:", "--python-version", "3.11"]
    command += [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)] + [
        "--platform=manylinux2014_x86_64"
    ]
    command += ["--requirement", str(ROOT / "requirements.lock"), "--dest", str(folder)]
    subprocess.run(command, check=True, timeout=1800)
    return folder


def context(folder: Path, wheels: Path) -> Path:
    """A build's context: what git knows of the checkout, with the wheels in dist/wheels."""
    folder.mkdir()
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout
    copy = ["tar", "--null", "--files-from=-", "-cf", "-"]
    content = subprocess.run(copy, cwd=ROOT, input=names, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-xf", "-", "-C", str(folder)], input=content, check=True)
    (folder / "dist").mkdir()
    subprocess.run(["cp", "--recursive", str(wheels), str(folder / "dist/wheels")], check=True)
    return folder


def build(podman: PodmanStore, source: Path, *options: str) -> str:
    """Build it as docs/container.md says for a site without internet; the image's id."""
    arguments = ["--format", "docker", "--timestamp", "0", "--pull=never", "--network=none", "--quiet", "--tag", IMAGE]
    arguments += [f"--build-arg={each}" for each in (f"BASE={BASE}", "PIP_NO_INDEX=1")]
    arguments += ["--build-arg=PIP_FIND_LINKS=/source/dist/wheels", *options]
    file = source / CONTAINERFILE.relative_to(ROOT)
    return podman.call("build", *arguments, "--file", str(file), str(source), seconds=3600)


@contextmanager
def running(podman: PodmanStore, site: Path, name: str, options: Sequence[str] = CONFINED) -> Iterator[str]:
    """A node in a container: the host's network, a root that is read-only, the site's folder as its volume."""
    arguments = ["--network=host", "--read-only", "--no-healthcheck", "--stop-timeout=60", *options]
    podman.call(
        "run", "--detach", "--pull=never", f"--name={name}", *arguments, f"--volume={site}:/var/lib/pacsnode", IMAGE
    )
    try:
        yield name
    finally:
        podman.call("rm", "--force", "--time", "0", name, check=False)
