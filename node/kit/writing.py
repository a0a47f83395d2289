"""`plugin new`: a folder with a plugin that runs at once, and images whose answer is known."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from node.errors import UsageError
from node.kit import sample_images
from node.kit.examples import EXPECTED, FOLDER
from plugins.exchanges import ExchangeForm
from plugins.manifest import MANIFEST, Output
from plugins.runtime import RuntimeKind

_TEMPLATES = Path(__file__).parent / "templates"
_PROGRAM = "analyse"
_SCRIPT = "segment.py"
BUILD = "build"
"""Of a new container, below its folder: what makes its image."""
_OF_IMAGE = (BUILD, "Containerfile")
_NOT_BUILT = "0" * 64
"""In the place of the image's digest, until it is built."""
_OF_SCRIPT = {_SCRIPT: f"{_SCRIPT}.template"}
"""Files whose templates have another name, so that nobody takes them for modules of ours."""
_EXAMPLE = "known"
IMAGES = "images"
EXAMPLE_IMAGES = Path(FOLDER) / _EXAMPLE / IMAGES
"""Of a new plugin, below its folder."""


class PluginPurpose(StrEnum):
    """What a new plugin says of images."""

    VOLUME = "volume"
    SEGMENTATION = "segmentation"
    SCORE = "score"
    PROJECTION = "projection"


@dataclass(frozen=True, slots=True)
class _Sketch:
    """What differs between the manifests of purposes."""

    use: str
    outputs: tuple[Output, ...]
    threshold: tuple[float, float, float]
    """Default, minimum, maximum."""
    meaning: str
    expected: str
    """Numbers of `expected.toml`."""


_VOLUME_CONCEPT = """
[[concepts]]
value = "118565006"
scheme = "SCT"
meaning = "Volume"
unit = "mL"
minimum = 0
maximum = 100_000
"""
_HU = "Values above this (HU) are bright."
_VOLUME_NUMBER = '[[numbers]]\nfinding = "BRIGHT"\nmeasurement = "118565006"\nvalue = 32.4\ntolerance = 0.1\n'
_SKETCHES = {
    PluginPurpose.VOLUME: _Sketch(
        "Measures the volume of a bright region in a CT.",
        (Output.FINDINGS,),
        (-300.0, -1000, 3000),
        _HU,
        _VOLUME_NUMBER,
    ),
    PluginPurpose.SEGMENTATION: _Sketch(
        "Outlines a bright region in a CT.",
        (Output.FINDINGS, Output.SEGMENTATION),
        (-300.0, -1000, 3000),
        _HU,
        _VOLUME_NUMBER + '\n[[numbers]]\nsegment = "Bright region"\nvalue = 4800  # voxels\ntolerance = 20\n',
    ),
    PluginPurpose.SCORE: _Sketch(
        "Says how likely a bright region is in a CT.",
        (Output.FINDINGS,),
        (0.5, 0, 1),
        "From this likelihood on the finding is present.",
        '[[numbers]]\nfinding = "BRIGHT"\nmeasurement = "score"\nvalue = 0.9766\ntolerance = 0.001\n',
    ),
    PluginPurpose.PROJECTION: _Sketch(
        "Finds a bright region on a radiograph.",
        (Output.FINDINGS,),
        (0.5, 0, 1),
        "Pixels above this share of the image's range are bright.",
        '[[numbers]]\nfinding = "BRIGHT"\nmeasurement = "regions"\nvalue = 1\ntolerance = 0\n',
    ),
}


def write(
    folder: Path, kind: RuntimeKind, purpose: PluginPurpose, form: ExchangeForm = ExchangeForm.PACSNODE
) -> list[Path]:
    """Make the folder with all its files, which are returned; UsageError where it is there, or has no usable name."""
    if folder.exists():
        raise UsageError(f"{folder} is there already; nothing was written")
    if kind is RuntimeKind.ONNX:
        raise UsageError("a plugin of kind onnx begins with its model: --model FILE.onnx")
    if kind.is_elsewhere:
        where = "boxes.md" if kind is RuntimeKind.DICOM else "http.md"
        raise UsageError(f"a plugin of kind {kind} has no program: docs/{where} has its plugin.toml")
    module = _module(folder)
    words = _words(folder, module, kind, purpose)
    is_nifti, is_program = form is ExchangeForm.NIFTI, kind is not RuntimeKind.PYTHON
    _check_form(form, kind, purpose)
    folder.mkdir(parents=True)
    program = _SCRIPT if is_nifti else _PROGRAM if is_program else f"{module}.py"
    code = _program(purpose) if is_program else _template(f"{purpose}.py.template")
    texts = {MANIFEST: _template(MANIFEST), "README.md": _template("README.md"), program: code}
    if is_nifti:
        texts = {name: _template(f"{form}/{_OF_SCRIPT.get(name, name)}") for name in texts}
    if kind is RuntimeKind.CONTAINER:
        texts |= {name: _template(f"{kind}/{name}") for name in _OF_IMAGE}
    for name, text in texts.items():
        (folder / name).write_text(_filled(text, words), encoding="utf-8")
        if name == BUILD or (is_program and name == program):
            (folder / name).chmod(0o755)
    example = folder / FOLDER / _EXAMPLE
    write_images = sample_images.write_radiograph if purpose is PluginPurpose.PROJECTION else sample_images.write_ct
    write_images(folder / EXAMPLE_IMAGES)
    (example / EXPECTED).write_text(_expected(purpose), encoding="utf-8")
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".dcm")


def _check_form(form: ExchangeForm, kind: RuntimeKind, purpose: PluginPurpose) -> None:
    if form not in (ExchangeForm.PACSNODE, ExchangeForm.NIFTI):
        raise UsageError(f"--exchange {form} is for images that are there: docs/plugins.md, Packages of others")
    fits = kind is RuntimeKind.COMMAND and purpose is PluginPurpose.SEGMENTATION
    if form is ExchangeForm.NIFTI and not fits:
        raise UsageError("NIfTI is for --kind command and --for segmentation")


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _program(purpose: PluginPurpose) -> str:
    """What all programs share, with what this one says."""
    stack = "" if purpose is PluginPurpose.PROJECTION else _template("stack.command.template")
    answer = _template(f"{purpose}.command.template")
    return _filled(_template(_PROGRAM), {"STACK": stack, "ANSWER": answer.rstrip() + "\n\n"})


def _module(folder: Path) -> str:
    name = folder.name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name in ("plugins", "plugin"):
        raise UsageError(
            f"{folder.name}: a plugin's name has small letters, digits and _ or -, and begins with a letter"
        )
    return name


def _words(folder: Path, module: str, kind: RuntimeKind, purpose: PluginPurpose) -> dict[str, str]:
    sketch = _SKETCHES[purpose]
    class_name = "".join(part.capitalize() for part in module.split("_"))
    with_volume = purpose in (PluginPurpose.VOLUME, PluginPurpose.SEGMENTATION)
    runs = {
        RuntimeKind.PYTHON: f'kind = "python"\nentry = "{module}:{class_name}"',
        RuntimeKind.COMMAND: f'kind = "command"\ncommand = ["./{_PROGRAM}", "{{folder}}"]',
        RuntimeKind.CONTAINER: f'kind = "container"\nimage = "sha256:{_NOT_BUILT}"  # ./{BUILD} writes it\n'
        'command = ["{folder}"]',
    }
    default, lowest, highest = sketch.threshold
    is_projection = purpose is PluginPurpose.PROJECTION
    return {
        "NAME": folder.name.replace("_", " ").replace("-", " ").capitalize(),
        "FOLDER": folder.name,
        "PYTHON": sys.executable,
        "CLASS": class_name,
        "MANUFACTURER": "Example",
        "USE": sketch.use,
        "OUTPUTS": ", ".join(f'"{each}"' for each in sketch.outputs),
        "RUNTIME": runs[kind],
        "CONCEPTS": _VOLUME_CONCEPT if with_volume else "",
        "THRESHOLD": f"{default}",
        "LOWEST": f"{lowest:g}",
        "HIGHEST": f"{highest:g}",
        "MEANING": sketch.meaning,
        "MODALITIES": '"CR", "DX"' if is_projection else '"CT",',
        "LEAST": "1" if is_projection else "3",
    }


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _expected(purpose: PluginPurpose) -> str:
    head = f'# What the plugin has to say of {IMAGES}/; the keys: docs/plugins.md, "Examples".\nstatus = "findings"\n\n'
    return head + _SKETCHES[purpose].expected
