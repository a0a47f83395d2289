"""A program that knows NIfTI alone, on a running node: its mask lies voxel for voxel on the source in the PACS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom import Dataset

from node.kit import writing
from node.kit.writing import PluginPurpose
from node.ledger.job import JobOutcome
from plugins.exchanges import ExchangeForm
from plugins.phantoms import head
from plugins.phantoms.head import SKULL, HeadPhantom
from plugins.runtime import RuntimeKind
from tests.acceptance.conftest import MakeSite
from tests.acceptance.in_the_pacs import assert_conformant, assert_in_the_right_study, ct_of, held, numbers_in, send
from tests.support.programs.orthanc import Orthanc
from tests.support.sites.site import rule

PHANTOM = HeadPhantom(size=48, slice_mm=6.0, noise=0.0)
THRESHOLD = 300.0
"""Only the skull of the phantom is brighter (HU)."""


def oblique_head(folder: Path) -> list[Path]:
    """The head on a grid that is turned about two axes, its rows and columns not equally far apart."""
    files = head.write_ct(PHANTOM, folder)
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    for file in files:
        dataset = pydicom.dcmread(file)
        moved = np.array(dataset.ImagePositionPatient, np.float64) + np.array((12.0, -34.0, 5.0))
        position = turn @ moved
        dataset.ImagePositionPatient = [f"{value:.9f}"[:16] for value in position]
        dataset.ImageOrientationPatient = [f"{value:.12f}"[:16] for value in (*turn[:, 0], *turn[:, 1])]
        dataset.PixelSpacing = [4.5, 5.5]
        dataset.save_as(file)
    return files


def read_by_simpleitk(files: list[Path]) -> Any:
    """The source series, as another reader has it."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(files[0].parent)))
    return reader.Execute()


def on_source_grid(segmentation: Dataset, source: Any) -> NDArray[np.bool_]:
    """Each voxel of the SEG put where its own frame says, found in the source by SimpleITK: (slices, rows, columns)."""
    found = np.zeros(SimpleITK.GetArrayFromImage(source).shape, bool)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    across = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, np.float64)
    rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    frames = np.reshape(segmentation.pixel_array, (-1, segmentation.Rows, segmentation.Columns))
    for plane, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, np.float64)
        for row, column in np.argwhere(plane):
            point = origin + across[:3] * columns_mm * column + across[3:] * rows_mm * row
            x, y, z = source.TransformPhysicalPointToIndex([float(each) for each in point])
            found[z, y, x] = True
    return found


def test_a_mask_of_a_script_lies_on_the_source_images_in_the_pacs(
    pacs: Orthanc, make_site: MakeSite, tmp_path: Path
) -> None:
    """The script of `plugin new --exchange nifti` on an oblique, anisotropic head: dice 1, its volume in the SR."""
    folder = tmp_path / "segmenter"
    writing.write(folder, RuntimeKind.COMMAND, PluginPurpose.SEGMENTATION, ExchangeForm.NIFTI)
    ct = ct_of(oblique_head(tmp_path / "ct"))
    plugins = {"segmenter": {"folder": str(folder)}}
    rules = [rule("segmenter", run={"plugin": "segmenter", "parameters": {"threshold": THRESHOLD}})]
    with make_site(rules=rules, plugins=plugins) as site:
        send(ct, pacs, site)
        (job,) = site.wait_delivered(ct.study, objects=3)
        results = held(pacs, ct.study)
        assert job.outcome is JobOutcome.FINDINGS
        assert results.counts() == {"sr": 1, "sc": 1, "seg": 1}
        assert_in_the_right_study(pacs, ct, results)
    (segmentation,) = results.datasets["seg"]
    source = read_by_simpleitk(ct.files)
    values = SimpleITK.GetArrayFromImage(source)
    found, truth = on_source_grid(segmentation, source), values > THRESHOLD
    assert truth.sum() == (PHANTOM.labels == SKULL).sum() > 1000
    assert np.array_equal(found, truth)
    numbers = {concept: value for _, concept, value in numbers_in(results.reports[0])}
    assert numbers["118565006"] == pytest.approx(truth.sum() * 6.0 * 4.5 * 5.5 / 1000, rel=1e-6)
    assert_conformant(results, ct.files, tmp_path / "results")
