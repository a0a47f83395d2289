"""What `expected.toml` of an example says of numbers, held against results."""

from __future__ import annotations

import numpy as np
import pytest

from node.kit.examples import ExpectedNumber, ExpectedResult, differences
from plugins import codes
from plugins.contract import Finding, ImageReference, Measurement, Point, Result, ResultStatus, Score, Site

IMAGE = ImageReference("1.2.3")


def mass(side: codes.Code, score: float, points: int) -> Finding:
    return Finding(
        codes.MASS,
        present=True,
        score=Score(score, 0.5),
        site=Site(codes.BREAST, side),
        measurements=(Measurement(codes.DIAMETER, 10 * score, codes.MILLIMETER),),
        regions=tuple(Point(np.array([number + 1.0, 2.0]), IMAGE) for number in range(points)),
    )


RESULT = Result(ResultStatus.FINDINGS, "Two masses.", (mass(codes.RIGHT, 0.9, 2), mass(codes.LEFT, 0.6, 1)))


def said(measurement: str, value: float, side: str = "") -> list[str]:
    number = ExpectedNumber(finding=codes.MASS.value, measurement=measurement, side=side, value=value, tolerance=0.01)
    return list(differences(ExpectedResult(status=ResultStatus.FINDINGS, numbers=(number,)), RESULT))


@pytest.mark.parametrize(
    ("measurement", "right", "left"), [("score", 0.9, 0.6), ("regions", 2, 1), (codes.DIAMETER.value, 9, 6)]
)
def test_side_tells_findings_apart(measurement: str, right: float, left: float) -> None:
    """Scores, regions and measurements: the one of that side is held against the value, and no other."""
    assert said(measurement, right, "Right") == said(measurement, left, "Left") == []
    (wrong,) = said(measurement, left, "Right")
    assert f"{right:g}, expected {left:g}" in wrong


@pytest.mark.parametrize("measurement", ["score", "regions", codes.DIAMETER.value])
def test_a_number_of_several_findings_needs_a_side_that_is_there(measurement: str) -> None:
    """Without one there are two, on a third side there is none: neither passes."""
    for side, count in (("", 2), ("Bilateral", 0)):
        (problem,) = said(measurement, 1, side)
        assert f"the result has {count} of it, expected one" in problem


def test_an_example_can_say_why_a_plugin_declines() -> None:
    """Another reason than the expected one is a difference: a plugin that declines everything passes no example."""
    declined = Result(ResultStatus.NOT_APPLICABLE, "White to grey matter is 1.32; plausible are 0.35 to 1.")
    expected = ExpectedResult(status=ResultStatus.NOT_APPLICABLE, says="White to grey matter is 1.")
    assert list(differences(expected, declined)) == []
    (problem,) = differences(expected, Result(ResultStatus.NOT_APPLICABLE, "There is no head in the images."))
    assert problem == "it says 'There is no head in the images.', expected 'White to grey matter is 1.' in it"
