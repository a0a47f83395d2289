"""ct_qa against water phantoms whose faults are known, and against images that it must refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from plugins import manifest
from plugins.contract import Ellipse, NotApplicableError, Result, ResultStatus, Series, Study
from plugins.ct_qa import codes, validation
from plugins.ct_qa.plugin import CTQA
from plugins.phantoms import chest_series, head
from plugins.phantoms.chest import Chest
from plugins.phantoms.head import HeadPhantom
from plugins.phantoms.water import WaterPhantom, write_series

FOLDER = Path(manifest.__file__).parent / "ct_qa"
README = (FOLDER / "README.md").read_text()


def scanned(phantom: WaterPhantom, folder: Path, day: int, **changes: object) -> tuple[Path, ...]:
    """The phantom as it was scanned on that day of January."""
    files = write_series(phantom, folder)
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.StudyDate = dataset.AcquisitionDate = f"202401{day:02}"
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    return tuple(files)


def analyse(folder: Path, *phantoms: WaterPhantom, **parameters: float) -> Result:
    """The first phantom is today's, the others were scanned on the days before, the newest first."""
    days = range(31, 31 - len(phantoms), -1)
    series = [
        Series(f"1.2.{day}", "CT", "QA", scanned(each, folder / str(day), day), "" if day == 31 else "prior")
        for day, each in zip(days, phantoms, strict=True)
    ]
    return CTQA().analyse(Study("1.2", tuple(series)), manifest.load(FOLDER).parameters_for(parameters))


def numbers(result: Result) -> dict[str, float]:
    """Values by their code."""
    return {each.concept.value: float(each.value or 0) for part in result.findings for each in part.measurements}


FAULTS = {
    "drift": (WaterPhantom(drift_hu=-7.0), codes.WATER.value, -7.0, 0.6),
    "cupping": (WaterPhantom(cupping_hu=9.0), codes.UNIFORMITY.value, 5.4, 0.8),
    "ring": (WaterPhantom(ring_hu=6.0, centre_mm=(8.0, -6.0)), codes.RING.value, 5.3, 0.6),
    "streak": (WaterPhantom(streak_hu=7.0), codes.SPOT.value, 4.4, 0.6),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_measured_and_out_of_limits(name: str, tmp_path: Path) -> None:
    """Each fault by its number, in the summary, in the finding's words and in the status; no other limit is broken."""
    phantom, code, truth, tolerance = FAULTS[name]
    result = analyse(tmp_path, phantom)
    assert numbers(result)[code] == pytest.approx(truth, abs=tolerance)
    verdict = result.findings[0]
    assert (result.status, verdict.present, verdict.comment.count(";")) == (ResultStatus.FINDINGS, True, 0)
    assert verdict.comment in result.summary


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "phantom",
    [
        WaterPhantom(),
        WaterPhantom(noise_hu=10.0),
        WaterPhantom(noise_hu=2.0, noise_pixels=1.5),
        WaterPhantom(centre_mm=(12.0, 9.0), couch=False),
        WaterPhantom(diameter_mm=160.0),
    ],
    ids=["plain", "noise", "soft kernel", "off the middle", "small"],
)
def test_a_sound_scanner_is_within_limits(phantom: WaterPhantom, seed: int, tmp_path: Path) -> None:
    """Whatever the noise and the place: no ring, no spot, all within, and the noise as it is."""
    result = analyse(tmp_path, replace(phantom, seed=seed))
    found = numbers(result)
    assert result.status is ResultStatus.NO_FINDINGS, result.summary
    assert (found[codes.RING.value], found[codes.SPOT.value]) == (0, 0)
    assert found[codes.NOISE.value] == pytest.approx(phantom.noise_hu, rel=0.05)


def test_the_earlier_scan_gives_the_trend(tmp_path: Path) -> None:
    """Water within its limit, but 4 HU from last time; noise half as large again; a broken earlier scan is a remark."""
    result = analyse(tmp_path, WaterPhantom(drift_hu=4.0, noise_hu=6.0), WaterPhantom(seed=2))
    found = numbers(result)
    assert found[codes.DRIFT.value] == pytest.approx(4, abs=0.6)
    assert found[codes.NOISE_CHANGE.value] == pytest.approx(2, abs=0.3)
    assert "change of water since last time" in result.findings[0].comment
    assert "change of noise since last time" in result.findings[0].comment
    odd = analyse(tmp_path / "odd", WaterPhantom(), WaterPhantom(diameter_mm=100.0))
    assert odd.status is ResultStatus.NO_FINDINGS
    assert "cannot be compared" in odd.quality[0]


SMALL: dict[str, Any] = {"size": 128, "slices": 1, "noise_hu": 1.0}


def test_what_creeps_shows_against_the_mean_of_the_earlier_scans(tmp_path: Path) -> None:
    """0.6 HU a day: no step is out of limits, the distance from the mean of nine scans may be; a page shows all ten."""
    scans = [WaterPhantom(**SMALL, drift_hu=0.6 * day, seed=10 + day) for day in range(7, -3, -1)]
    result = analyse(tmp_path, *scans)
    found = numbers(result)
    assert abs(found[codes.DRIFT.value]) < 3
    assert found[codes.TREND.value] == pytest.approx(0.6 * 5, abs=0.6)
    steeper = analyse(
        tmp_path / "b", *(replace(each, drift_hu=each.drift_hu * 1.4) for each in scans), maximum_water_hu=10.0
    )
    assert steeper.findings[0].comment.startswith("water, from the mean of 9 scans +")
    assert [each.caption for each in result.pictures][1:] == ["Water phantom: the last 10 scans, with the limits"]
    sound = analyse(tmp_path / "c", *(replace(each, drift_hu=0.0) for each in scans))
    assert sound.status is ResultStatus.NO_FINDINGS, sound.summary
    assert not np.array_equal(result.pictures[1].pixels, sound.pictures[1].pixels)


@pytest.mark.parametrize(
    "changes",
    [{"DeviceSerialNumber": "2"}, {"ConvolutionKernel": "B70s"}, {"SliceThickness": "1"}, {"KVP": "80"}],
    ids=["scanner", "kernel", "slice", "voltage"],
)
def test_only_like_is_compared_with_like(changes: dict[str, str], tmp_path: Path) -> None:
    """A scan of another scanner or protocol is left out with a remark, and the ones that are alike count."""
    drifted, sound = WaterPhantom(**SMALL, drift_hu=40.0), WaterPhantom(**SMALL, seed=2)
    series = [
        Series("1.2.1", "CT", "", scanned(WaterPhantom(**SMALL), tmp_path / "1", 31)),
        Series("1.2.2", "CT", "", scanned(drifted, tmp_path / "2", 30, **changes), "prior"),
        Series("1.2.3", "CT", "", scanned(sound, tmp_path / "3", 29), "prior"),
    ]
    result = CTQA().analyse(Study("1.2", tuple(series)), manifest.load(FOLDER).parameters_for({}))
    assert numbers(result)[codes.DRIFT.value] == pytest.approx(0, abs=1)
    assert "An earlier scan cannot be compared with: another " in result.quality[0]


def test_a_scan_after_todays_is_no_earlier_one(tmp_path: Path) -> None:
    """Whatever the order in which they are handed over: the last one before today's is the last one by its date."""
    series = [Series("1.2.0", "CT", "", scanned(WaterPhantom(**SMALL), tmp_path / "0", 20))]
    for number, (day, drift) in enumerate(((10, -2.0), (19, 1.0), (5, -2.0), (25, 30.0)), start=1):
        phantom = WaterPhantom(**SMALL, drift_hu=drift)
        series.append(Series(f"1.2.{number}", "CT", "", scanned(phantom, tmp_path / str(number), day), "prior"))
    result = CTQA().analyse(Study("1.2", tuple(series)), manifest.load(FOLDER).parameters_for({}))
    found = numbers(result)
    assert found[codes.DRIFT.value] == pytest.approx(-1, abs=0.2)
    assert found[codes.TREND.value] == pytest.approx(1, abs=0.2)
    assert "not dated before" in result.quality[0]


def test_limits_are_those_of_the_rule(tmp_path: Path) -> None:
    """Wider limits, a baseline for the noise: what is told is held against them, with the range in the report."""
    phantom = WaterPhantom(drift_hu=7.0)
    assert analyse(tmp_path / "a", phantom, maximum_water_hu=10.0).status is ResultStatus.NO_FINDINGS
    noisy = analyse(tmp_path / "b", WaterPhantom(noise_hu=6.0), baseline_noise_hu=4.0)
    assert noisy.findings[0].comment.startswith("noise, from the baseline +")
    limits = {each.concept.value: each.reference_range for part in noisy.findings for each in part.measurements}
    water = limits[codes.WATER.value]
    assert water is not None
    assert (water.low, water.high) == (-5, 5)


def test_the_regions_are_where_the_phantom_is(tmp_path: Path) -> None:
    """Five circles of 400 mm² on the middle slice: one on the axis, the others 11 mm from the edge."""
    phantom = WaterPhantom(centre_mm=(10.0, -20.0))
    regions = [each for part in analyse(tmp_path, phantom).findings for each in part.regions]
    assert len(regions) == 5
    middles = [np.asarray(each.points).mean(axis=0) for each in regions]
    assert all(isinstance(each, Ellipse) for each in regions)
    wanted = (np.array(phantom.centre_mm) - phantom.axis[0]) / phantom.pixel_mm + 0.5
    assert middles[0] == pytest.approx(wanted, abs=0.6)
    far = [float(np.hypot(*(each - middles[0]))) * phantom.pixel_mm for each in middles[1:]]
    assert far == pytest.approx([77.4] * 4, abs=1)


def _others(folder: Path) -> Iterator[list[Path]]:
    yield head.write_ct(HeadPhantom(size=96, slice_mm=12.0), folder / "head")
    yield chest_series.write_series(Chest(size=64, slice_mm=23.0), folder / "chest")
    yield write_series(WaterPhantom(drift_hu=120.0), folder / "acrylic")
    yield write_series(WaterPhantom(diameter_mm=120.0), folder / "small")


def test_what_is_not_a_water_phantom_is_not_applicable(tmp_path: Path) -> None:
    """A head, a chest, acrylic, a small bottle; and images that are not CT or not in HU."""
    parameters = manifest.load(FOLDER).parameters_for({})
    for files in _others(tmp_path):
        with pytest.raises(NotApplicableError):
            CTQA().analyse(Study("1", (Series("1.2", "CT", "", tuple(files)),)), parameters)
    for keyword, value in (("Modality", "MR"), ("RescaleType", "OD")):
        files = write_series(WaterPhantom(), tmp_path / keyword)
        for path in files:
            dataset = pydicom.dcmread(path)
            setattr(dataset, keyword, value)
            dataset.save_as(path)
        with pytest.raises(NotApplicableError, match=value):
            CTQA().analyse(Study("1", (Series("1.2", value, "", tuple(files)),)), parameters)


def test_the_readme_has_the_figures_of_the_validation() -> None:
    """Rows of it, as `python -m plugins.ct_qa.validation` prints them."""
    rows = [*validation.of_phantoms(("sound", "cupping of 8 HU at the edge", "ring of 6 HU"))]
    assert [line for line in rows if line not in README] == []
    assert all(f"| {name} |" in README for name in validation.PHANTOMS)
    assert [line for line in validation.of_limits((4.0,)) if line not in README] == []
