"""A part of a rule as a frozen pydantic model, and what is wrong with one, told for people with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from rules import reading
from rules.reading import RuleProblem

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
M = TypeVar("M", bound="RuleSection")


def raise_problems(problems: Iterable[RuleProblem], given: object) -> None:
    """Refuse `given` for all of these; nothing where there are none."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError(
                "rule", "{message}", {"message": str(problem), "suggestion": problem.suggestion or ""}
            ),
            loc=problem.place,
            input=given,
        )
        for problem in problems
    ]
    if details:
        raise ValidationError.from_exception_data("rule", details)


def one_or_many(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Let one stand without a list, and let its errors point where it stands."""
    if isinstance(value, list | tuple):
        return handler(value)
    try:
        return handler([value])
    except ValidationError as error:
        raise_problems((replace(problem, place=problem.place[1:]) for problem in problems(error)), value)


class RuleSection(BaseModel):
    """Frozen; an unknown key is refused, with the key that was probably meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @model_validator(mode="wrap")
    @classmethod
    def _known_keys(cls: type[M], data: Any, handler: ModelWrapValidatorHandler[M]) -> M:
        try:
            return handler(data)
        except ValidationError as error:
            raise_problems([_explained(each, cls.model_fields) for each in error.errors(include_url=False)], data)
            raise


def _explained(error: Any, fields: Iterable[str]) -> RuleProblem:
    place, kind = error["loc"], error["type"]
    if len(place) == 1 and kind == "extra_forbidden":
        return RuleProblem(
            place,
            f"there is no {place[0]!r} here: it takes {', '.join(fields)}",
            reading.closest(str(place[0]), fields),
        )
    if len(place) == 1 and kind == "missing":
        return RuleProblem(place, _MISSING.get(place[0], f"{place[0]} is missing"))
    context = error.get("ctx", {})
    if kind == "rule":
        return RuleProblem(
            place,
            context["message"].removesuffix(f"; did you mean {context['suggestion']}?"),
            context["suggestion"] or None,
        )
    if kind == "literal_error":
        meant = reading.closest(str(error["input"]), re.findall("'([^']+)'", context["expected"]))
        return RuleProblem(place, f"{error['input']!r} is none of {context['expected']}", meant)
    if kind == "string_pattern_mismatch":
        return RuleProblem(
            place,
            f"{error['input']!r} is not a name: up to 63 letters, digits, '-', '_', '.'; a letter or digit first",
        )
    if kind in ("model_type", "model_attributes_type"):
        return RuleProblem(place, f"keys and values are expected here: {', '.join(fields)}")
    if kind in _EXPECTED:
        return RuleProblem(place, f"{_EXPECTED[kind]} is expected here, this is {reading.shown(error['input'])}")
    return RuleProblem(place, error["msg"].removeprefix("Value error, "))


_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list, as in [one, two],",
    "list_type": "a list, as in [one, two],",
    "dict_type": "a section of key: value",
}


_MISSING = {
    "mode": "mode is missing: shadow (results are kept here), pilot (sent, marked as a pilot) or clinical",
    "when": "when is missing: the condition on the study, as in `when: {Modality: CT}`",
}


def problems(error: ValidationError) -> list[RuleProblem]:
    """What a validation found wrong, with the place of each as a path of keys and indices."""
    return [_explained(each, ()) for each in error.errors(include_url=False)]
