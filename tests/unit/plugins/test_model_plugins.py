"""A model file is a plugin: what its outputs say lies where the images show it, to half a voxel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from plugins import imaging, manifest, starting, testing
from plugins.adapters import onnx as onnx_adapter
from plugins.contract import Box, NotApplicableError, Result, ResultStatus, Series, Study
from plugins.manifest_table import ManifestError
from plugins.runtime import ONNX_ENTRY
from tests.support.models import model_room, tiny_models
from tests.support.models.model_room import NODULE, TISSUE, plugin, turned, write_radiograph, write_stack

SPACING = (3.0, 0.8, 1.1)
"""mm between slices, rows, columns: no two alike."""
WINDOW = '[[onnx.channels]]\nsteps = [{kind = "window", centre = 500.0, width = 1000.0}]\n'


@pytest.fixture
def folder(tmp_path) -> Path:
    """Of the plugin."""
    made = tmp_path / "plugin"
    made.mkdir()
    return made


def ball(shape=(16, 60, 40), centre=(7.3, 24.6, 21.2), radius=11.0) -> np.ndarray:
    """HU of a bright ball, mm by mm; its surface is soft, as that of a real image."""
    places = np.indices(shape).astype(np.float64)
    away = np.sqrt(sum(((each - at) * mm) ** 2 for each, at, mm in zip(places, centre, SPACING, strict=True)))
    return (1000 / (1 + np.exp(2 * (away - radius)))).astype(np.float32)


def centre_of(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)


SEGMENTATION = f"""
[[onnx.outputs]]
kind = "segmentation"
name = "scores"
segments = [{{index = 1, name = "Ball", type = {NODULE}, finding = {NODULE}, empty = "absent"}}]
"""
INPUTS = {
    "as it is": 'layout = "NCDHW"',
    "spacing": 'layout = "NCDHW"\nspacing = [1.0, 1.0, 1.0]',
    "orientation": 'layout = "NCDHW"\nspacing = [1.0, 0.9, 1.2]\norientation = "RAS"',
    "letterbox": 'layout = "NCDHW"\norientation = "SPL"\nspacing = [1, 1, 1]\nsize = [50, 50, 50]\nfit = "letterbox"',
    "by slice": 'layout = "NCHW"\nsize = [64, 64]\nfit = "pad"',
}


def segmented(folder: Path, given: str, files: list[Path], more: str = "") -> Result:
    shape = [1, 1, None, None] if '"NCHW"' in given else [1, 1, None, None, None]
    tiny_models.bright(folder / "model.onnx", shape)
    model = f'[onnx.input]\nimages = "volume"\n{given}\n{WINDOW}{SEGMENTATION}{more}'
    return testing.analyse(plugin(folder, model, ("findings", "segmentation")), files)


@pytest.mark.parametrize("given", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_segmentation_lies_where_the_images_show_it(folder, tmp_path, given, angle):
    """Centre to half a voxel and volume in mL, of straight and oblique stacks, however the model wants them."""
    array = ball()
    result = segmented(folder, given, write_stack(tmp_path / "ct", array, SPACING, turned(angle)))
    mask = np.asarray(result.segmentation.labels) == 1
    truth = array > 500
    assert np.abs(centre_of(mask) - centre_of(truth)).max() < 0.5
    assert mask[truth].mean() > 0.9
    assert (mask & ~truth).sum() < 0.1 * truth.sum()
    (volume,) = result.findings[0].measurements
    assert volume.unit.code == "mL"
    assert volume.value == pytest.approx(4 / 3 * np.pi * 1.1**3, rel=0.05)


def test_windows_put_together_say_what_the_whole_says(folder, tmp_path):
    """A model that looks at each voxel by itself sees the same in windows, at their seams and at the end, too."""
    files = write_stack(tmp_path / "ct", ball(), SPACING)
    whole = segmented(folder, INPUTS["as it is"], files)
    for blend in ("gaussian", "mean"):
        window = f'[onnx.sliding]\nwindow = [20, 16, 24]\noverlap = 0.25\nblend = "{blend}"\n'
        parts = segmented(folder, INPUTS["as it is"], files, window)
        assert (np.asarray(parts.segmentation.labels) == np.asarray(whole.segmentation.labels)).all()


def test_clean_up_leaves_the_largest_and_nothing_small(folder, tmp_path):
    """Of a ball and a speck the speck goes; where all is too small nothing is left, and that says absent."""
    array = ball()
    array[2, 50:54, 4:8] = 1000
    files = write_stack(tmp_path / "ct", array, SPACING)
    both = segmented(folder, INPUTS["as it is"], files)
    text = (folder / "plugin.toml").read_text()
    found = []
    for key in ("largest_only = true", "minimum_ml = 1.0", "minimum_ml = 100.0"):
        (folder / "plugin.toml").write_text(text.replace('name = "scores"', f'name = "scores"\n{key}'))
        found.append(testing.analyse(folder, files))
    voxels = [int(np.count_nonzero(each.segmentation.labels)) if each.segmentation else 0 for each in (both, *found)]
    assert voxels == [voxels[0], voxels[0] - 16, voxels[0] - 16, 0]
    assert found[-1].status is ResultStatus.NO_FINDINGS
    assert "not found" in found[-1].summary


def test_each_connected_part_is_a_finding_where_the_manifest_wants_that(folder, tmp_path):
    """The ball first, the speck beside it; beyond the number the report counts."""
    array = ball()
    array[2, 50:54, 4:8] = 1000
    files = write_stack(tmp_path / "ct", array, SPACING)
    segmented(folder, INPUTS["as it is"], files)
    text = (folder / "plugin.toml").read_text()
    found = []
    for most in (5, 1):
        (folder / "plugin.toml").write_text(text.replace('empty = "absent"', f'empty = "absent", parts = {most}'))
        found.append(testing.analyse(folder, files))
    both, first = found
    assert [len(each.findings) for each in found] == [2, 1]
    longest = both.findings[0].measurements[1].value or 0
    assert 22 <= longest <= 22 + SPACING[0]
    assert both.findings[0].regions[0].image == first.findings[0].regions[0].image
    assert first.quality[0].startswith("Not listed, further parts of Ball: 1")


def test_nothing_is_absent_of_what_was_cut_off(folder, tmp_path):
    """A crop that shows no ball says nothing of the rest, and the result says that it is of a part."""
    given = 'layout = "NCDHW"\nsize = [16, 8, 8]\nfit = "crop"'
    result = segmented(folder, given, write_stack(tmp_path / "ct", ball(centre=(8, 5, 5), radius=3), SPACING))
    assert result.status is ResultStatus.NOT_APPLICABLE
    seen = segmented(folder, given, write_stack(tmp_path / "other", ball(centre=(8, 30, 20)), SPACING))
    assert "Analysed in part only" in seen.quality[0]


def radiograph(rows: int = 300, columns: int = 190) -> np.ndarray:
    """A bright rectangle: rows 120 to 199, columns 30 to 69."""
    image = np.zeros((rows, columns), np.float32)
    image[120:200, 30:70] = 1
    return image


PROJECTION = '[onnx.input]\nimages = "projection"\nlayout = "NCHW"\nsize = [150, 128]\nfit = "{fit}"\n'
BOXES = f"""
[[onnx.outputs]]
kind = "boxes"
name = "boxes"
scores = "scores"
labels = [{{index = 0, finding = {NODULE}, threshold = 0.5}}]
"""


@pytest.mark.parametrize("fit", ["letterbox", "stretch", "crop_or_pad"])
def test_boxes_come_back_through_the_letterbox(folder, tmp_path, fit):
    """Both corners to half a pixel of the model's; two boxes that overlap are one, with the better score."""
    tiny_models.boxed(folder / "model.onnx", 150, 128)
    image = radiograph(150, 190) if fit == "crop_or_pad" else radiograph()
    image[120:200, 30:70] = 1
    if fit == "crop_or_pad":
        image = np.roll(image, (-60, 30), axis=(0, 1))
    result = testing.analyse(
        plugin(folder, PROJECTION.format(fit=fit) + BOXES), write_radiograph(tmp_path / "dx", image)
    )
    (finding,) = result.findings
    (box,) = finding.regions
    assert isinstance(box, Box)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    truth = [[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]]
    assert np.abs(box.points - truth).max() <= (1.01 if fit != "crop_or_pad" else 0)  # a pixel of the model is two
    assert finding.score.value == pytest.approx(0.9)


LANDMARK = """
[[onnx.outputs]]
kind = "landmarks"
name = "point"
order = "{order}"
coordinates = "share"
points = [{{index = 0, finding = {finding}}}]
"""


def test_a_landmark_on_a_radiograph_comes_back_through_the_letterbox(folder, tmp_path):
    """(column, row) on the image, to half a pixel."""
    tiny_models.centred(folder / "model.onnx", [1, 1, 150, 128])
    model = PROJECTION.format(fit="letterbox") + LANDMARK.format(order="HW", finding=NODULE)
    result = testing.analyse(plugin(folder, model), write_radiograph(tmp_path / "dx", radiograph()))
    (point,) = result.findings[0].regions
    assert np.abs(point.points[0] - (50, 160)).max() < 0.5


@pytest.mark.parametrize("given", ['orientation = "RAS"\nspacing = [1, 1, 1]\n', "spacing = [2, 1, 1]\n"])
def test_a_landmark_of_an_oblique_volume_lies_in_the_patient(folder, tmp_path, given):
    """x, y, z in mm, to half a voxel of the images."""
    array = ball()
    tiny_models.centred(folder / "model.onnx", [1, 1, 64, 64, 64])
    model = f'[onnx.input]\nimages = "volume"\nlayout = "NCDHW"\nsize = [64, 64, 64]\n{given}{WINDOW}'
    files = write_stack(tmp_path / "ct", array, SPACING, turned(0.4))
    result = testing.analyse(plugin(folder, model + LANDMARK.format(order="DHW", finding=NODULE)), files)
    (point,) = result.findings[0].regions
    affine = imaging.volume(files).affine
    column, row, slice_index = (np.linalg.inv(affine) @ (*point.points[0], 1.0))[:3]
    assert np.abs(np.array([slice_index, row, column]) - centre_of(array > 500)).max() < 0.5


SCORES = """
[[onnx.outputs]]
kind = "classification"
name = "scores"
activation = "ACTIVATION"
labels = [{index = 1, finding = NODULE, threshold = 0.6, below = "absent"}]

[[onnx.outputs]]
kind = "regression"
name = "mean"
concept = {value = "373098007", scheme = "SCT", meaning = "Mean"}
unit = "[hnsf'U]"
finding = TISSUE
scale = 1000.0
offset = -1000.0
maximum = 200.0
""".replace("NODULE", NODULE).replace("TISSUE", TISSUE)


@pytest.mark.parametrize(
    ("value", "activation", "score", "status", "mean"),
    [
        (1000, "softmax", 1 / (1 + np.exp(-2)), ResultStatus.FINDINGS, 0.0),
        (1000, "sigmoid", 1 / (1 + np.exp(-1)), ResultStatus.FINDINGS, 0.0),
        (200, "sigmoid", 1 / (1 + np.exp(-0.2)), ResultStatus.FINDINGS, -800.0),
        (1300, "softmax", 1 / (1 + np.exp(-2.6)), ResultStatus.FINDINGS, None),
    ],
)
def test_scores_and_numbers_are_what_the_model_says(folder, tmp_path, value, activation, score, status, mean):
    """With their thresholds and units; a number beyond what the manifest allows has no value."""
    tiny_models.averaged(folder / "model.onnx", [1, 1, None, None, None])
    model = (
        '[onnx.input]\nimages = "volume"\nlayout = "NCDHW"\n'
        '[[onnx.channels]]\nsteps = [{kind = "rescale", scale = 1000.0}]\n' + SCORES.replace("ACTIVATION", activation)
    )
    files = write_stack(tmp_path / "ct", np.full((5, 20, 20), value, np.float32), SPACING)
    result = testing.analyse(plugin(folder, model), files)
    nodule, tissue = result.findings
    assert result.status is status
    assert nodule.score.value == pytest.approx(float(score), abs=1e-4)
    assert nodule.present is bool(score >= 0.6)
    assert tissue.measurements[0].value == (None if mean is None else pytest.approx(mean, abs=0.01))


def test_a_heat_map_lies_on_the_images(folder, tmp_path):
    """The map's peak is where the images' is; it goes beside a score."""
    tiny_models.bright(folder / "model.onnx", [1, 1, None, None])
    model = (
        f'[onnx.input]\nimages = "volume"\nlayout = "NCHW"\nsize = [32, 32]\nfit = "stretch"\n{WINDOW}{SEGMENTATION}'
        '[[onnx.outputs]]\nkind = "heatmap"\nname = "scores"\nindex = 1\nactivation = "softmax"\n'
        'quantity = {value = "130404", scheme = "DCM", meaning = "Saliency"}\n'
    )
    array = ball()
    files = write_stack(tmp_path / "ct", array, SPACING)
    result = testing.analyse(plugin(folder, model, ("findings", "heatmaps")), files)
    (found,) = result.heatmaps
    assert found.values.shape == array.shape
    assert np.abs(centre_of(found.values > 0.5) - centre_of(array > 500)).max() < 0.5
    assert result.segmentation is None, "the manifest announces none"


def test_series_by_role_are_channels_on_one_grid(folder, tmp_path):
    """A second series on another grid is brought to the first one's; without it there is nothing to look at."""
    add = tiny_models.helper.make_node("ReduceMin", ["image"], ["least"], axes=[1], keepdims=1)
    twice = tiny_models.helper.make_node("Concat", ["none", "least"], ["scores"], axis=1)
    nothing = tiny_models.helper.make_node("Mul", ["least", "zero"], ["none"])
    shape = [1, 2, None, None, None]
    tiny_models.write(
        folder / "model.onnx",
        [add, nothing, twice],
        {"image": shape},
        {"scores": shape},
        {"zero": np.array(0, np.float32)},
    )
    step = 'steps = [{kind = "window", low = 0.0, high = 1000.0}, {kind = "rescale", shift = 0.5}]'
    model = (
        '[onnx.input]\nimages = "volume"\nlayout = "NCDHW"\n'
        f'[[onnx.channels]]\n{step}\n[[onnx.channels]]\nrole = "late"\n{step}\n{SEGMENTATION}'
    )
    early, late = ball(), ball()[:, ::2, :]
    made = plugin(folder, model, ("findings", "segmentation"))
    first = write_stack(tmp_path / "early", early, SPACING)
    second = write_stack(tmp_path / "late", late, (3.0, 1.6, 1.1), number=2)
    frame = model_room.frame_of(first[0])
    result = testing.analyse(made, first, roles={"late": [model_room.in_frame(each, frame) for each in second]})
    mask = np.asarray(result.segmentation.labels) == 1
    assert np.abs(centre_of(mask) - centre_of(early > 500)).max() < 0.5
    with pytest.raises(NotApplicableError, match="0 series of the role late"):
        testing.analyse(made, first)


# --- several inputs --------------------------------------------------------------------------------

NUMBERS = '[[onnx.scalars]]\nname = "age"\nfact = "age"\nshift = 20.0\nscale = 10.0\n'
NUMBERS += '[[onnx.scalars]]\nname = "sex"\nfact = "sex"\ntype = "int64"\n'
RESULT_OF_ALL = """
[[onnx.outputs]]
kind = "regression"
name = "answer"
concept = {value = "1", scheme = "99T", meaning = "Answer"}
finding = {value = "2", scheme = "99T", meaning = "Finding"}
unit = "1"
decimals = 3
"""


def of_two_series_and_a_person(path: Path) -> None:
    """mean(first) + 10 · mean(second) + 100 · age + 1000 · sex."""
    nodes = [
        helper.make_node("ReduceMean", ["early"], ["a"], keepdims=0),
        helper.make_node("ReduceMean", ["late"], ["b"], keepdims=0),
        helper.make_node("Cast", ["sex"], ["d"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["b", "ten"], ["tens"]),
        helper.make_node("Mul", ["age", "hundred"], ["hundreds"]),
        helper.make_node("Mul", ["d", "thousand"], ["thousands"]),
        helper.make_node("Sum", ["a", "tens", "hundreds", "thousands"], ["answer"]),
    ]
    weights = {name: np.array(value, np.float32) for name, value in (("ten", 10), ("hundred", 100), ("thousand", 1000))}
    image = [1, 1, None, None, None]
    tiny_models.write(
        path, nodes, {"early": image, "late": image, "age": [1, 1], "sex": [1]}, {"answer": [1, 1]}, weights
    )
    made = onnx.load(str(path))
    made.graph.input[3].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(made, str(path))


@pytest.fixture
def of_all(folder: Path) -> Path:
    """A plugin whose model has an input for each of two roles, and two numbers."""
    of_two_series_and_a_person(folder / "model.onnx")
    steps = 'steps = [{kind = "rescale", scale = 100.0}]'
    channels = f'[[onnx.channels]]\n{steps}\n[[onnx.channels]]\nrole = "late"\ninput = "late"\n{steps}\n'
    given = '[onnx.input]\nname = "early"\nimages = "volume"\nlayout = "NCDHW"\n'
    return plugin(folder, f"{given}{channels}{NUMBERS}{RESULT_OF_ALL}")


def test_each_series_and_number_reaches_its_own_input(of_all, tmp_path):
    """Two tensors by role, the age scaled, the sex as 1; without a fact that the model needs it is not applicable."""
    first = write_stack(tmp_path / "a", np.full((4, 8, 8), 200, np.float32), SPACING)
    second = write_stack(tmp_path / "b", np.full((4, 8, 8), 300, np.float32), SPACING, number=2)
    late = [model_room.in_frame(each, model_room.frame_of(first[0])) for each in second]
    assert starting.problem_of(of_all, ONNX_ENTRY) == ""
    series = Series("1.2.1", "CT", "", tuple(first)), Series("1.2.2", "CT", "", tuple(late), "late")
    study, loaded = Study("1.2", series, patient_sex="M", patient_age=50.0), onnx_adapter.load(of_all)
    result = loaded.analyse(study, {})
    assert result.findings[0].measurements[0].value == pytest.approx(2 + 30 + 300 + 1000)
    with pytest.raises(NotApplicableError, match="age is not known"):
        loaded.analyse(replace(study, patient_age=None), {})
    with pytest.raises(NotApplicableError, match="sex is not known to be female or male"):
        loaded.analyse(replace(study, patient_sex="O"), {})


def test_an_input_that_gets_nothing_or_is_not_there_is_named(of_all):
    """Before any image: a forgotten number, a channel for an input of another name, a type that is another."""
    path = of_all / "plugin.toml"
    text = path.read_text()
    for old, new, said in (
        (NUMBERS[NUMBERS.index('[[onnx.scalars]]\nname = "sex') :], "", "an input 'sex', and nothing is given to it"),
        ('input = "late"', 'input = "later"', "the model has no input 'later', but 'early', 'late', 'age', 'sex'"),
        ('type = "int64"', 'type = "int32"', "scalars.type: sex: the model takes int64, not int32"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        assert said in starting.problem_of(of_all, ONNX_ENTRY)
    path.write_text(text.replace('name = "early"\n', ""))
    with pytest.raises(ManifestError, match=r"onnx.input.name: is missing, and the model has more than one input"):
        manifest.load(of_all)
