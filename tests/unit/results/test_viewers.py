"""What OHIF and Weasis are known to expect of a report, and what they must never lose of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from node.config.destinations import DicomDestination
from node.reading.reader import read_sr
from node.results.encode import encode
from node.results.report.hand_over import HandOver, RegionOfFinding, hand_over
from node.results.report.regions import LocatedRegion
from node.results.request import SourceReference
from node.results.source.images import SourceImage
from plugins.contract import (
    Box,
    Code,
    Ellipse,
    Finding,
    Measurement,
    Point,
    Polygon,
    Polyline,
    Region,
    Result,
    ResultStatus,
    Unit,
)
from tests.support.results import matrix, reports
from tests.support.results.viewer_rules import every_item, problems_for_viewers
from tests.support.sites.result_site import PACS

IMAGE = reports.reference("ct")
AREA = Measurement(Code("42798000", "SCT", "Area"), 40.0, Unit("mm2", "mm2"))
LENGTH = Measurement(Code("410668003", "SCT", "Length"), 12.4, Unit("mm", "mm"))
DENSITY = Measurement(Code("112031", "DCM", "Attenuation Coefficient"), -850.0, Unit("[hnsf'U]", "Hounsfield unit"))
POINT = Point(np.array([20.5, 21.5]), IMAGE)
LINE = Polyline(np.array([[5.0, 5.0], [15.0, 25.0]]), IMAGE)
PATH = Polyline(np.array([[5.0, 5.0], [15.0, 25.0], [18.0, 30.0], [9.0, 3.0]]), IMAGE)
BOX = Box(np.array([[30.0, 40.0], [10.0, 20.0]]), IMAGE)
TRIANGLE = Polygon(np.array([[40.0, 40.0], [50.0, 40.0], [45.0, 55.0]]), IMAGE)
PENTAGON = Polygon(np.array([[40.0, 40.0], [50.0, 40.0], [52.0, 46.0], [45.0, 55.0], [39.0, 47.0]]), IMAGE)
UPRIGHT = Ellipse(np.array([[30.0, 40.0], [30.0, 60.0], [25.0, 50.0], [35.0, 50.0]]), IMAGE)
WIDE = Ellipse(np.array([[20.0, 50.0], [40.0, 50.0], [30.0, 45.0], [30.0, 55.0]]), IMAGE)
CIRCLE = Ellipse(np.array([[20.0, 50.0], [40.0, 50.0], [30.0, 40.0], [30.0, 60.0]]), IMAGE)


def _documents(folder: Path, result: Result, kind: str = "ct", **destination: object) -> list[Dataset]:
    profile = DicomDestination.model_validate(PACS | destination).encoding
    made = encode(reports.request(reports.write_series(kind, folder / "in"), result, profile=profile), folder / "out")
    return [dcmread(one.path, stop_before_pixels=True) for one in made]


def _report(folder: Path, *marked: tuple[Region, tuple[Measurement, ...]], **destination: object) -> Dataset:
    """A report with a finding for each region and its numbers."""
    findings = tuple(Finding(reports.NODULE, True, regions=(region,), measurements=m) for region, m in marked)
    made = _documents(folder, Result(ResultStatus.FINDINGS, "Regions.", findings), **{"kinds": ["sr"], **destination})  # type: ignore[arg-type]
    return made[0]


def _children(item: Dataset, *value_types: str) -> list[Dataset]:
    return [child for child in item.get("ContentSequence", ()) if child.ValueType in value_types]


def _groups(document: Dataset) -> list[Dataset]:
    return [one for one in every_item(document) if one.ValueType == "CONTAINER" and _name(one) == "125007"]


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _identifiers(document: Dataset) -> list[str]:
    return [
        str(item.TextValue) for item in every_item(document) if item.ValueType == "TEXT" and _name(item) == "112039"
    ]


IMAGES = [f"{reports.STUDY_UID}.2.{number}" for number in (1, 2, 3)]
IN_THE_PATIENT = Point(np.array([[-60.0, -80.0, 10.0]]), frame_of_reference_uid=reports.FRAME_OF_REFERENCE)


def _in_the_patient(_kind: str) -> Result:
    return Result(ResultStatus.FINDINGS, "A point.", (Finding(reports.NODULE, True, regions=(IN_THE_PATIENT,)),))


@pytest.mark.parametrize("preset", ["any-pacs", "ai-results", "ohif"])
@pytest.mark.parametrize("name", [*matrix.RESULTS, "in the patient"])
def test_every_set_is_as_viewers_read_it(tmp_path: Path, name: str, preset: str) -> None:
    """Root, Image Library and 126010; SEPARATE; tracking; one region a group; one report, one series for each class."""
    make = matrix.RESULTS.get(name, _in_the_patient)
    kinds = ["sr", "seg", "pm", "ko", "pr", *(["sc"] if preset == "any-pacs" else [])]  # pages differ least, cost most
    made = _documents(tmp_path, make("ct"), preset=preset, send_when={}, kinds=kinds)
    assert problems_for_viewers(made, IMAGES, ohif=preset == "ohif") == []
    (report,) = (one for one in made if one.Modality == "SR")
    assert ("SCOORD3D" in {item.ValueType for item in every_item(report)}) == (
        name == "in the patient" and preset == "ai-results"
    )


def _group(report: Dataset) -> Dataset:
    return _groups(report)[0]


def _drop_library(report: Dataset) -> None:
    report.ContentSequence = [item for item in report.ContentSequence if _name(item) != "111028"]


def _share_tracking(report: Dataset) -> None:
    first, second = ([i for i in _children(group, "UIDREF") if _name(i) == "112040"] for group in _groups(report)[:2])
    second[0].UID = first[0].UID


def _second_region(report: Dataset) -> None:
    _group(report).ContentSequence.append(_children(_group(report), "SCOORD")[0])


def _childless(report: Dataset) -> None:
    for number in _children(_group(report), "NUM"):
        del number.ContentSequence


def _untracked(report: Dataset) -> None:
    _group(report).ContentSequence = [item for item in _group(report).ContentSequence if item.ValueType != "TEXT"]


FAULTS: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "no library": (_drop_library, "not one Image Library"),
    "continuous": (lambda report: setattr(_group(report), "ContinuityOfContent", "CONTINUOUS"), "is CONTINUOUS"),
    "one tracking UID for two": (_share_tracking, "two groups have one tracking UID"),
    "no tracking identifier": (_untracked, "0 items 112039"),
    "two regions": (_second_region, "several regions in one group"),
    "a number without children": (_childless, "a number without children"),
    "in the pages' series": (lambda report: setattr(report, "SeriesInstanceUID", "1.2.3"), "two SOP classes in one"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_viewers_stumble_over_is_noticed(tmp_path: Path, fault: str) -> None:
    """The same look at a set in which one thing is wrong."""
    spoil, words = FAULTS[fault]
    made = _documents(tmp_path, reports.nodule(IMAGE), kinds=["sr", "sc"])
    for one in made:
        if one.Modality == "SR":
            spoil(one)
        elif fault == "in the pages' series":
            one.SeriesInstanceUID = "1.2.3"
    assert any(words in problem for problem in problems_for_viewers(made, IMAGES))


@pytest.mark.parametrize(
    ("regions", "plain", "editable"),
    [
        # of its shape each is taken for what it is, or for nothing
        ([(POINT, ()), (BOX, (AREA,))], HandOver.BY_SHAPE, HandOver.BY_NAME),
        ([(LINE, (LENGTH,)), (PENTAGON, (AREA,)), (UPRIGHT, (AREA,))], HandOver.NOT_OFFERED, HandOver.BY_NAME),
        ([(CIRCLE, (DENSITY, AREA))], HandOver.NOT_OFFERED, HandOver.BY_NAME),
        # the box would be kept, and the line lost
        ([(BOX, ()), (LINE, (LENGTH,))], HandOver.UNSAFE, HandOver.BY_NAME),
        # a line of four points and a triangle would become rectangles
        ([(PATH, ())], HandOver.UNSAFE, HandOver.BY_NAME),
        ([(TRIANGLE, (AREA,))], HandOver.UNSAFE, HandOver.BY_NAME),
        # without its number a tool fails; a density must not be shown as an area
        ([(PENTAGON, ())], HandOver.NOT_OFFERED, HandOver.NOT_OFFERED),
        ([(PENTAGON, (DENSITY,)), (BOX, ())], HandOver.UNSAFE, HandOver.UNSAFE),
        # OHIF takes the first axis for the height, and measures nonsense in others
        ([(WIDE, (AREA,))], HandOver.NOT_OFFERED, HandOver.NOT_OFFERED),
        ([(WIDE, (AREA,)), (POINT, ())], HandOver.UNSAFE, HandOver.UNSAFE),
    ],
)
def test_regions_are_taken_over_whole_or_not_offered(
    regions: list[tuple[Region, tuple[Measurement, ...]]], plain: HandOver, editable: HandOver
) -> None:
    """Never some of them: a radiologist who says yes to OHIF's offer would see the others vanish."""
    marked = [
        RegionOfFinding(region, Finding(reports.NODULE, True, measurements=numbers), 0, _outline(region))
        for region, numbers in regions
    ]
    assert (hand_over(marked, editable=False), hand_over(marked, editable=True)) == (plain, editable)


def _outline(region: Region) -> NDArray[np.float64]:
    path = Path("1.dcm")
    source = SourceImage(path, Dataset(), SourceReference("1.2", "1.2.3", IMAGE.sop_instance_uid, "1.2.4"))
    return LocatedRegion(region, source, 1, region.points).outline


@pytest.mark.parametrize(
    ("numbers", "editable", "way"),
    [
        (True, True, HandOver.BY_NAME),
        (True, False, HandOver.UNSAFE),
        (False, True, HandOver.UNSAFE),
    ],
)
def test_a_report_is_written_as_was_decided(tmp_path: Path, numbers: bool, editable: bool, way: HandOver) -> None:
    """By name: identifier and first number of each group say it. Where OHIF reads and that is unsafe: illustrations,
    which it draws and leaves. Elsewhere what OHIF does with them decides nothing.
    """
    marked = [(BOX, (AREA,) if numbers else ()), (LINE, (LENGTH,) if numbers else ())]
    document = _report(tmp_path, *marked, editable=editable)  # type: ignore[arg-type]
    named = way is HandOver.BY_NAME
    assert [one.startswith("Cornerstone3DTools@^0.1.0:") for one in _identifiers(document)] == [named, named]
    for group in _groups(document):
        (region,) = _children(group, "SCOORD")
        # OHIF goes by the shape of an Image Region alone, not by that of an Illustration of ROI
        assert _name(region) == ("121200" if editable and not named else "111030")
        sources = [source for number in _children(group, "NUM")[:1] for source in _children(number, "SCOORD")]
        inferred = named or (not editable and len(region.GraphicData) == 4)  # a length says of which line it is
        assert [source.GraphicData for source in sources] == [region.GraphicData] * inferred
        assert [source.RelationshipType for source in sources] == ["INFERRED FROM"] * inferred
        assert [source.ContentSequence[0].RelationshipType for source in sources] == ["SELECTED FROM"] * inferred


@pytest.mark.parametrize("editable", [True, False])
def test_a_length_is_inferred_from_its_line(tmp_path: Path, editable: bool) -> None:
    """Whether or not a viewer may take it over; an area is not, where none may: only a length is one number a line."""
    document = _report(tmp_path, (LINE, (DENSITY, LENGTH)), (PENTAGON, (AREA,)), editable=editable)
    found = [[len(_children(number, "SCOORD")) for number in _children(group, "NUM")] for group in _groups(document)]
    assert found == [[1, 0], [int(editable)]]
    (source,) = _children(_children(_groups(document)[0], "NUM")[0], "SCOORD")
    assert (source.GraphicType, len(source.GraphicData)) == ("POLYLINE", 4)


def test_the_first_number_is_the_one_that_the_tool_shows(tmp_path: Path) -> None:
    """A length for a line, an area for an outline; the reader gives all numbers, each region once, and the name."""
    finding = Finding(
        reports.NODULE,
        True,
        reports.Score(0.9),
        regions=(LINE, PENTAGON),
        measurements=(DENSITY, LENGTH),
        tracking_id="A",
    )
    box = Finding(reports.NODULE, True, regions=(BOX,), measurements=(DENSITY, AREA))
    result = Result(ResultStatus.FINDINGS, "Two.", (finding, box))
    (document,) = _documents(tmp_path, result, kinds=["sr"], editable=True)
    assert _identifiers(document)[0] == "A", "the second outline has no area, so none may be named"
    line, _, outline = read_sr(document).findings
    assert [m.concept.meaning for m in line.measurements] == [
        "Length",
        "Likelihood of finding",
        DENSITY.concept.meaning,
    ]
    assert [m.concept.meaning for m in outline.measurements] == ["Area", DENSITY.concept.meaning]
    (document,) = _documents(
        tmp_path / "named", Result(ResultStatus.FINDINGS, "Box.", (box,)), kinds=["sr"], editable=True
    )
    (read,) = read_sr(document).findings
    assert _identifiers(document) == [f"Cornerstone3DTools@^0.1.0:RectangleROI:{read.tracking_identifier}"]
    assert len(read.regions) == 1


def test_a_circle_is_written_with_its_upright_axis_first(tmp_path: Path) -> None:
    """Both axes are as long; viewers read the first one as the height."""
    (group,) = _groups(_report(tmp_path, (CIRCLE, (AREA,))))
    (region,) = _children(group, "SCOORD")
    assert list(region.GraphicData) == [30.0, 40.0, 30.0, 60.0, 20.0, 50.0, 40.0, 50.0]


def test_a_region_in_the_patient_counts_as_it_is_written() -> None:
    """A triangle is a POLYLINE of four points on an image, and a POLYGON in the patient."""
    outline = np.array([[40.0, 40.0], [50.0, 40.0], [45.0, 55.0], [40.0, 40.0]])
    finding = Finding(reports.NODULE, True)
    assert hand_over([RegionOfFinding(TRIANGLE, finding, 0, outline)], editable=False) is HandOver.UNSAFE
    assert hand_over([RegionOfFinding(TRIANGLE, finding, 0, None)], editable=False) is HandOver.NOT_OFFERED


def test_tracking_uids_are_the_same_whether_tools_are_named_or_not(tmp_path: Path) -> None:
    """The name of the tool is no part of a lesion's identity."""
    uids = [
        read_sr(_report(tmp_path / str(editable), (BOX, (AREA,)), editable=editable)).findings[0].tracking_uid
        for editable in (False, True)
    ]
    assert uids[0] == uids[1]
