"""Algorithms of Grand Challenge: images as MetaImage in `/input`, `inputs.json` that names them, results in `/output`.

By https://grand-challenge.org/documentation/runtime-environment/ and interfaces/ beside it. The node lays out and reads
the images as it does NIfTI files (`node.run.nifti`). What differs is here: the plugin's parameters are inputs, too,
each a JSON file; and the image that an algorithm leaves in a folder may have any name.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins import sockets
from plugins.exchanges import SIDECAR

if TYPE_CHECKING:
    from plugins.manifest import Manifest

_KINDS = {bool: "Bool", int: "Integer", float: "Float", str: "String"}


def prepare(folder: Path, manifest: Manifest) -> None:
    """Write `inputs.json` and the parameters; OSError."""
    assert manifest.nifti is not None, "the manifest has it"
    given = folder / "in"
    entries = [
        _entry(sockets.slug_of(each), "Image", Path(each.file).parent.as_posix(), image={"name": Path(each.file).name})
        for each in manifest.nifti.inputs
        if (given / each.file).exists()
    ]
    for name, value in json.loads((given / SIDECAR).read_text(encoding="utf-8"))["parameters"].items():
        (given / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        entries.append(_entry(name, _KINDS[type(value)], f"{name}.json", value=value))
    (given / sockets.INPUTS).write_text(json.dumps(entries, indent=1), encoding="utf-8")


def _entry(slug: str, kind: str, path: str, *, image: Any = None, value: Any = None) -> dict[str, Any]:
    """One input. `interface` is what algorithms before 2025 know its socket by."""
    super_kind = "Image" if kind == "Image" else "Value"
    socket = {"slug": slug, "title": slug, "kind": kind, "super_kind": super_kind, "relative_path": path}
    return {"socket": socket, "interface": socket, "image": image, "value": value, "file": None}


def collect(folder: Path) -> str:
    """Give the one image in each folder of `images/` the name that the manifest has for it; what there is to say."""
    images = folder / "out" / "images"
    return "; ".join(filter(None, (_named(images / name) for name in _folders(images))))


def _folders(images: Path) -> Iterator[str]:
    if images.is_symlink() or not images.is_dir():
        return
    for name in sorted(os.listdir(images)):
        if stat.S_ISDIR((images / name).lstat().st_mode):
            yield name


def _named(folder: Path) -> str:
    found = [name for name in os.listdir(folder) if name.endswith(".mha")]
    if len(found) > 1:
        return f"a folder of /output/images has {len(found)} images (*.mha), expected one"
    if found and found[0] != sockets.OUTPUT:
        (folder / found[0]).rename(folder / sockets.OUTPUT)
    return ""
