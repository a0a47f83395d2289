"""Slices that were not acquired in one way are not one volume, however regularly they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, Sequence

from plugins import imaging
from tests.unit.plugins.test_imaging import enhanced, refused, stack
from tests.unit.plugins.test_stored_values import Change, only, put

WAYS: dict[str, tuple[str, Any, Any, str]] = {
    "two echoes": ("MR", 2.1, 80, "EchoTime: 2.1 and 80"),
    "two inversion times": ("MR", 150, 2500, "InversionTime: 150 and 2500"),
    "two flip angles": ("MR", 5, 26, "FlipAngle: 5 and 26"),
    "two b-values": ("MR", 0.0, 1000.0, "DiffusionBValue: 0 and 1000"),
    "two phases": ("MR", 1, 2, "TemporalPositionIdentifier: 1 and 2"),
    "two tube voltages": ("CT", 80, 140, "KVP: 80 and 140"),
    "two kernels": ("CT", "B30f", ["B70f", "3"], r"ConvolutionKernel: B30f and B70f\\3"),
    "attenuation corrected and not": ("PT", ["DECY", "ATTN"], ["DECY"], r"CorrectedImage: DECY\\ATTN and DECY"),
    "magnitude and phase": (
        "MR",
        ["ORIGINAL", "PRIMARY", "M"],
        ["ORIGINAL", "PRIMARY", "P"],
        "ImageType: M and P",
    ),
}


def _alternating(modality: str, keyword: str, one: Any, other: Any) -> Change:
    return lambda number, dataset: put(
        dataset, Modality=modality, Units="BQML", **{keyword: other if number % 2 else one}
    )


@pytest.mark.parametrize(("modality", "one", "other", "match"), WAYS.values(), ids=WAYS)
def test_finding_n2_slices_that_were_acquired_in_two_ways_are_refused(
    tmp_path: Path, modality: str, one: Any, other: Any, match: str
) -> None:
    """Every second slice of another echo, phase or kernel, each at a place of its own: the attribute is named."""
    files = stack(tmp_path, change=_alternating(modality, match.split(":", maxsplit=1)[0], one, other))
    refused(files, rf"differ in {match} \(SOP instance 1\.2\.3\.2, SOP instance 1\.2\.3\.4\)")


def test_finding_n2_a_b_value_that_is_left_out_is_none(tmp_path: Path) -> None:
    """Some scanners write b-values into the weighted images alone."""
    change = _alternating("MR", "DiffusionBValue", 800.0, None)
    refused(stack(tmp_path, change=change), "DiffusionBValue: 800 and 0")


SAME: dict[str, Change] = {
    "rounding": _alternating("MR", "EchoTime", 2.46, 2.461),
    "left out on some": _alternating("MR", "EchoTime", 2.46, None),
    "image type of CT": _alternating(
        "CT", "ImageType", ["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "PRIMARY", "AXIAL"]
    ),
    "one acquisition after the other": _alternating("CT", "AcquisitionNumber", 1, 2),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_finding_n2_what_does_not_change_the_values_costs_nothing(tmp_path: Path, change: Change) -> None:
    """Rounding, an attribute that some slices lack, and what says nothing about the values."""
    assert imaging.volume(stack(tmp_path, change=change)).array.shape == (5, 3, 4)


def test_finding_n2_an_attribute_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    """An echo time with a comma is untidy, and no second echo."""
    files = stack(tmp_path, change=_alternating("MR", "EchoTime", "2.5", "2.5"))
    content = files[2].read_bytes()
    assert content.count(b"DS\x04\x002.5 ") == 1
    files[2].write_bytes(content.replace(b"DS\x04\x002.5 ", b"DS\x04\x002,5 "))
    assert imaging.volume(files).array.shape == (5, 3, 4)


@pytest.mark.parametrize(
    ("macro", "keyword", "one", "other", "match"),
    [
        ("MREchoSequence", "EffectiveEchoTime", 2.0, 80.0, "EchoTime: 80 and 2 "),
        (
            "MRImageFrameTypeSequence",
            "FrameType",
            ["ORIGINAL", "PRIMARY", "M"],
            ["ORIGINAL", "PRIMARY", "P"],
            "P and M",
        ),
        ("CTReconstructionSequence", "ConvolutionKernel", "B30f", "B70f", "ConvolutionKernel: B70f and B30f"),
        ("MRDiffusionSequence", "DiffusionBValue", 0.0, 1000.0, "DiffusionBValue: 1000 and 0"),
        ("FrameContentSequence", "TemporalPositionIndex", 1, 2, "TemporalPositionIdentifier: 2 and 1"),
    ],
)
def test_finding_n3_frames_that_were_acquired_in_two_ways_are_refused(
    tmp_path: Path, macro: str, keyword: str, one: Any, other: Any, match: str
) -> None:
    """The same in functional groups: one frame of another kind."""

    def change(dataset: Dataset) -> None:
        dataset.Modality = "MR"
        for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            item = Dataset()
            setattr(item, keyword, other if number == 1 else one)
            setattr(frame, macro, Sequence([item]))

    refused([enhanced(tmp_path, change=change)], match)


def test_finding_n4_values_that_a_volume_cannot_hold_are_refused(tmp_path: Path) -> None:
    """Beyond the range of 32-bit numbers all values would be infinite."""
    refused(stack(tmp_path, change=lambda n, d: put(d, RescaleSlope="1e38")), "greater than 3.4e38")


@pytest.mark.parametrize("tilt", ["18.5", "-22", "1.5"])
def test_finding_n3_a_tilt_that_the_orientation_does_not_have_is_refused(tmp_path: Path, tilt: str) -> None:
    """Straight slices of a tilted gantry: the orientation was lost, or the positions are not those of the slices."""
    change = only(*range(5), modality="CT", GantryDetectorTilt=tilt, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    refused(stack(tmp_path, change=change), rf"GantryDetectorTilt {tilt} and an ImageOrientationPatient without tilt")


@pytest.mark.parametrize(
    "attributes",
    [
        {"GantryDetectorTilt": "0.3"},
        {"GantryDetectorTilt": ""},
        {"GantryDetectorTilt": "18.5", "ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
    ],
    ids=["rounding", "not said", "straightened"],
)
def test_finding_n3_what_is_no_hidden_tilt_is_read(tmp_path: Path, attributes: dict[str, Any]) -> None:
    """Rounding, an empty attribute, and images that were made from tilted ones."""
    assert len(imaging.volume(stack(tmp_path, change=only(*range(5), modality="CT", **attributes))).array) == 5
