"""What a rule file may say: each mistake is refused at its place, with what was probably meant."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from rules.model import DICTIONARY, Rule, RuleSet, json_schema, rule_set_digest
from rules.section import problems
from tests.unit.rules.building import Dictionary

GOOD: dict[str, Any] = {
    "name": "r",
    "when": {"Modality": "CT"},
    "choose": {"where": {"Modality": "CT"}, "prefer": [{"SliceThickness": "smallest"}]},
    "run": "plugin",
    "send": ["pacs"],
    "mode": "pilot",
}
CONTEXT = {DICTIONARY: Dictionary()}


def refused(**changed: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """Places and texts of what is wrong with a good rule so changed."""
    with pytest.raises(ValidationError) as caught:
        RuleSet.model_validate({"rules": [{**GOOD, **changed}]}, context=CONTEXT)
    return [(problem.place[2:], str(problem)) for problem in problems(caught.value)]


def when(plain: object) -> list[tuple[tuple[str | int, ...], str]]:
    return [(place[1:], text) for place, text in refused(when=plain)]


def test_each_mistake_is_reported_at_once_and_in_its_place() -> None:
    """Three mistakes in one rule give three problems, not one after the other."""
    found = refused(when={"all": [{"Modality": "CT"}, {"SliceThicknes": 1}, {"KVP": {"at_lest": 1}}]}, priority="asap")
    places = [place for place, _ in found]
    assert places == [("when", "all", 1, "SliceThicknes"), ("when", "all", 2, "KVP", "at_lest"), ("priority",)]
    assert "did you mean SliceThickness?" in found[0][1]
    assert "did you mean at_least?" in found[1][1]
    assert "'routine', 'high' or 'urgent'" in found[2][1]


@pytest.mark.parametrize(
    ("plain", "place", "text"),
    [
        ({"modality": "CT"}, ("modality",), "did you mean Modality?"),
        ({"imagecount": 1}, ("imagecount",), "did you mean image_count?"),
        ({"any_serie": {"Modality": "CT"}}, ("any_serie",), "did you mean any_series?"),
        ({"StudyDescription": {"at_most": 1}}, ("StudyDescription", "at_most"), "does not suit StudyDescription"),
        ({"PatientAge": {"at_least": 18}}, ("PatientAge", "at_least"), "there is patient_age"),
        ({"SliceThickness": {"matches": "1*"}}, ("SliceThickness", "matches"), "holds a number"),
        ({"SliceThickness": "thin"}, ("SliceThickness",), "'thin' is not a number"),
        ({"StationName": 3}, ("StationName",), 'write it in quotes, "3"'),
        ({"StudyDescription": "*chest*"}, ("StudyDescription",), "write {matches: '*chest*'}"),
        ({"StudyDescription": {"contains": "chest"}}, ("StudyDescription", "contains"), 'write {matches: "*chest*"}'),
        ({"StudyDescription": {"regex": "(a"}}, ("StudyDescription", "regex"), "not a regular expression"),
        ({"StudyDescription": {"regex": "a" * 501}}, ("StudyDescription", "regex"), "500 are the most"),
        ({"StudyDescription": {"regex": "((a{99}){99}){99}"}}, ("StudyDescription", "regex"), "not a regular"),
        ({"StudyDescription": {"missing": True}}, ("StudyDescription",), "there is none beside it"),
        ({"StudyDescription": {"is": "a", "missing": "no"}}, ("StudyDescription", "missing"), "true, false or error"),
        ({"StudyDescription": {"is": "a", "tolerance": 1}}, ("StudyDescription", "tolerance"), "is for numbers"),
        ({"SliceThickness": {"between": [3, 1]}}, ("SliceThickness", "between"), "nothing lies between"),
        ({"SliceThickness": {"is": float("nan")}}, ("SliceThickness", "is"), "not a finite number"),
        ({"StudyDate": {"after": "last year"}}, ("StudyDate", "after"), "today - 2 years"),
        ({"StudyTime": {"after": 8}}, ("StudyTime", "after"), "in quotes"),
        ({"ViewCodeSequence": {"code": "399162004"}}, ("ViewCodeSequence", "code"), "SCT:51440002"),
        ({"ViewCodeSequence": "x"}, ("ViewCodeSequence",), "which holds a sequence"),
        ({"Modality.CodeValue": "x"}, ("Modality.CodeValue",), "Modality is not a sequence"),
        ({"PixelData": {"is": 1}}, ("PixelData", "is"), "which holds a bulk data"),
        ({"(0029,1008)": "x"}, ("(0029,1008)",), "its creator"),
        ({"(0028,ACME,10)": "x"}, ("(0028,ACME,10)",), "is odd"),
        ({"StudyDescription": {"present": "yes"}}, ("StudyDescription",), "present is used alone"),
        ({"all": {"Modality": "CT"}}, ("all",), "needs a list"),
        ({"all": []}, ("all",), "needs a list"),
        ([{"Modality": "CT"}], (), "write `all:` or `any:` before it"),
        ("Modality = CT", (), "a condition is written as"),
        ({}, (), "a condition is written as"),
        ({"any_image": {"any_series": {"Modality": "CT"}}}, ("any_image", "any_series"), "not allowed inside"),
        ({"any_image": {"image_count": 3}}, ("any_image", "image_count"), "nothing of one image"),
        ({"count_series": {"where": {"Modality": "CT"}}}, ("count_series",), "how many"),
        ({"count_series": {"where": {"Modality": "CT"}, "atleast": 2}}, ("count_series", "atleast"), "at_least?"),
        ({"received_weekday": "friyday"}, ("received_weekday",), "did you mean friday?"),
    ],
    ids=str,
)
def test_a_mistake_in_a_condition(plain: object, place: tuple[str | int, ...], text: str) -> None:
    """What is wrong is named where it stands, with what to write instead."""
    ((found, said),) = when(plain)
    assert (found, text in said) == (place, True), said


@pytest.mark.parametrize(
    ("changed", "place", "text"),
    [
        ({"wehn": {}}, ("wehn",), "did you mean when?"),
        ({"expiry": {"after": "2h"}}, ("expiry",), "did you mean expires?"),
        ({"name": "a b"}, ("name",), "letters, digits"),
        ({"mode": "pilt"}, ("mode",), "did you mean pilot?"),
        ({"mode": "live"}, ("mode",), "'shadow', 'pilot' or 'clinical'"),
        ({"send": []}, ("send",), "send is missing"),
        ({"send": "pa cs"}, ("send",), "letters, digits"),
        ({"send": ["a", "a"]}, ("send",), "twice"),
        ({"run": {"plugin": "x", "paramters": {}}}, ("run", "paramters"), "did you mean parameters?"),
        ({"run": ["x", {"plugin": "x", "stepp": "y"}]}, ("run", 1, "stepp"), "did you mean step?"),
        ({"run": ["x", "x"]}, ("run",), "two steps are called x"),
        ({"run": {"plugin": "x", "parameters": {"a": float("inf")}}}, ("run", "parameters"), "finite"),
        ({"choose": {"were": {"Modality": "CT"}}}, ("choose", "were"), "did you mean where?"),
        ({"choose": [{"take": "one"}, {"role": "b"}]}, ("choose",), "needs its role"),
        ({"choose": [{"role": "b"}, {"role": "b"}]}, ("choose",), "named twice"),
        ({"choose": {"take": 2}}, ("choose", "take"), "'one' or 'all'"),
        ({"choose": {"where": {"Modalit": "CT"}}}, ("choose", "where", "Modalit"), "did you mean Modality?"),
        ({"choose": {"where": {"any_series": {"Modality": "CT"}}}}, ("choose", "where", "any_series"), "allowed only"),
        ({"choose": {"only_images": {"image_count": 1}}}, ("choose", "only_images", "image_count"), "one image"),
        ({"choose": {"prefer": {"KVP": "smallest"}}}, ("choose", "prefer"), "is a list"),
        ({"choose": {"prefer": [{"KVP": "smalest"}]}}, ("choose", "prefer", 0, "KVP"), "did you mean smallest?"),
        ({"choose": {"prefer": [{"KVP": "newest"}]}}, ("choose", "prefer", 0, "KVP"), "does not suit KVP"),
        ({"choose": {"prefer": [{"KVPP": "smallest"}]}}, ("choose", "prefer", 0, "KVPP"), "did you mean KVP?"),
        ({"choose": {"prefer": [{"KVP": "smallest", "Exposure": "largest"}]}}, ("choose", "prefer", 0), "one line"),
    ],
    ids=str,
)
def test_a_mistake_in_a_rule(changed: dict[str, Any], place: tuple[str | int, ...], text: str) -> None:
    """The same for the keys around the conditions."""
    ((found, said),) = refused(**changed)
    assert (found, text in said) == (place, True), (found, said)


@pytest.mark.parametrize("key", ["mode", "when", "run", "choose"])
def test_a_missing_key_says_what_to_write(key: str) -> None:
    """What is required and absent is explained, at the key that is absent."""
    with pytest.raises(ValidationError) as caught:
        Rule.model_validate({name: value for name, value in GOOD.items() if name != key}, context=CONTEXT)
    ((place, said),) = [(problem.place, str(problem)) for problem in problems(caught.value)]
    assert place == (key,)
    assert said.startswith(f"{key} is missing: ")


def test_rules_nested_without_end_are_refused_and_not_followed() -> None:
    """YAML aliases can make a condition that contains itself, or one that doubles at each of many levels."""
    endless: dict[str, Any] = {}
    endless["not"] = endless
    doubling: dict[str, Any] = {"Modality": "CT"}
    for _ in range(30):
        doubling = {"all": [doubling, doubling]}
    for plain in (endless, doubling):
        assert "too large" in when(plain)[0][1]


def test_two_rules_of_one_name_are_refused() -> None:
    """A rule's name is part of the identity of its jobs."""
    with pytest.raises(ValidationError, match="two rules are called r"):
        RuleSet.model_validate({"rules": [GOOD, GOOD]}, context=CONTEXT)


def test_the_digest_names_the_content_and_not_the_way_it_is_written() -> None:
    """Order of keys and omitted defaults change nothing; a changed clause does; a dump loads as the same rules."""
    plain = {**GOOD, "when": {"StudyDate": {"after": date(2024, 3, 1)}, "Modality": "CT"}}
    rules = RuleSet.model_validate({"rules": [plain]}, context=CONTEXT)
    turned = {key: plain[key] for key in reversed(plain)}
    same = RuleSet.model_validate({"rules": [{**turned, "priority": "routine", "run": ["plugin"]}]}, context=CONTEXT)
    other = RuleSet.model_validate({"rules": [{**plain, "when": {"Modality": "MR"}}]}, context=CONTEXT)
    again = RuleSet.model_validate(json.loads(json.dumps(rules.model_dump(mode="json"))), context=CONTEXT)
    digests = [rule_set_digest(each.rules) for each in (rules, same, again, other)]
    assert digests[0] == digests[1] == digests[2] != digests[3]
    assert again == rules


def test_the_schema_is_json_and_its_references_lead_somewhere() -> None:
    """Editors get a schema without pydantic's or our placeholders."""
    schema = json_schema()
    text = json.dumps(schema)
    assert "x-pacsnode" not in text
    for reference in {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}:
        assert reference in schema["$defs"], reference
