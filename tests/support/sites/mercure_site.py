"""A module of mercure as a plugin of a site: a shell, and the objects that it returns, which lie in its image."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.support.programs.podman import PodmanStore

_SCRIPT = """
set -e  # an argument names a file: as long as that is there, the module asks to be tried again
ls $MERCURE_IN_DIR/*#*.dcm
grep -q '"does": "says only"' $MERCURE_IN_DIR/task.json || cp /app/*.dcm $MERCURE_OUT_DIR
[ ! -e "$1" ] || exit 75
echo '{"bright": 1, "__mercure_notification": {"text": "Bright voxels."}}' >$MERCURE_OUT_DIR/result.json
"""
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
deadline_seconds = 300
[parameters.does]
default = "all"
description = "What it does."
"""


def mercure_plugin(folder: Path, podman: PodmanStore, *objects: Any) -> Mapping[str, object]:
    """Make the plugin's folder; returns what a site writes of it. `objects`: data sets that the module returns."""
    files: dict[str, str | bytes] = {"app/module": _SCRIPT}
    for number, each in enumerate(objects, start=1):
        written = BytesIO()
        each.save_as(written, enforce_file_format=True)
        files[f"app/{number}.dcm"] = written.getvalue()
    image = podman.image("mercure-module", files, ['ENTRYPOINT ["/bin/sh", "/app/module"]'])
    folder.mkdir()
    (folder / "plugin.toml").write_text(_MANIFEST.format(image=image), encoding="utf-8")
    return {"folder": str(folder)}
