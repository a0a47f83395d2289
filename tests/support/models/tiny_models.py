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
