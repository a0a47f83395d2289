"""The wheel of this checkout, and an environment that has it in place of the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.support.shared_data import ROOT


def build(source: Path, target: Path, kind: str = "wheel") -> Path:
    """The wheel, or the `sdist`, of a source folder."""
    command = [sys.executable, "-P", "-m", "hatchling", "build", "--target", kind, "--directory", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


def without_a_checkout(wheel: Path, folder: Path) -> Path:
    """Install it in a new environment, which takes the packages of the lock file from this one: its `bin`.

    A .pth file adds their folder, whose own .pth files (the one of the editable checkout) Python does not read.
    """
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "of_the_lock_file.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    command = ["--python", str(folder / "bin/python"), "--no-deps", "--no-index", "--offline", "--link-mode", "copy"]
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    assert uv is not None, ROOT / "requirements-dev.lock"
    done = subprocess.run([uv, "pip", "install", *command, str(wheel)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def run(program: Path, *arguments: str, folder: Path, code: int = 0) -> str:
    """What a command prints in a folder; nothing of the environment's variables but HOME leads anywhere."""
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=variables, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == code, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
