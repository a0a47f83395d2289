"""docs/conformance.md says what the code does."""

from __future__ import annotations

import pytest
from pydicom.uid import UID

from node.desk.peers import RESULT_CLASSES
from node.dicom.report_classes import SOP_CLASSES
from node.ourselves import IMPLEMENTATION_VERSION_NAME
from tests.support.results.air import CLAUSES
from tests.support.results.conformance import DOCUMENT, current


def test_finding_v6_the_conformance_statement_is_current() -> None:
    """Run `python -m tests.support.results.conformance` where this fails."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == current(text)


@pytest.mark.parametrize(
    "said",
    [
        "Maximum length of a PDU received",
        f"Implementation Version Name: {IMPLEMENTATION_VERSION_NAME}",
        "Standard Extended SOP Classes",
        "<!-- generated: store statuses -->",
        "<!-- generated: action statuses -->",
    ],
)
def test_finding_v6_what_every_statement_has_is_there(said: str) -> None:
    """What PS3.2 asks for beside the tables that are made of objects."""
    assert said.lower() in DOCUMENT.read_text(encoding="utf-8").lower()


def test_finding_v7_a_number_without_value_is_told() -> None:
    """A validator wants a value in every NUM; the statement says how an SR has a number that could not be computed."""
    assert "empty Measured Value Sequence and a Numeric Value Qualifier" in DOCUMENT.read_text(encoding="utf-8")


def test_every_class_that_is_written_is_stated() -> None:
    """`echo --probe` and the statement know all SR classes, pages, segmentations, maps, key images and states."""
    assert set(SOP_CLASSES.values()) <= set(RESULT_CLASSES.values())
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(uid in text and UID(uid).name in text for uid in RESULT_CLASSES.values())


def test_what_air_asks_for_is_found_in_what_is_written() -> None:
    """Every clause of the table was looked for in encoded objects, and none came back empty."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = [line for line in _part(text, "ai results") if line.startswith("| ")]
    assert len(found) == 2 + len(CLAUSES)
    assert not [line for line in found if "| no |" in line]


def _part(text: str, name: str) -> list[str]:
    return text.split(f"<!-- generated: {name} -->")[1].split("<!-- end -->")[0].splitlines()
