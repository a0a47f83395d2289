"""`make viewer`: what a radiologist sees of our results in OHIF, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import SecondaryCaptureImageStorage
from scipy import ndimage

from plugins.contract import Result, ResultStatus
from tests.support.sites.site import Site, destination, rule
from tests.support.wait import until
from tests.viewer import studies
from tests.viewer.radiologist import PIXEL, Radiologist, distance
from tests.viewer.studies import AREA, FORMS, HANGUL, LENGTH, Study

Keep = Callable[[str], None]
TOOLS = {
    "point": "Probe",
    "line": "Length",
    "box": "RectangleROI",
    "polygon": "PlanarFreehandROI",
    "ellipse": "EllipticalROI",
    "circle": "EllipticalROI",
}
HANGUL_IR_149 = b"\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"


@pytest.fixture
def keep(radiologist: Radiologist, full_length: bool) -> Keep:
    """`keep("name")`: at full length, the window as it is becomes docs/viewers/NAME.jpg."""

    def save(name: str) -> None:
        folder = Path(__file__).resolve().parents[2] / "docs" / "viewers"
        if full_length:
            folder.mkdir(exist_ok=True)
            small = radiologist.window().resize((1200, 675), Image.Resampling.LANCZOS)
            small.save(folder / f"{name}.jpg", quality=85, subsampling=0, optimize=True)

    return save


def on_chest(folder: Path, patient: str, *names: str, **destination: object) -> Study:
    """These forms of region (none: all) on a slice of the phantom, in a report for this destination."""
    images = studies.chest(folder / patient, patient)
    image = dcmread(images[len(images) // 2], stop_before_pixels=True)
    return studies.study(images, studies.regions(image, *names), folder / f"{patient}-results", **destination)


def test_regions_are_drawn_in_their_place_and_can_be_taken_over(
    radiologist: Radiologist, tmp_path: Path, keep: Keep
) -> None:
    """Preset `ohif`: each form in its place with its numbers; after "Yes" each is a measurement that can be edited."""
    study = on_chest(tmp_path, "EDITABLE", preset="ohif")
    radiologist.opens(study)
    radiologist.opens_report(study)
    radiologist.assert_sees_regions(study)
    until(radiologist.is_asked_to_take_over, what="OHIF to offer the regions")
    keep("regions")

    taken = {str(each["label"]).removeprefix("AI "): each for each in radiologist.takes_over()}
    assert {name: each["tool"] for name, each in taken.items()} == TOOLS
    for finding in study.result.findings:
        name = str(finding.tracking_id)
        off = distance(FORMS[name].reshape(-1, 2), study.pixels(taken[name]["points"]))
        assert off <= PIXEL / 10, f"{name} is {off:.1f} pixels from its place"
        for measurement in finding.measurements:  # lengths and areas, which OHIF has now measured itself
            (number,) = re.findall(r"^([0-9.]+) mm²?$", "\n".join(taken[name]["lines"]), re.MULTILINE)
            assert float(number) == pytest.approx(measurement.value, rel=0.01), name
            assert measurement.concept in (LENGTH, AREA)
    keep("taken-over")


def test_a_region_that_lies_20_pixels_off_is_noticed(radiologist: Radiologist, tmp_path: Path) -> None:
    """The same check fails on a report in which one box was moved: it looks at the screen, not at what we say."""
    study = on_chest(tmp_path, "MOVED", preset="ohif")
    studies.moved(study.kind("sr")[0], "box", 20)
    radiologist.opens(study)
    radiologist.opens_report(study)
    with pytest.raises(AssertionError, match=r"box is drawn (19|20|21)\.\d pixels from its place"):
        radiologist.assert_sees_regions(study)


def test_regions_that_it_would_lose_are_drawn_but_not_offered(radiologist: Radiologist, tmp_path: Path) -> None:
    """Without numbers no tool can be named for all, so OHIF would keep the point and the box and drop all others."""
    images = studies.chest(tmp_path / "ct", "PLAIN")
    image = dcmread(images[len(images) // 2], stop_before_pixels=True)
    study = studies.study(images, studies.regions(image, numbers=False), tmp_path / "results", preset="ohif")
    radiologist.opens(study)
    radiologist.opens_report(study)
    radiologist.assert_sees_regions(study)
    assert not radiologist.is_asked_to_take_over()


def test_a_length_that_names_its_line_is_drawn_but_not_offered(radiologist: Radiologist, tmp_path: Path) -> None:
    """Default settings: the number is inferred from the line, and nobody guesses a tool from two points."""
    study = on_chest(tmp_path, "LENGTH", "line")
    radiologist.opens(study)
    radiologist.opens_report(study)
    radiologist.assert_sees_regions(study)
    assert not radiologist.is_asked_to_take_over()


def test_finding_v1_a_report_with_a_negative_is_drawn(radiologist: Radiologist, tmp_path: Path) -> None:
    """Regions beside an absent finding and one that has segments alone: the regions are in their place as ever."""
    images = studies.chest(tmp_path / "ct", "MIXED")
    image = dcmread(images[len(images) // 2], stop_before_pixels=True)
    marked, others = studies.regions(image), studies.segmented(images)
    study = studies.study(
        images, replace(others, findings=(*marked.findings, *others.findings)), tmp_path / "results", preset="ohif"
    )
    radiologist.opens(study)
    radiologist.opens_report(study)
    radiologist.assert_sees_regions(replace(study, result=marked))


@pytest.mark.parametrize("kind", ["negative", "segments alone", "failed"])
def test_finding_v1_a_report_without_a_region_is_read_as_text(
    radiologist: Radiologist, tmp_path: Path, kind: str
) -> None:
    """There is nothing to draw, and OHIF draws reports by their regions: words are there instead."""
    images = studies.chest(tmp_path / "ct", kind.split()[0].upper(), slice_mm=8.0)
    results = {
        "negative": Result(ResultStatus.NO_FINDINGS, "No pneumothorax.", (studies.ABSENT,)),
        "segments alone": studies.segmented(images),
        "failed": Result(ResultStatus.FAILED, "It ran out of memory."),
    }
    study = studies.study(images, results[kind], tmp_path / "results", preset="ohif")
    radiologist.opens(study)
    radiologist.opens_series("SR")
    radiologist.browser.wait("document.body.innerText.includes('AI result')", "the text of the report")
    seen = "\n".join(radiologist.panel())
    assert study.result.summary in seen
    assert ("Pneumothorax: Absent" in seen) == (kind != "failed")


def test_finding_r8_of_regions_that_share_a_uid_one_is_drawn(radiologist: Radiologist, tmp_path: Path) -> None:
    """Why a lesion on two views has a tracking UID for each of them with preset `ohif`, and there alone."""
    study = on_chest(tmp_path, "SHARED", "box", "polygon", preset="ohif")
    studies.under_one_uid(study.kind("sr")[0])
    radiologist.opens(study)
    radiologist.opens_report(study)
    assert len(radiologist.regions()) == 1


def test_regions_in_the_patient_are_drawn_on_their_slice(radiologist: Radiologist, tmp_path: Path) -> None:
    """Regions that a plugin gave in mm: OHIF draws no SCOORD3D, so preset `ohif` writes them on the image."""
    images = studies.chest(tmp_path / "ct", "PATIENT")
    image = dcmread(images[len(images) // 2], stop_before_pixels=True)
    result = studies.in_the_patient(studies.regions(image), image)
    study = studies.study(images, result, tmp_path / "results", preset="ohif")
    radiologist.opens(study)
    radiologist.opens_report(study)
    radiologist.assert_sees_regions(study)


def test_a_box_on_a_radiograph_stands_around_what_it_marks(radiologist: Radiologist, tmp_path: Path) -> None:
    """An image without a place in the patient: box and bright block have the same edges on the screen."""
    (left, top), (right, bottom) = FORMS["box"].astype(int)
    images = studies.radiograph(tmp_path / "cr", "CR", (left, top, right, bottom))
    image = dcmread(images[0], stop_before_pixels=True)
    study = studies.study(images, studies.regions(image, "box", numbers=False), tmp_path / "results", preset="ohif")
    radiologist.opens(study)
    radiologist.opens_report(study)
    radiologist.assert_sees_regions(study)
    ((_, box),) = next(iter(radiologist.regions().values())).shapes
    bright = np.asarray(radiologist.window()).min(axis=2) > 200
    x, y, width, height = (round(value) for value in radiologist.browser.evaluate("seen.canvas()"))
    areas, _ = ndimage.label(bright[y : y + height, x : x + width])
    largest = np.bincount(areas[areas > 0]).argmax()  # the others are letters
    rows, columns = np.nonzero(areas == largest)
    for seen, edge in (
        (columns.min() + x, box[:, 0].min()),
        (columns.max() + 1 + x, box[:, 0].max()),
        (rows.min() + y, box[:, 1].min()),
        (rows.max() + 1 + y, box[:, 1].max()),
    ):
        assert abs(seen - edge) <= 3, f"an edge of the block is seen at {seen}, of the box at {edge}"


def test_lung_density_through_the_node(radiologist: Radiologist, tmp_path: Path, keep: Keep, full_length: bool) -> None:
    """A CT goes through the node into the PACS: one line of the list, under the Korean name; pages are seen whole,
    and the lungs are listed as segments.
    """
    settings = {"extent": (-140.0, 135.0), "slice_mm": 2.5, "emphysema": (0.18, 0.06)}
    images = studies.chest(tmp_path / "ct", "THROUGH", HANGUL, **settings)
    study = str(dcmread(images[0], stop_before_pixels=True).StudyInstanceUID)
    pacs = radiologist.pacs
    to = destination(pacs.ae_title, pacs.dicom_port, preset="ohif")
    with Site(tmp_path / "node", {"pacs": to}, [rule("lung-density")]) as site:
        for port, called in ((pacs.dicom_port, pacs.ae_title), (site.port, "PACSNODE")):
            radiologist.sends(images, port, called)
        site.wait_delivered(study, objects=6, deadline_seconds=240)
    held = in_the_archive(radiologist, study)
    assert_one_patient(radiologist, "THROUGH", study)
    shown = "홍, 길동"
    (line,) = radiologist.looks_up("THROUGH")
    assert line == [
        shown,
        "THROUGH",
        "02-Jan-2024 10:15 AM",
        "CT\\SEG\\SR",
        "No Description",
        "A0001",
        f"{len(images) + 6}",
    ]
    assert radiologist.can_read(shown)
    radiologist.opens(study)
    assert radiologist.patient() == [shown, "THROUGH", "F", "29-Feb-1960"]
    assert radiologist.can_read(shown)
    name = "AI-INV Lung density - "
    assert set(radiologist.series()) == {
        ("CT", "Chest 2.5 mm"),
        ("CT", f"{name}pages"),
        ("SEG", f"{name}segmentation"),
        ("SR", f"{name}report"),
    }
    keep("series")
    for number, page in enumerate(held["pages"] if full_length else held["pages"][:2]):
        radiologist.turns_to_page(str(page.SOPInstanceUID), len(held["pages"]))
        radiologist.assert_sees_whole_page(Image.fromarray(page.pixel_array))
        assert radiologist.differs_from(Image.fromarray(np.roll(page.pixel_array, 64, axis=0))) > 0.05
        if number < 1:
            keep("page")
    radiologist.opens_segmentation()
    assert [label for label in ("Right lung", "Left lung") if label in radiologist.panel()] == [
        "Right lung",
        "Left lung",
    ]
    keep("segments")


def assert_one_patient(radiologist: Radiologist, patient_id: str, study: str) -> None:
    """The images say the name in ISO 2022 IR 149, our objects in UTF-8; for the archive, and in what OHIF gets of it,
    they are one patient and one study.
    """
    pacs = radiologist.pacs
    files = [dcmread(BytesIO(content), stop_before_pixels=True) for content in pacs.files(StudyInstanceUID=study)]
    written = {(str(one.get("SpecificCharacterSet")), one.get_item("PatientName").value.rstrip()) for one in files}
    assert written == {("['', 'ISO 2022 IR 149']", HANGUL_IR_149), ("ISO_IR 192", HANGUL.encode())}
    (patient,), (found,) = pacs.find("Patient", PatientID=patient_id), pacs.find("Study", PatientID=patient_id)
    assert (patient["MainDicomTags"]["PatientName"], patient["Studies"]) == (HANGUL, [found["ID"]])
    names = [one["00100010"]["Value"] for one in pacs.rest(f"/dicom-web/studies/{study}/metadata")]
    assert names == [[{"Alphabetic": HANGUL}]] * len(files)


def in_the_archive(radiologist: Radiologist, study: str) -> dict[str, list[Dataset]]:
    """What the archive holds of a study, pages in order."""
    files = [dcmread(BytesIO(content)) for content in radiologist.pacs.files(StudyInstanceUID=study)]
    pages = [one for one in files if one.SOPClassUID == SecondaryCaptureImageStorage]
    return {"pages": sorted(pages, key=lambda one: int(one.InstanceNumber))}
