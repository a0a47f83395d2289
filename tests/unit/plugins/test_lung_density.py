"""lung_density against phantoms whose answer is known, and against images that it must refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from node.kit import examples
from node.kit.commissioning import commission
from node.kit.small_node import kit_configuration
from node.run.commissioning import ExamplesVerdict
from plugins import imaging, manifest
from plugins.contract import NotApplicableError, ResultStatus, Series, Study, Volume
from plugins.lung_density import checks, codes, segmentation
from plugins.lung_density.orientation import AnatomicalView, anatomical
from plugins.lung_density.plugin import LungDensity
from plugins.phantoms.chest import LEFT, RIGHT, Chest
from plugins.phantoms.chest_series import SeriesHeader, write_series

FOLDER = Path(manifest.__file__).parent / "lung_density"
PARAMETERS = manifest.load(FOLDER).parameters_for({})


def study(files, modality="CT") -> Study:
    return Study("1.2", (Series("1.2.3", modality, "Chest", tuple(files)),))


def analyse(files):
    return LungDensity().analyse(study(files), PARAMETERS)


def numbers(finding) -> dict[str, float]:
    return {measurement.concept.value: measurement.value for measurement in finding.measurements}


def compare(measured: dict[str, float], truth) -> None:
    """The issue's limits: volume 1 %, LAA 0.1 point, Perc15 1 HU."""
    assert measured[codes.VOLUME.value] == pytest.approx(truth.volume_ml, rel=0.01)
    assert measured[codes.LAA_950.value] == pytest.approx(truth.laa950_percent, abs=0.1)
    assert measured[codes.LAA_910.value] == pytest.approx(truth.laa910_percent, abs=0.1)
    assert measured[codes.PERC_15.value] == pytest.approx(truth.perc15_hu, abs=1)
    assert measured[codes.ATTENUATION.value] == pytest.approx(truth.mean_hu, abs=2)


CHESTS = {
    "plain": Chest(),
    "healthy": Chest(emphysema=(0, 0)),
    "one-sided": Chest(emphysema=(0.35, 0.01)),
    "noise": Chest(size=160, slice_mm=3, noise_hu=20),
    "touching": Chest(touching=True),
    "touching, noise, vessels": Chest(size=192, slice_mm=2.5, noise_hu=25, touching=True, vessels=True),
}


@pytest.mark.parametrize("name", CHESTS)
def test_phantom_is_measured_right(tmp_path, name):
    """Right, left and both agree with the truth, whatever the noise, vessels and contact; sides are not mixed up."""
    chest = CHESTS[name]
    result = analyse(write_series(chest, tmp_path))
    assert result.status is ResultStatus.FINDINGS
    assert [finding.tracking_id for finding in result.findings] == ["Both lungs", "Right lung", "Left lung"]
    assert [finding.present for finding in result.findings] == [None, None, None]
    for finding, labels in zip(result.findings, ((RIGHT, LEFT), (RIGHT,), (LEFT,)), strict=True):
        compare(numbers(finding), chest.truth(*labels))
    labels = result.segmentation.labels
    assert (labels == chest.labels)[chest.labels > 0].mean() > 0.99
    assert (chest.labels * labels == RIGHT * LEFT).mean() < 0.001 * (chest.labels > 0).mean()
    assert manifest.load(FOLDER).undeclared(result) == []


def reoriented(volume: Volume, flips, order=(0, 1, 2)) -> Volume:
    """The same patient stored another way: axes flipped and exchanged, the affine following."""
    affine = volume.affine.copy()
    columns = [2, 1, 0]  # affine column of each array axis
    for axis in flips:
        column = columns[axis]
        affine[:3, 3] += affine[:3, column] * (volume.array.shape[axis] - 1)
        affine[:3, column] *= -1
    array = np.flip(volume.array, flips).transpose(order)
    affine[:3, :3] = np.stack([affine[:3, columns[order[axis]]] for axis in (2, 1, 0)], axis=1)
    return Volume(array, tuple(volume.spacing[axis] for axis in order), affine, volume.frames)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flips", "order"),
    [
        ((), (0, 1, 2)),
        ((2,), (0, 1, 2)),
        ((1, 2), (0, 1, 2)),
        ((0,), (0, 1, 2)),
        ((0, 1), (0, 2, 1)),
        ((2,), (0, 2, 1)),
    ],
    ids=["as usual", "mirrored", "prone", "head first", "rotated", "rotated and mirrored"],
)
def test_left_and_right_follow_the_affine(chest, chest_files, flips, order):
    """However the series is stored, the patient's left lung is the left lung, and the labels fit the volume."""
    volume = reoriented(imaging.volume(chest_files), flips, order)
    view = anatomical(volume)
    labels = view.back(segmentation.segment(view).labels)
    expected = np.flip(chest.labels, flips).transpose(order)
    assert labels.shape == volume.array.shape
    assert (labels == expected)[expected > 0].mean() > 0.99


def test_result_carries_segments_pictures_and_their_sources(tmp_path, chest, chest_files):
    """Two segments coded as lungs, two pictures of readable size, and a key image that is one of the inputs."""
    result = analyse(chest_files)
    assert [(segment.number, segment.type.value) for segment in result.segmentation.segments] == [
        (RIGHT, "3341006"),
        (LEFT, "44029006"),
    ]
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in chest_files]
    assert [frame.sop_instance_uid for frame in result.segmentation.frames] == uids
    assert [picture.pixels.shape for picture in result.pictures] == [(768, 1024, 3)] * 2
    assert result.key_images[0].image == result.pictures[1].sources[0]
    index = uids.index(result.key_images[0].image.sop_instance_uid)
    assert (chest.labels[index] > 0).any()
    assert "not a medical device" in result.summary


def test_picture_shows_low_attenuation_on_its_side(tmp_path):
    """Emphysema in the right lung only is coloured on the picture's left-hand side only."""
    result = analyse(write_series(Chest(emphysema=(0.2, 0.0)), tmp_path))
    for picture in result.pictures:
        red = (picture.pixels[60:680, :, 0].astype(int) - picture.pixels[60:680, :, 1]) > 90
        assert red[:, :480].sum() > 2000
        assert red[:, 560:].sum() == 0


def test_same_images_same_numbers(chest_files):
    """Deterministic: twice the same, also with the files in another order."""
    one, two = analyse(chest_files), analyse(chest_files[::-1])
    assert one.findings == two.findings
    assert one.summary == two.summary
    assert np.array_equal(one.segmentation.labels, two.segmentation.labels)


# --- what it refuses -----------------------------------------------------------------------------

REFUSED = {
    "contrast in the header": (Chest(), SeriesHeader(contrast_agent="Iomeron 400"), "by the header"),
    "contrast in the blood": (Chest(blood_hu=180), SeriesHeader(), r"heart and great vessels measure 1\d\d HU"),
    "late contrast": (Chest(blood_hu=115, noise_hu=20), SeriesHeader(), r"heart and great vessels measure \d+ HU"),
    "thick slices": (Chest(slice_mm=8), SeriesHeader(), "8 mm thick"),
    "noise": (Chest(size=160, noise_hu=110), SeriesHeader(), r"too noisy: \d+ HU"),
    "apices cut off": (Chest(extent=(-140, 40)), SeriesHeader(), "apices are missing"),
    "bases cut off": (Chest(extent=(-60, 135)), SeriesHeader(), "bases are missing"),
    "abdomen": (Chest(extent=(-160, -116)), SeriesHeader(), "No trachea"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_measured_is_refused_with_a_reason(tmp_path, name):
    """A wrong number is worse than none: the reason is what the radiologist reads."""
    chest, header, match = REFUSED[name]
    with pytest.raises(NotApplicableError, match=match):
        analyse(write_series(chest, tmp_path, header))


def change_all(files, folder, **attributes):
    changed = []
    for path in files:
        dataset = pydicom.dcmread(path)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        changed.append(folder / path.name)
        dataset.save_as(changed[-1])
    return changed


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({"Modality": "MR"}, "are MR, not CT"),
        ({"RescaleType": "Z_EFF"}, "Z_EFF"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "position|sheared|lie at"),
    ],
)
def test_images_that_are_no_axial_ct_are_refused(tmp_path, chest_files, attributes, match):
    """MR, spectral maps and reformats are not measured."""
    with pytest.raises(NotApplicableError, match=match):
        analyse(change_all(chest_files, tmp_path, **attributes))


def test_coronal_reformats_are_refused(chest_files):
    """A coronal stack is a proper volume, but not what densitometry is validated on."""
    with pytest.raises(NotApplicableError, match="not axial"):
        anatomical(reoriented(imaging.volume(chest_files), (), (1, 0, 2)))


def header(**attributes) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.Modality = "CT"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize("agent", ["", "NONE", "None", "NO"])
def test_the_word_none_is_no_contrast_agent(agent):
    """Scanners write NONE where nothing was given; what was drunk does not reach the lungs."""
    checks.refuse_headers([header(ContrastBolusAgent=agent)], 5)
    checks.refuse_headers([header(ContrastBolusAgent="Gastrografin", ContrastBolusRoute="ORAL")], 5)
    with pytest.raises(NotApplicableError, match="Contrast medium was given"):
        checks.refuse_headers([header(), header(ContrastBolusAgent="Iohexol", ContrastBolusRoute="IV")], 5)


def test_missing_slice_is_refused(chest_files):
    """A volume with a hole has no volume in mL."""
    with pytest.raises(NotApplicableError, match="1 slice is missing"):
        analyse(chest_files[:30] + chest_files[31:])


def test_two_series_are_refused(chest_files):
    """The rule must choose one series; the plugin never picks."""
    both = Study("1.2", (study(chest_files).series[0],) * 2)
    with pytest.raises(NotApplicableError, match="2 series"):
        LungDensity().analyse(both, PARAMETERS)


def test_limits_of_the_image_are_noted():
    """What makes the numbers less comparable is said with them; thin, quiet, full breath: nothing to say."""
    sharp = header(Manufacturer="SIEMENS", ConvolutionKernel=["B70f", "3"])
    noted = " ".join(checks.notes(sharp, 4.0, checks.Blood(45, 50), -700, 0.3))
    for words in ("kernel (B70f)", "Slices of 4 mm", "Noise of 50 HU", "not a full inspiration", "differ much"):
        assert words in noted
    soft = header(Manufacturer="GE MEDICAL SYSTEMS", ConvolutionKernel="STANDARD")
    assert checks.notes(soft, 1.0, checks.Blood(45, 20), -850, 0.46) == []


def test_noise_is_measured_as_it_is():
    """The noise that a phantom was given is found to within a tenth."""
    noisy = Chest(size=160, slice_mm=3, noise_hu=40)
    view = AnatomicalView(noisy.array.astype(np.float32), (3, noisy.pixel_mm, noisy.pixel_mm), (0, 1, 2), ())
    assert checks.blood(view, noisy.labels).noise_hu == pytest.approx(40, rel=0.1)


def test_its_example_is_the_phantom_and_what_is_expected_is_the_truth(tmp_path: Path) -> None:
    """The images are what the phantom writes, byte for byte, and each number is the phantom's own, within a little."""
    (example,) = examples.load(FOLDER)
    phantom = Chest(slice_mm=5.0)
    written = write_series(phantom, tmp_path, SeriesHeader(jpeg_ls=True))
    assert [path.read_bytes() for path in sorted(example.images.files)] == [path.read_bytes() for path in written]
    for side, labels in {"Right": (1,), "Left": (2,), "Bilateral": (1, 2)}.items():
        truth = phantom.truth(*labels)
        expected = {each.measurement: each.value for each in example.expected.numbers if each.side == side}
        assert expected == {
            "LAA950": round(truth.laa950_percent, 2),
            "LAA910": round(truth.laa910_percent, 2),
            "PERC15": truth.perc15_hu,
            "112031": round(truth.mean_hu, 1),
            "118565006": round(truth.volume_ml),
        }


def test_every_number_of_it_has_bounds_and_passes_its_own_example() -> None:
    """Each concept of a measurement says its unit, least and most; run as a node runs it, the example passes."""
    known = manifest.load(FOLDER)
    without = [each.code.value for each in known.concepts if not each.unit or None in (each.minimum, each.maximum)]
    assert without == ["LUNG_DENSITY"]
    assert commission("lung-density", kit_configuration()) == ExamplesVerdict(True, "passed: phantom")
