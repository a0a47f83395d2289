"""Parts of a rule with a language of their own, conditions and preferences: as written, and as read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import JsonValue, PlainSerializer, PlainValidator, ValidationInfo

from rules import reading, schema
from rules.choose import preference
from rules.names import Dictionary
from rules.reading import Level, RuleProblem
from rules.section import raise_problems

DICTIONARY = "dictionary"
"""Key of the `rules.names.Dictionary` in pydantic's validation context."""


def _dictionary(info: ValidationInfo) -> Dictionary | None:
    return (info.context or {}).get(DICTIONARY)


class WrittenPart:
    """A part of a rule with a language of its own: as it was written, and as it was read."""

    __slots__ = ("plain", "read")

    def __init__(self, plain: object, read: Any) -> None:
        self.plain = _jsonable(plain)
        self.read = read

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WrittenPart) and self.plain == other.plain

    def __hash__(self) -> int:
        return hash(json.dumps(self.plain, sort_keys=True))

    def __repr__(self) -> str:
        return reading.shown(self.plain)


def _jsonable(plain: object) -> JsonValue:
    if isinstance(plain, Mapping):
        return {str(key): _jsonable(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_jsonable(value) for value in plain]
    if isinstance(plain, str | int | float | bool) or plain is None:
        return plain
    return plain.isoformat() if isinstance(plain, date) else str(plain)


def _condition(level: Level) -> Callable[[Any, ValidationInfo], WrittenPart]:
    def read(plain: Any, info: ValidationInfo) -> WrittenPart:
        if isinstance(plain, WrittenPart):
            return plain
        condition, problems = reading.condition(plain, level, _dictionary(info))
        raise_problems(problems, plain)
        return WrittenPart(plain, condition)

    return read


def _preferences(plain: Any, info: ValidationInfo) -> WrittenPart:
    if isinstance(plain, WrittenPart):
        return plain
    if not isinstance(plain, list | tuple):
        raise_problems([RuleProblem((), "prefer is a list, most important first, one to a line after a dash")], plain)
    read = [preference(each, _dictionary(info)) for each in plain]
    raise_problems(
        (
            RuleProblem((index, *problem.place), problem.message, problem.suggestion)
            for index, (_, problems) in enumerate(read)
            for problem in problems
        ),
        plain,
    )
    return WrittenPart(plain, tuple(each for each, _ in read))


def _as_written(value: WrittenPart) -> JsonValue:
    return value.plain


def _language(read: Callable[[Any, ValidationInfo], WrittenPart], definition: str) -> Any:
    return (
        PlainValidator(read, json_schema_input_type=Annotated[Any, schema.marker(definition)]),
        PlainSerializer(_as_written),
    )


StudyCondition = Annotated[WrittenPart, *_language(_condition("study"), "StudyCondition")]
SeriesCondition = Annotated[WrittenPart, *_language(_condition("series"), "SeriesCondition")]
ImageCondition = Annotated[WrittenPart, *_language(_condition("image"), "ImageCondition")]
Preferences = Annotated[WrittenPart, *_language(_preferences, "Preferences")]
