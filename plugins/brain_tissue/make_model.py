"""`model20chan3cls.onnx` from the weights of its authors: `python -m plugins.brain_tissue.make_model`.

The same weights give the same bytes. Needs onnx, which the development environment has and the plugin does not need.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_FOLDER = Path(__file__).parent
WEIGHTS = _FOLDER / "weights" / "model.bin"
TOPOLOGY = _FOLDER / "weights" / "model.json"
TARGET = _FOLDER / "model20chan3cls.onnx"
INPUT, OUTPUT = "image", "logits"
_OPSET, _IR_VERSION = 17, 8
"""Of ONNX 1.12: what each onnxruntime that pacsnode takes can read."""


def model_bytes() -> bytes:
    """The ONNX file: input `image` (1, 1, depth, height, width), output `logits` (1, 3, depth, height, width).

    The axes are those of the authors' arrays. Raises ValueError where the two files do not hold what this script knows.
    """
    topology = json.loads(TOPOLOGY.read_text())
    nodes, initializers, current = [], [], INPUT
    arrays = dict(_arrays(topology["weightsManifest"]))
    layers = topology["modelTopology"]["model_config"]["config"]["layers"][1:]  # the first one is the input
    for layer in layers:
        kind, name = layer["class_name"], layer["config"]["name"]
        following = OUTPUT if layer is layers[-1] else f"{name}/output"
        if kind == "Conv3D":
            weights = {part: arrays.pop(f"{name}/{part}") for part in ("kernel", "bias")}
            # Keras has (depth, height, width, in, out), ONNX (out, in, depth, height, width); neither flips a kernel
            weights["kernel"] = np.ascontiguousarray(weights["kernel"].transpose(4, 3, 0, 1, 2))
            initializers += [numpy_helper.from_array(value, f"{name}/{part}") for part, value in weights.items()]
            inputs = [current, f"{name}/kernel", f"{name}/bias"]
            nodes.append(helper.make_node("Conv", inputs, [following], name))
            nodes[-1].attribute.extend(_attributes(layer["config"]))
        elif kind == "Activation" and layer["config"]["activation"] == "elu":
            nodes.append(helper.make_node("Elu", [current], [following], name, alpha=1.0))
        else:
            raise ValueError(f"{TOPOLOGY}: {name} is a layer that this script does not know ({kind})")
        current = following
    if arrays:
        raise ValueError(f"{TOPOLOGY}: no layer has the weights {', '.join(arrays)}")
    return _serialized(nodes, initializers)


def _arrays(manifest: list[dict[str, Any]]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Name and values of all weights: little-endian float32, one after the other."""
    values = np.fromfile(WEIGHTS, dtype="<f4")
    begin = 0
    for weight in manifest[0]["weights"]:
        end = begin + int(np.prod(weight["shape"]))
        yield weight["name"], values[begin:end].reshape(weight["shape"])
        begin = end
    if begin != len(values):
        raise ValueError(f"{WEIGHTS}: has {len(values)} numbers, and {TOPOLOGY.name} names {begin}")


def _attributes(config: Mapping[str, Any]) -> list[onnx.AttributeProto]:
    """Of a convolution that keeps the size of its input: zeros around it, as many as its kernel reaches beyond."""
    expected = {"strides": [1, 1, 1], "padding": "same", "activation": "linear", "data_format": "channels_last"}
    for key, value in expected.items():
        if config[key] != value:
            raise ValueError(f"{TOPOLOGY}: {config['name']} has {key} {config[key]!r}, expected {value!r}")
    kernel, dilations = config["kernel_size"], config["dilation_rate"]
    beyond = [(size - 1) // 2 * dilation for size, dilation in zip(kernel, dilations, strict=True)]
    values = {"dilations": dilations, "kernel_shape": kernel, "pads": beyond * 2}
    return [helper.make_attribute(name, value) for name, value in values.items()]


def _serialized(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto]) -> bytes:
    def tensor(name: str, channels: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "depth", "height", "width"])

    graph = helper.make_graph(nodes, "model20chan3cls", [tensor(INPUT, 1)], [tensor(OUTPUT, 3)], initializers)
    model = helper.make_model(
        graph, producer_name="plugins.brain_tissue.make_model", opset_imports=[helper.make_opsetid("", _OPSET)]
    )
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    """Write the file in place of the one that is there."""
    TARGET.write_bytes(model_bytes())


if __name__ == "__main__":
    main()
