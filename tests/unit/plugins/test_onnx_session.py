"""An ONNX model is opened within the processors of its job, and what cannot be run is said plainly."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from plugins import onnx_session
from plugins.onnx_session import ModelError, given_threads, open_session
from plugins.resources import THREAD_VARIABLES
from tests.support.models import tiny_models


def test_a_model_is_opened_and_answers(tmp_path):
    """What it gives is what its operators say, on one thread and without memory that it keeps."""
    session = open_session(tiny_models.identity(tmp_path / "model.onnx", [1, 3]))
    (answer,) = session.run(None, {"image": np.array([[1, 2, 3]], np.float32)})
    assert np.asarray(answer).tolist() == [[1, 2, 3]]
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert not options.enable_cpu_mem_arena
    assert options.use_deterministic_compute


def test_threads_are_those_of_the_job(monkeypatch):
    """As many as its plugin was given processors, never more than there are; one where nobody said."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    found = []
    for said in ("3", "64", "0", "", "many"):
        monkeypatch.setenv(THREAD_VARIABLES[0], said)
        found.append(given_threads())
    assert found == [3, 4, 1, 1, 1]


def test_a_provider_that_is_missing_is_named(tmp_path):
    """It is an error, with what there is: never another provider instead, unasked."""
    path = tiny_models.identity(tmp_path / "model.onnx", [1])
    with pytest.raises(ModelError, match=r"provider TPU is not in the onnxruntime .* it has .*CPUExecutionProvider"):
        open_session(path, providers=("TPU", onnx_session.CPU_PROVIDER))


def test_without_onnxruntime_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    """The command that installs it is part of the message."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"onnxruntime is not installed: pip install 'pacsnode\[onnx\]'"):
        open_session(tmp_path / "model.onnx")


def _cut_short(path: Path) -> None:
    content = tiny_models.identity(path, [1]).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _of_an_unknown_operator(path: Path) -> None:
    model = onnx.load(str(tiny_models.identity(path, [1])))
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    path.write_bytes(model.SerializeToString())


def _with_weights_elsewhere(path: Path) -> None:
    (path.parent.parent / "secret").write_bytes(bytes(4))
    add = helper.make_node("Add", ["image", "weight"], ["answer"])
    tiny_models.write(path, [add], {"image": [1]}, {"answer": [1]}, {"weight": np.zeros(1, np.float32)})
    model = onnx.load(str(path))
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret"), ("offset", "0"), ("length", "4")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04 no model"), "model.onnx is no model that onnxruntime can run: "),
        (lambda path: path.write_bytes(b""), "model.onnx is no model"),
        (_cut_short, "model.onnx is no model"),
        (_of_an_unknown_operator, "com.example"),
        (_with_weights_elsewhere, "model.onnx is no model that onnxruntime can run: .*secret"),
        (lambda _: None, "there is no file model.onnx"),
    ],
    ids=["not a model", "empty", "cut short", "unknown operator", "weights outside of the folder", "not there"],
)
def test_what_is_no_model_is_refused_in_plain_words(tmp_path, make, said):
    """One line that names the file and the reason."""
    folder = tmp_path / "plugin"
    folder.mkdir()
    make(folder / "model.onnx")
    with pytest.raises(ModelError, match=said) as refused:
        open_session(folder / "model.onnx")
    assert "\n" not in str(refused.value)
