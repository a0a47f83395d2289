"""brain_tissue: what it says of a brain, what a reader sees, and what happens without onnxruntime."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.results.pages.meanings import meaning
from node.results.texts import KOREAN
from plugins import manifest
from plugins.adapters import python
from plugins.brain_tissue import brain_tissue, codes, pictures
from plugins.brain_tissue.brain_tissue import BrainTissue
from plugins.brain_tissue.conformed import SIDE, conform
from plugins.brain_tissue.network import GREY, WHITE
from plugins.brain_tissue.segmentation import BrainSegmentation
from plugins.contract import Code, NotApplicableError, ResultStatus, Series, Site, Study, Volume
from plugins.onnx_session import ModelError
from plugins.phantoms.head import GREY as PHANTOM_GREY
from plugins.phantoms.head import WHITE as PHANTOM_WHITE
from plugins.phantoms.head import HeadPhantom, write_mr

FOLDER = Path(manifest.__file__).parent / "brain_tissue"
HEAD = HeadPhantom(size=128, slice_mm=2.0, bleed=None)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_mr(HEAD, tmp_path_factory.mktemp("head"))


def true_labels(volume: Volume, network: object) -> BrainSegmentation:
    """In place of the network: the phantom's own tissues."""
    head = conform(volume)
    tissues = np.select([HEAD.labels == PHANTOM_WHITE, HEAD.labels == PHANTOM_GREY], [WHITE, GREY], 0).astype(np.uint8)
    conformed = np.where(head.array > 100, WHITE, np.where(head.array > 60, GREY, 0)).astype(np.uint8)
    return BrainSegmentation(volume, head, conformed, tissues)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> BrainTissue:
    monkeypatch.setattr(brain_tissue, "BrainNetwork", lambda model: None)
    monkeypatch.setattr(brain_tissue, "segment", true_labels)
    return BrainTissue()


def study(files: list[Path], age: float | None = 40) -> Study:
    return Study("1.2", (Series("1.2.3", "MR", "", tuple(files)),), patient_age=age)


PARAMETERS = manifest.load(FOLDER).parameters_for({})


def test_volumes_segmentation_and_three_pictures(plugin: BrainTissue, files: list[Path]) -> None:
    """In mL by the labels on the source's grid; nothing in it that the manifest does not declare."""
    result = plugin.analyse(study(files), PARAMETERS)
    assert result.status is ResultStatus.FINDINGS
    millilitres = {finding.tracking_id: finding.measurements[0].value for finding in result.findings}
    assert millilitres["White matter"] == pytest.approx(HEAD.volume_ml(PHANTOM_WHITE), abs=0.06)
    assert millilitres["Grey matter"] == pytest.approx(HEAD.volume_ml(PHANTOM_GREY), abs=0.06)
    assert millilitres["Grey and white matter"] == pytest.approx(
        HEAD.volume_ml(PHANTOM_GREY) + HEAD.volume_ml(PHANTOM_WHITE), abs=0.11
    )
    assert result.segmentation is not None
    assert result.segmentation.labels.shape == HEAD.labels.shape
    assert [segment.label for segment in result.segmentation.segments] == ["White matter", "Grey matter"]
    assert [picture.caption.split()[0] for picture in result.pictures] == ["Axial", "Coronal", "Sagittal"]
    assert "not a medical device" in result.summary
    assert manifest.load(FOLDER).undeclared(result) == []


@pytest.mark.parametrize(
    ("age", "least", "reason"),
    [
        (3.0, 18.0, "3 years old; the site allows this from 18 years on"),
        (None, 18.0, "age is not known"),
        (17.5, 18.0, "17.5 years old"),
    ],
)
def test_an_age_below_what_the_site_allows_is_refused(
    plugin: BrainTissue, files: list[Path], age: float | None, least: float, reason: str
) -> None:
    """Adults only by default; 0 years measures everybody."""
    with pytest.raises(NotApplicableError, match=reason):
        plugin.analyse(study(files, age), {"minimum_age_years": least})
    assert plugin.analyse(study(files, age), {"minimum_age_years": 0.0}).status is ResultStatus.FINDINGS


def test_one_series_at_a_time(plugin: BrainTissue, files: list[Path]) -> None:
    """Two are a mistake of the rule."""
    one = study(files)
    with pytest.raises(NotApplicableError, match="2 series were handed over"):
        plugin.analyse(Study("1.2", one.series * 2, patient_age=40), PARAMETERS)


def test_each_code_is_korean_on_korean_pages() -> None:
    """By the plugin or by the list of common codes."""
    found = [each for each in vars(codes).values() if isinstance(each, Code)]
    found += [each.region for each in vars(codes).values() if isinstance(each, Site)]
    for code in found:
        assert any("\uac00" <= letter <= "\ud7a3" for letter in meaning(code, KOREAN)), code


# --- pictures --------------------------------------------------------------------------------------


def _marked() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A brain of one block with a bright spot at each side; largest where the spots are: 52 mm wide, 80 mm long."""
    head, labels = np.zeros((SIDE,) * 3, np.uint8), np.zeros((SIDE,) * 3, np.uint8)
    labels[103:153, 100:160, 88:168] = GREY
    labels[102:154, 130, 88:168] = labels[102:154, 100:160, 128] = GREY
    labels[118:138, 120:140, 108:148] = WHITE
    head[labels > 0] = 60
    for value, place in ((250, (148, 130, 128)), (200, (128, 105, 128)), (150, (128, 130, 163))):  # left, head, front
        head[tuple(slice(index - 3, index + 4) for index in place)] = value
    return head, labels


def test_each_plane_is_as_a_radiologist_expects_it() -> None:
    """The patient's left on the right, the front above or on the left, the head above; and the letters say so."""
    axial, coronal, sagittal = pictures.planes(*_marked())

    def place(plane: pictures.BrainPlane, value: int) -> tuple[float, float]:
        rows, columns = np.nonzero(plane.values == value)
        return rows.mean() - plane.values.shape[0] / 2, columns.mean() - plane.values.shape[1] / 2

    assert [plane.letters for plane in (axial, coronal, sagittal)] == ["RLAP", "RLHF", "APHF"]
    assert place(axial, 250)[1] > 10  # left
    assert place(axial, 150)[0] < -20  # front
    assert place(coronal, 250)[1] > 10
    assert place(coronal, 200)[0] < -10  # head
    assert place(sagittal, 150)[1] < -20
    assert place(sagittal, 200)[0] < -10


def _bar(picture: NDArray[np.uint8]) -> int:
    """Pixels of the scale, the longest white line below the plane."""
    line = (picture[pictures.SIZE[1] - 56] == (232, 236, 241)).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], line.view(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max())


def test_the_scale_is_five_centimetres_and_the_outlines_are_those_of_the_tissues() -> None:
    """In each plane: a brain is as wide beside the scale as it is in mm."""
    axial, coronal, sagittal = pictures.planes(*_marked())
    for plane, millimetres in ((axial, 52), (coronal, 52), (sagittal, 80)):
        picture = pictures.draw(plane, 60, "detail")
        outline = (picture == pictures.COLOURS[GREY]).all(axis=2)
        outline[pictures.SIZE[1] - 84 :] = False  # the legend
        width = int(np.ptp(np.flatnonzero(outline.any(axis=0)))) + 1
        assert width / _bar(picture) == pytest.approx(millimetres / 50, rel=0.03)
        assert (picture == pictures.COLOURS[WHITE]).all(axis=2)[: pictures.SIZE[1] - 84].any()


# --- without onnxruntime ---------------------------------------------------------------------------


def test_without_onnxruntime_the_plugin_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is made, so `pacsnode check` says it; its manifest is read, and other plugins are made as ever."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"onnxruntime is not installed: pip install 'pacsnode\[onnx\]'"):
        BrainTissue()
    assert manifest.load(FOLDER).weight_files() == [FOLDER / "model20chan3cls.onnx"]
    assert python.load(FOLDER.parent / "lung_density", "plugins.lung_density.plugin:LungDensity")
