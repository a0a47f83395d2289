"""The rule of config.example.yaml, held against studies as scanners send them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from node.config.loading import load
from node.config.models import Configuration
from node.config.sections import ByKind
from rules import engine
from rules.facts import Element, InstanceFacts, SeriesFacts, StudyFacts

EXAMPLE = Path(__file__).resolve().parents[3] / "config.example.yaml"
NOW = datetime(2026, 3, 2, 13, 30, tzinfo=UTC)
CHEST = {
    "Modality": Element("CS", ("CT",)),
    "BodyPartExamined": Element("CS", ("CHEST",)),
    "ImageType": Element("CS", ("ORIGINAL", "PRIMARY", "AXIAL")),
    "SliceThickness": Element("DS", ("1.0",)),
    "PatientAge": Element("AS", ("064Y",)),
}


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Every key that a section and the sections in it may have."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        for part in sections(field.annotation):
            yield from keys(part)


def sections(annotation: object) -> Iterator[type[BaseModel]]:
    """The sections in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from part.kinds if isinstance(part, ByKind) else sections(part)


@pytest.mark.parametrize("key", sorted(set(keys(Configuration))))
def test_every_key_stands_in_the_example(key: str) -> None:
    """In use or commented out, so that nobody has to read the code to find it."""
    assert re.search(rf"(?<![\w-]){key}:", EXAMPLE.read_text())


def study(images: int = 120, **changes: Element | None) -> StudyFacts:
    """One series of a chest CT, with other attributes; None takes one away."""
    attributes = {key: value for key, value in {**CHEST, **changes}.items() if value is not None}
    instances = tuple(
        InstanceFacts(f"1.2.{n}", "1.2.840.10008.5.1.4.1.1.2", attributes, 1, "1.2.840.10008.1.2.1")
        for n in range(images)
    )
    ae = frozenset({"CT1"})
    return StudyFacts(
        "1.2", 1, (SeriesFacts("1.2.3", "CT", instances),), "received", ae, ae, frozenset({"10.0.0.5"}), NOW, NOW, NOW
    )


def matched(facts: StudyFacts) -> bool:
    """Whether the example's rule runs anything."""
    [decision] = engine.decide(load(EXAMPLE).rules, facts)
    return decision.matched


def test_a_thin_chest_ct_without_contrast_is_taken() -> None:
    """Also where the header gives no age, as after de-identification."""
    assert matched(study())
    assert matched(study(PatientAge=None))


@pytest.mark.parametrize(
    "facts",
    [
        study(SliceThickness=Element("DS", ("5.0",))),
        study(ContrastBolusAgent=Element("LO", ("Iopromide",))),
        study(BodyPartExamined=Element("CS", ("HEAD",))),
        study(ImageType=Element("CS", ("ORIGINAL", "PRIMARY", "LOCALIZER"))),
        study(PatientAge=Element("AS", ("009Y",))),
        study(images=20),
    ],
    ids=["thick", "contrast", "head", "localizer", "child", "too few images"],
)
def test_another_study_is_left_alone(facts: StudyFacts) -> None:
    """One attribute away from the one that is taken."""
    assert not matched(facts)
