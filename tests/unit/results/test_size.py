"""How large the objects of a result are, and that nothing is lost on the way to small ones (findings.md R13)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from node.config.encoding import EncodingProfile
from node.results.gate.standard import problems_by_standard
from plugins.contract import Code, Heatmap, ImageReference, Result
from tests.support.results import reports

SALIENCY = Code("130404", "DCM", "Saliency")


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return reports.write_series("ct", tmp_path_factory.mktemp("series"))


def _objects(series: list[Path], result: Result, folder: Path, **settings: object) -> dict[str, Dataset]:
    request = reports.request(series, result, profile=EncodingProfile.model_validate(settings))
    return {one.path.name: dcmread(one.path) for one in reports.whole(request, folder)}


def _map(values: np.ndarray, frames: list[ImageReference]) -> Result:
    return replace(reports.no_findings(), heatmaps=(Heatmap(values, tuple(frames), SALIENCY),))


def _spot() -> np.ndarray:
    """A map of three planes that says something in the second alone."""
    values = np.zeros((3, reports.ROWS, reports.COLUMNS), dtype=np.float32)
    values[1, 20:30, 40:45] = np.linspace(0.2, 0.9, 50).reshape(10, 5)
    values[0, 0, 0] = 1e-9  # what a network leaves where it sees nothing
    return values


def test_finding_r13_each_kind_has_its_small_form_and_loses_nothing(series: list[Path], tmp_path: Path) -> None:
    """Pages are JPEG-LS lossless, segmentations and maps deflated, reports and key objects plain; the pixels are those
    of the uncompressed objects, which have other UIDs."""
    frames = reports.frames("ct")
    result = replace(reports.segmented(frames), heatmaps=_map(_spot(), frames).heatmaps)
    result = replace(result, key_images=reports.nodule(frames[0]).key_images)
    small = _objects(series, result, tmp_path / "small")
    plain = _objects(series, result, tmp_path / "plain", transfer_syntax="explicit")
    syntaxes = {name[:2]: made.file_meta.TransferSyntaxUID for name, made in small.items()}
    assert syntaxes == {
        "se": DeflatedExplicitVRLittleEndian,
        "pm": DeflatedExplicitVRLittleEndian,
        "sc": JPEGLSLossless,
        "ko": ExplicitVRLittleEndian,
        "sr": ExplicitVRLittleEndian,
    }
    assert {made.file_meta.TransferSyntaxUID for made in plain.values()} == {ExplicitVRLittleEndian}
    assert small.keys() == plain.keys()
    for name in small:
        assert small[name].SOPInstanceUID != plain[name].SOPInstanceUID
        if name[:2] in {"se", "pm", "sc"}:
            assert np.array_equal(small[name].pixel_array, plain[name].pixel_array), name
    size = {name: (tmp_path / "small" / name).stat().st_size for name in small}
    assert all(size[name] < (tmp_path / "plain" / name).stat().st_size / 2 for name in size if name[:2] in {"sc", "se"})


@pytest.mark.parametrize("form", ["explicit", "implicit"])
def test_who_wants_it_uncompressed_gets_it(series: list[Path], tmp_path: Path, form: str) -> None:
    """`transfer_syntax: explicit` and `implicit` are what they say, for each kind of object."""
    made = _objects(series, reports.mapped(reports.reference("ct")), tmp_path, transfer_syntax=form)
    wanted = ExplicitVRLittleEndian if form == "explicit" else ImplicitVRLittleEndian
    assert {each.file_meta.TransferSyntaxUID for each in made.values()} == {wanted}


def test_finding_r13_a_map_is_cropped_to_where_it_says_anything(series: list[Path], tmp_path: Path) -> None:
    """What is left is where it was in the patient: each pixel's place by the map's own geometry is that of the plugin's
    value in the image's, and the frame names its image, whose rows and columns are others now."""
    frames, values = reports.frames("ct"), _spot()
    made = _objects(series, _map(values, frames), tmp_path)["pm-001.dcm"]
    assert (made.NumberOfFrames, made.Rows, made.Columns) == (1, 10, 5)
    assert np.array_equal(made.pixel_array.reshape(10, 5), values[1, 20:30, 40:45])
    groups = made.PerFrameFunctionalGroupsSequence[0]
    source = groups.DerivationImageSequence[0].SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == frames[1].sop_instance_uid
    assert source.SpatialLocationsPreserved == "NO"
    image = dcmread(series[1])
    rows, columns = image.PixelSpacing
    corner = np.add(image.ImagePositionPatient, [40 * columns, 20 * rows, 0])
    assert np.allclose(groups.PlanePositionSequence[0].ImagePositionPatient, corner)
    window = made.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth) == (0.5, 1)


def test_planes_between_others_stay(series: list[Path], tmp_path: Path) -> None:
    """A plane without anything between two that say something stays: viewers take equal distances for granted."""
    values = np.zeros((3, reports.ROWS, reports.COLUMNS), dtype=np.float32)
    values[0, 5, 5] = values[2, 9, 9] = 0.5
    made = _objects(series, _map(values, reports.frames("ct")), tmp_path)["pm-001.dcm"]
    assert (made.NumberOfFrames, made.Rows, made.Columns) == (3, 5, 5)


@pytest.mark.parametrize(("extent", "values"), [("whole", _spot()), ("cropped", np.zeros_like(_spot()))])
def test_a_map_stays_whole_where_that_is_wanted_or_nothing_is_said(
    series: list[Path], tmp_path: Path, extent: str, values: np.ndarray
) -> None:
    """`pm_extent: whole` is the plugin's map, pixel on pixel of its images; so is a map of nothing but zeros."""
    made = _objects(series, _map(values, reports.frames("ct")), tmp_path, pm_extent=extent)["pm-001.dcm"]
    assert np.array_equal(made.pixel_array, values)
    groups = made.PerFrameFunctionalGroupsSequence[0]
    assert groups.DerivationImageSequence[0].SourceImageSequence[0].SpatialLocationsPreserved == "YES"


def test_the_gate_knows_compressed_pixels_that_are_not_what_the_header_says(series: list[Path], tmp_path: Path) -> None:
    """Another number of frames, another size: a page on which a viewer would fail does not leave."""
    page = _objects(series, reports.no_findings(), tmp_path / "out")["sc-001.dcm"]

    def problems(**changes: int) -> tuple[str, ...]:
        changed = dcmread(tmp_path / "out" / "sc-001.dcm")
        for keyword, value in changes.items():
            setattr(changed, keyword, value)
        changed.save_as(tmp_path / "changed.dcm")
        return problems_by_standard((tmp_path / "changed.dcm").read_bytes())

    assert problems() == ()
    expected = f"expected ({page.Rows + 1}, 1024, 3)"
    assert problems(Rows=page.Rows + 1) == (
        f"PixelData: JPEG-LS of (rows, columns, samples) ({page.Rows}, 1024, 3), {expected}",
    )
