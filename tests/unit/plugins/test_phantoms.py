"""Phantoms are what they say: volumes, places and sides follow from their settings, and their files are valid."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from plugins import imaging
from plugins.phantoms import head
from plugins.phantoms.chest import LEFT, RIGHT
from plugins.phantoms.chest_radiograph import ChestRadiograph
from plugins.phantoms.chest_series import write_series
from plugins.phantoms.hand import HandPhantom
from plugins.phantoms.head import BLEED, GREY, WHITE, HeadHemorrhage, HeadPhantom
from plugins.phantoms.mammogram import VIEWS, MammogramPhantom
from plugins.phantoms.nodules import NoduleChest, SphericalNodule
from plugins.projections import SpacingKind, projections

CHEST = NoduleChest(size=128, slice_mm=2.8125, vessels=False)
HEAD = HeadPhantom(size=96, slice_mm=5.0)
WRITERS: dict[str, Any] = {
    "chest CT with nodules": lambda folder: write_series(CHEST, folder),
    "head CT with a bleed": lambda folder: head.write_ct(HEAD, folder),
    "T1-weighted head": lambda folder: head.write_mr(HeadPhantom(size=96, slice_mm=5.0, bleed=None, noise=15), folder),
    "chest X-ray": lambda folder: ChestRadiograph(CHEST).write(folder),
    "mammogram": lambda folder: MammogramPhantom(rows=320, columns=200, pixel_mm=0.6).write(folder),
    "hand X-ray": lambda folder: HandPhantom(rows=330, columns=280, pixel_mm=0.9).write(folder),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_files_are_valid_and_repeat(tmp_path, kind):
    """dciodvfy finds no error, the same settings give the same bytes, and the kit reads what was written."""
    files: list[Path] = WRITERS[kind](tmp_path / "a")
    again: list[Path] = WRITERS[kind](tmp_path / "b")
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    assert len({each.SOPInstanceUID for each in headers}) == len(files)
    assert len({each.StudyInstanceUID for each in headers}) == 1
    if headers[0].Modality in ("CT", "MR"):
        assert len(imaging.volume(files).array) == len(files)
    else:
        assert {each.spacing_kind for each in projections(files)} == {SpacingKind.DETECTOR}
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (Debian dicom3tools) is not installed")
    for path in (files[0], files[len(files) // 2]):
        checked = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, timeout=60)
        assert [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("Error")] == []


def test_nodules_have_their_volume_place_and_side():
    """Spheres of soft tissue, within the lung that their place says."""
    chest = NoduleChest(size=256, slice_mm=1.5, vessels=False)
    voxel = chest.pixel_mm**2 * chest.slice_mm / 1000
    for number, nodule in enumerate(chest.nodules, start=1):
        shown = chest.nodule_labels == number
        assert shown.sum() * voxel == pytest.approx(nodule.volume_ml, rel=0.05)
        assert set(np.unique(chest.labels[shown])) == {nodule.label}
        assert (chest.array[shown] > -100).all()
        z, y, x = (axis[places].mean() for axis, places in zip(chest.axes, np.nonzero(shown), strict=True))
        assert (x, y, z) == pytest.approx(nodule.centre, abs=0.8)
    assert [nodule.label for nodule in chest.nodules] == [RIGHT, LEFT, LEFT]


@pytest.mark.parametrize(("x", "side"), [(32.0, "L"), (-32.0, "R")])
def test_a_bleed_has_its_volume_and_its_side(tmp_path, x, side):
    """An ellipsoid as dense as blood, on the patient's side that it says, in the files, too."""
    bleed = HeadHemorrhage(centre=(x, -8.0, 8.0))
    phantom = HeadPhantom(bleed=bleed, noise=0)
    assert phantom.volume_ml(BLEED) == pytest.approx(bleed.volume_ml, rel=0.02)
    assert bleed.laterality == side
    volume = imaging.volume(head.write_ct(HeadPhantom(size=96, slice_mm=5.0, bleed=bleed, noise=0), tmp_path))
    z, row, column = (float(places.mean()) for places in np.nonzero(volume.array == 68))
    assert np.sign((volume.affine @ (column, row, z, 1))[0]) == np.sign(x)


def test_tissues_of_the_head_have_their_values():
    """In T1 white matter is brighter than grey, and fluid is dark; the bleed takes the place of brain."""
    sound, bled = HeadPhantom(bleed=None), HeadPhantom()
    signal = {tissue: sound.t1_weighted[sound.labels == tissue].mean() for tissue in (3, GREY, WHITE)}
    assert signal[WHITE] > signal[GREY] > signal[3]
    lost = sound.volume_ml(WHITE) + sound.volume_ml(GREY) - bled.volume_ml(WHITE) - bled.volume_ml(GREY)
    assert lost == pytest.approx(bled.volume_ml(BLEED), rel=0.05)


def test_a_radiograph_shows_lungs_and_nodules_where_the_chest_has_them(tmp_path):
    """The patient's left on the right-hand side, head up, nodules brighter than the lung around them."""
    image = ChestRadiograph(
        NoduleChest(
            size=128,
            slice_mm=2.8125,
            vessels=False,
            nodules=(SphericalNodule((-95.0, 0.0, 50.0), 26.0), SphericalNodule((95.0, 0.0, 20.0), 26.0)),
        )
    )
    (seen,) = projections(image.write(tmp_path))
    places = [np.argwhere(mask).mean(axis=0) for mask in image.nodule_masks]
    assert places[0][1] < 64 < places[1][1]  # right, left
    assert places[0][0] < places[1][0]  # the higher one above
    right, left = image.lung_masks[RIGHT], image.lung_masks[LEFT]
    assert np.argwhere(right).mean(axis=0)[1] < np.argwhere(left).mean(axis=0)[1]
    without = ChestRadiograph(NoduleChest(size=128, slice_mm=2.8125, vessels=False, nodules=()))
    brighter = image.pixels.astype(int) - without.pixels
    assert all(brighter[mask].max() > 150 for mask in image.nodule_masks)
    assert (brighter[~image.nodule_masks[0] & ~image.nodule_masks[1]] == 0).all()
    assert seen.array.shape == image.pixels.shape


def test_lesions_are_on_both_views_of_their_breast_and_on_no_other(tmp_path):
    """As far from the chest wall on both; what is drawn is within the mask."""
    phantom = MammogramPhantom()
    without = MammogramPhantom(lesions=())
    for lesion in phantom.lesions:
        for side, view in VIEWS:
            mask = phantom.mask(lesion, side, view)
            assert mask.any() == (side == lesion.laterality)
            if side == lesion.laterality:
                columns = np.nonzero(mask)[1]
                depth = (phantom.columns - columns if side == "R" else columns) * phantom.pixel_mm
                assert depth.mean() == pytest.approx(lesion.place[0], abs=0.5)
    changed = phantom.pixels["R", "CC"].astype(int) - without.pixels["R", "CC"]
    mass = phantom.mask(phantom.lesions[0], "R", "CC")
    assert changed[mass].max() > 500
    assert (changed[~mass] == 0).all()
    found = projections(phantom.write(tmp_path))
    assert [each.laterality for each in found] == [side for side, _ in VIEWS]
    assert [each.view for each in found] == ["cranio-caudal"] * 2 + ["medio-lateral oblique"] * 2


def test_every_bone_of_the_hand_is_there_with_its_length():
    """27 bones and the forearm, none cut off by the image, each as long as it says."""
    hand = HandPhantom()
    assert len(hand.bones) == 29
    edge = np.r_[hand.labels[0], hand.labels[:, 0], hand.labels[:, -1]]
    assert not edge.any()
    for number, name in enumerate(hand.bones, start=1):
        shown = hand.labels == number
        assert shown.any(), name
        if name in ("radius", "ulna"):
            continue  # they go on below the image
        rows, columns = (places * hand.pixel_mm for places in np.nonzero(shown))
        across = np.hypot(rows[:, None] - rows[::7], columns[:, None] - columns[::7]).max()
        assert across <= hand.length_mm(name) + 1, name
    assert hand.length_mm("metacarpal of middle finger") > hand.length_mm("distal phalanx of little finger")
    assert HandPhantom(scale=0.6).length_mm("ulna") == pytest.approx(0.6 * hand.length_mm("ulna"))
