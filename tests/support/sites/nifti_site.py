"""A plugin that knows NIfTI alone, with a Python environment of its own, on a site of the run stage."""

from __future__ import annotations

import site
import sys
import sysconfig
import textwrap
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.config.models import PluginUse
from tests.support.sites.job_site import Site

MANIFEST = """
schema = 1
outputs = ["findings", "segmentation"]
[identity]
name = "{name}"
version = "1"
manufacturer = "tests"
intended_use = "Plays a program."
[runtime]
kind = "command"
exchange = "nifti"
command = {command}
[nifti]
not_applicable_exit = 3
{inputs}
[nifti.labels]
file = "seg.nii.gz"
[[nifti.segments]]
label = 1
name = "Thing"
type = {{value = "1", scheme = "99TEST", meaning = "Thing"}}
finding = {{value = "1", scheme = "99TEST", meaning = "Thing"}}
[parameters.level]
default = 5
description = "A number."
"""
FILE = '[[nifti.inputs]]\nfile = "image.nii.gz"\n'


def environment(folder: Path) -> Path:
    """A virtual environment with the packages of the one that the tests run in; returns its interpreter.

    They are found by a path that it names, as those of a package that is installed from its source are.
    """
    venv.create(folder, symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder)})
    Path(packages, "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def nifti_plugin(
    of: Site,
    name: str,
    script: str,
    arguments: Sequence[str] = ("{in}", "{out}"),
    inputs: str = FILE,
    interpreter: str = sys.executable,
    **use: Any,
) -> Path:
    """A plugin that is a script in Python; its folder."""
    folder = of.folder / "plugins" / name
    folder.mkdir(parents=True)
    command = list(map(str, (interpreter, "{plugin}/program.py", *arguments)))
    text = MANIFEST.format(name=name, command=command, inputs=inputs)
    (folder / "plugin.toml").write_text(text, encoding="utf-8")
    (folder / "program.py").write_text(textwrap.dedent(script), encoding="utf-8")
    of.uses[name] = PluginUse(folder=folder, **{"memory": "1GiB", "deadline": "120s"} | use)
    return folder
