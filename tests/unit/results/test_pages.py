"""The pages: everything the plugin said is on them, whole, legible, and never to be taken for a negative."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from node.config.encoding import EncodingProfile
from node.results.context import Context, prepare
from node.results.encode import encode
from node.results.pages.canvas import BACKGROUND, URGENT, Canvas, Colour, TextPlacement
from node.results.pages.fonts import MISSING, Face, drawable, width, wrap
from node.results.pages.key_slice import decode, frame_pixels, key_slices
from node.results.pages.overlay import breast_view
from node.results.pages.page import HEIGHTS, WIDTH
from node.results.pages.sheets import draw, sheets
from node.results.source.geometry import opposite, patient_orientation
from node.results.source.images import read_sources
from plugins.contract import (
    AlgorithmIdentity,
    Box,
    Finding,
    ImageReference,
    KeyImage,
    Measurement,
    ReferenceRange,
    Result,
    ResultStatus,
    Score,
    Site,
)
from tests.support.results import reports


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return reports.write_series("ct", tmp_path_factory.mktemp("series"))


def _context(series: list[Path], result: Result, **changes: object) -> Context:
    return prepare(reports.request(series, result, **changes))


def _canvases(context: Context) -> list[Canvas]:
    return draw(context, sheets(context))


def _words(canvases: list[Canvas], ground: Colour | None = None) -> str:
    """All texts of all pages (on one ground) without white space: wrapping may break a line anywhere."""
    placed = [one for canvas in canvases for one in canvas.placed if ground in (None, one.ground)]
    return re.sub(r"\s", "", "".join(one.text for one in placed))


def _luminance(colour: tuple[int, int, int]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(placed: TextPlacement) -> float:
    light, dark = sorted((_luminance(placed.colour), _luminance(placed.ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _assert_well_laid_out(canvases: list[Canvas]) -> None:
    for canvas in canvases:
        boxes = [placed for placed in canvas.placed if placed.text.strip()]
        for placed in boxes:
            left, top, right, bottom = placed.box
            assert left >= 0, placed
            assert top >= 0, placed
            assert right <= WIDTH, placed
            assert bottom <= canvas.height, placed
            assert _contrast(placed) >= 4.5, placed
        for one, other in combinations(boxes, 2):
            apart = (
                one.box[2] <= other.box[0]
                or other.box[2] <= one.box[0]
                or one.box[3] <= other.box[1] + 1
                or other.box[3] <= one.box[1] + 1
            )
            assert apart, (one, other)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("name", list(reports.RESULTS))
def test_nothing_is_clipped_overlaps_or_is_hard_to_read(series: list[Path], name: str, language: Any) -> None:
    """Every text of every page lies within it, apart from the others, at a contrast of 4.5:1 or more (WCAG 1.4.3)."""
    result = reports.RESULTS[name](reports.reference("ct"))
    context = _context(series, result, profile=EncodingProfile(language=language))
    _assert_well_laid_out(_canvases(context))


_LETTERS = st.sampled_from("abcXYZ결절우폐상엽0123456789.,()-%≥μß ")
_UNITS = st.sampled_from(["{a_long_annotation_of_a_unit}", "mL/min/{1.73_m2}", "[hnsf'U]", "1", "10*-6.mm2/s"])
_TEXTS = st.text(_LETTERS, min_size=1, max_size=64).filter(lambda text: bool(text.strip()))
_LONG = st.one_of(
    st.text(_LETTERS, min_size=1, max_size=1024),
    st.sampled_from(["가" * 1024, "W" * 1024, "pneumonoultramicroscopic" * 40, "i" * 1000]),
).filter(lambda text: bool(text.strip()))


@settings(
    max_examples=20,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(summary=_LONG, limit=_LONG, name=_TEXTS, comment=_LONG, unit=_UNITS, algorithm=_TEXTS, asked=_LONG)
def test_whatever_a_plugin_writes_is_there_whole(
    series: list[Path], summary: str, limit: str, name: str, comment: str, unit: str, algorithm: str, asked: str
) -> None:
    """Long words, Korean without spaces, odd units: wrapped and carried over pages, never cut.

    No shrinking: a page costs a quarter of a second, and the failing text says enough.
    """
    code = reports.Code("X", "99TEST", name)
    number = Measurement(code, -1234567.875, reports.Unit(unit, unit), reference_range=ReferenceRange(-5, 7, name))
    side = Site(reports.LUNG, reports.RIGHT)
    finding = Finding(
        code,
        present=True,
        score=Score(0.5, 0.5, unit=reports.Unit(unit, unit)),
        site=side,
        measurements=(number,) * 9,
        comment=comment,
    )
    result = Result(ResultStatus.FINDINGS, summary, (finding,), quality=(limit[:256].strip() or "x",))
    identity = AlgorithmIdentity(algorithm, "1.0", "Maker", intended_use=comment[:300])
    canvases = _canvases(_context(series, result, asked=asked, algorithm=identity))
    _assert_well_laid_out(canvases)
    words = _words(canvases, ground=BACKGROUND)
    for text in (summary, limit[:256], name, comment, asked):
        assert re.sub(r"\s", "", drawable(text)) in words or all(
            re.sub(r"\s", "", drawable(word)) in words for word in text.split()
        )


@given(text=_LONG, size=st.sampled_from([18, 24, 34]), limit=st.integers(60, 952))
def test_wrapped_lines_fit_and_lose_nothing(text: str, size: int, limit: int) -> None:
    """Every line is at most as wide as asked, and the lines are the text."""
    lines = wrap(text, Face.SEMIBOLD, size, limit)
    assert all(width(line, Face.SEMIBOLD, size) <= limit for line in lines)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", drawable(text))


def test_the_font_draws_what_radiology_needs() -> None:
    """Hangul, accents and the signs of measurements; what it lacks is marked, never left out."""
    for character in "≥≤×–°µ²±▲▼·●−가힣ß é":
        assert drawable(character) != MISSING
    assert drawable("中a") == f"{MISSING}a"
    assert drawable("\u1100\u1161") == "가"


def test_a_page_with_characters_it_cannot_draw_says_so(series: list[Path]) -> None:
    """A reader knows that something is missing and where to find it."""
    canvases = _canvases(_context(series, reports.failed("影像损坏")))
    assert "thestructuredreportholdsthem" in _words(canvases)


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Thisisnotanegativeresult."), ("ko", "음성(정상)결과가아닙니다.")]
)
def test_a_failure_cannot_be_read_as_a_negative(series: list[Path], language: Any, words: str) -> None:
    """It says NOT ANALYSED, that nothing follows from it, and why; no word of absence."""
    canvases = _canvases(_context(series, reports.failed(), profile=EncodingProfile(language=language)))
    assert words in _words(canvases)
    assert "ABSENT" not in _words(canvases)
    assert "deadline" in _words(canvases)


def test_the_page_carries_every_finding_and_number(series: list[Path]) -> None:
    """Many viewers show nothing else."""
    words = _words(_canvases(_context(series, reports.measured())))
    shown_texts = (
        "AI-INVlung_density Investigational Right Left Both 2,801 2,401 5,203 8.1 6.1 7.2 −941 ≤6.8 HU mL "
        "lung_densityversion1.0.0 2024-01-0210:22:33+09:00 2024-01-0210:20:00+09:00 "
        "LungdensityonchestCTwithoutcontrast Notverifiedbyaphysician."
    )
    for shown in shown_texts.split():
        assert shown in words, shown
    assert "Hong" not in words  # no identifier is drawn
    assert "12345678" not in words


def test_sides_stand_as_on_the_image(series: list[Path]) -> None:
    """The patient's right is the left column, whatever the order of the result."""
    result = reports.measured()
    turned = Result(result.status, result.summary, result.findings[::-1])
    (canvas,) = _canvases(_context(series, turned))
    x = {placed.text: placed.box[0] for placed in canvas.placed if placed.text in {"Right", "Left", "Both"}}
    assert x["Right"] < x["Left"] < x["Both"]
    right = next(placed.box for placed in canvas.placed if placed.text == "2,801")
    head = next(placed.box for placed in canvas.placed if placed.text == "Right")
    assert abs(right[2] - head[2]) <= 3  # under its own head


def test_a_value_beyond_its_range_stands_out(series: list[Path]) -> None:
    """8.1 is above 6.8 and marked with its direction; 6.1 is not."""
    (canvas,) = _canvases(_context(series, reports.measured()))
    texts = {placed.text for placed in canvas.placed}
    assert {"▲ 8.1", "▲ 7.2", "6.1"} <= texts


def test_a_long_result_runs_over_pages_with_the_head_of_its_table(series: list[Path]) -> None:
    """Forty rows: no page holds a table's rows without its head, and the pages are counted."""
    numbers = tuple(
        Measurement(reports.Code(f"M{i}", "99TEST", f"Measurement number {i}"), float(i), reports.MM) for i in range(40)
    )
    result = Result(ResultStatus.FINDINGS, "Much.", (Finding(reports.DENSITY, measurements=numbers),))
    canvases = _canvases(_context(series, result))
    assert len(canvases) >= 2
    assert all("Measurement" in {placed.text for placed in canvas.placed} for canvas in canvases)
    assert f"Page {len(canvases)} of {len(canvases)}" in {placed.text for placed in canvases[-1].placed}


def test_the_key_slice_shows_the_box_where_it_is(series: list[Path]) -> None:
    """The outline's red, for it is urgent, lies on the box's edges, and only there."""
    context = _context(series, reports.nodule(reports.reference("ct")))
    (key,) = key_slices(context)
    shown = decode(context, key).draw((640, 640)).astype(int)
    red = np.all(np.abs(shown - URGENT) < 30, axis=2)
    scale = 640 / reports.COLUMNS
    columns = np.nonzero(red[int(20 * scale) : int(38 * scale)])[1]  # below the label at the corner
    rows = np.nonzero(red[:, int(14 * scale) : int(28 * scale)])[0]
    assert columns.min() / scale == pytest.approx(12.0, abs=0.3)
    assert columns.max() / scale == pytest.approx(30.5, abs=0.3)
    assert rows.min() / scale == pytest.approx(14.0, abs=0.3)
    assert rows.max() / scale == pytest.approx(40.25, abs=0.3)


def test_right_and_left_are_named_from_the_orientation(tmp_path: Path) -> None:
    """The patient's right is labelled R on whichever side of the image it is; a turned image turns its letters."""
    usual = read_sources((reports.write(reports.ct(), tmp_path / "1.dcm"),)).anchor
    assert patient_orientation(usual) == ("L", "P")
    turned = reports.ct()
    turned.ImageOrientationPatient = [-1, 0, 0, 0, 0.9, -0.436]
    image = read_sources((reports.write(turned, tmp_path / "2.dcm"),)).anchor
    assert patient_orientation(image) == ("R", "PF")
    assert opposite("PF") == "AH"
    assert patient_orientation(read_sources((reports.write(reports.us(), tmp_path / "3.dcm"),)).anchor) is None


def test_windows_and_inversion(tmp_path: Path) -> None:
    """HU through the asked window to 0 … 255; MONOCHROME1 is inverted; colour is passed on."""
    image = read_sources((reports.write(reports.ct(), tmp_path / "ct.dcm"),)).anchor
    rgb, window = frame_pixels(image, 1, (-600.0, 200.0))
    assert window == (-600.0, 200.0)
    stored = np.frombuffer(reports.ct().PixelData, dtype=np.int16).reshape(reports.ROWS, reports.COLUMNS)
    assert rgb[..., 0].min() == 0
    assert rgb[stored == -600][:, 0] == pytest.approx(128, abs=1)
    assert (rgb[stored >= -500] == 255).all()
    dx = read_sources((reports.write(reports.dx(), tmp_path / "dx.dcm"),)).anchor
    inverted, _ = frame_pixels(dx, 1)
    assert inverted[np.abs(stored) == 900].max() <= inverted[np.abs(stored) == 1].min()
    us = read_sources((reports.write(reports.us(), tmp_path / "us.dcm"),)).anchor
    colour, no_window = frame_pixels(us, 3)
    assert no_window is None
    assert (colour == 90).all()


def test_pages_of_pictures_keep_their_captions(series: list[Path]) -> None:
    """A key slice is below the answer, a picture has a page, each with marking and caption."""
    image = reports.reference("ct")
    result = reports.illustrated(image)
    key = KeyImage(ImageReference(f"{reports.STUDY_UID}.2.3"), "Middle of the lungs")
    both = Result(result.status, result.summary, result.findings, pictures=result.pictures, key_images=(key,))
    canvases = _canvases(_context(series, both))
    for canvas, caption in zip(canvases, ("Middle of the lungs", result.pictures[0].caption), strict=True):
        texts = {placed.text for placed in canvas.placed}
        assert "AI-INV lung_density" in texts
        assert any(caption in text for text in texts)
    assert any("z = 15.0 mm" in placed.text for placed in canvases[0].placed)


# --- what stands where --------------------------------------------------------------------------------


def _lesion(number: int, image: ImageReference) -> Finding:
    box = Box(np.array([[5.0 + number, 5.0], [15.0 + number, 20.0]]), image)
    length = Measurement(reports.Code("103339001", "SCT", "Long axis"), 4.0 + number, reports.MM, decimals=1)
    return Finding(
        reports.NODULE,
        present=True,
        score=Score(0.5 + number / 10, 0.5),
        regions=(box,),
        site=Site(reports.LUNG, reports.LEFT),
        measurements=(length,),
        tracking_id=f"Nodule {number}",
    )


def test_a_finding_has_the_number_of_its_region_and_one_row_of_numbers(series: list[Path]) -> None:
    """What is drawn as 2 is called 2 beside its finding and under its image; lesions stand in a table of their own."""
    image = reports.reference("ct")
    result = Result(ResultStatus.FINDINGS, "Two nodules.", tuple(_lesion(number, image) for number in (1, 2)))
    (summary,) = _canvases(_context(series, result))
    row = {placed.text: placed.box for placed in summary.placed}
    assert abs(row["2"][3] - row["Nodule 2: Solitary nodule of lung, Left"][3]) < 10  # on one line
    assert any(placed.text.startswith("1, 2 Solitary nodule of lung") for placed in summary.placed)
    assert {"Finding", "Site", "Long axis, mm", "1 · Nodule 1", "2 · Nodule 2", "5.0", "6.0"} <= set(row)


def test_scores_say_what_they_mean(series: list[Path]) -> None:
    """What all mean, with its threshold, stands above them; where they differ, each says it itself."""
    alike = Result(
        ResultStatus.FINDINGS, "Two nodules.", tuple(_lesion(number, reports.reference("ct")) for number in (1, 2))
    )
    (summary,) = _canvases(_context(series, alike))
    assert {"Likelihood of finding (threshold 0.50)", "0.60", "0.70"} <= {placed.text for placed in summary.placed}
    other = Finding(reports.PNEUMOTHORAX, present=False, score=Score(3.0, meaning="Pneumothorax volume class"))
    differing = Result(ResultStatus.FINDINGS, "Mixed.", (*alike.findings, other))
    texts = {placed.text for placed in _canvases(_context(series, differing))[0].placed}
    assert {"Likelihood of finding", "0.70 (threshold 0.50)", "Pneumothorax volume class", "3.00"} <= texts


def test_little_text_makes_a_low_page_that_viewers_show_large(series: list[Path]) -> None:
    """A failure is a page of the least height; pages that are frames of one object are all equally tall."""
    (failure,) = _canvases(_context(series, reports.failed()))
    assert failure.height == HEIGHTS[0]
    image = reports.reference("ct")
    picture = replace(reports.illustrated(image), key_images=(KeyImage(image, "Square"),))
    assert len({canvas.height for canvas in _canvases(_context(series, picture))}) > 1
    frames = _canvases(_context(series, picture, profile=EncodingProfile(sc_form="multi-frame")))
    assert len({canvas.height for canvas in frames}) == 1


@pytest.mark.parametrize("name", ["nodule", "regions", "mapped", "illustrated"])
def test_pages_with_pictures_are_full(series: list[Path], name: str) -> None:
    """Pictures take the room that there is: less than a fifth of a page is empty above its foot."""
    for canvas in _canvases(_context(series, reports.RESULTS[name](reports.reference("ct")))):
        foot = min(placed.box[1] for placed in canvas.placed if placed.text.startswith("Page "))
        drawn = np.nonzero((canvas.pixels[: foot - 20] != BACKGROUND).any(axis=(1, 2)))[0].max()
        assert foot - drawn < canvas.height / 5, name


def test_a_mammogram_is_marked_as_its_film_would_be(tmp_path: Path) -> None:
    """Side and view in letters; another image has the patient's directions."""
    breast = read_sources((reports.write(reports.mg(), tmp_path / "mg.dcm"),)).anchor
    chest = read_sources((reports.write(reports.dx(), tmp_path / "dx.dcm"),)).anchor
    assert (breast_view(breast), breast_view(chest)) == ("R CC", "")


def test_the_page_in_the_archive_is_this_patients_and_says_that_it_failed(series: list[Path], tmp_path: Path) -> None:
    """Read back: patient and study of the images, and the pixels of the page whose words say so."""
    request = reports.request(series, reports.failed("The images are damaged."))
    page = dcmread(next(made.path for made in encode(request, tmp_path) if made.kind == "sc"))
    image = dcmread(series[0])
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber"):
        assert page[keyword].value == image[keyword].value
    (canvas,) = _canvases(prepare(request))
    assert np.array_equal(page.pixel_array, canvas.pixels)
    for words in ("NOTANALYSED", "Thisisnotanegativeresult.", "Theimagesaredamaged.", "AI-INVlung_density"):
        assert words in _words([canvas])
