"""What brain_tissue reads from headers: a 3-D gradient-echo T1 without contrast medium, and a reason for all else."""

from __future__ import annotations

import pytest
from pydicom import Dataset, Sequence
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from plugins.brain_tissue.acquired import refuse_coarse, refuse_headers
from plugins.contract import NotApplicableError


def dataset(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def header(**changes: object) -> Dataset:
    """An MPRAGE, with changes; None takes an attribute away."""
    values: dict[str, object] = {
        "SOPInstanceUID": "1.2.3",
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"],
        "ScanningSequence": ["GR", "IR"],
        "SequenceVariant": ["SK", "SP", "MP"],
        "MRAcquisitionType": "3D",
        "RepetitionTime": 2000,
        "EchoTime": 2.5,
        "InversionTime": 900,
        "FlipAngle": 9,
        "SliceThickness": 1.0,
        "AngioFlag": "N",
    }
    return dataset(**{keyword: value for keyword, value in (values | changes).items() if value is not None})


SPOILED = {"ScanningSequence": "GR", "SequenceVariant": "SP", "InversionTime": None, "RepetitionTime": 8.0}
ENHANCED = {
    "ScanningSequence": None,
    "SequenceVariant": None,
    "RepetitionTime": None,
    "EchoTime": None,
    "InversionTime": None,
    "FlipAngle": None,
    "SliceThickness": None,
    "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
    "EchoPulseSequence": "GRADIENT",
    "EchoPlanarPulseSequence": "NO",
}


def groups(contrast: str = "T1", echo_time: float = 3.0) -> Sequence:
    """Shared functional groups of an enhanced image (PS3.3 C.8.13)."""
    timing = dataset(RepetitionTime=8.0, FlipAngle=8.0)
    kind = dataset(FrameType=["ORIGINAL", "PRIMARY", "T1", "NONE"], AcquisitionContrast=contrast)
    shared = dataset(
        MRTimingAndRelatedParametersSequence=Sequence([timing]),
        MREchoSequence=Sequence([dataset(EffectiveEchoTime=echo_time)]),
        MRModifierSequence=Sequence([dataset(InversionRecovery="YES", InversionTimes=[900.0])]),
        MRImageFrameTypeSequence=Sequence([kind]),
    )
    return Sequence([shared])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ContrastBolusAgent": ""},
        {"ContrastBolusAgent": "none"},
        {"SeriesDescription": "t1 mprage sag w/o contrast"},
        {"SeriesDescription": "T1 pre GD"},
        {"SliceThickness": 2.0},
        {**SPOILED, "FlipAngle": 12},
        {**SPOILED, "InversionTime": 450, "FlipAngle": 12},
        {**SPOILED, "SequenceVariant": "MP", "FlipAngle": 8},
        {**ENHANCED, "SharedFunctionalGroupsSequence": groups()},
    ],
    ids=str,
)
def test_a_t1_is_let_pass(changes: dict[str, object]) -> None:
    """MPRAGE, spoiled gradient echo, inversion that short repetitions follow, an enhanced image; no contrast medium."""
    refuse_headers([header(**changes)])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Modality": "CT"}, "are CT, not MR"),
        ({"Modality": None}, "of no stated modality"),
        ({"MRAcquisitionType": "2D"}, "are 2D images"),
        ({"MRAcquisitionType": None}, "not stated to be 3D"),
        ({"ScanningSequence": "EP"}, "echo planar"),
        ({"ScanningSequence": "SE"}, "spin echo"),
        ({"ScanningSequence": ["SE", "IR"], "InversionTime": 1800}, "spin echo"),
        ({"ScanningSequence": None}, "does not state a gradient echo"),
        ({"EchoTime": 20}, r"echo time is 20 ms: T2\*-weighted"),
        ({"EchoTime": None}, "does not state echo time"),
        ({"FlipAngle": ""}, "does not state echo time"),
        ({"InversionTime": 2700}, "inversion time is 2700 ms"),
        ({"InversionTime": 409}, "inversion time is 409 ms"),
        ({**SPOILED, "FlipAngle": 5}, "proton density"),
        ({**SPOILED, "RepetitionTime": 250, "FlipAngle": 70}, "proton density or another weighting"),
        ({"AngioFlag": "Y"}, "angiography"),
        ({"ImageType": ["DERIVED", "PRIMARY", "T1 MAP", "ND"]}, "but T1 MAP"),
        ({"ImageType": ["DERIVED", "PRIMARY", "M", "ND", "UNI"]}, "but UNI"),
        ({"ImageType": ["DERIVED", "SECONDARY", "ADC"]}, "but ADC"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "but P,"),
        ({"ContrastBolusAgent": "Gadovist"}, "Contrast/Bolus Agent"),
        ({"ContrastBolusAgent": "REMOVED"}, "Contrast/Bolus Agent"),
        ({"ContrastBolusAgentSequence": Sequence([Dataset()])}, "Contrast/Bolus Agent"),
        ({"ContrastBolusVolume": 7.5}, "Contrast/Bolus Volume"),
        ({"SeriesDescription": "t1_mprage +C"}, "name of the series"),
        ({"SeriesDescription": "T1 3D post Gd"}, "name of the series"),
        ({"SeriesDescription": "3D T1 조영증강"}, "name of the series"),
        ({"SeriesDescription": "T1 CE MPR"}, "name of the series"),
        ({"SliceThickness": 2.5}, "slices are 2.5 mm thick"),
        ({**ENHANCED, "SharedFunctionalGroupsSequence": groups("T2")}, "T2-weighted"),
        ({**ENHANCED, "SharedFunctionalGroupsSequence": groups(echo_time=25.0)}, "echo time is 25 ms"),
        ({**ENHANCED, "EchoPulseSequence": "SPIN", "SharedFunctionalGroupsSequence": groups()}, "spin echo"),
        ({**ENHANCED}, "does not state echo time"),
    ],
    ids=str,
)
def test_what_is_no_t1_is_refused_with_the_reason(changes: dict[str, object], reason: str) -> None:
    """Also where only the last image of the series says so, and where the header does not say what decides."""
    with pytest.raises(NotApplicableError, match=reason):
        refuse_headers([header(), header(**changes)])


def test_a_time_that_is_no_number_is_refused() -> None:
    """pydicom reads it when it is asked for, and says only then that it cannot."""
    odd = header()
    odd[0x00180082] = RawDataElement(BaseTag(0x00180082), "DS", 4, b"many", 0, False, True)
    with pytest.raises(NotApplicableError, match=r"SOP instance 1.2.3 has an unreadable InversionTime"):
        refuse_headers([odd])


@pytest.mark.parametrize(
    ("spacing", "reason"),
    [((2.4, 1.0, 1.0), "slices are 2.4 mm thick"), ((1.0, 1.0, 2.5), "pixels are 2.5 mm wide")],
)
def test_coarse_voxels_are_refused(spacing: tuple[float, float, float], reason: str) -> None:
    """By the distance of slices, rows and columns, whatever the header says of their thickness."""
    refuse_coarse((2.0, 0.9, 0.9))
    with pytest.raises(NotApplicableError, match=reason):
        refuse_coarse(spacing)
