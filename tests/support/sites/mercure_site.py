"""A module of mercure as a plugin of a site: its image has the module alone, and borrows this machine's Python."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from tests.support.programs.podman import PodmanStore

_MODULE = Path(__file__).with_name("mercure") / "module.py"
_MANIFEST = """
schema = 1
outputs = ["dicom"]
[identity]
name = "Bright"
version = "2.1"
manufacturer = "ACME Imaging"
intended_use = "Plays a module of mercure."
[runtime]
kind = "container"
exchange = "mercure"
image = "{image}"
readable = {readable}
deadline_seconds = 300
memory_mb = 2048
[parameters.does]
default = "all"
description = "What it does."
"""


def mercure_plugin(folder: Path, podman: PodmanStore) -> Mapping[str, object]:
    """The plugin's folder is made; returns what a site writes of it."""
    python = Path(os.path.realpath(sys.executable))
    packages = sysconfig.get_path("purelib")
    image = podman.image(
        "mercure-module",
        {"app/module.py": _MODULE.read_text(encoding="utf-8")},
        [f"ENTRYPOINT {json.dumps([str(python), '-B', '/app/module.py'])}", f"ENV PYTHONPATH={packages}"],
    )
    system = [each for each in ("/lib", "/lib64", "/usr/lib") if Path(each).is_dir()]
    readable = [*system, sys.base_prefix, packages]
    folder.mkdir()
    text = _MANIFEST.format(image=image, readable=json.dumps(readable))
    (folder / "plugin.toml").write_text(text, encoding="utf-8")
    return {"folder": str(folder), "allow": {"readable": readable}}
