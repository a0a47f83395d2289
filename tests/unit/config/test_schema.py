"""The schema for editors, held by a real validator against every example that the project shows."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from node.config import schema, source

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "config.example.yaml"
configuration, rules = cache(schema.configuration), cache(schema.rules)
"""Made by the first test that asks: every process that collects the tests imports this module."""
EXAMPLES = [
    (page.name, level, body)
    for page in (*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "plugins").glob("**/README.md")))
    for level, body in re.findall(r"^```yaml ?(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]


def read(text: str, tmp_path: Path) -> Any:
    path = tmp_path / "example.yaml"
    path.write_text(text)
    return source.read(path).value


def mistakes(value: Any, of: dict[str, Any]) -> list[str]:
    return [error.message[:300] for error in Draft7Validator(of).iter_errors(value)]


def part(definition: str) -> dict[str, Any]:
    """The schema of one definition."""
    return {"$ref": f"#/definitions/{definition}", "definitions": rules()["definitions"]}


@pytest.mark.parametrize("make", [configuration, rules], ids=["configuration", "rules"])
def test_it_is_a_schema_of_draft_7(make: Callable[[], dict[str, Any]]) -> None:
    """By the schema of schemas; and nothing stands beside a reference, where draft 7 would ignore it."""
    made = make()
    Draft7Validator.check_schema(made)
    assert made["$schema"] == "http://json-schema.org/draft-07/schema#"
    stack: list[Any] = [made]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            assert "$ref" not in each or len(each) == 1 or each is made, each
            assert "$defs" not in each
            stack += each.values()
        elif isinstance(each, list):
            stack += each


def test_the_example_configuration_fits_and_names_the_schema() -> None:
    """Its first line is what yaml-language-server looks for."""
    assert mistakes(source.read(EXAMPLE).value, configuration()) == []
    assert EXAMPLE.read_text().splitlines()[0] == "# yaml-language-server: $schema=pacsnode.schema.json"


@pytest.mark.parametrize(("page", "level", "text"), EXAMPLES)
def test_every_example_of_the_documentation_fits(page: str, level: str, text: str, tmp_path: Path) -> None:
    """Rule files, configurations, and conditions by their level."""
    plain = read(text, tmp_path)
    if "node" in plain or "plugins" in plain:
        plain = {"node": {"time_zone": "UTC"}} | plain  # as a part of a configuration
        of = configuration()
    elif "rules" in plain:
        of = rules()
    elif page == "rules.md":
        of = part("SeriesCondition" if level == "series" else "StudyCondition")
    else:
        pytest.skip(f"{page} shows something else here")
    assert mistakes(plain, of) == []


@pytest.mark.parametrize(
    "slip",
    [
        lambda c: c.update(nodes={}),
        lambda c: c["node"].pop("time_zone"),
        lambda c: c["node"]["listen"].update(port="many"),
        lambda c: c["destinations"]["pacs"].update(sr_class="simple"),
        lambda c: c["rules"][0].update(mode="pilt"),
        lambda c: c["rules"][0].update(wehn={}),
        lambda c: c["rules"][0]["when"].update(modality="CT"),
        lambda c: c["rules"][0]["when"].update(any={"Modality": "CT"}),
        lambda c: c["rules"][0]["when"].update(Modality={"iss": "CT"}),
        lambda c: c["rules"][0]["choose"]["where"].update(any_series={"Modality": "CT"}),
        lambda c: c["tests"][0].update(expect={"x": "perhaps"}),
    ],
)
def test_a_slip_is_seen_while_typing(slip: Any) -> None:
    """Unknown keys, values of the wrong kind, words that are none of the enumerated."""
    value = copy.deepcopy(source.read(EXAMPLE).value)
    slip(value)
    assert mistakes(value, configuration()) != []


def test_keywords_facts_and_values_are_offered_with_descriptions() -> None:
    """Completions of an editor come from properties and enums."""
    attributes = rules()["definitions"]["Attributes"]["properties"]
    assert len(attributes) > 3000
    assert attributes["SliceThickness"]["description"] == "Slice Thickness (0018,0050), DS"
    assert "CT" in attributes["Modality"]["anyOf"][0]["enum"]
    assert attributes["image_count"]["description"]
    assert "PixelData" not in attributes
    rule = rules()["definitions"]["Rule"]["properties"]
    assert rule["mode"]["enum"] == ["shadow", "pilot", "clinical"]
    assert all(rule[key].get("description") for key in ("name", "when", "choose", "run", "send", "mode", "priority"))
    quiet = configuration()["definitions"]["Completion"]["properties"]["quiet"]
    assert quiet["default"] == "1m"


@pytest.mark.parametrize("make", [configuration, rules], ids=["configuration", "rules"])
def test_every_key_says_what_it_is(make: Callable[[], dict[str, Any]]) -> None:
    """Wherever a key may stand, an editor that asks gets a description."""
    made = make()
    silent = []
    stack: list[tuple[str, Any]] = [("", made)]
    while stack:
        place, each = stack.pop()
        if isinstance(each, dict):
            keys = each.get("properties", {})
            silent += [f"{place}/{key}" for key, of in keys.items() if not of.get("description")]
            stack += [(f"{place}/{key}", value) for key, value in each.items()]
        elif isinstance(each, list):
            stack += [(place, value) for value in each]
    assert silent == []


@pytest.mark.parametrize("key", ["(0018,9999)", "(0029,SIEMENS CSA HEADER,08)", "AnatomicRegionSequence.CodeValue"])
def test_what_has_no_keyword_fits(key: str) -> None:
    """Tags, private attributes, paths."""
    assert mistakes({key: {"is": "x"}}, part("StudyCondition")) == []
    assert mistakes({"any_image": {key: 1}}, part("StudyCondition")) == []
