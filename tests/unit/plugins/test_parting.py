"""A series of several phases, echoes, b-values or times comes apart by what tells them apart, and never by a guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from plugins.contract import NotApplicableError, Series
from plugins.parting import volumes
from tests.support.shared_data import shared_data
from tests.unit.plugins.test_imaging import enhanced, single

PLACES = 3


def write(folder: Path, phases: int, change: Any, order: Any = None) -> list[Path]:
    """`phases` images at each of three places; `change(dataset, phase, place)` says what tells them apart."""
    files = []
    for number in range(phases * PLACES):
        phase, place = divmod(number, PLACES)

        def spoil(dataset: Dataset, phase: int = phase, place: int = place, number: int = number) -> None:
            dataset.Modality, dataset.InstanceNumber = "MR", None
            dataset.PixelData = np.full((3, 4), 10 * phase + place, "<i2").tobytes()
            dataset.RescaleIntercept = 0
            change(dataset, phase, place)

        files.append(single(folder, number, (0, 0, 2.0 * place), change=spoil))
    return [files[index] for index in order] if order is not None else files


def values(part: Any) -> list[float]:
    """The value of each slice, which says its phase and its place."""
    return [float(each) for each in part.volume().array[:, 0, 0]]


def set_all(**functions: Any) -> Any:
    def change(dataset: Dataset, phase: int, place: int) -> None:
        for keyword, function in functions.items():
            setattr(dataset, keyword, function(phase, place))

    return change


DIRECTIONS = ([1, 0, 0], [0, 1, 0], [0, 0, 1])
TOLD_APART: dict[str, tuple[Any, str, list[Any]]] = {
    "echoes": (set_all(EchoTime=lambda p, _: 2.3 + 2.3 * p), "EchoTime", [2.3, 4.6]),
    "b-values": (set_all(DiffusionBValue=lambda p, _: 800.0 * p), "DiffusionBValue", [0.0, 800.0]),
    "directions": (
        set_all(DiffusionBValue=lambda *_: 1000.0, DiffusionGradientOrientation=lambda p, _: DIRECTIONS[p]),
        "DiffusionGradientOrientation",
        [(0.0, 1.0, 0.0), (1.0, 0.0, 0.0)],
    ),
    "temporal positions": (
        set_all(TemporalPositionIdentifier=lambda p, _: p + 1),
        "TemporalPositionIdentifier",
        [1.0, 2.0],
    ),
    "late temporal positions": (  # of numbers that count, 101 is not 100 but for rounding
        set_all(TemporalPositionIdentifier=lambda p, _: p + 100),
        "TemporalPositionIdentifier",
        [100.0, 101.0],
    ),
    "inversion times": (set_all(InversionTime=lambda p, _: 100 + 900 * p), "InversionTime", [100.0, 1000.0]),
    "magnitude and phase": (
        set_all(ImageType=lambda p, _: ["ORIGINAL", "PRIMARY", "MP"[p]]),
        "ImageType",
        ["M", "P"],
    ),
    "label and control": (
        set_all(AcquisitionNumber=lambda p, _: p + 1, AcquisitionTime=lambda *_: "101500"),
        "AcquisitionNumber",
        [1.0, 2.0],
    ),
    "times of the slices": (
        set_all(AcquisitionTime=lambda p, place: f"1015{10 * p + 2 * place:02d}.5"),
        "AcquisitionTime",
        ["101500.5", "101510.5"],
    ),
    "phases of the heart": (
        set_all(TriggerTime=lambda p, place: 40.0 * p + 3 * place),
        "TriggerTime",
        [0.0, 40.0],
    ),
    "numbers phase by phase": (
        set_all(InstanceNumber=lambda p, place: p * PLACES + place + 1),
        "InstanceNumber",
        [1, 4],
    ),
    "numbers place by place": (set_all(InstanceNumber=lambda p, place: place * 2 + p + 1), "InstanceNumber", [1, 2]),
}


@pytest.mark.parametrize("case", TOLD_APART)
def test_volumes_come_apart_by_the_attribute_that_tells_them_apart(tmp_path, case):
    """Each has all places, its own pixels whatever the order of the files, and the tag with its value."""
    change, keyword, expected = TOLD_APART[case]
    parts = volumes(write(tmp_path, 2, change, order=[4, 0, 3, 5, 1, 2]))
    assert [dict(part.tags) for part in parts] == [{keyword: value} for value in expected]
    shown = [values(part) for part in parts]
    assert sorted(shown) == [[0, 1, 2], [10, 11, 12]]
    if case not in ("directions",):
        assert shown[0] == [0, 1, 2]


def test_two_attributes_make_four_volumes(tmp_path):
    """Two echoes of two times each: both tags are there, and each volume is of one echo and one time."""

    def change(dataset: Dataset, phase: int, _place: int) -> None:
        dataset.EchoTime, dataset.TemporalPositionIdentifier = 5 + 5 * (phase % 2), phase // 2 + 1

    parts = volumes(write(tmp_path, 4, change))
    found = {(part.tags["EchoTime"], part.tags["TemporalPositionIdentifier"]): values(part)[0] for part in parts}
    assert found == {(5, 1): 0, (10, 1): 10, (5, 2): 20, (10, 2): 30}


def test_b_value_of_a_vendors_attribute_counts(tmp_path):
    """Siemens wrote it in (0019,xx0C), GE with an offset in (0043,xx39)."""

    def change(dataset: Dataset, phase: int, _place: int) -> None:
        block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x39, "IS", [1_000_000_000 + 700 * phase, 8, 0, 0])

    parts = volumes(write(tmp_path, 2, change))
    assert [dict(part.tags) for part in parts] == [{"DiffusionBValue": 0.0}, {"DiffusionBValue": 700.0}]


def test_a_series_that_is_one_volume_has_one_without_tags(tmp_path):
    """`volumes()` can be asked of any series; through the face of an author."""
    series = Series("1.2.3", "MR", "", tuple(write(tmp_path, 1, set_all(EchoTime=lambda *_: 5))))
    (part,) = series.volumes()
    assert dict(part.tags) == {}
    assert np.array_equal(part.volume().array, series.volume().array)


def test_three_planes_of_a_pilot_come_apart(tmp_path):
    """Orientations are volumes of their own."""
    planes = ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1])
    files = write(tmp_path, 2, set_all(ImageOrientationPatient=lambda p, _: planes[p]))
    assert sorted(part.tags["ImageOrientationPatient"] for part in volumes(files[:3] + files[3:4])) == sorted(
        tuple(float(each) for each in plane) for plane in planes
    )


@pytest.mark.parametrize(
    "change",
    [
        set_all(),
        set_all(InstanceNumber=lambda p, place: (1, 7, 2, 3, 4, 9)[p * PLACES + place]),
        set_all(AcquisitionTime=lambda *_: "101500"),
        set_all(InstanceNumber=lambda *_: 1),
    ],
    ids=["nothing", "irregular numbers", "one time for all", "one number for all"],
)
def test_what_nothing_tells_apart_is_refused(tmp_path, change):
    """A guess could mix times or directions; the reason says how many images lie where."""
    with pytest.raises(NotApplicableError, match="6 images lie at 3 positions, and no attribute"):
        volumes(write(tmp_path, 2, change))


def test_a_volume_with_a_missing_slice_is_refused_when_it_is_read(tmp_path):
    """The sound ones can be read, the one with a gap says so."""
    files = write(tmp_path, 2, set_all(EchoTime=lambda p, _: 5 + 5 * p))
    whole, gap = volumes([*files[:4], files[5]])
    assert values(whole) == [0, 1, 2]
    assert gap.volume().spacing[0] == 4.0  # two slices 4 mm apart are a stack: no header says how many there were


def test_temporal_positions_of_an_enhanced_image_come_apart(tmp_path):
    """Frames of one file, by their functional groups."""

    def change(dataset: Dataset) -> None:
        for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            frame.FrameContentSequence[0].TemporalPositionIndex = number // 2 + 1
            frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 2 * (number % 2)]

    parts = volumes([enhanced(tmp_path, (0, 1, 2, 3), change)])
    assert [part.tags["TemporalPositionIdentifier"] for part in parts] == [1.0, 2.0]
    assert [[frame.frame_number for frame in part.volume().frames] for part in parts] == [[1, 2], [3, 4]]


def test_finding_n7_a_mosaic_is_refused_by_what_it_is(tmp_path):
    """Many slices side by side in one image are not one slice."""
    files = write(tmp_path, 1, set_all(ImageType=lambda *_: ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]))
    with pytest.raises(NotApplicableError, match="is a mosaic"):
        volumes(files[:1])


REAL = {
    "fMRI of GE": ("neurolabusc_dcm_qa_nih", "EPI-FMRI", 10, (15, 64, 64), "InstanceNumber"),
    "enhanced fMRI of Siemens": ("neurolabusc_dcm_qa_enh", "REST1", 4, (6, 64, 64), "TemporalPositionIdentifier"),
    "field map of Philips": ("neurolabusc_dcm_qa_enh", "B0 NS", 2, (32, 64, 64), "EchoTime"),
}


@pytest.mark.parametrize("case", REAL)
def test_finding_n7_real_series_of_several_volumes_can_be_read(case):
    """What `volume()` refuses as several phases: this many volumes, each with all its slices."""
    folder, described, count, shape, keyword = REAL[case]
    files = [path for path in shared_data(folder).rglob("*") if path.is_file() and is_of(path, described)]
    parts = volumes(files)
    assert len(parts) == count
    assert {part.volume().array.shape for part in parts} == {shape}
    assert len({part.tags[keyword] for part in parts}) == count


def is_of(path: Path, described: str) -> bool:
    try:
        header = pydicom.dcmread(path, specific_tags=["SeriesDescription"], stop_before_pixels=True)
    except (pydicom.errors.InvalidDicomError, OSError):
        return False
    return described in str(header.get("SeriesDescription", ""))
