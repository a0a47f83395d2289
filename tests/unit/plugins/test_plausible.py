"""Content that cannot be right is refused where the plugin makes it, by the name of the field."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from plugins.contract import (
    Box,
    Code,
    ContractError,
    Finding,
    ImageReference,
    Measurement,
    Point,
    Polygon,
    Result,
    ResultStatus,
    Score,
    Segment,
    Segmentation,
    Unit,
)
from plugins.ucum import is_unit

IMAGE = ImageReference("1.2.3")
MM, NONE, PERCENT = Unit("mm", "mm"), Unit("1", "no units"), Unit("%", "percent")
DIAMETER, AXIS = Code("D", "99TEST", "Greatest diameter"), Code("103339001", "SCT", "Long Axis")
NODULE, CATEGORY = Code("427359005", "SCT", "Solitary nodule of lung"), Code("91723000", "SCT", "Anatomical structure")


def _present_without_a_voxel(voxel: bool, present: bool | None = True) -> Result:
    labels = np.zeros((1, 4, 4), np.uint8)
    labels[0, 0, 0] = 2 if voxel else 1
    segments = tuple(Segment(number, str(number), CATEGORY, NODULE) for number in (1, 2))
    finding = Finding(NODULE, present=present, segments=(2,))
    return Result(ResultStatus.FINDINGS, "x", (finding,), segmentation=Segmentation(labels, (IMAGE,), segments))


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a likelihood of 97 without unit": (lambda: Score(97.0), r"Score.value: 97 is not within 0 to 1.*\"%\" meant"),
    "a threshold of 50 without unit": (lambda: Score(0.7, 50.0), r"Score.threshold: 50 is not within 0 to 1"),
    "a likelihood below 0": (lambda: Score(-0.1, meaning="Probability of cancer"), r"Score.value: -0.1 is not within"),
    "a share above 100 %": (lambda: Score(130.0, unit=PERCENT), r"Score.value: 130 is not within 0 to 100"),
    "a probability as measurement": (
        lambda: Measurement(Code("111047", "DCM", "Probability of cancer"), 91.0, NONE),
        r"Measurement 'Probability of cancer'.value: 91 is not within 0 to 1",
    ),
    "a diameter below 0": (lambda: Measurement(DIAMETER, -12.0, MM), r"Measurement 'Greatest diameter'.value: -12 mm"),
    "a long axis below 0": (lambda: Measurement(AXIS, -0.5, Unit("cm", "cm")), r"Measurement 'Long Axis'.value"),
    "a volume below 0": (
        lambda: Measurement(Code("118565006", "SCT", "Volume"), -3.0, Unit("mL", "mL")),
        r"Measurement 'Volume'.value: -3 mL is below 0",
    ),
    "a word for a unit": (lambda: Unit("millimetres", "mm"), r"Unit.code: 'millimetres' is not a UCUM unit"),
    "a box in shares of the image": (
        lambda: Box(np.array([[0.2, 0.3], [0.4, 0.9]]), IMAGE),
        r"Box.points: all lie within the first pixel",
    ),
    "a polygon in shares of the image": (
        lambda: Polygon(np.array([[0.2, 0.3], [0.4, 0.9], [1.0, 1.0]]), IMAGE),
        r"Polygon.points: all lie within the first pixel",
    ),
    "a present finding without a voxel": (
        lambda: _present_without_a_voxel(voxel=False),
        r"Finding 'Solitary nodule of lung'.segments: present, but none of \[2\] has a voxel",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_finding_r14_what_cannot_be_is_refused_by_name(what: str) -> None:
    """The author sees the mistake in the line that made it; nothing of it reaches a reader."""
    make, words = REFUSED[what]
    with pytest.raises(ContractError, match=words):
        make()


ACCEPTED: dict[str, Callable[[], object]] = {
    "a likelihood in percent": lambda: Score(97.0, 50.0, unit=PERCENT),
    "a score on a scale of its own": lambda: Score(4.0, 3.0, meaning="Lung-RADS category"),
    "a ratio of likelihoods": lambda: Score(12.0, meaning="Likelihood ratio"),
    "a change in diameter": lambda: Measurement(Code("C", "99TEST", "Change in diameter"), -2.0, MM),
    "a shift": lambda: Measurement(Code("S", "99TEST", "Midline shift"), -4.0, MM),
    "a density": lambda: Measurement(Code("112031", "DCM", "Attenuation Coefficient"), -900.0, Unit("[hnsf'U]", "HU")),
    "a point in the first pixel": lambda: Point(np.array([0.5, 0.5]), IMAGE),
    "a box in the corner": lambda: Box(np.array([[0.0, 0.0], [2.0, 2.0]]), IMAGE),
    "a finding with a voxel": lambda: _present_without_a_voxel(voxel=True),
    "a measured segment that is empty": lambda: _present_without_a_voxel(voxel=False, present=None),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_may_be_is_accepted(what: str) -> None:
    """Nothing is refused that may be right."""
    assert ACCEPTED[what]() is not None


@pytest.mark.parametrize(
    "code",
    [
        "mm",
        "mL",
        "[hnsf'U]",
        "%",
        "1",
        "mm2",
        "cm3",
        "{score}",
        "mm[Hg]",
        "10*3/uL",
        "mL/min/{1.73_m2}",
        "/min",
        "kg/m2",
        "ms",
        "Cel",
        "g/mL",
        "[ppm]",
        "10*-3.mm2/s",
        "MBq",
        "{SUVbw}g/ml",
        "g/ml{SUVbw}",
        "kPa",
        "deg",
        "mGy.cm",
        "{nodules}",
        "1/s",
        "[arb'U]",
        "m/s2",
        "mL/(100.g)/min",
        "Ohm",
        "[degF]",
        "a",
        "mo",
        "10^6",
    ],
)
def test_units_of_ucum_are_units(code: str) -> None:
    """With prefixes, exponents, annotations, products and quotients; as DICOM writes SUV too (CID 85)."""
    assert is_unit(code)


@pytest.mark.parametrize(
    "code",
    ["millimetres", "HU", "cc", "percent", "sec", "mm^2", "mm²", "µm", "px", "mm/", "no units", "mm ", "", "(mm", "{x"],
)
def test_words_and_symbols_are_no_units(code: str) -> None:
    """Case, spelling and syntax count."""
    assert not is_unit(code)


def test_a_score_of_a_concept_of_its_own_has_its_own_scale() -> None:
    """What the concept names counts where nothing else was said: no likelihood; a certainty above 1 stays refused."""
    assert Score(5.2, 4.2, concept=Code("CONTRAST", "99TEST", "Contrast")).name == "Contrast"
    with pytest.raises(ContractError, match="not within 0 to 1"):
        Score(5.2, concept=Code("111012", "DCM", "Certainty of Finding"))
    with pytest.raises(ContractError, match="not within 0 to 1"):
        Score(5.2)
