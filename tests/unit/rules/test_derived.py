"""Facts that are read from several attributes: mammography's sides and views, planes, kinds of breast image."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.sr.codedict import codes

from rules import derived, names
from rules.engine import decide
from rules.facts import ABSENT, DistinctElements, Element, InstanceFacts, SeriesFacts
from tests.unit.rules.building import attributes, make_rule, make_series, make_study

TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
MULTI_FRAME_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.2"


def read(fact: str, *, modality: str = "MG", **values: Any) -> list[object]:
    """The values of a fact of one image."""
    series = make_series("1.1", modality, [values])
    return [value for found, _ in series.column(fact, names.reader(named(fact))).groups for value in found]


def named(fact: str) -> names.Name:
    return names.parse(fact, None, lambda *_: None)


def code(value: str, *modifiers: str, scheme: str = "SCT") -> dict[str, Any]:
    item: dict[str, Any] = {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": "Some View"}
    return item | ({"ViewModifierCodeSequence": [code(each) for each in modifiers]} if modifiers else {})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"ImageLaterality": "L"}, ["left"]),
        ({"FrameLaterality": ("L", "R")}, ["left", "right"]),
        ({"Laterality": "R"}, ["right"]),
        ({"ImageLaterality": "L", "Laterality": "R"}, ["left"]),
        ({"ImageLaterality": "", "FrameLaterality": "B"}, ["both"]),
        ({"ImageLaterality": "left breast"}, []),
        ({}, []),
    ],
)
def test_laterality_is_the_images_own_then_its_frames_then_its_series(values: Any, expected: list[str]) -> None:
    """The nearest statement counts; what is no side is missing."""
    assert read("laterality", **values) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"ViewCodeSequence": [code("399162004")]}, ["cc"]),
        ({"ViewCodeSequence": [code("R-10226", scheme="SNM3")]}, ["mlo"]),
        ({"ViewCodeSequence": [code("399162004")], "ViewPosition": "MLO"}, ["cc"]),
        ({"ViewCodeSequence": [code("0")], "ViewPosition": "MLO"}, ["mlo"]),
        ({"ViewPosition": "PA"}, ["pa"]),
        ({"ViewPosition": ""}, []),
    ],
)
def test_the_view_is_the_codes_and_view_position_is_the_fallback(values: Any, expected: list[str]) -> None:
    """SNOMED CT and SNOMED-RT codes; a code that nobody knows does not hide View Position."""
    assert read("view", **values) == expected


def test_view_modifiers_stand_within_the_views_code() -> None:
    """Implant displaced is no standard view; a modifier that is not known is shown by its meaning."""
    assert read("view_modifiers", ViewCodeSequence=[code("399162004", "399209000")]) == ["implant displaced"]
    assert read("view_modifiers", ViewCodeSequence=[code("399162004", "0")]) == ["some view"]
    assert read("view_modifiers", ViewCodeSequence=[code("399162004")]) == []


def test_the_codes_are_those_of_the_standard() -> None:
    """Every view of CID 4014 and modifier of CID 4015 is known by its code."""
    for group, known in (("cid4014", derived.VIEW_OF_CODE), ("cid4015", derived._MODIFIER_OF_CODE)):
        context = getattr(codes, group)
        assert {getattr(context, name).value for name in context.dir()} <= known.keys()
    context = codes.cid4015
    meanings = {getattr(context, name).value: getattr(context, name).meaning.lower() for name in context.dir()}
    assert {value: derived._MODIFIER_OF_CODE[value] for value in meanings} == meanings


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ((1, 0, 0, 0, 1, 0), ["axial"]),
        ((1, 0, 0, 0, 0.88, -0.47), ["axial"]),
        ((1, 0, 0, 0, 0, -1), ["coronal"]),
        ((0, 1, 0, 0, 0, -1), ["sagittal"]),
        ((1, 0, 0, 0, 0.7, 0.7), ["oblique"]),
        ((1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, -1), ["axial", "sagittal"]),
        ((0, 0, 0, 0, 0, 0), []),
        ((1, 0, 0), []),
        (("a", 0, 0, 0, 1, 0), []),
        (None, []),
    ],
)
def test_the_slice_plane_is_that_of_the_orientation(orientation: Any, expected: list[str]) -> None:
    """A tilted gantry is axial still; frames of two orientations have two planes; what is no orientation is missing."""
    assert read("slice_plane", modality="CT", ImageOrientationPatient=orientation) == expected


@pytest.mark.parametrize(
    ("sop_class", "frames", "values", "expected"),
    [
        (TOMOSYNTHESIS, 60, {}, ["tomosynthesis"]),
        (MULTI_FRAME_CAPTURE, 60, {}, ["tomosynthesis"]),
        ("1.2.840.10008.5.1.4.1.1.7", 1, {"Manufacturer": "HOLOGIC, Inc."}, ["tomosynthesis"]),
        ("1.2.840.10008.5.1.4.1.1.7", 1, {"Manufacturer": "ACME"}, []),
        ("1.2.840.10008.5.1.4.1.1.1.2", 1, {"ImageType": ("ORIGINAL", "PRIMARY", "")}, ["mammogram"]),
        ("1.2.840.10008.5.1.4.1.1.1.2", 1, {"ImageType": ("DERIVED", "PRIMARY", "GENERATED_2D")}, ["synthetic"]),
        ("1.2.840.10008.5.1.4.1.1.88.11", 0, {}, []),
    ],
)
def test_what_kind_of_breast_image(sop_class: str, frames: int, values: Any, expected: list[str]) -> None:
    """Tomosynthesis by its SOP class, or stored as secondary capture; 2D made from it; none for a report."""
    image = InstanceFacts("1.1.1", sop_class, attributes(values), frames, "1.2.840.10008.1.2.1")
    found = [
        image_kinds for image_kinds, _ in SeriesFacts("1.1", "MG", (image,)).column("x", derived.BREAST_IMAGE).groups
    ]
    assert [kind for kinds in found for kind in kinds] == expected


def test_facts_from_columns_are_those_from_instances() -> None:
    """The same series attribute by attribute: the same values for the same images, and the same decisions."""
    ages = [
        {"PatientAge": "017Y"},
        {"PatientBirthDate": "19600101", "StudyDate": "20240301"},
        {},
        {"PatientAge": "017Y"},
    ]
    plain = make_series("1.1", "CT", ages, KVP=120)
    instances = [each.attributes for each in plain.instances]

    def spread(keyword: str) -> DistinctElements:
        distinct: list[Element] = []
        for each in instances:
            if keyword in each and each[keyword] not in distinct:
                distinct.append(each[keyword])
        at = [distinct.index(each[keyword]) if keyword in each else -1 for each in instances]
        return DistinctElements(tuple(distinct), at if any(at) else None) if distinct else ABSENT

    columns = SeriesFacts("1.1", "CT", plain.instances, spread)
    for fact in ("patient_age", "laterality", "marks", "view"):
        reader = names.reader(named(fact))
        assert columns.column(fact, reader) == plain.column(fact, reader)
    rule = make_rule({"every_image": {"KVP": 120}, "any_image": {"patient_age": {"at_least": 60}}})
    one, other = (decide([rule], make_study(series))[0] for series in (plain, columns))
    assert one.matched
    assert one.trace == other.trace
