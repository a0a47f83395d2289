"""A manifest of a model is read, or says where it is wrong; a model that is otherwise than it says does not start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from plugins import manifest, starting, testing
from plugins.contract import NotApplicableError
from plugins.manifest_table import ManifestError
from plugins.model import intensity
from plugins.model.mapping import BlendRule, IntensityStep, SlidingWindow, StepKind
from plugins.model.running import _windows  # what covers a volume shows in nothing else
from plugins.onnx_session import ModelError
from plugins.runtime import ONNX_ENTRY
from tests.support.models import tiny_models
from tests.support.models.model_room import NODULE, plugin, write_stack

INPUT = '[onnx.input]\nimages = "volume"\nlayout = "NCDHW"\n'
OUTPUT = f"""
[[onnx.outputs]]
kind = "segmentation"
name = "scores"
segments = [{{index = 1, name = "Ball", type = {NODULE}, finding = {NODULE}}}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a model that tells two classes apart."""
    tiny_models.bright(tmp_path / "model.onnx", [1, 1, None, None, None])
    return tmp_path


def test_the_model_file_is_what_was_learnt(folder):
    """Its digest is that of the weights, so the Device UID of results changes with it; its codes need no list."""
    made = manifest.load(plugin(folder, INPUT + OUTPUT))
    assert made.weight_files() == [folder / "model.onnx"]
    assert {each.code.value for each in made.concepts} == {"27925004", "118565006"}
    assert made.runtime.needs_examples
    assert made.runtime.entry == ONNX_ENTRY


MISTAKES = {
    "no file": ('file = "model.onnx"', 'file = "other.onnx"', r"onnx.file: there is no file other.onnx"),
    "outside": ('file = "model.onnx"', 'file = "../model.onnx"', r"onnx.file: .* leaves the plugin's folder"),
    "layout": ('"NCDHW"', '"NCDH"', r"onnx.input.layout: 'NCDH' has not N and C once"),
    "batch last": ('"NCDHW"', '"CDHWN"', r"onnx.input.layout: N, the axis of the batch, comes first"),
    "type": ('"NCDHW"', '"NCDHW"\ntype = "int4"', r"onnx.input.type: 'int4' is none of"),
    "spacing": ('"NCDHW"', '"NCDHW"\nspacing = [1, 1]', r"onnx.input.spacing: expected 3 numbers, got 2"),
    "orientation": ('"NCDHW"', '"NCDHW"\norientation = "RAL"', r"onnx.input.orientation: 'RAL' is not 3 of"),
    "fit": ('"NCDHW"', '"NCDHW"\nfit = "pad"', r"onnx.input.fit: needs the size"),
    "output": ('"findings"', '"segmentation"', r"outputs: lacks findings, which \[onnx\] makes"),
    "activation": ('name = "scores"', 'name = "scores"\nactivation = "none"', r"a map of labels has no axis C"),
    "background": ("index = 1", "index = 0", r"segments\[0\].index: 0 is not within 1 to 65535; 0 is background"),
    "gpu": (
        'file = "model.onnx"',
        'file = "model.onnx"\nproviders = ["CUDAExecutionProvider"]',
        r"onnx: providers: one needs a GPU",
    ),
    "unknown key": ('"NCDHW"', '"NCDHW"\nsise = [1, 1, 1]', r"onnx.input.sise: unknown key, did you mean 'size'\?"),
}


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_file_and_key(folder, old, new, said):
    """Before anything is started."""
    plugin(folder, INPUT + OUTPUT)
    path = folder / "plugin.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ManifestError, match=said) as refused:
        manifest.load(folder)
    assert str(refused.value).startswith(f"{path}:")


OTHERWISE = {
    "input": ('"NCDHW"\n', '"NCDHW"\nname = "picture"\n', "input.name: the model has no input 'picture', but 'image'"),
    "type": ('"NCDHW"\n', '"NCDHW"\ntype = "uint8"\n', "input.type: the model takes float32, not uint8"),
    "axes": (
        'images = "volume"\nlayout = "NCDHW"',
        'images = "volume"\nlayout = "NCHW"',
        "input.layout: the model takes 1 × 1 × ? × ? × ?, not NCHW",
    ),
    "channels": (
        "[[onnx.outputs]]",
        '[[onnx.channels]]\n[[onnx.channels]]\nrole = "late"\n[[onnx.outputs]]',
        "channels: the model takes 1 along C, and gets 2",
    ),
    "output": ('name = "scores"', 'name = "mask"', "outputs: the model has no output 'mask', but 'scores'"),
    "classes": ("index = 1", "index = 2", "outputs: scores: the model gives 2 along C, none with index 2"),
}


@pytest.mark.parametrize(("old", "new", "said"), OTHERWISE.values(), ids=OTHERWISE)
def test_a_model_that_is_otherwise_does_not_start(folder, old, new, said):
    """Names, axes, sizes and types are held against the file: `check` says so, without images."""
    plugin(folder, INPUT + OUTPUT)
    path = folder / "plugin.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    assert said in starting.problem_of(folder, ONNX_ENTRY)


def test_a_size_that_the_model_fixes_has_to_be_reached(folder):
    """A model of 32³ voxels wants a size or a window, and the right one."""
    tiny_models.bright(folder / "model.onnx", [1, 1, 32, 32, 32])
    plugin(folder, INPUT + OUTPUT)
    assert "say it in input.size or sliding.window" in starting.problem_of(folder, ONNX_ENTRY)
    plugin(folder, INPUT + "size = [32, 32, 31]\n" + OUTPUT)
    assert "input.size: the model takes 32 along W, and gets 31" in starting.problem_of(folder, ONNX_ENTRY)
    plugin(folder, INPUT + "size = [32, 32, 32]\n" + OUTPUT)
    assert starting.problem_of(folder, ONNX_ENTRY) == ""


def test_a_model_that_wants_all_memory_is_an_error_of_its_own(folder, tmp_path):
    """Four terabytes are not there: a plain sentence, from whichever process tries."""
    huge = helper.make_node("Expand", ["image", "shape"], ["large"])
    total = helper.make_node("ReduceMax", ["large"], ["scores"], keepdims=1)
    shape = np.array([1, 2, 2**20, 2**10, 2**9])
    tiny_models.write(
        folder / "model.onnx",
        [huge, total],
        {"image": [1, 1, 1, 1, 1]},
        {"scores": [1, 1, 1, 1, 1]},
        {"shape": shape},
    )
    output = OUTPUT.replace('name = "scores"', 'name = "scores"\nactivation = "sigmoid"').replace(
        "index = 1", "index = 0"
    )
    made = plugin(folder, INPUT + 'size = [1, 1, 1]\nfit = "stretch"\n' + output)
    files = write_stack(tmp_path / "ct", np.zeros((4, 8, 8), np.float32), (1.0, 1.0, 1.0))
    with pytest.raises(ModelError, match="the model could not compute its outputs"):
        testing.analyse(made, files)


VALUES = np.array([-200, 0, 100, 200, 400], np.float32)
ABOVE, SHARES = VALUES[2:], np.array([0, 0, 0.25, 0.5, 1])
STEPS = {
    "window": ([IntensityStep(StepKind.WINDOW, 0.0, 200.0)], [0, 0, 0.5, 1, 1]),
    "rescale": ([IntensityStep(StepKind.RESCALE, 100.0, 50.0)], [-6, -2, 0, 2, 6]),
    "percentile": ([IntensityStep(StepKind.PERCENTILE, 25.0, 75.0)], [0, 0, 0.5, 1, 1]),
    "z-score": ([IntensityStep(StepKind.ZSCORE)], (VALUES - 100) / np.std(VALUES)),
    "z-score of what is above": ([IntensityStep(StepKind.ZSCORE, above=50.0)], (VALUES - ABOVE.mean()) / np.std(ABOVE)),
    "one after the other": (
        [IntensityStep(StepKind.WINDOW, 0.0, 400.0), IntensityStep(StepKind.ZSCORE)],
        (SHARES - SHARES.mean()) / np.std(SHARES),
    ),
}


@pytest.mark.parametrize(("steps", "wanted"), STEPS.values(), ids=STEPS)
def test_values_become_the_models(steps, wanted):
    """Windows, scales, and what the images' own values say, one after the other."""
    made = intensity.applied(intensity.fixed(steps, VALUES), VALUES)
    assert made == pytest.approx(np.array(wanted), abs=1e-5)


def test_images_of_one_value_are_not_applicable():
    """There is no deviation to divide by."""
    with pytest.raises(NotApplicableError, match="All values of the images are the same"):
        intensity.fixed([IntensityStep(StepKind.ZSCORE)], np.full(9, 7, np.float32))


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(10, 33, 40), (16, 16, 16), (16, 17, 100)])
def test_windows_reach_every_voxel(shape, overlap):
    """Whatever the overlap, and none lies outside."""
    window = SlidingWindow((10, 16, 16), overlap, BlendRule.MEAN)
    seen = np.zeros(shape, int)
    for place in _windows(shape, window):
        assert seen[place].shape == window.size
        seen[place] += 1
    assert seen.min() >= 1
