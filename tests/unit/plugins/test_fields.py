"""A mistake shows in the line that made it: what has one certain meaning is taken, all else is refused with advice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code as PydicomCode
from pydicom.uid import UID

from plugins import contract
from plugins.contract import ContractError, NoValue, ResultStatus, Volume

anything: Any = contract  # mistakes are what this file is about: no checker says them first
Box = anything.Box
Code = anything.Code
Ellipse = anything.Ellipse
Finding = anything.Finding
Heatmap = anything.Heatmap
ImageReference = anything.ImageReference
KeyImage = anything.KeyImage
Measurement = anything.Measurement
Picture = anything.Picture
Point = anything.Point
Polygon = anything.Polygon
Polyline = anything.Polyline
ReferenceRange = anything.ReferenceRange
Result = anything.Result
Score = anything.Score
Segment = anything.Segment
Segmentation = anything.Segmentation
Site = anything.Site
Unit = anything.Unit

NODULE = Code("27925004", "SCT", "Nodule")
LENGTH = Code("410668003", "SCT", "Length")
LUNG = Code("39607008", "SCT", "Lung")
RIGHT = Code("24028007", "SCT", "Right")
IMAGE = ImageReference("1.2.3")
FRAMES = tuple(ImageReference(f"1.2.{number}") for number in (1, 2, 3))
LESION = Segment(1, "Nodule", NODULE, NODULE)


def of_one(labels: Any, *segments: Any) -> Any:
    return Segmentation(labels, FRAMES, segments or (LESION,))


def zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.uint8)


TAKEN: dict[str, tuple[Any, Any]] = {
    "a number as score": (lambda: Finding(NODULE, present=True, score=0.9).score, Score(0.9)),
    "NumPy's numbers": (lambda: Score(np.float32(0.5), np.float64(0.25)), Score(0.5, 0.25)),
    "a tensor of no dimensions": (lambda: Score(np.array(0.5)), Score(0.5)),
    "a unit by its code": (lambda: Measurement(LENGTH, 3, "mm").unit, Unit("mm", "millimeter")),
    "a unit without meaning": (lambda: Unit("mL/min"), Unit("mL/min", "mL/min")),
    "a unit of pydicom": (lambda: Measurement(LENGTH, 3, PydicomCode("mm", "UCUM", "millimeter")).unit.code, "mm"),
    "a tuple as code": (lambda: Finding(("27925004", "SCT", "Nodule"), present=True).code, NODULE),
    "a code of pydicom": (lambda: Finding(dictionary.SCT.Nodule, present=True).code, NODULE),
    "a code's number": (lambda: Code(27925004, "SCT", "Nodule"), NODULE),
    "meanings as a mapping": (lambda: Code("1", "99X", "A", {"ko": "가"}).meanings, (("ko", "가"),)),
    "a region as site": (lambda: Finding(NODULE, present=True, site=LUNG).site, Site(LUNG)),
    "a region with its side": (lambda: Finding(NODULE, site=(LUNG, "right")).site, Site(LUNG, RIGHT)),
    "a side as a word": (lambda: Site(LUNG, "right"), Site(LUNG, RIGHT)),
    "a side of the Standard": (lambda: Site(LUNG, "R"), Site(LUNG, RIGHT)),
    "NumPy's truth": (lambda: Finding(NODULE, present=np.float64(0.6) > 0.5).present, True),
    "one measurement alone": (
        lambda: len(Finding(NODULE, measurements=Measurement(LENGTH, 3.0, Unit("mm"))).measurements),
        1,
    ),
    "a region alone": (lambda: len(Finding(NODULE, True, regions=Point([3, 4], IMAGE)).regions), 1),
    "a segment itself": (lambda: Finding(NODULE, segments=LESION).segments, (1,)),
    "labels of an array": (lambda: Finding(NODULE, segments=np.unique([1.0, 2.0])).segments, (1, 2)),
    "a status by its value": (
        lambda: Result("not_applicable", "No lungs.").status,
        ResultStatus.NOT_APPLICABLE,
    ),
    "a reason by its value": (
        lambda: Measurement(LENGTH, None, "mm", "not_attempted").no_value,
        NoValue.NOT_ATTEMPTED,
    ),
    "one note alone": (lambda: Result("failed", "No.", quality="Noise").quality, ("Noise",)),
    "a UID as image": (lambda: KeyImage("1.2.3", "why").image, IMAGE),
    "UID and frame as image": (lambda: KeyImage((UID("1.2.3"), np.int64(7)), "why").image.frame_number, 7),
    "a window of NumPy": (lambda: KeyImage(IMAGE, "why", np.array([40, 400])).window, (40.0, 400.0)),
    "corners in any order": (
        lambda: [list(each) for each in Box([[30, 5], [10, 20]], IMAGE).points],
        [[10, 5], [30, 20]],
    ),
    "an outline of OpenCV": (
        lambda: Polygon(np.array([[[1, 2]], [[9, 2]], [[5, 8]]], np.int32), IMAGE).points.shape,
        (3, 2),
    ),
    "a closed outline": (lambda: len(Polygon([[1, 2], [9, 2], [5, 8], [1, 2]], IMAGE).points), 3),
    "axes in the other order": (
        lambda: list(Ellipse([[5, 1], [5, 5], [1, 3], [9, 3]], IMAGE).points[0]),
        [1, 3],
    ),
    "a mask of true and false": (
        lambda: int(of_one(np.eye(3, dtype=bool)[:, :, None], Segment(7, "N", NODULE, NODULE)).labels.max()),
        7,
    ),
    "labels of int64": (lambda: of_one(np.ones((3, 4, 5), np.int64)).labels.dtype, np.uint8),
    "labels as whole floats": (lambda: of_one(np.ones((3, 4, 5), np.float32)).labels.dtype, np.uint8),
    "a batch of one": (lambda: of_one(zeros(1, 1, 3, 4, 5)).labels.shape, (3, 4, 5)),
    "one slice": (lambda: Segmentation(zeros(4, 5), (IMAGE,), ()).labels.shape, (1, 4, 5)),
    "a reference alone": (lambda: Segmentation(zeros(4, 5), IMAGE, ()).frames, (IMAGE,)),
    "a colour of NumPy": (
        lambda: Segment(np.uint8(2), "N", NODULE, NODULE, colour=np.array([255, 0, 9], np.uint8)).colour,
        (255, 0, 9),
    ),
    "a map of float64": (lambda: Heatmap(np.ones((3, 4, 5)), FRAMES, NODULE).values.dtype, np.float32),
    "a map with channels": (lambda: Heatmap(np.ones((1, 3, 4, 5)), FRAMES, NODULE).values.shape, (3, 4, 5)),
    "a grey picture": (lambda: Picture(zeros(4, 5), "c").pixels.shape, (4, 5, 3)),
    "opaque RGBA": (lambda: Picture(np.full((4, 5, 4), 255, np.uint8), "c").pixels.shape, (4, 5, 3)),
    "a picture of int64": (lambda: Picture(np.full((4, 5, 3), 200), "c").pixels.dtype, np.uint8),
    "Pillow's palette": (
        lambda: Picture(Image.new("RGB", (5, 4), (9, 200, 30)).convert("P"), "c").pixels.shape,
        (4, 5, 3),
    ),
    "Pillow's grey": (lambda: list(Picture(Image.new("L", (5, 4), 77), "c").pixels[0, 0]), [77] * 3),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_has_one_meaning_is_taken(case):
    """The field holds the same as if the author had written what the contract says."""
    make, expected = TAKEN[case]
    assert make() == expected


REFUSED: dict[str, tuple[Any, str]] = {
    "a percentage as score": (lambda: Finding(NODULE, score=97), 'unit "%" meant'),
    "a batch of scores": (lambda: Score(np.array([0.9])), r"write value\[0\]"),
    "true as score": (lambda: Score(True), "true or false, not a number"),
    "a score that is text": (lambda: Score("0.9"), "'0.9'.*is not a number"),
    "a score as presence": (lambda: Finding(NODULE, present=0.9), "score >= threshold"),
    "one as presence": (lambda: Finding(NODULE, present=1), "is not True or False"),
    "not a number": (lambda: Measurement(LENGTH, np.nan, Unit("mm")), "use no_value"),
    "a word as unit": (lambda: Measurement(LENGTH, 3, "millimetre"), "write 'mm'"),
    "HU as unit": (lambda: Unit("HU"), r"write \"\[hnsf'U\]\""),
    "a word as code": (lambda: Finding("nodule"), r"write Code\(.*plugins.codes"),
    "meaning that is no text": (lambda: Code("1", "99X", 5), "Code.meaning.*is not a text"),
    "a pair as range": (
        lambda: Measurement(LENGTH, 3, "mm", reference_range=(1, 5)),
        "write ReferenceRange",
    ),
    "a range the wrong way round": (lambda: ReferenceRange(5, 1, "s"), "low is 5, which is above high, 1"),
    "an unlimited range": (lambda: ReferenceRange(1, float("inf"), "s"), "None is no limit"),
    "a side that is none": (lambda: Site(LUNG, "upper"), 'write "left", "right"'),
    "a status that is none": (lambda: Result("positive", "x"), "none of 'findings', 'no_findings'"),
    "a summary with a control character": (lambda: Result("failed", "a\x00b"), r"U\+0000"),
    "findings by name": (lambda: Result("findings", "x", {"a": 1}), "Result.findings.*is not a list"),
    "codes as findings": (lambda: Result("findings", "x", (NODULE,)), r"findings\[0\].*is not a Finding"),
    "None as findings": (lambda: Result("failed", "x", None), "leave the field out"),
    "a file as image": (lambda: KeyImage("000001.dcm", "why"), "name of a file; write header.SOPInstanceUID"),
    "frames from 0": (lambda: ImageReference("1.2.3", 0), "counted from 1"),
    "x, y, width, height": (lambda: Box([10, 20, 30, 40], IMAGE), r"write \[\[x, y\], \[x \+ width"),
    "a box without height": (lambda: Box([[10, 20], [30, 20]], IMAGE), "20 × 0 pixels"),
    "points the other way": (lambda: Polygon(np.ones((2, 7)), IMAGE), r"write points\.T"),
    "points of words": (lambda: Point(["a", "b"], IMAGE), "Point.points"),
    "ragged points": (lambda: Polygon([[1, 2], [3]], IMAGE), "cannot become an array"),
    "a line of one point": (lambda: Polyline([[1, 2], [1, 2]], IMAGE), "the same point"),
    "an outline that is not flat": (
        lambda: Polygon([[0, 0, 0], [9, 0, 0], [9, 9, 0], [0, 9, 5]], frame_of_reference_uid="1.2"),
        "not lie in one plane",
    ),
    "corners of an ellipse": (lambda: Ellipse([[1, 1], [9, 1], [9, 5], [1, 5]], IMAGE), "major axis"),
    "a mask for two segments": (
        lambda: of_one(np.ones((3, 4, 5), bool), LESION, Segment(2, "M", NODULE, NODULE)),
        "a mask of true and false is one segment",
    ),
    "probabilities as labels": (lambda: of_one(np.full((3, 4, 5), 0.4)), "probability >= threshold"),
    "negative labels": (lambda: of_one(np.full((3, 4, 5), -1)), "from -1 to -1"),
    "the axes of nibabel": (lambda: of_one(zeros(5, 4, 3)), r"\(5, 4, 3\), expected \(3, rows.*transpose\(2, 1, 0\)"),
    "slices last": (lambda: of_one(zeros(4, 5, 3)), r"write np.moveaxis\(labels, 2, 0\)"),
    "one mask a class": (lambda: of_one(zeros(2, 3, 4, 5)), r"argmax\(axis=0\)"),
    "a volume as frames": (
        lambda: Segmentation(zeros(1, 4, 5), Volume(np.zeros((1, 4, 5), np.float32), (1, 1, 1), np.eye(4), ()), ()),
        "write volume.frames",
    ),
    "segments by name": (lambda: Segmentation(zeros(3, 4, 5), FRAMES, {1: "lung"}), "is not a list"),
    "shares as colour": (
        lambda: Segment(1, "N", NODULE, NODULE, colour=(0.5, 0.1, 1.0)),
        r"round\(255 \* share\)",
    ),
    "a coloured map": (lambda: Heatmap(np.ones((4, 5, 3)), (IMAGE,), NODULE), "a Picture"),
    "a map the other way": (lambda: Heatmap(np.ones((4, 5, 3)), FRAMES, NODULE), "np.moveaxis"),
    "a map beyond float32": (lambda: Heatmap(np.full((3, 4, 5), 1e300), FRAMES, NODULE), "not finite"),
    "a picture from 0 to 1": (lambda: Picture(np.zeros((4, 5, 3)), "c"), r"255 \* pixels"),
    "a picture of truth": (lambda: Picture(np.zeros((4, 5), bool), "c"), r"255 \* mask"),
    "channels first": (lambda: Picture(zeros(3, 40, 50), "c"), r"np.moveaxis\(pixels, 0, -1\)"),
    "a picture one sees through": (lambda: Picture(zeros(4, 5, 4), "c"), "transparent"),
    "a picture of 16 bits": (lambda: Picture(np.full((4, 5, 3), 999), "c"), "from 999 to 999"),
    "Pillow's 16 bits": (lambda: Picture(Image.new("I;16", (5, 4)), "c"), "mode I;16"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_mean_two_things_is_refused_in_the_line_that_made_it(case):
    """The error is the contract's, names the field, and says what to write instead."""
    make, match = REFUSED[case]
    with pytest.raises(ContractError, match=match):
        make()


def test_a_large_number_keeps_its_digits():
    """A whole number does not pass through a float that cannot hold it."""
    from plugins import fields

    assert fields.whole_number(np.int64(2**53 + 1), "x") == 2**53 + 1
    with pytest.raises(ContractError, match="not a number that a float can be"):
        fields.number(10**400, "x")
