"""Tests beside rules: given this study, that is expected of those rules.

A study is written in few lines (`rules.given`). `rules.example_runs` runs the tests.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, field_validator

from rules.model import RuleSet
from rules.section import Name, RuleSection, raise_problems
from rules.written import DICTIONARY, WrittenPart


def _read(plain: Any, info: ValidationInfo) -> WrittenPart:
    if isinstance(plain, WrittenPart):
        return plain
    from rules import given  # what reads studies takes a while, and few sites have tests

    facts, problems = given.read(plain, (info.context or {}).get(DICTIONARY))
    raise_problems(problems, plain)
    return WrittenPart(plain, facts)


Given = Annotated[
    WrittenPart,
    PlainValidator(_read, json_schema_input_type=dict[str, Any] | str),
    PlainSerializer(lambda value: value.plain),
]


class Expectation(RuleSection):
    """What a rule is expected to do where it matches."""

    series: int | list[int] | dict[Name, int | list[int]] | None = None
    """SeriesNumber of the series that are chosen; where the rule has roles, role by role."""
    run: list[Name] | None = None
    """The steps that are run."""


class Example(RuleSection):
    """One test: a study, and what is expected of rules."""

    sample: Literal["in", "out"] = "in"
    """Whether a rule with a `sample` has drawn the study: no test depends on the draw."""

    name: str
    """What the test shows."""
    given: Given
    """The study: attributes of all images, then its `series`; or the name of a file that holds this."""
    expect: dict[Name, Literal["match", "no match"] | Expectation]
    """Rule → `match`, `no match`, or which series it chooses and what it runs."""

    @field_validator("expect")
    @classmethod
    def _something(cls, expect: dict[str, Any]) -> dict[str, Any]:
        if not expect:
            raise ValueError("expect is empty: say of at least one rule what it does, as in {my-rule: match}")
        return expect


class RuleFile(RuleSet):
    """A file of rules, with their tests."""

    tests: tuple[Example, ...] = ()
    """What is expected of the rules; they do not go live where a test fails."""
