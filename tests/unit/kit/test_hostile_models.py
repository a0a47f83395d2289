"""A model file is a program of somebody: what one can try ends within its limits, in its confinement, with its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper

from node.config.models import Configuration, PluginUse
from node.kit import chosen
from node.kit.commissioning import commission
from node.kit.small_node import kit_configuration
from node.run import starts
from plugins import manifest
from tests.support.models import tiny_models

EXAMPLE = Path(manifest.__file__).parent / "examples" / "onnx_head_bleed"
IMAGE: tiny_models.Shape = [1, 1, "D", "H", "W"]
SCORES: tiny_models.Shape = [1, 2, "D", "H", "W"]
FOR_EVER = 2**62


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the worked example with one of its examples, whose model a test replaces."""
    made = Path(shutil.copytree(EXAMPLE, tmp_path / "model"))
    shutil.rmtree(made / "examples" / "none")
    return made


def site(folder: Path, **use: object) -> Configuration:
    made = PluginUse.model_validate({"folder": folder, **use})
    return kit_configuration().model_copy(update={"plugins": {"hostile": made}})


def _body(operator: str, axes: int) -> GraphProto:
    """Of a loop: what it carries, with itself."""
    more: dict[str, Any] = {"axis": 0} if operator == "Concat" else {}
    nodes = [
        helper.make_node("Identity", ["go_on"], ["goes_on"]),
        helper.make_node(operator, ["carried", "carried"], ["next"], **more),
    ]
    shape = [None] * axes
    return helper.make_graph(
        nodes,
        "body",
        [
            helper.make_tensor_value_info("count", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, shape),
        ],
    )


def looping(path: Path, operator: str) -> None:
    """Answers after 2⁶² rounds, in each of which a number or a list of numbers becomes itself and itself."""
    axes = 1 if operator == "Concat" else 0
    nodes = [
        helper.make_node("Loop", ["rounds", "true", "start"], ["end"], body=_body(operator, axes)),
        helper.make_node("ReduceMax", ["end"], ["most"], keepdims=0),
        helper.make_node("Mul", ["image", "most"], ["bleed"]),
        helper.make_node("Concat", ["bleed", "bleed"], ["scores"], axis=1),
    ]
    weights: Mapping[str, NDArray[np.generic]] = {
        "rounds": np.array(FOR_EVER),
        "true": np.array(True),
        "start": np.ones(2**16 if axes else (), np.float32),
    }
    tiny_models.write(path, nodes, {"image": IMAGE}, {"scores": SCORES}, weights)


@pytest.mark.parametrize(
    ("operator", "use", "said"),
    [("Mul", {"deadline": "3s"}, "deadline"), ("Concat", {"memory": "600MiB"}, "memory")],
    ids=["a loop without end", "a tensor that doubles without end"],
)
def test_what_does_not_end_is_ended_by_its_limit(folder: Path, operator: str, use: dict[str, str], said: str) -> None:
    """The job fails in words that name the limit, and the node is where it was."""
    looping(folder / "model.onnx", operator)
    found = commission("hostile", site(folder, **use))
    assert not found.passed
    assert said in found.detail


def with_weights_at(path: Path, location: str) -> None:
    """The bleed is what lies in another file."""
    nodes = [
        helper.make_node("Add", ["image", "weight"], ["bleed"]),
        helper.make_node("Concat", ["bleed", "bleed"], ["scores"], axis=1),
    ]
    tiny_models.write(path, nodes, {"image": IMAGE}, {"scores": SCORES}, {"weight": np.zeros(1, np.float32)})
    model = onnx.load(str(path))
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())


def by_absolute_path(folder: Path, secret: Path) -> str:
    return str(secret)


def by_link(folder: Path, secret: Path) -> str:
    (folder / "weights.bin").symlink_to(secret)
    return "weights.bin"


@pytest.mark.parametrize("way", [by_absolute_path, by_link])
def test_weights_outside_of_the_folder_are_not_read(
    folder: Path, tmp_path: Path, way: Callable[[Path, Path], str]
) -> None:
    """Whichever way the file names them: it does not start, and what is said holds no byte of that file."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"SeCr")
    with_weights_at(folder / "model.onnx", way(folder, secret))
    plugin = chosen.choose("hostile", site(folder)).at(tmp_path / "data")
    (problem,) = starts.problems([plugin]).values()
    assert problem.startswith("model.onnx is no model that onnxruntime can run: ")
    assert "SeCr" not in problem
