"""Writes `model.onnx` of this example: `python plugins/examples/onnx_head_bleed/make_model.py [FILE]` (needs onnx).

Two layers of convolutions with weights that nobody had to train. The first smooths within the slice and asks whether a
voxel is as dense as fresh blood; the second counts the neighbours for which that holds, so that the thin shell between
skull and brain, whose voxels are part bone, is no bleed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_LOW, _HIGH = 0.50, 0.82
"""Of the window: 50 to 82 HU of 0 to 100."""
_STEEP = 60.0
_OPSET, _IR = 17, 9


def model() -> onnx.ModelProto:
    """The network: `image` (1, 1, D, H, W), 0 to 1 → `scores` (1, 2, D, H, W), background and bleed."""

    def mean(size: int, times: float) -> NDArray[np.float32]:
        return np.full((1, 1, 1, size, size), times / size**2, np.float32)

    weights = {
        "smoothing": mean(3, 1.0),
        "band": np.array([1, -1], np.float32).reshape(2, 1, 1, 1, 1) * np.float32(_STEEP),
        "edges": np.array([-_LOW, _HIGH], np.float32) * np.float32(_STEEP),
        "neighbours": mean(7, 20.0),
        "most": np.array([-8.0], np.float32),
        "none": np.array(0, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "smoothing"], ["smooth"], pads=[0, 1, 1, 0, 1, 1]),
        helper.make_node("Conv", ["smooth", "band", "edges"], ["sides"]),
        helper.make_node("Sigmoid", ["sides"], ["within"]),
        helper.make_node("ReduceMin", ["within"], ["dense"], axes=[1], keepdims=1),
        helper.make_node("Conv", ["dense", "neighbours", "most"], ["bleed"], pads=[0, 3, 3, 0, 3, 3]),
        helper.make_node("Mul", ["bleed", "none"], ["background"]),
        helper.make_node("Concat", ["background", "bleed"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "head_bleed",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "D", "H", "W"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, "D", "H", "W"])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)


def main() -> None:
    """Write it beside this file, or where the argument says."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("model.onnx")
    target.write_bytes(model().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
