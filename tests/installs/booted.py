"""A Debian 12 that systemd has booted, from packages that are here: `systemd-nspawn` on a copy of a `debootstrap`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.shared_data import ROOT
from tests.support.wait import until

BASE = ROOT / "build" / "installs" / "bookworm"
"""The system as it is without pacsnode; made once, a minute and 400 MB."""
PACKAGES = "systemd,systemd-sysv,dbus,uidmap,bubblewrap,python3,python3-venv,dcmtk,tzdata"
TOOLS = ("systemd-nspawn", "debootstrap", "nsenter", "mount")
PROGRAM = Path("/opt/pacsnode")
_ROOT = "root"
_SCRIPT = "#!/opt/pacsnode/bin/python3\nimport sys\nfrom node.cli import main\nsys.exit(main())\n"


def missing() -> str:
    """Why no machine can be booted here; empty where one can."""
    if os.geteuid() != 0:
        return "takes root"
    if lacking := [each for each in TOOLS if shutil.which(each) is None]:
        return f"{', '.join(lacking)} is not there (Debian: systemd-container debootstrap)"
    if sys.version_info[:2] != (3, 11):
        return "Debian 12 has Python 3.11, and this environment is of another version"
    return ""


class BootedMachine:
    """It runs; its network has loopback alone."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self._enter = ["nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "--"]

    def tried(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run as root there."""
        path = f"{PROGRAM}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        line = [*self._enter, "/usr/bin/env", "-i", f"PATH={path}", "COLUMNS=400", *command]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=600, cwd="/")

    def run(self, *command: str) -> str:
        """What it prints; it has to succeed."""
        done = self.tried(*command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def property(self, name: str) -> str:
        """Of the service, as `systemctl show` has it."""
        return self.run("systemctl", "show", "-p", name, "--value", "pacsnode.service").strip()

    def log(self) -> str:
        """What the node logged."""
        return self.tried("journalctl", "--namespace=pacsnode", "--no-pager").stdout

    def main_process(self) -> psutil.Process:
        """The node's first process, as this machine numbers it."""
        inside = self.property("MainPID")
        for each in psutil.process_iter():
            try:
                status = Path(f"/proc/{each.pid}/status").read_text()
                is_there = os.readlink(f"/proc/{each.pid}/{_ROOT}") == str(self.root)
            except OSError:
                continue
            numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(numbers) > 1 and numbers[-1] == inside and (is_there or "pacsnode" in " ".join(each.cmdline())):
                return each
        raise AssertionError(f"no process {inside} of the machine is seen")


def _base() -> Path:
    if not (BASE / "etc" / "debian_version").exists():
        shutil.rmtree(BASE, ignore_errors=True)
        BASE.parent.mkdir(parents=True, exist_ok=True)
        line = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(BASE)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(BASE)
            raise AssertionError(f"debootstrap: {done.stdout[-2000:]}")
    return BASE


def _put_pacsnode_in(root: Path) -> None:
    """Its environment, with the packages of this one, and this tree."""
    subprocess.run(["chroot", str(root), "python3", "-m", "venv", "--without-pip", str(PROGRAM)], check=True)
    target = root / PROGRAM.relative_to("/")
    packages = target / "lib" / "python3.11" / "site-packages"
    shutil.copytree(
        sysconfig.get_path("purelib"),
        packages,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("*pacsnode*.pth", "onnx*", "mypy*", "playwright*", "scipy*"),
    )
    for name in ("node", "rules", "plugins"):
        shutil.copytree(ROOT / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    script = target / "bin" / "pacsnode"
    script.write_text(_SCRIPT)
    script.chmod(0o755)


@contextmanager
def booted(folder: Path) -> Iterator[BootedMachine]:
    """Boot one with pacsnode in /opt, below `folder`; it is gone in the end."""
    for name in ("changed", "work", "root"):
        (folder / name).mkdir()
    root = folder / "root"
    layers = f"lowerdir={_base()},upperdir={folder / 'changed'},workdir={folder / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(root)], check=True)
    try:
        _put_pacsnode_in(root)
        line = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--capability=all"]
        line += ["--private-network", "--machine", f"pacsnode-{os.getpid()}", "--directory", str(root)]
        # Without masks over /proc and /sys, as on a machine of its own: else no sandbox can have a /proc.
        environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"}
        with (folder / "boot.log").open("wb") as log:
            process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            yield _up(process, root)
        finally:
            process.terminate()
            process.wait(120)
    finally:
        subprocess.run(["umount", str(root)], check=True)


def _up(process: subprocess.Popen[bytes], root: Path) -> BootedMachine:
    def leader() -> int:
        """The process that is number 1 there; before it, another child prepares the machine."""
        assert process.poll() is None, "systemd-nspawn ended at once"
        for each in psutil.Process(process.pid).children(recursive=True):
            with suppress(OSError):
                status = Path(f"/proc/{each.pid}/status").read_text()
                numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
                if len(numbers) > 1 and numbers[-1] == "1" and each.name() == "systemd":
                    return each.pid
        return 0

    machine = BootedMachine(root, until(leader, what="the machine's first process"))
    running = ("running", "degraded")
    until(lambda: machine.tried("systemctl", "is-system-running").stdout.strip() in running, what="the machine to boot")
    machine.run("ip", "link", "set", "lo", "up") if shutil.which("ip", path=str(root / "usr/bin")) else None
    return machine
