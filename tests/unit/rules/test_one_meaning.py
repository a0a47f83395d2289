"""What docs/rules.md once said in two ways has one meaning, and the page says that one (finding Q12)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rules import example_runs
from rules.examples import Example
from rules.model import DICTIONARY
from tests.unit.rules.building import Dictionary, make_rule

PAGE = (Path(__file__).parents[3] / "docs/rules.md").read_text(encoding="utf-8")
CT: dict[str, Any] = {"Modality": "CT"}
MEANINGS: dict[str, tuple[Any, dict[str, Any], bool, str]] = {
    "counted are frames": (
        {"image_count": {"is": 5}},
        {"series": [{**CT, "images": [{"frames": 5}]}]},
        True,
        "an object of one frame counts 1, one without pixel data 0",
    ),
    "asked are instances": (
        {"any_image": {"Modality": "SR"}},
        {"series": [{"Modality": "SR"}, CT]},
        True,
        "An *image* here is any SOP instance, reports included",
    ),
    "one text is enough": (
        {"any_image": {"ImageType": "AXIAL"}},
        {**CT, "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        True,
        "for texts and codes\none value that satisfies is enough",
    ),
    "all numbers": (
        {"any_image": {"PixelSpacing": {"below": 1}}},
        {**CT, "PixelSpacing": [0.5, 1.5]},
        False,
        "Numbers, dates, times and ages must all satisfy",
    ),
    "within a millionth": (
        {"SliceThickness": {"at_most": 0.3}},
        {**CT, "SliceThickness": 0.30000001},
        True,
        "at most a millionth of the larger one",
    ),
    "and no more": ({"SliceThickness": {"at_most": 0.3}}, {**CT, "SliceThickness": 0.30001}, False, "0.30000001"),
    "the last minute": (
        {"received_time": {"between": ["08:00", "17:59"]}},
        {**CT, "received": "2024-03-01 18:00"},
        False,
        '17:59:30 is after `"17:59"`',
    ),
    "an error beside a true line": (
        {"any": [{"SliceThickness": {"at_most": 1, "missing": "error"}}, {"Modality": "CT"}]},
        CT,
        True,
        "Another line of an `any` that holds decides it anyway",
    ),
    "months of years": (
        {"patient_age": {"at_least": "24 months"}},
        {**CT, "PatientAge": "002Y"},
        True,
        "`002Y` is 24 months",
    ),
    "codes with case": (
        {"ProcedureCodeSequence": {"code": "99SITE:ct1"}},
        {**CT, "ProcedureCodeSequence": "99SITE:CT1"},
        False,
        "**Codes** compare with case",
    ),
}


@pytest.mark.parametrize(("when", "study", "matches", "said"), MEANINGS.values(), ids=MEANINGS)
def test_finding_q12_the_page_says_what_is_decided(
    when: dict[str, Any], study: dict[str, Any], matches: bool, said: str
) -> None:
    """A rule with this condition, a study, what is decided, and the words of the page for it."""
    plain = {"name": "x", "given": study, "expect": {"rule": "match" if matches else "no match"}}
    example = Example.model_validate(plain, context={DICTIONARY: Dictionary()})
    rule = make_rule(when, name="rule")
    assert [found.message for found in example_runs.failures([example], [rule])] == []
    assert said in PAGE
