"""What a radiologist sees of a page within five seconds: the image, what is urgent, and which finding is which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from node.config.encoding import EncodingProfile
from node.results.encode import encode
from node.results.pages.canvas import ABSENT, REGION, URGENT, Colour
from node.results.pages.key_slice import decode, key_slices
from node.results.pages.units import shown_unit
from plugins.contract import (
    Box,
    Code,
    Ellipse,
    Finding,
    ImageReference,
    Measurement,
    Result,
    ResultStatus,
    Score,
    Segment,
    Segmentation,
    Site,
)
from plugins.phantoms.files import coded
from plugins.phantoms.mammogram import MammogramPhantom
from tests.support.results import reports
from tests.support.results.page_words import canvases_of, context_of, words_of

MASS, CALCIFICATION = Code("4147007", "SCT", "Mass"), Code("129748003", "SCT", "Calcification")
VIEWS = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))


def _image(number: int) -> ImageReference:
    return ImageReference(f"{reports.STUDY_UID}.2.{number}")


def _lesion(number: int, image: ImageReference) -> Finding:
    left, top = 2.0 + number % 40, 2.0 + (number * 7) % 40
    return Finding(
        reports.NODULE,
        present=True,
        score=Score(0.5 + number / 100, 0.5),
        site=Site(reports.LUNG, reports.LEFT),
        regions=(Box(np.array([[left, top], [left + 8, top + 9]]), image),),
        measurements=(Measurement(Code("103339001", "SCT", "Long axis"), 4.0 + number, reports.MM, decimals=1),),
        tracking_id=f"Nodule {number}",
        urgent=number == 7,
    )


def _mammogram(folder: Path) -> list[Path]:
    paths = []
    for number, (side, view) in enumerate(VIEWS, start=1):
        image = reports.mg(number)
        image.ImageLaterality, image.ViewPosition, image.InstanceNumber, image.SeriesNumber = side, view, 1, number
        image.SeriesInstanceUID = f"{reports.STUDY_UID}.{number + 20}"
        paths.append(reports.write(image, folder / f"{number}.dcm"))
    return paths


def _has(picture: np.ndarray, colour: Colour) -> bool:
    return bool((picture == colour).all(axis=2).any())


def test_finding_r2_what_is_urgent_is_red_thick_and_numbered_first(tmp_path: Path) -> None:
    """An urgent mass that is a segment is 1 on image, row, caption and SEG, and unlike the colour of what is absent."""
    labels = np.zeros((1, reports.ROWS, reports.COLUMNS), np.uint8)
    labels[0, 10:25, 10:25], labels[0, 40:50, 40:50] = 1, 2
    segments = (
        Segment(1, "Mass", reports.ABNORMALITY, MASS, colour=(90, 160, 255)),
        Segment(2, "Calcification", reports.ABNORMALITY, CALCIFICATION),
    )
    findings = (
        Finding(CALCIFICATION, present=True, score=Score(0.12, 0.1), segments=(2,)),
        Finding(MASS, present=True, score=Score(0.91, 0.5), segments=(1,), urgent=True),
    )
    segmentation = Segmentation(labels, (_image(1),), segments)
    result = Result(ResultStatus.FINDINGS, "A mass.", findings, segmentation=segmentation)
    context = context_of(reports.write_series("ct", tmp_path / "in"), result)
    (key,) = key_slices(context)
    shown = decode(context, key).draw((640, 640))
    assert _has(shown, URGENT)
    assert _has(shown, REGION)
    assert not _has(shown, ABSENT)
    assert (shown == URGENT).all(axis=2).sum() > 2 * (shown == REGION).all(axis=2).sum()
    assert key.reason == "1 Mass, 2 Calcification"
    made = {one.kind: dcmread(one.path) for one in encode(context.request, tmp_path / "out")}
    assert [each.SegmentLabel for each in made["seg"].SegmentSequence] == ["1 Mass", "2 Calcification"]


@pytest.mark.parametrize("slices", [1, 3, 40])
def test_finding_r3_forty_findings_are_three_pages_image_first(tmp_path: Path, slices: int) -> None:
    """Each finding has one line with its number, score and length; the first page shows the urgent one's image."""
    findings = tuple(_lesion(number, _image(1 + number % slices)) for number in range(40))
    series = reports.write_series("ct", tmp_path, slices)
    canvases = canvases_of(context_of(series, Result(ResultStatus.FINDINGS, "40 nodules.", findings)))
    assert len(canvases) <= 3
    assert _has(canvases[0].pixels[200:600], URGENT)
    words = words_of(canvases)
    for number, finding in enumerate(findings):
        assert f"Nodule{number}:" in words, finding.tracking_id
        assert f"{finding.measurements[0].value:.1f}" in words
    assert {"URGENT (1)", "PRESENT (39)"} <= {placed.text for canvas in canvases for placed in canvas.placed}


def test_finding_r3_one_finding_is_one_page(tmp_path: Path) -> None:
    """The picture is below the answer, large; no second page shows it again."""
    series = reports.write_series("ct", tmp_path)
    (page,) = canvases_of(context_of(series, Result(ResultStatus.FINDINGS, "One.", (_lesion(7, _image(1)),))))
    assert "Window" in words_of([page])


def test_finding_r3_a_negative_page_shows_an_image(tmp_path: Path) -> None:
    """So that a reader sees what was looked at; a failed one shows none, for nothing was."""
    series = reports.write_series("ct", tmp_path)
    (negative,), (failed,) = (
        canvases_of(context_of(series, result)) for result in (reports.no_findings(), reports.failed())
    )
    assert "Oneoftheimagesanalysed–Series2·Image2" in words_of([negative])
    assert "Oneoftheimagesanalysed" not in words_of([failed])


def test_finding_r10_captions_say_where_the_image_is_found(tmp_path: Path) -> None:
    """The series; of a mammogram the view; of a clip which frame of how many."""
    (clip,) = (
        words_of(canvases_of(context_of(reports.write_series("us", tmp_path / "us"), reports.nodule(each))))
        for each in [reports.reference("us")]
    )
    assert "Series2·Image1·frame2of3" in clip
    views = words_of(canvases_of(context_of(_mammogram(tmp_path), replace(reports.no_findings()))))
    for number, (side, view) in enumerate(VIEWS, start=1):
        assert f"{side}{view}·Series{number}·Image1" in views


def test_a_mammogram_is_hung_with_a_score_for_each_breast(tmp_path: Path) -> None:
    """RCC beside LCC above RMLO beside LMLO, with the greatest score of what was found above each breast."""

    def at(image: ImageReference) -> Ellipse:
        return Ellipse(np.array([[20.0, 30.0], [40.0, 30.0], [30.0, 20.0], [30.0, 40.0]]), image)

    findings = (
        Finding(CALCIFICATION, present=True, score=Score(0.12, 0.1), regions=(at(_image(1)),)),
        Finding(MASS, present=True, score=Score(0.91, 0.5), regions=(at(_image(2)), at(_image(4))), urgent=True),
    )
    context = context_of(_mammogram(tmp_path), Result(ResultStatus.FINDINGS, "A mass.", findings))
    first = canvases_of(context)[0]
    box = {placed.text: placed.box for placed in first.placed}
    assert box["Right"][0] < box["0.12"][0] < box["Left"][0] < box["0.91"][0]
    captions = {
        view: next(each for text, each in box.items() if view in text and "Series" in text)
        for view in ("R CC", "L CC", "R MLO", "L MLO")
    }
    assert captions["R CC"][0] < captions["L CC"][0]
    assert captions["R MLO"][0] < captions["L MLO"][0]
    assert captions["R CC"][1] == captions["L CC"][1] < captions["R MLO"][1] == captions["L MLO"][1]


def test_views_are_known_by_their_code_and_hung_large_whatever_the_text_needs(tmp_path: Path) -> None:
    """No image has a View Position; a spot view comes before the whole one; limits fill more than a page."""
    phantom = MammogramPhantom(rows=160, columns=100, pixel_mm=1.2)
    whole, more = phantom.write(tmp_path / "whole"), replace(phantom, seed=2).write(tmp_path / "more")
    spot = dcmread(more[0])
    modifier = coded(Code("399055006", "SCT", "Spot compression"))
    spot.ViewCodeSequence[0].ViewModifierCodeSequence = modifier
    spot.InstanceNumber = 9
    spot.save_as(more[0])
    many = tuple(f"Limit {number}: something that a reader has to know of this analysis." for number in range(20))
    context = context_of([more[0], *whole], replace(reports.no_findings(), quality=many))
    first = canvases_of(context)[0]
    box = {
        view: placed.box
        for placed in first.placed
        for view in ("R CC", "L CC", "R MLO", "L MLO")
        if view in placed.text
    }
    assert box["R CC"][1] == box["L CC"][1] < box["R MLO"][1] == box["L MLO"][1]
    assert "RCC·Series1·Image1" in words_of([first])
    assert "Image9" not in words_of([first])


def test_finding_r12_units_are_written_as_people_write_them() -> None:
    """UCUM has mm2 and 10*3/uL; annotations and arbitrary units stay."""
    shown = {code: shown_unit(code) for code in ("mm2", "cm3", "kg/m2", "10*3/uL", "mL", "mL/min/{1.73_m2}", "%")}
    assert list(shown.values()) == ["mm²", "cm³", "kg/m²", "10³/µL", "mL", "mL/min/{1.73_m2}", "%"]


def test_finding_r12_what_does_not_decode_is_said_in_words(tmp_path: Path) -> None:
    """No black picture: one page with the finding, and that its image could not be decoded."""
    image = reports.ct()
    image.PixelData = image.PixelData[: len(image.PixelData) // 2]
    path = reports.write(image, tmp_path / "in.dcm")
    (page,) = canvases_of(context_of([path], reports.nodule(reports.reference("ct"))))
    assert "Thepixelsofthisimagecouldnotbedecodedhere" in words_of([page])


def test_finding_r9_korean_pages_name_findings_and_sites_in_korean_and_objects_in_english(tmp_path: Path) -> None:
    """Common codes by our own words, others by those of the plugin; what goes into the report is English."""
    own = Code("X1", "99TEST", "Ground glass nodule", (("ko", "간유리 결절"),))
    lung = Site(reports.LUNG, reports.RIGHT)
    length = Measurement(Code("410668003", "SCT", "Length"), 12.4, reports.MM, decimals=1)
    findings = (
        Finding(own, present=True, score=Score(0.9, 0.5), site=lung, measurements=(length,)),
        Finding(reports.PNEUMOTHORAX, present=False, score=Score(0.02, 0.5)),
    )
    result = Result(ResultStatus.FINDINGS, "x", findings)
    series = reports.write_series("ct", tmp_path / "in")
    context = context_of(series, result, profile=EncodingProfile(language="ko"))
    words = words_of(canvases_of(context))
    for text in ("간유리결절,폐,우측", "기흉", "길이", "소견가능성"):
        assert text in words
    for text in ("Ground", "Pneumothorax", "Length", "Likelihood"):
        assert text not in words
    report = next(dcmread(one.path) for one in encode(context.request, tmp_path / "out") if one.kind == "sr")
    meanings = {str(element.value) for element in report.iterall() if element.keyword == "CodeMeaning"}
    assert {"Ground glass nodule", "Pneumothorax", "Length", "Lung"} <= meanings
    assert all(each.isascii() for each in meanings)
