"""RT Structure Sets as another maker's planning software reads them: plastimatch makes a label map of the outlines."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from node.config.encoding import EncodingProfile
from node.results.encode import encode
from plugins.contract import ImageReference, Segmentation
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import program, storescu
from tests.support.programs.validators import dcentvfy, dciodvfy
from tests.support.results import reports

PROFILE = EncodingProfile.model_validate({"kinds": ["sr", "sc", "seg", "rtstruct"], "transfer_syntax": "explicit"})
LEAST_DICE = 0.999
"""Measured: 1.0 on all of these, since plastimatch asks which centres of voxels are inside an outline."""


def lungs(frames: list[ImageReference]) -> Segmentation:
    """Round and ragged outlines, holes, islands, and vessels that touch the border: what segmentations look like."""
    given = reports.lungs(frames)
    rows, columns = np.mgrid[: reports.ROWS, : reports.COLUMNS]
    labels = np.zeros((len(frames), reports.ROWS, reports.COLUMNS), np.uint8)
    chance = np.random.default_rng(7)
    for index, plane in enumerate(labels):
        for number, middle in ((1, 16), (2, 47)):
            reach = np.hypot((rows - 31) / (20 + index % 3), (columns - middle) / 11)
            plane[reach < 1] = number
            plane[np.hypot(rows - 30, columns - middle) < 4] = 0
            plane[np.hypot(rows - 30, columns - middle) < 2] = number
        plane[(plane > 0) & (chance.random(plane.shape) < 0.05)] = 0
    return replace(given, labels=labels)


def _made(paths: list[Path], frames: list[ImageReference], folder: Path) -> tuple[Path, Segmentation]:
    result = reports.segmented(frames)
    segmentation = lungs(frames)
    objects = encode(reports.request(paths, replace(result, segmentation=segmentation), profile=PROFILE), folder)
    assert objects.reasons == ()
    return next(one.path for one in objects if one.kind == "rtstruct"), segmentation


def _read_by_plastimatch(structures: Path, images: Path, folder: Path) -> tuple[list[str], NDArray[np.uint32]]:
    """Names of the structures, and for each voxel in which of them it is, as bits."""
    converted, names = folder / "set.mha", folder / "names.txt"
    command = [program("plastimatch", "plastimatch"), "convert", "--input", str(structures)]
    command += ["--referenced-ct", str(images), "--output-ss-img", str(converted), "--output-ss-list", str(names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert converted.exists(), done.stdout + done.stderr
    head, _, data = converted.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    fields = dict(line.split(" = ", 1) for line in head.decode().splitlines() if " = " in line)
    kinds = {"MET_UCHAR": np.uint8, "MET_UINT": np.uint32, "MET_ULONG": np.uint32}
    columns, rows, slices = map(int, fields["DimSize"].split())
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    raw = np.frombuffer(data, kinds[fields["ElementType"]]).reshape(slices, rows, columns, channels).astype(np.uint32)
    bits = sum(raw[..., channel] << (8 * channel) for channel in range(channels))
    return [line.split("|")[-1] for line in names.read_text().splitlines()], np.asarray(bits)


def _series(folder: Path, *, anisotropic: bool) -> tuple[list[Path], list[Dataset]]:
    given = []
    for number in (1, 2, 3):
        image = reports.ct(number)
        if anisotropic:
            image.PixelSpacing = [1.7, 0.9]
        given.append(image)
    return [reports.write(each, folder / f"{number}.dcm") for number, each in enumerate(given)], given


@pytest.mark.parametrize("anisotropic", [False, True], ids=["square pixels", "anisotropic"])
def test_plastimatch_fills_the_outlines_to_the_same_voxels(tmp_path: Path, anisotropic: bool) -> None:
    """Dice at least 0.999 and no difference in volume of each lung; the right one is where the label map has it."""
    paths, given = _series(tmp_path / "ct", anisotropic=anisotropic)
    frames = [ImageReference(str(each.SOPInstanceUID)) for each in given]
    path, segmentation = _made(paths, frames, tmp_path / "out")
    names, bits = _read_by_plastimatch(path, tmp_path / "ct", tmp_path)
    assert len(names) == 2
    for number, (name, segment) in enumerate(zip(names, segmentation.segments, strict=True)):
        found, meant = (bits >> number) & 1 == 1, np.stack(segmentation.planes) == segment.number
        dice = 2 * np.sum(found & meant) / (np.sum(found) + np.sum(meant))
        print(f"{name}: Dice {dice:.5f}, {np.sum(found)} of {np.sum(meant)} voxels")
        assert dice >= LEAST_DICE
        assert abs(int(found.sum()) - int(meant.sum())) <= 0.001 * meant.sum()
        assert segment.label in name


@pytest.mark.parametrize("source", ["ct", "mr", "pt", "enhanced-ct", "enhanced-mr"])
def test_dciodvfy_finds_no_error_in_a_structure_set(tmp_path: Path, source: str) -> None:
    """Of single and multi-frame images; and it is of the same patient and study as its images."""
    paths = reports.write_series(source, tmp_path / "in")
    path, _ = _made(paths, reports.frames(source), tmp_path / "out")
    assert dciodvfy(path) == []
    assert dcentvfy([path, *paths]) == []
    assert dcmread(path).Modality == "RTSTRUCT"


def test_a_large_volume_comes_back_from_orthanc_with_the_same_voxels(tmp_path: Path) -> None:
    """240 slices, a thousand outlines: no more bytes than its corners need, and what Orthanc gives back is read."""
    images = [reports.ct(number) for number in range(1, 241)]
    paths = [reports.write(each, tmp_path / "ct" / f"{number}.dcm") for number, each in enumerate(images)]
    frames = [ImageReference(str(each.SOPInstanceUID)) for each in images]
    path, segmentation = _made(paths, frames, tmp_path / "out")
    with Orthanc(tmp_path / "orthanc") as pacs:
        sent = storescu(pacs.dicom_port, [path], called=pacs.ae_title)
        assert sent.returncode == 0, sent.stderr
        (content,) = pacs.files(Modality="RTSTRUCT")
    back = tmp_path / "back.dcm"
    back.write_bytes(content)
    outlines = [each for roi in dcmread(back).ROIContourSequence for each in roi.ContourSequence]
    corners = sum(int(each.NumberOfContourPoints) for each in outlines)
    assert len(outlines) >= 4 * 240
    assert len(content) < 3 * 17 * corners + 500 * len(outlines) + 100_000  # three DS of 16 characters and a backslash
    _, bits = _read_by_plastimatch(back, tmp_path / "ct", tmp_path)
    for number, segment in enumerate(segmentation.segments):
        found, meant = (bits >> number) & 1 == 1, np.stack(segmentation.planes) == segment.number
        assert 2 * np.sum(found & meant) / (np.sum(found) + np.sum(meant)) >= LEAST_DICE
