"""Pages explain what they show, and say what they do not show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from node.config.encoding import EncodingProfile, Kind, Language
from node.results.pages.overlay import outlines
from node.results.pages.sheets import MOST_SLICES
from plugins.contract import ImageReference, KeyImage, Result
from tests.support.results import reports
from tests.support.results.page_words import canvases_of, context_of, words_of


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return reports.write_series("ct", tmp_path_factory.mktemp("series"))


def _outlined(images: int) -> Result:
    """Lungs that are segmented, of which no finding speaks, on this many key images."""
    frames = reports.frames("ct")
    keys = tuple(KeyImage(frame, f"Lungs {number}") for number, frame in enumerate(frames[:images], start=1))
    return replace(reports.no_findings(), segmentation=reports.lungs(frames), key_images=keys)


@pytest.mark.parametrize("images", [1, 3])
def test_outlines_on_the_first_page_are_named_in_their_colour(series: list[Path], images: int) -> None:
    """Below the pictures each segment that is outlined in one of them has its name once, beside its colour."""
    context = context_of(series, _outlined(images))
    first = canvases_of(context)[0]
    for outline in outlines(context.request.result, context.texts):
        (name,) = [each for each in first.placed if each.text == outline.name]
        chip = first.pixels[(name.box[1] + name.box[3]) // 2, name.box[0] - 20]
        assert tuple(chip) == outline.colour, outline.name


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Result]:
    """A clip of which the plugin named 12 frames more than pages show."""
    image = reports.us()
    image.NumberOfFrames, image.Rows, image.Columns = MOST_SLICES + 12, 8, 8
    image.PixelData = bytes((MOST_SLICES + 12) * 8 * 8 * 3)
    frames = (ImageReference(str(image.SOPInstanceUID), number) for number in range(1, MOST_SLICES + 13))
    result = replace(reports.no_findings(), key_images=tuple(KeyImage(frame, "Look here") for frame in frames))
    return [reports.write(image, tmp_path_factory.mktemp("clip") / "1.dcm")], result


@pytest.mark.parametrize(
    ("language", "kinds", "said"),
    [
        ("en", frozenset({"sr", "sc", "ko"}), "Of the key images, 12 more are in the Key Object Selection."),
        ("ko", frozenset({"sr", "sc", "ko"}), "주요 영상 12장이 Key Object Selection에 더 있습니다."),
        ("en", frozenset({"sr", "sc"}), "Pages show 20 of 32 images"),
    ],
)
def test_a_page_says_where_the_key_images_are_that_it_does_not_show(
    many: tuple[list[Path], Result], language: Language, kinds: frozenset[Kind], said: str
) -> None:
    """20 are on pages; the page names the object that has the others, where the destination gets it."""
    series, result = many
    profile = EncodingProfile(language=language, kinds=kinds)
    words = words_of(canvases_of(context_of(series, result, profile=profile)))
    assert re.sub(r"\s", "", said) in words
    assert ("KeyObjectSelection" in words) == ("ko" in kinds)
