"""Models in the ONNX form that tests make: a few operators each, whose answers can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]
_OPSET, _IR = 17, 9
"""Versions that every onnxruntime of the last years knows."""


def write(
    path: Path,
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    weights: Mapping[str, NDArray[np.generic]] | None = None,
    *,
    element: int = TensorProto.FLOAT,
) -> Path:
    """Write a model of these nodes; `element` is the type of its inputs. Its outputs are float."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(name, element, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.save(made, str(path))
    return path


def identity(path: Path, shape: Shape) -> Path:
    """Gives back what it gets: input `image`, output `answer`."""
    return write(path, [helper.make_node("Identity", ["image"], ["answer"])], {"image": shape}, {"answer": shape})


def bright(path: Path, shape: Shape, *, level: float = 0.5) -> Path:
    """Scores of two classes, background and what is above `level`: input `image`, output `scores`, C in the place 1."""
    nodes = [
        helper.make_node("Sub", ["image", "level"], ["above"]),
        helper.make_node("Mul", ["above", "steep"], ["likely"]),
        helper.make_node("Mul", ["above", "nothing"], ["background"]),
        helper.make_node("Concat", ["background", "likely"], ["scores"], axis=1),
    ]
    weights = {
        "level": np.array(level, np.float32),
        "steep": np.array(20, np.float32),
        "nothing": np.array(0, np.float32),
    }
    return write(path, nodes, {"image": shape}, {"scores": [shape[0], 2, *shape[2:]]}, weights)


def boxed(path: Path, rows: int, columns: int) -> Path:
    """The box around what is above 0.5, twice with other scores, and one elsewhere: outputs `boxes` and `scores`."""
    nodes = [
        helper.make_node("Greater", ["image", "level"], ["above"]),
        helper.make_node("Cast", ["above"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["mask"], ["by_column"], axes=[0, 1, 2], keepdims=0),
        helper.make_node("ReduceMax", ["mask"], ["by_row"], axes=[0, 1, 3], keepdims=0),
    ]
    edges = []
    for name, source in (("left", "by_column"), ("top", "by_row"), ("right", "by_column"), ("bottom", "by_row")):
        is_last = int(name in ("right", "bottom"))
        nodes += [
            helper.make_node("ArgMax", [source], [f"{name}_at"], axis=0, keepdims=1, select_last_index=is_last),
            helper.make_node("Cast", [f"{name}_at"], [f"{name}_first"], to=TensorProto.FLOAT),
            helper.make_node("Add", [f"{name}_first", "one" if is_last else "none"], [name]),
        ]
        edges.append(name)
    nodes += [
        helper.make_node("Concat", edges, ["box"], axis=0),
        helper.make_node("Reshape", ["box", "as_row"], ["row"]),
        helper.make_node("Concat", ["row", "row", "elsewhere"], ["all"], axis=0),
        helper.make_node("Reshape", ["all", "as_batch"], ["boxes"]),
        helper.make_node("Identity", ["sure"], ["scores"]),
    ]
    weights = {
        "level": np.array(0.5, np.float32),
        "one": np.ones(1, np.float32),
        "none": np.zeros(1, np.float32),
        "as_row": np.array([1, 4]),
        "as_batch": np.array([1, 3, 4]),
        "elsewhere": np.array([[0, 0, 3, 3]], np.float32),
        "sure": np.array([[0.8, 0.9, 0.2]], np.float32),
    }
    return write(path, nodes, {"image": [1, 1, rows, columns]}, {"boxes": [1, 3, 4], "scores": [1, 3]}, weights)


def centred(path: Path, shape: Sequence[int]) -> Path:
    """The centre of what is above 0.5, in the order of the axes, as shares of the input: output `point`."""
    letters, count = list(range(2, len(shape))), len(shape) - 2
    nodes = [
        helper.make_node("Greater", ["image", "level"], ["above"]),
        helper.make_node("Cast", ["above"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["mask"], ["total"], keepdims=0),
    ]
    weights: dict[str, NDArray[np.generic]] = {"level": np.array(0.5, np.float32), "flat": np.array([1])}
    parts = []
    for axis in letters:
        along = (np.arange(shape[axis], dtype=np.float32) + 0.5) / shape[axis]
        weights[f"along{axis}"] = along.reshape([shape[axis] if each == axis else 1 for each in range(len(shape))])
        nodes += [
            helper.make_node("Mul", ["mask", f"along{axis}"], [f"moment{axis}"]),
            helper.make_node("ReduceSum", [f"moment{axis}"], [f"sum{axis}"], keepdims=0),
            helper.make_node("Div", [f"sum{axis}", "total"], [f"mean{axis}"]),
            helper.make_node("Reshape", [f"mean{axis}", "flat"], [f"part{axis}"]),
        ]
        parts.append(f"part{axis}")
    nodes.append(helper.make_node("Concat", parts, ["point"], axis=0))
    return write(path, nodes, {"image": list(shape)}, {"point": [count]}, weights)


def averaged(path: Path, shape: Shape) -> Path:
    """The mean of all, and its negative: outputs `scores` (1, 2) and `mean` (1, 1)."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["whole"], keepdims=0),
        helper.make_node("Reshape", ["whole", "as_row"], ["mean"]),
        helper.make_node("Neg", ["mean"], ["other"]),
        helper.make_node("Concat", ["other", "mean"], ["scores"], axis=1),
    ]
    return write(path, nodes, {"image": shape}, {"scores": [1, 2], "mean": [1, 1]}, {"as_row": np.array([1, 1])})


def layers(path: Path, spatial: int, width: int = 16, depth: int = 4) -> Path:
    """A network that has to compute: `depth` convolutions of 3 voxels a side, two classes; output `scores`.

    Its weights are drawn from a seed, so what it says means nothing. `spatial`: how many axes it has.
    """
    draw = np.random.default_rng(1)
    shape: list[int | str | None] = [1, 1, *[None] * spatial]
    nodes, weights, last, channels = [], {}, "image", 1
    for number in range(depth):
        made = 2 if number == depth - 1 else width
        kernel = draw.normal(0, (channels * 3**spatial) ** -0.5, (made, channels, *[3] * spatial))
        weights[f"kernel{number}"] = kernel.astype(np.float32)
        name = "scores" if number == depth - 1 else f"layer{number}"
        nodes.append(helper.make_node("Conv", [last, f"kernel{number}"], [name], pads=[1] * (2 * spatial)))
        if number < depth - 1:
            nodes.append(helper.make_node("Relu", [name], [f"positive{number}"]))
        last, channels = f"positive{number}", made
    return write(path, nodes, {"image": shape}, {"scores": [1, 2, *[None] * spatial]}, weights)


def mapped(path: Path) -> Path:
    """As `layers` in two dimensions, with the mean of the map: outputs `map` and `score`."""
    model = onnx.load(str(layers(path, 2)))
    graph = model.graph
    graph.node.append(helper.make_node("ReduceMean", ["scores"], ["score"], axes=[2, 3], keepdims=0))
    graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 2]))
    onnx.save(model, str(path))
    return path
