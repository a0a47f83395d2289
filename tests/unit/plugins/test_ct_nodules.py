"""The worked example ct_nodules against phantoms whose nodules are known, and against images that it must refuse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydicom
import pytest

from plugins import manifest, testing
from plugins.contract import NotApplicableError, Result, ResultStatus
from plugins.examples.ct_nodules import ct_nodules, validation
from plugins.phantoms.chest_series import SeriesHeader, write_series
from plugins.phantoms.nodules import EllipsoidalNodule, NoduleChest, SphericalNodule

FOLDER = Path(manifest.__file__).parent / "examples" / "ct_nodules"
README = (FOLDER / "README.md").read_text()
RIGHT = SphericalNodule((-90.0, 10.0, 12.0), 20.0)
ON_THE_WALL = EllipsoidalNodule((121.5, 5.0, 18.0), (9.0, 12.0, 9.0))


def chest(*nodules: SphericalNodule | EllipsoidalNodule, slice_mm: float = 2.0, size: int = 160) -> NoduleChest:
    return NoduleChest(
        size=size, slice_mm=slice_mm, vessels=False, extent=(-30.0, 45.0), partial_volume=True, nodules=nodules
    )


def write(phantom: NoduleChest, folder: Path, **header: str) -> list[Path]:
    return write_series(phantom, folder, SeriesHeader(**header))  # type: ignore[arg-type]


def before(phantom: NoduleChest, folder: Path, **header: str) -> list[Path]:
    """The same patient 90 days earlier."""
    return write(phantom, folder, **{"study_date": "20231004", "accession_number": "A0", **header})


def analyse(files: Sequence[Path], prior: Sequence[Path] = ()) -> Result:
    return testing.analyse(FOLDER, files, roles={"prior": prior} if prior else None)


def numbers(result: Result, index: int = 0) -> Mapping[str, float | None]:
    return {each.concept.value: each.value for each in result.findings[index].measurements}


def test_each_nodule_has_its_size_side_and_segment(tmp_path: Path) -> None:
    """One within the right lung, one on the wall of the left: volume within 5 %, long axis within a pixel; the segment
    is the finding's, and has the volume that the finding says.
    """
    result = analyse(write(chest(RIGHT, ON_THE_WALL), tmp_path))
    assert result.status is ResultStatus.FINDINGS
    assert [(each.site.laterality.meaning, each.segments) for each in result.findings] == [
        ("Right", (1,)),
        ("Left", (2,)),
    ]
    truths = [(each.volume_ml, each.long_axis_mm) for each in chest(RIGHT, ON_THE_WALL).nodules]
    for index, (volume_ml, long_axis_mm) in enumerate(truths):
        found = numbers(result, index)
        assert found["118565006"] == pytest.approx(1000 * volume_ml, rel=0.05)
        assert found["103339001"] == pytest.approx(long_axis_mm, abs=2.25)
        assert len(result.findings[index].regions) == 1
    voxels = sum(int((plane == 1).sum()) for plane in result.segmentation.planes)
    assert voxels * 2.25**2 * 2 == pytest.approx(numbers(result)["118565006"], rel=0.01)


def test_no_nodule_is_an_absent_finding(tmp_path: Path) -> None:
    """What was looked for is named, and that nothing was compared."""
    result = analyse(write(chest(), tmp_path))
    assert (result.status, [each.present for each in result.findings]) == (ResultStatus.NO_FINDINGS, [False])
    assert "no earlier study was handed over" in result.summary


def test_growth_is_that_of_the_same_nodule(tmp_path: Path) -> None:
    """From 15 to 20 mm in 90 days: the doubling time follows from the spheres; the one on the wall is stable.

    The patient lay 20 mm further down the table: places count from the lungs.
    """
    smaller = SphericalNodule(RIGHT.centre, 15.0)
    prior = before(chest(smaller, ON_THE_WALL), tmp_path / "prior")
    for path in prior:
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient[2] += 20
        dataset.save_as(path)
    result = analyse(write(chest(RIGHT, ON_THE_WALL), tmp_path / "now"), prior)
    truth = 90 * math.log(2) / math.log((20 / 15) ** 3)
    assert numbers(result)["VOLUME_DOUBLING_TIME"] == pytest.approx(truth, rel=0.05)
    assert numbers(result)["VOLUME_CHANGE"] == pytest.approx(100 * ((20 / 15) ** 3 - 1), abs=10)
    assert "Nodule 1 is growing" in result.summary
    assert "VOLUME_DOUBLING_TIME" not in numbers(result, 1)
    assert result.findings[1].comment.startswith("is stable: 0 %")


def test_a_new_nodule_is_called_new_and_one_that_shrank_has_no_doubling_time(tmp_path: Path) -> None:
    """Of the left lung nothing was there before; the right one was larger."""
    larger = SphericalNodule(RIGHT.centre, 26.0)
    result = analyse(write(chest(RIGHT, ON_THE_WALL), tmp_path / "now"), before(chest(larger), tmp_path / "prior"))
    assert result.findings[0].comment.startswith("is shrinking")
    assert "VOLUME_DOUBLING_TIME" not in numbers(result)
    assert "was not found in the earlier study" in result.findings[1].comment


@pytest.mark.parametrize(
    ("header", "slice_mm", "words"),
    [
        ({"patient_id": "PHANTOM-9999"}, 2.0, "it is another patient's"),
        ({"convolution_kernel": "B70f"}, 2.0, "kernel B70f then, B30f now"),
        ({}, 1.5, "slice thickness 1.5 then, 2.0 now"),
        ({"study_date": "20240102"}, 2.0, "it has no earlier study date"),
        ({}, 4.0, "slice thickness 4.0 then, 2.0 now"),
    ],
    ids=["patient", "kernel", "thinner", "same day", "thicker"],
)
def test_what_cannot_be_compared_is_said_in_words(
    header: dict[str, str], slice_mm: float, words: str, tmp_path: Path
) -> None:
    """Today's numbers are there, none about growth, and summary and remarks say why."""
    prior = before(chest(RIGHT, slice_mm=slice_mm), tmp_path / "prior", **header)
    result = analyse(write(chest(RIGHT), tmp_path / "now"), prior)
    assert numbers(result).keys() == {"103339001", "103340004", "118565006"}
    assert f"Not comparable with the earlier study: {words}." in result.summary
    assert words in result.quality[0]


def test_an_earlier_study_without_lungs_costs_nothing(tmp_path: Path) -> None:
    """It is a remark; today's result stays."""
    prior = before(chest(RIGHT), tmp_path / "prior")
    for path in prior:
        dataset = pydicom.dcmread(path)
        dataset.PixelData = bytes(len(dataset.PixelData))
        dataset.save_as(path)
    result = analyse(write(chest(RIGHT), tmp_path / "now"), prior)
    assert result.status is ResultStatus.FINDINGS
    assert "Not comparable with the earlier study: No lung was found." in result.summary


@pytest.mark.parametrize(
    ("changes", "slice_mm", "words"),
    [({"Modality": "MR"}, 2.0, "not CT"), ({}, 3.0, "3 mm thick"), ({"SliceThickness": "5"}, 2.0, "5 mm thick")],
    ids=["MR", "thick", "thick, overlapping"],
)
def test_what_it_is_not_for(changes: dict[str, str], slice_mm: float, words: str, tmp_path: Path) -> None:
    """Not applicable, with the reason."""
    files = write(chest(RIGHT, slice_mm=slice_mm), tmp_path)
    for path in files:
        dataset = pydicom.dcmread(path)
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    with pytest.raises(NotApplicableError, match=words):
        analyse(files)


def test_the_doubling_time_is_that_of_exponential_growth() -> None:
    """A volume that is twice as large after 100 days doubles in 100 days; four times: in 50."""
    assert ct_nodules.doubling_time(100, 200, 100) == pytest.approx(100)
    assert ct_nodules.doubling_time(100, 400, 100) == pytest.approx(50)


def test_the_errors_are_those_of_the_readme() -> None:
    """At 2 mm, with noise and vessels: each nodule within what the README's table says of all of them."""
    made, _ = validation.errors(validation.phantom(2.0))
    assert None not in made
    assert max(abs(diameter) for diameter, _ in made) <= 0.8
    assert max(abs(volume) for _, volume in made) <= 6
    assert all(f"| {name} |" in README for name in validation.NODULES)


def test_pages_and_readme_say_what_it_is() -> None:
    """Nobody takes it for a product."""
    intended = manifest.load(FOLDER).identity.intended_use
    assert "Not a medical device" in intended
    assert "teaching example" in README.lower()
    assert "not a medical device" in README.lower()
