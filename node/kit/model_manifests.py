"""`plugin new --kind onnx`: a folder with a model file, and a plugin.toml that its own inputs and outputs suggest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.errors import UsageError
from plugins.manifest import MANIFEST
from plugins.model import inspecting

_SECONDS = 120.0
_MOST_CHANNELS, _MOST_LABELS = 4, 20
_AXES = {4: "HW", 5: "DHW"}
"""How many an input of images has → the spatial ones."""
_HEAD = """\
# What the model file says of itself is filled in. What it cannot say has to be looked up in its authors' pipeline:
# series, orientation, spacing, values. A line with TODO is a guess. The keys: docs/onnx.md
schema = 1
outputs = [{outputs}]

[identity]
name = "{name}"
version = "0.1.0"
manufacturer = "Example"
intended_use = "TODO: what it is for, in one sentence. Not for diagnosis."

[runtime]
kind = "onnx"

[runtime.resources]
cpus = 1

[onnx]
file = "{file}"

[onnx.input]
name = {input}
images = "{images}"   # TODO: "volume" or "projection"
layout = "{layout}"
type = "{type}"
{size}
[[onnx.channels]]
steps = [{{kind = "rescale", shift = 0.0, scale = 1.0}}]   # TODO: such as {{kind = "window", low = -1000, high = 400}}
"""
_CODE = '{{value = "CLASS{index}", scheme = "99EXAMPLE", meaning = "Class {index}"}}'


@dataclass(frozen=True, slots=True)
class _Tensor:
    """An input or an output."""

    name: str
    type: str
    shape: Sequence[int | None]


def write(folder: Path, model: Path) -> list[Path]:
    """Make the folder with the file and its manifest, which are returned; UsageError."""
    if folder.exists():
        raise UsageError(f"{folder} is there already; nothing was written")
    inputs, outputs = _inspected(model)
    images = [each for each in inputs if len(each.shape) in _AXES]
    if not images:
        raise UsageError(f"{model}: none of its inputs has four or five axes; images are given as N, C, (D,) H, W")
    text = _manifest(folder.name, model.name, images[0], outputs)
    text += "".join(_further(each, images[0]) for each in inputs if each is not images[0])
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return [folder / MANIFEST, Path(shutil.copyfile(model, folder / model.name))]


def _inspected(model: Path) -> tuple[list[_Tensor], list[_Tensor]]:
    """Its inputs and outputs, read in a process of its own; UsageError where it is no model."""
    command = [sys.executable, "-P", "-m", inspecting.__name__, str(model.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{model}: it was not loaded within {_SECONDS:g} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UsageError(f"{model}: {said[-1] if said else f'its process ended with {done.returncode}'}")
    found: dict[str, Any] = json.loads(done.stdout)
    inputs, outputs = ([_Tensor(**each) for each in found[name]] for name in ("inputs", "outputs"))
    return inputs, outputs


def _manifest(name: str, file: str, given: _Tensor, outputs: Sequence[_Tensor]) -> str:
    layout = _layout(given)
    has_map = any(len(each.shape) == len(given.shape) for each in outputs)
    shown = ", ".join(f'"{each}"' for each in ("findings", *(("segmentation",) if has_map else ())))
    sizes = [size for letter, size in zip(layout, given.shape, strict=True) if letter in "DHW"]
    is_fixed = all(size is not None for size in sizes)
    head = _HEAD.format(
        outputs=shown,
        name=name.replace("_", " ").replace("-", " ").capitalize(),
        file=file,
        input=json.dumps(given.name),
        images="volume" if has_map or "D" in layout else "projection",
        layout=layout,
        type=given.type,
        size=f'size = {sizes}\nfit = "crop_or_pad"   # TODO\n' if is_fixed else "",
    )
    return head + "".join(_outputs(layout, len(given.shape), outputs))


def _further(given: _Tensor, first: _Tensor) -> str:
    """An input beside the first one: images of another role, or a number."""
    name = json.dumps(given.name)
    if len(given.shape) == len(first.shape):
        return f"\n[[onnx.channels]]\nrole = {name}   # TODO\ninput = {name}\n"
    return f'\n[[onnx.scalars]]\nname = {name}\nfact = "age"   # TODO\ntype = "{given.type}"\n'


def _layout(given: _Tensor) -> str:
    axes = _AXES[len(given.shape)]
    last = given.shape[-1]
    is_last = last is not None and last <= _MOST_CHANNELS and (given.shape[1] or last) >= last
    return f"N{axes}C" if is_last and given.shape[1] != last else f"NC{axes}"


def _outputs(layout: str, axes: int, outputs: Sequence[_Tensor]) -> Iterator[str]:
    has_map = False
    for output in outputs:
        if len(output.shape) == axes and not has_map:
            has_map = True
            yield _segmentation(output, output.shape[layout.index("C")] or 2)
        elif len(output.shape) != axes and output.shape and isinstance(output.shape[-1], int):
            yield _classification(output, min(output.shape[-1], _MOST_LABELS))


def _segmentation(output: _Tensor, classes: int) -> str:
    is_one = classes == 1
    text = f'\n[[onnx.outputs]]\nkind = "segmentation"   # TODO\nname = {json.dumps(output.name)}\n'
    text += f'activation = "{"sigmoid" if is_one else "softmax"}"   # TODO\n'
    for index in range(0 if is_one else 1, max(min(classes, _MOST_LABELS), 1)):
        code = _CODE.format(index=index)
        text += f'\n[[onnx.outputs.segments]]\nindex = {index}\nname = "Class {index}"   # TODO\ntype = {code}\n'
    return text


def _classification(output: _Tensor, classes: int) -> str:
    text = f'\n[[onnx.outputs]]\nkind = "classification"   # TODO\nname = {json.dumps(output.name)}\n'
    text += f'activation = "{"sigmoid" if classes == 1 else "softmax"}"   # TODO\n'
    for index in range(classes):
        text += f"\n[[onnx.outputs.labels]]\nindex = {index}\nfinding = {_CODE.format(index=index)}   # TODO\n"
    return text
