"""What all objects of one job say alike: character set, equipment, what is burned in, and which side they show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from node.config.encoding import EncodingProfile, Kind
from node.dicom.charset import can_encode
from node.results.encoded import EncodedSet
from node.results.report.numbers import range_text
from node.results.source.laterality import UNPAIRED
from node.results.texts import ENGLISH, KOREAN
from plugins.contract import AlgorithmIdentity, ReferenceRange, Result, Unit
from tests.support.results import reports
from tests.support.results.viewer_rules import every_item

KINDS: frozenset[Kind] = frozenset(("sr", "sc", "seg", "pm", "ko", "pr"))
KOREAN_SET = ["", "ISO 2022 IR 149"]


def _made(
    folder: Path, result: Result, change: Callable[[Dataset], object] = lambda image: None, **settings: object
) -> tuple[EncodedSet, list[Dataset]]:
    """A set of all kinds on three CT images, each changed first."""
    paths = []
    for number in (1, 2, 3):
        image = reports.ct(number)
        change(image)
        paths.append(reports.write(image, folder / "in" / f"{number}.dcm"))
    algorithm = settings.pop("algorithm", reports.ALGORITHM)
    profile = EncodingProfile(kinds=KINDS).model_copy(update=settings)
    made = reports.whole(reports.request(paths, result, profile=profile, algorithm=algorithm), folder / "out")
    return made, [dcmread(one.path, stop_before_pixels=True) for one in made]


# --- character set ------------------------------------------------------------------------------------


def _in_korean(image: Dataset) -> None:
    image.SpecificCharacterSet = KOREAN_SET
    image.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"


def _sets(objects: list[Dataset]) -> set[str]:
    return {str(one.get("SpecificCharacterSet")) for one in objects}


@pytest.mark.parametrize("language", ["en", "ko"])
def test_finding_v3_all_objects_of_a_job_keep_the_images_set(tmp_path: Path, language: str) -> None:
    """Reports with reference ranges and heat maps too: no text of ours asks for a character that KS X 1001 lacks."""
    for number, result in enumerate((reports.mapped(reports.reference("ct")), reports.segmented(reports.frames("ct")))):
        made, objects = _made(tmp_path / str(number), result, _in_korean, character_set="source", language=language)
        assert _sets(objects) == {str(KOREAN_SET)}
        assert {one.get_item("PatientName").value.rstrip() for one in objects} != set()
        assert made[0].changes == ()


def test_finding_v3_one_text_that_does_not_fit_decides_for_all(tmp_path: Path) -> None:
    """An EN DASH in the summary: no object is left in the images' set, and it is recorded that they are not."""
    result = replace(reports.mapped(reports.reference("ct")), summary="Nodule – 8 mm.")
    made, objects = _made(tmp_path, result, _in_korean, character_set="source")
    assert {one.kind for one in made} >= {"sr", "sc", "ko"}
    assert _sets(objects) == {"ISO_IR 192"}
    (change,) = made[0].changes
    assert change.startswith("SpecificCharacterSet (0008,0005): ISO_IR 192 in all objects of the result")
    assert "8 mm" not in change


def test_finding_v3_our_own_texts_are_ascii() -> None:
    """What the program writes in English; in Korean what KS X 1001 holds. The rest is drawn only."""
    for texts, labels in ((ENGLISH, [""]), (KOREAN, KOREAN_SET)):
        for each in fields(texts):
            value = getattr(texts, each.name)
            for text in value.values() if isinstance(value, dict) else [value]:
                assert each.name == "not_drawable" or can_encode(str(text), labels), text
    assert range_text(ReferenceRange(4.0, 6.0, "x"), Unit("L", "L")).isascii()


# --- equipment ----------------------------------------------------------------------------------------

NAMED = AlgorithmIdentity("Lung density", "1.2", "Maker", model_name="LD-1", weights_digest="cd" * 32)


def _said(report: Dataset, code: str) -> set[str]:
    """All values of the items of this name."""
    return {
        str(item.get("TextValue") or item.get("UID"))
        for item in every_item(report)
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == code
    }


def test_finding_v4_the_tree_says_what_the_equipment_says(tmp_path: Path) -> None:
    """AIR Table 6.5.3.1-1: name, version, maker, model and device of the algorithm are equal to the letter."""
    _, objects = _made(tmp_path, reports.segmented(reports.frames("ct")), algorithm=NAMED)
    report = next(one for one in objects if one.Modality == "SR")
    algorithm, node = report.ContributingEquipmentSequence
    assert _said(report, "111001") == {algorithm.ManufacturerModelName} == {"LD-1"}
    assert _said(report, "111003") == {algorithm.SoftwareVersions}
    assert _said(report, "122405") == {algorithm.Manufacturer}
    assert _said(report, "121015") == {algorithm.ManufacturerModelName}
    assert _said(report, "121012") == {algorithm.DeviceUID}
    assert _said(report, "121016") == {algorithm.DeviceSerialNumber}
    assert node.DeviceUID not in {"", algorithm.DeviceUID}
    (segmentation,) = (one for one in objects if one.Modality == "SEG")
    described = segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert described.AlgorithmName == algorithm.ManufacturerModelName


def test_finding_v4_a_version_is_no_serial_number(tmp_path: Path) -> None:
    """What has no weights has no serial number either."""
    _, objects = _made(tmp_path, reports.measured(), algorithm=replace(NAMED, weights_digest=""))
    for one in objects:
        assert "DeviceSerialNumber" not in one.ContributingEquipmentSequence[0]
    assert _said(next(one for one in objects if one.Modality == "SR"), "121016") == set()


# --- pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [((None, None, None), None), (("NO", "NO", "NO"), "NO"), (("NO", None, "NO"), None), (("NO", "YES", None), "YES")],
)
def test_finding_v5_pages_say_no_more_than_the_images(
    tmp_path: Path, said: tuple[str | None, ...], expected: str | None
) -> None:
    """Burned In Annotation is NO only where every image says so: an ultrasound frame with a name says nothing."""

    def state(image: Dataset) -> None:
        if (value := said[int(image.InstanceNumber) - 1]) is not None:
            image.BurnedInAnnotation = value

    _, objects = _made(tmp_path, reports.measured(), state)
    (page,) = (one for one in objects if one.Modality == "OT")
    assert page.get("BurnedInAnnotation") == expected


@pytest.mark.parametrize(
    ("part", "side", "expected"),
    [("CHEST", "", ("CHEST", None)), ("", "", (None, "")), ("BREAST", "", (None, "")), ("BREAST", "L", (None, "L"))],
)
def test_finding_v8_a_part_without_sides_has_no_laterality(
    tmp_path: Path, part: str, side: str, expected: tuple[str | None, str | None]
) -> None:
    """Type 2C: absent for an unpaired part, which is named; empty only where nobody knows the side."""

    def state(image: Dataset) -> None:
        image.BodyPartExamined = part
        if side:
            image.Laterality = side

    _, objects = _made(tmp_path, reports.mapped(reports.reference("ct")), state)
    for one in (each for each in objects if each.Modality in {"OT", "PR"} or "FloatPixelData" in each):
        assert (one.get("BodyPartExamined"), one.get("Laterality")) == expected, one.Modality
    assert part != "CHEST" or part in UNPAIRED
