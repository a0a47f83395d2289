"""Whether a model is what its manifest says: names, shapes and types of what goes in and comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from plugins.model.mapping import (
    ClassificationOutput,
    HeatmapOutput,
    ModelInput,
    ModelScalar,
    OnnxModel,
    RegressionOutput,
    SegmentationOutput,
)

if TYPE_CHECKING:
    from plugins.onnx_session import InferenceSession

TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
TYPES |= {f"tensor({name})": name for name in ("uint8", "int8", "uint16", "int16", "int32", "int64")}
"""onnxruntime's names → NumPy's."""
_NUMBERS = {*TYPES, "tensor(bool)"}


def problems(model: OnnxModel, session: InferenceSession) -> list[str]:
    """What is not as the manifest says, in words; empty where all is."""
    return [*_of_inputs(model, session.get_inputs()), *_of_outputs(model, session.get_outputs())]


def _of_inputs(model: OnnxModel, inputs: Sequence[Any]) -> Iterator[str]:
    given, known = model.given, {each.name: each for each in inputs}
    wanted = [*given.tensors, *(each.name for each in given.scalars)]
    if wanted == [""] and len(inputs) == 1:
        yield from _of_images(model, inputs[0], len(given.channels))
        return
    shown = ", ".join(map(repr, known))
    lacking = [name for name in wanted if name not in known]
    for name in lacking:
        yield f"input.name: the model has no input {name!r}, but {shown}" if name else f"input.name: one of {shown}"
    unused = [] if lacking else [name for name in known if name not in wanted]
    for name in unused:
        yield f"channels.input: the model has an input {name!r}, and nothing is given to it"
    for name, channels in given.tensors.items():
        if name in known:
            yield from _of_images(model, known[name], len(channels))
    for scalar in given.scalars:
        if scalar.name in known:
            yield from _of_scalar(scalar, known[scalar.name])


def _of_scalar(scalar: ModelScalar, found: Any) -> Iterator[str]:
    if TYPES.get(found.type) != scalar.element:
        yield f"scalars.type: {scalar.name}: the model takes {TYPES.get(found.type, found.type)}, not {scalar.element}"
    if any(isinstance(each, int) and each != 1 for each in found.shape):
        yield f"scalars.name: {scalar.name}: the model takes {_shown(found.shape)}, not one number"


def _of_images(model: OnnxModel, found: Any, channels: int) -> Iterator[str]:
    given = model.given
    if TYPES.get(found.type) != given.element:
        yield f"input.type: the model takes {TYPES.get(found.type, found.type)}, not {given.element}"
    if len(found.shape) != len(given.layout):
        yield f"input.layout: the model takes {_shown(found.shape)}, not {given.layout}"
        return
    for letter, size in zip(given.layout, found.shape, strict=True):
        wanted = channels if letter == "C" else _wanted(letter, model)
        if isinstance(size, int) and wanted is not None and size != wanted:
            yield f"{_key(letter, given)}: the model takes {size} along {letter}, and gets {wanted}"
        if isinstance(size, int) and wanted is None:
            yield f"input.size: the model takes {size} along {letter}; say it in input.size or sliding.window"


def _wanted(letter: str, model: OnnxModel) -> int | None:
    """How many it gets along an axis; None where the images say."""
    if letter == "N":
        return 1
    sizes = model.sliding.size if model.sliding else model.given.size
    return sizes[model.given.axes.index(letter)] if sizes else None


def _key(letter: str, given: ModelInput) -> str:
    if letter == "C":
        return "channels"
    return "input.layout" if letter == "N" else "input.size" if given.size else "sliding.window"


def _of_outputs(model: OnnxModel, outputs: Sequence[Any]) -> Iterator[str]:
    known = {each.name: each for each in outputs}
    for name in model.output_names:
        if name not in known:
            yield f"outputs: the model has no output {name!r}, but {', '.join(map(repr, known))}"
        elif known[name].type not in _NUMBERS:
            yield f"outputs: {name}: the model gives {known[name].type}, not numbers"
    for output in model.outputs:
        if output.name not in known:
            continue
        shape = known[output.name].shape
        if isinstance(output, SegmentationOutput | HeatmapOutput):
            if len(shape) != len(output.layout):
                yield f"outputs: {output.name}: the model gives {_shown(shape)}, not {output.layout}"
                continue
            along = shape[output.layout.index("C")] if "C" in output.layout else 1
            highest = (
                output.index if isinstance(output, HeatmapOutput) else max(each.label or 0 for each in output.segments)
            )
            if isinstance(along, int) and "C" in output.layout and highest >= along:
                yield f"outputs: {output.name}: the model gives {along} along C, none with index {highest}"
        elif isinstance(output, ClassificationOutput | RegressionOutput):
            yield from _too_few(output, shape)


def _too_few(output: ClassificationOutput | RegressionOutput, shape: Sequence[Any]) -> Iterator[str]:
    highest = output.index if isinstance(output, RegressionOutput) else max(each.index for each in output.labels)
    if all(isinstance(each, int) for each in shape):
        count = 1
        for each in shape:
            count *= each
        if highest >= count:
            yield f"outputs: {output.name}: the model gives {count} numbers, none with index {highest}"


def _shown(shape: Sequence[Any]) -> str:
    """`1 × 3 × ? × ?`: names of dimensions are the model's own words."""
    return " × ".join(str(each) if isinstance(each, int) else "?" for each in shape) or "one number"
