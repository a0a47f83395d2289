"""The phantom is what it says: its volumes follow a formula, its header is valid, its files repeat."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from plugins import imaging
from plugins.phantoms import chest as phantom
from plugins.phantoms.chest import LEFT, LUNGS, RIGHT, Chest
from plugins.phantoms.chest_series import KOREAN, SeriesHeader, write_series


def test_lung_volumes_follow_the_formula():
    """Counted voxels agree with the analytic volume within half a per cent; airways take what is missing."""
    chest = Chest(size=240, slice_mm=1.5, emphysema=(0, 0))
    for lung in LUNGS:
        assert chest.truth(lung.label).volume_ml == pytest.approx(lung.volume_ml, rel=0.005)


def test_densities_follow_from_the_settings():
    """Without noise: LAA is the share asked for, and the mean is the mixture of both tissues."""
    chest = Chest(emphysema=(0.25, 0.0))
    right, left = chest.truth(RIGHT), chest.truth(LEFT)
    assert right.laa950_percent == pytest.approx(25, abs=0.1)  # a bronchus takes a few voxels away
    assert left.laa950_percent == 0
    assert left.mean_hu == pytest.approx(phantom.PARENCHYMA, abs=1)
    assert right.mean_hu == pytest.approx(0.75 * phantom.PARENCHYMA + 0.25 * phantom.EMPHYSEMA, abs=1.5)
    assert right.perc15_hu == phantom.EMPHYSEMA


def test_noise_has_the_standard_deviation_asked_for():
    """Noise is what is added, and the same seed gives the same noise."""
    noise = Chest(noise_hu=25).array.astype(int) - Chest().array
    assert noise[20:40, 30:60, 40:50].std() == pytest.approx(25, rel=0.05)
    assert np.array_equal(Chest(noise_hu=25).array, Chest(noise_hu=25).array)
    assert not np.array_equal(Chest(noise_hu=25).array, Chest(noise_hu=25, seed=2).array)


def test_left_lung_is_on_the_patients_left(chest, chest_files):
    """LPS: the left lung has the larger x."""
    affine = imaging.volume(chest_files).affine
    x = {label: (affine @ (*np.argwhere(chest.labels == label).mean(axis=0)[::-1], 1))[0] for label in (RIGHT, LEFT)}
    assert x[RIGHT] < -60 < 60 < x[LEFT]


@pytest.mark.parametrize("jpeg_ls", [False, True])
def test_series_holds_the_phantom(tmp_path, chest, jpeg_ls):
    """What is read from the files is the phantom, voxel for voxel."""
    files = write_series(chest, tmp_path, SeriesHeader(jpeg_ls=jpeg_ls))
    volume = imaging.volume(files)
    assert np.array_equal(volume.array, chest.array)
    assert volume.spacing == pytest.approx((chest.slice_mm, chest.pixel_mm, chest.pixel_mm))


def test_same_settings_give_the_same_files(tmp_path, chest):
    """Files are equal byte by byte; another patient has other UIDs."""
    once, again = write_series(chest, tmp_path / "a")[5], write_series(chest, tmp_path / "b")[5]
    assert once.read_bytes() == again.read_bytes()
    other = write_series(chest, tmp_path / "c", SeriesHeader(patient_id="P2"))[5]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert pydicom.dcmread(once)[keyword].value != pydicom.dcmread(other)[keyword].value


def test_korean_name_is_encoded_in_iso_2022(tmp_path):
    """Hangul and hanja survive, in KS X 1001 (ISO 2022 IR 149)."""
    name = "Hong^Gildong=洪^吉洞=홍^길동"
    path = write_series(Chest(extent=(0, 4)), tmp_path, SeriesHeader(patient_name=name, character_set=KOREAN))[0]
    dataset = pydicom.dcmread(path)
    assert list(dataset.SpecificCharacterSet) == ["", "ISO 2022 IR 149"]
    assert str(dataset.PatientName) == name
    assert b"\x1b$)C" in path.read_bytes()


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian dicom3tools) is not installed")
@pytest.mark.parametrize(
    "header",
    [SeriesHeader(), SeriesHeader(jpeg_ls=True, contrast_agent="Iohexol"), SeriesHeader(character_set=KOREAN)],
    ids=["plain", "compressed with contrast", "Korean"],
)
def test_dciodvfy_finds_no_error(tmp_path, chest, header):
    """The CT IOD is complete: dciodvfy has no complaint."""
    path = write_series(chest, tmp_path, header)[10]
    checked = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, timeout=60)
    assert [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("Error")] == []
    assert checked.returncode == 0
