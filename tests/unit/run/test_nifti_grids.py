"""Images go out as NIfTI and masks come back: each voxel at its place, or a refusal in words."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from nibabel import orientations
from nibabel.processing import resample_to_output

from node.kit import sample_images
from node.run.nifti import images
from node.run.nifti.grids import SourceGrid
from node.run.nifti.images import SeriesToWrite
from plugins import imaging
from plugins.images import NotApplicableError
from plugins.untrusted import ExchangeError
from tests.support.sites.nifti_room import NiftiRoom, absent_if_empty, folders, grid, heatmap, organ, segment

nibabel: Any = pytest.importorskip("nibabel")  # its types say less than its images have
ANGLES = [0.0, 0.35, 1.2]
SHAPE = (6, 20, 30)


def turned_ct(folder: Path, angle: float) -> list[Path]:
    """The sample CT on an oblique grid of unequal spacings, its values all different, its files in no order."""
    sample_images.write_ct(folder)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    files = sorted(folder.iterdir())
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        position = turn @ np.array([-48.0, -40.0, number * 2.5]) + (3.0, -7.0, 11.0)
        dataset.ImagePositionPatient = [f"{value:.10f}"[:16] for value in position]
        dataset.ImageOrientationPatient = [f"{value:.12f}"[:16] for value in (*turn[:, 0], *turn[:, 1])]
        dataset.PixelSpacing, dataset.RescaleIntercept = [0.7, 1.3], -1024
        values = np.arange(64 * 64, dtype=np.int16).reshape(64, 64) + number
        dataset.PixelData = values.tobytes()
        dataset.save_as(file)
    return files[::2] + files[1::2]


def written(files: list[Path], target: Path, **keys: Any) -> SourceGrid:
    known: dict[str, Any] = {"least_slices": 1, "tags": ()}
    return images.write(SeriesToWrite(tuple(files), target, "CT", **(known | keys)))


@pytest.mark.parametrize("name", ["image.nii.gz", "image.nii", "imagesTs/case_0000.nii.gz"])
@pytest.mark.parametrize("angle", ANGLES)
def test_two_other_readers_see_each_voxel_where_the_images_have_it(tmp_path: Path, angle: float, name: str) -> None:
    """nibabel (RAS) and SimpleITK (LPS): the HU of the volume at the same point of the patient, as int16."""
    files = turned_ct(tmp_path / "ct", angle)
    of = imaging.volume(files)
    made = written(files, tmp_path / name)
    assert (made.shape, made.frames, made.units) == (of.array.shape, of.frames, "HU")
    image = nibabel.load(tmp_path / name)
    assert image.get_data_dtype() == np.int16
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), of.array)
    assert image.header.get_zooms() == pytest.approx((1.3, 0.7, 2.5), abs=1e-5)
    other = SimpleITK.ReadImage(str(tmp_path / name))
    for x, y, z in ((0, 0, 0), (47, 11, 3), (63, 63, 11)):
        there = (of.affine @ (x, y, z, 1))[:3]
        assert (image.affine @ (x, y, z, 1))[:3] * (-1, -1, 1) == pytest.approx(there, abs=1e-3)
        assert other.TransformIndexToPhysicalPoint((x, y, z)) == pytest.approx(there, abs=1e-3)
        assert other.GetPixel(x, y, z) == of.array[z, y, x]


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    """No time and no name of a file is in them."""
    files = turned_ct(tmp_path / "ct", 0.35)
    for name in ("one.nii.gz", "two.nii.gz"):
        written(files, tmp_path / name)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()


def test_fractions_stay_what_they_are(tmp_path: Path) -> None:
    """A rescale slope of 0.1 makes float32, with the values of the volume."""
    files = turned_ct(tmp_path / "ct", 0.0)
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.RescaleSlope = "0.1"
        dataset.save_as(file)
    written(files, tmp_path / "image.nii.gz")
    image = nibabel.load(tmp_path / "image.nii.gz")
    assert image.get_data_dtype() == np.float32
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), imaging.volume(files).array)


def test_what_is_no_volume_is_refused_for_the_radiologist(tmp_path: Path) -> None:
    """A missing slice, and too few of them, end as not applicable, with the reason of the volume."""
    files = turned_ct(tmp_path / "ct", 0.0)
    with pytest.raises(NotApplicableError, match="slice is missing"):
        written([each for each in files if each.stem != "005"], tmp_path / "a.nii.gz")
    with pytest.raises(NotApplicableError, match="Slices of the series: 12; at least 20 are needed"):
        written(files, tmp_path / "b.nii.gz", least_slices=20)


def test_one_of_several_phases_is_chosen_by_its_tags(tmp_path: Path) -> None:
    """A series of two acquisitions: the manifest says which; a value that there is not is refused."""
    files = []
    for acquisition in (1, 2):
        folder = tmp_path / f"acquisition {acquisition}"
        for file in turned_ct(folder, 0.0):
            dataset = pydicom.dcmread(file)
            dataset.AcquisitionNumber = acquisition
            dataset.SOPInstanceUID = f"2.25.{acquisition}{int(dataset.InstanceNumber)}"
            dataset.RescaleIntercept = -1024 + acquisition
            dataset.save_as(file)
            files.append(file)
    made = written(files, tmp_path / "second.nii.gz", tags=(("AcquisitionNumber", 2),))
    assert ("AcquisitionNumber", 2) in made.tags
    assert nibabel.load(tmp_path / "second.nii.gz").dataobj[0, 0, 0] == -1022
    with pytest.raises(NotApplicableError, match="0 of the 2 volumes of the series have AcquisitionNumber = 3"):
        written(files, tmp_path / "third.nii.gz", tags=(("AcquisitionNumber", 3),))


# --- back ----------------------------------------------------------------------------------------


def odd(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Labels 0 and 1 without any symmetry."""
    return (np.random.default_rng(1).random(shape) < 0.3).astype(np.uint8)


RIGHT_HANDED = [
    "".join(codes)
    for signs in itertools.product("RL", "AP", "SI")
    for codes in itertools.permutations(signs)
    if np.linalg.det(orientations.inv_ornt_aff(orientations.axcodes2ornt(codes), (2, 2, 2))[:3, :3]) > 0
]


def reoriented(image: Any, codes: str) -> Any:
    """The same voxels at the same places, stored along other axes."""
    now = orientations.io_orientation(image.affine)
    return image.as_reoriented(orientations.ornt_transform(now, orientations.axcodes2ornt(codes)))


@pytest.mark.parametrize("angle", ANGLES)
def test_a_mask_with_exchanged_axes_comes_back_exactly(tmp_path: Path, angle: float) -> None:
    """All 24 ways to store it that keep its handedness, among them as_closest_canonical of nibabel."""
    room, mask = NiftiRoom(tmp_path, grid(SHAPE, turned=angle)), odd()
    assert len(RIGHT_HANDED) == 24
    assert "RAS" in RIGHT_HANDED
    for codes in RIGHT_HANDED:
        nibabel.save(reoriented(room.image(mask), codes), room.out / "seg.nii.gz")
        result = room.read(folders(segment())).result
        assert np.array_equal(result.segmentation.labels, mask), codes
        assert result.quality == ()
        expected = mask.sum() * 3.0 * 0.5 * 0.8 / 1000
        assert result.findings[0].measurements[0].value == pytest.approx(expected)


def test_simpleitk_writes_a_mask_that_comes_back_exactly(tmp_path: Path) -> None:
    """As nnU-Net does: the image is read, and the mask has its geometry (CopyInformation)."""
    files = turned_ct(tmp_path / "ct", 0.35)
    room = NiftiRoom(tmp_path, written(files, tmp_path / "image.nii.gz"))
    image = SimpleITK.ReadImage(str(tmp_path / "image.nii.gz"))
    mask = odd(room.grid.shape)
    made = SimpleITK.GetImageFromArray(mask)
    made.CopyInformation(image)
    SimpleITK.WriteImage(made, str(room.out / "seg.nii.gz"))
    assert np.array_equal(room.read(folders(segment())).result.segmentation.labels, mask)


def test_fault_110_a_mirrored_mask_is_refused(tmp_path: Path) -> None:
    """The other handedness: left and right may be exchanged."""
    room = NiftiRoom(tmp_path, grid(SHAPE))
    nibabel.save(reoriented(room.image(odd()), "LAS"), room.out / "seg.nii.gz")
    with pytest.raises(ExchangeError, match=r"out/seg\.nii\.gz: its axes are mirrored against those of the images"):
        room.read(folders(segment()))


@pytest.mark.parametrize("angle", ANGLES)
def test_a_mask_on_another_grid_gets_the_nearest_voxel(tmp_path: Path, angle: float) -> None:
    """Twice as fine, and 1 mm isotropic as tools resample: the block comes back, and the report says how."""
    room, mask = NiftiRoom(tmp_path, grid((8, 40, 40), spacing=(2.0, 1.0, 1.0), turned=angle)), odd((8, 40, 40)) * 0
    mask[2:6, 10:25, 8:30] = 1
    fine = np.kron(mask, np.ones((2, 2, 2), np.uint8))
    affine = room.grid.matrix @ np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = (room.grid.matrix @ (-0.25, -0.25, -0.25, 1.0))[:3]
    nibabel.save(room.image(fine, affine), room.out / "seg.nii.gz")
    result = room.read(folders(segment())).result
    assert np.array_equal(result.segmentation.labels, mask)
    assert result.quality == (
        "Computed on another grid and brought to that of the images (nearest voxel): seg.nii.gz.",
    )
    nibabel.save(resample_to_output(room.image(mask), (1.0, 1.0, 1.0), order=0), room.out / "seg.nii.gz")
    back = room.read(folders(segment())).result.segmentation.labels
    dice = 2 * np.sum((back == 1) & (mask == 1)) / (back.sum() + mask.sum())
    assert dice > 0.9


def test_a_mask_beside_the_images_is_refused_also_where_it_is_empty(tmp_path: Path) -> None:
    """Otherwise it would be a negative."""
    room = NiftiRoom(tmp_path, grid(SHAPE))
    affine = np.array(room.grid.matrix)
    affine[0, 3] += 500
    for mask in (odd(), odd() * 0):
        nibabel.save(room.image(mask, affine), room.out / "seg.nii.gz")
        with pytest.raises(ExchangeError, match="its voxels lie beside the images: the two grids do not overlap"):
            room.read(folders(absent_if_empty(segment())))


def test_labelled_voxels_outside_of_the_images_are_refused(tmp_path: Path) -> None:
    """A mask that is shifted by a few voxels would lose what sticks out."""
    room = NiftiRoom(tmp_path, grid(SHAPE))
    affine = np.array(room.grid.matrix)
    affine[:3, 3] += affine[:3, 0] * 8.5
    nibabel.save(room.image(np.ones(SHAPE, np.uint8), affine), room.out / "seg.nii.gz")
    with pytest.raises(ExchangeError, match="has labelled voxels up to 6 mm outside of the images"):
        room.read(folders(segment()))


def test_a_crop_counts_where_it_is_and_denies_nothing_elsewhere(tmp_path: Path) -> None:
    """Part of the volume: its mask is placed; where it is empty, it does not say that the finding is absent."""
    room, mask = NiftiRoom(tmp_path, grid((12, 40, 60))), np.zeros((12, 40, 60), np.uint8)
    mask[4:6, 12:20, 20:30] = 1
    affine = np.array(room.grid.matrix)
    affine[:3, 3] = (room.grid.matrix @ (18, 10, 3, 1))[:3]
    crop = mask[3:8, 10:25, 18:40]
    nibabel.save(room.image(crop, affine), room.out / "seg.nii.gz")
    said = folders(absent_if_empty(segment()))
    assert np.array_equal(room.read(said).result.segmentation.labels, mask)
    nibabel.save(room.image(crop * 0, affine), room.out / "seg.nii.gz")
    assert room.read(said).result.status == "not_applicable"
    room.save(mask * 0)
    assert room.read(said).result.status == "no_findings"


def test_what_is_smaller_than_a_voxel_is_not_lost_without_a_word(tmp_path: Path) -> None:
    """A lesion of one fine voxel between the centres of coarse ones."""
    room = NiftiRoom(tmp_path, grid((4, 8, 8), spacing=(4.0, 4.0, 4.0)))
    affine = room.grid.matrix @ np.diag([0.25, 0.25, 0.25, 1.0])
    fine = np.zeros((16, 32, 32), np.uint8)
    fine[6, 6, 6] = 1
    nibabel.save(room.image(fine, affine), room.out / "seg.nii.gz")
    with pytest.raises(ExchangeError, match="has 1 voxels of 'Nodule', and none of them is on the images' grid"):
        room.read(folders(segment()))


def test_a_map_is_interpolated_and_has_to_cover_the_images(tmp_path: Path) -> None:
    """Exchanged axes: exact. A coarser grid: linear. A crop: refused."""
    room = NiftiRoom(tmp_path, grid((8, 40, 40), spacing=(2.0, 1.0, 1.0)))
    room.save(odd((8, 40, 40)))
    values = np.broadcast_to(np.linspace(0.1, 0.9, 40, dtype=np.float32), (8, 40, 40))
    said = folders(segment(), heatmaps=(heatmap(),))
    nibabel.save(reoriented(room.image(values), "RAS"), room.out / "probability.nii.gz")
    assert np.array_equal(room.read(said).result.heatmaps[0].values, values)
    affine = room.grid.matrix @ np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (room.grid.matrix @ (-0.5, -0.5, -0.5, 1.0))[:3]
    coarse = np.broadcast_to(np.linspace(0.1, 0.9, 21, dtype=np.float32), (5, 21, 21))
    nibabel.save(room.image(coarse, affine), room.out / "probability.nii.gz")
    found = room.read(said).result.heatmaps[0].values
    assert found[3, 20, 20] == pytest.approx(0.1 + 0.8 * (20.5 / 2) / 20, abs=1e-4)
    nibabel.save(room.image(values[:, :, :20]), room.out / "probability.nii.gz")
    with pytest.raises(ExchangeError, match="does not cover the images"):
        room.read(said)


def test_masks_in_files_of_their_own_come_back_together(tmp_path: Path) -> None:
    """As TotalSegmentator writes them, one of 0 and 255 and one with other axes; volumes by their own voxels."""
    room = NiftiRoom(tmp_path, grid(SHAPE))
    mask = odd()
    liver, spleen = mask * (np.arange(30) < 15), mask * (np.arange(30) >= 15)
    room.save((liver * 255).astype(np.uint8), "liver.nii.gz")
    nibabel.save(reoriented(room.image(spleen.astype(np.uint8)), "RAS"), room.out / "spleen.nii.gz")
    result = room.read(folders(organ("Liver", "liver.nii.gz"), organ("Spleen", "spleen.nii.gz"))).result
    assert np.array_equal(result.segmentation.labels, liver + 2 * spleen)
    volumes = [finding.measurements[0].value for finding in result.findings]
    assert volumes == pytest.approx([liver.sum() * 0.0012, spleen.sum() * 0.0012])
