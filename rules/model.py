"""The YAML form of rules as frozen pydantic models; a rule that loads can be decided on any facts.

Load with the DICOM dictionary in the validation context, `Rule.model_validate(plain, context={DICTIONARY:
dictionary})`: without it, keywords and value representations are not checked. Each error's `loc` is the
path to the offending key or value as it stands in the YAML; `problems()` reads errors for people.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from rules import reading, schema
from rules.choose import Wish, preference
from rules.conditions import Condition
from rules.names import Dictionary
from rules.reading import Level, Problem

DICTIONARY = "dictionary"
"""Key of the `rules.names.Dictionary` in pydantic's validation context."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
M = TypeVar("M", bound="_Section")


def _raise(problems: Iterable[Problem], given: object) -> None:
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


def _dictionary(info: ValidationInfo) -> Dictionary | None:
    return (info.context or {}).get(DICTIONARY)


class Written:
    """A part of a rule with a language of its own: as it was written, and as it was read."""

    __slots__ = ("plain", "read")

    def __init__(self, plain: object, read: Any) -> None:
        self.plain = _jsonable(plain)
        self.read = read

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Written) and self.plain == other.plain

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


def _condition(level: Level) -> Callable[[Any, ValidationInfo], Written]:
    def read(plain: Any, info: ValidationInfo) -> Written:
        if isinstance(plain, Written):
            return plain
        condition, problems = reading.condition(plain, level, _dictionary(info))
        _raise(problems, plain)
        return Written(plain, condition)

    return read


def _preferences(plain: Any, info: ValidationInfo) -> Written:
    if isinstance(plain, Written):
        return plain
    if not isinstance(plain, list | tuple):
        _raise([Problem((), "prefer is a list, most important first, one to a line after a dash")], plain)
    read = [preference(each, _dictionary(info)) for each in plain]
    _raise(
        (
            Problem((index, *problem.place), problem.message, problem.suggestion)
            for index, (_, problems) in enumerate(read)
            for problem in problems
        ),
        plain,
    )
    return Written(plain, tuple(each for each, _ in read))


def _as_written(value: Written) -> JsonValue:
    return value.plain


def _language(read: Callable[[Any, ValidationInfo], Written], definition: str) -> Any:
    return (
        PlainValidator(read, json_schema_input_type=Annotated[Any, schema.marker(definition)]),
        PlainSerializer(_as_written),
    )


StudyCondition = Annotated[Written, *_language(_condition("study"), "StudyCondition")]
SeriesCondition = Annotated[Written, *_language(_condition("series"), "SeriesCondition")]
ImageCondition = Annotated[Written, *_language(_condition("image"), "ImageCondition")]
Preferences = Annotated[Written, *_language(_preferences, "Preferences")]


def _one_or_many(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Let one stand without a list, and let its errors point where it stands."""
    if isinstance(value, list | tuple):
        return handler(value)
    try:
        return handler([value])
    except ValidationError as error:
        _raise((replace(problem, place=problem.place[1:]) for problem in problems(error)), value)


class _Section(BaseModel):
    """Frozen; an unknown key is refused, with the key that was probably meant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _known_keys(cls: type[M], data: Any, handler: ModelWrapValidatorHandler[M]) -> M:
        try:
            return handler(data)
        except ValidationError as error:
            _raise([_explained(each, cls.model_fields) for each in error.errors(include_url=False)], data)
            raise


def _explained(error: Any, fields: Iterable[str]) -> Problem:
    place, kind = error["loc"], error["type"]
    if len(place) == 1 and kind == "extra_forbidden":
        return Problem(
            place,
            f"there is no {place[0]!r} here: it takes {', '.join(fields)}",
            reading.closest(str(place[0]), fields),
        )
    if len(place) == 1 and kind == "missing":
        return Problem(place, _MISSING.get(place[0], f"{place[0]} is missing"))
    context = error.get("ctx", {})
    if kind == "rule":
        return Problem(
            place,
            context["message"].removesuffix(f"; did you mean {context['suggestion']}?"),
            context["suggestion"] or None,
        )
    if kind == "literal_error":
        meant = reading.closest(str(error["input"]), re.findall("'([^']+)'", context["expected"]))
        return Problem(place, f"{error['input']!r} is none of {context['expected']}", meant)
    if kind == "string_pattern_mismatch":
        return Problem(
            place, f"{error['input']!r} is no name: up to 63 letters, digits, '-', '_' and '.', a letter or digit first"
        )
    if kind in ("model_type", "model_attributes_type"):
        return Problem(place, f"keys and values are expected here: {', '.join(fields)}")
    return Problem(place, error["msg"].removeprefix("Value error, "))


_MISSING = {
    "mode": "mode is missing: shadow (results are kept here), pilot (sent, marked as a pilot) or clinical",
    "when": "when is missing: the condition on the study, as in `when: {Modality: CT}`",
    "run": "run is missing: the plugin to run",
    "choose": "choose is missing: which series the plugin is given, as in `choose: {where: {Modality: CT}}`",
}


class Step(_Section):
    """One plugin to run on the chosen series."""

    plugin: Name
    parameters: dict[str, JsonValue] = {}
    step: Name | None = None
    """Its name within the rule; the plugin's where it is not given."""

    @model_validator(mode="before")
    @classmethod
    def _plugin_alone(cls, data: Any) -> Any:
        return {"plugin": data} if isinstance(data, str) else data

    @field_validator("parameters")
    @classmethod
    def _finite(cls, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if not _all_finite(parameters):
            raise ValueError("a parameter is not a finite number")
        return parameters

    @property
    def name(self) -> str:
        """Name of the step."""
        return self.step or self.plugin


def _all_finite(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_all_finite(each) for each in value.values())
    if isinstance(value, list):
        return all(_all_finite(each) for each in value)
    return not isinstance(value, float) or math.isfinite(value)


class Choose(_Section):
    """Which series the plugin is given; with a `role`, under a name that it knows them by."""

    role: Name | None = None
    only_images: ImageCondition | None = None
    """Drops the images of each series that do not satisfy it, before `where` is asked."""
    where: SeriesCondition | None = None
    prefer: Preferences | None = None
    take: Literal["one", "all"] = "one"

    @property
    def wish(self) -> Wish:
        """What the engine needs of it."""
        only, where = (each.read if each else None for each in (self.only_images, self.where))
        return Wish(self.role or "", only, where, self.prefer.read if self.prefer else (), self.take)


class Rule(_Section):
    """One rule: when a study is like this, choose these series, run that, send the results there."""

    name: Name
    description: str = ""
    enabled: bool = True
    when: StudyCondition
    choose: Annotated[tuple[Choose, ...], WrapValidator(_one_or_many, json_schema_input_type=Choose | list[Choose])]
    run: Annotated[tuple[Step, ...], WrapValidator(_one_or_many, json_schema_input_type=str | Step | list[str | Step])]
    send: Annotated[tuple[Name, ...], WrapValidator(_one_or_many, json_schema_input_type=str | list[str])] = ()
    """Names of destinations."""
    mode: Literal["shadow", "pilot", "clinical"]
    priority: Literal["routine", "high", "urgent"] = "routine"
    on_correction: Literal["hold", "take_newest"] = "hold"

    @field_validator("choose")
    @classmethod
    def _roles(cls, chosen: tuple[Choose, ...]) -> tuple[Choose, ...]:
        roles = [each.role for each in chosen]
        if not chosen:
            raise ValueError("an empty list chooses nothing")
        if len(chosen) > 1 and None in roles:
            raise ValueError("where several are chosen, each needs its role")
        if len(set(roles)) < len(roles):
            raise ValueError("a role is named twice")
        return chosen

    @field_validator("run")
    @classmethod
    def _steps(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        names = [step.name for step in steps]
        if not steps:
            raise ValueError("an empty list runs nothing")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two steps are called {twice[0]}: name them, as in {{plugin: {twice[0]}, step: first}}")
        return steps

    @field_validator("send")
    @classmethod
    def _once(cls, send: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(send)) < len(send):
            raise ValueError("a destination is named twice")
        return send

    @model_validator(mode="after")
    def _seen(self) -> Rule:
        if self.mode != "shadow" and not self.send:
            raise ValueError(
                f"send is missing: results of mode {self.mode} are for somebody; those of mode shadow stay here"
            )
        return self

    @property
    def condition(self) -> Condition:
        """What `when` asks."""
        return self.when.read  # type: ignore[no-any-return]  # Written holds what its reader made

    @cached_property
    def wishes(self) -> tuple[Wish, ...]:
        """What `choose` asks, in order."""
        return tuple(each.wish for each in self.choose)


class RuleSet(_Section):
    """A file of rules."""

    rules: tuple[Rule, ...]

    @field_validator("rules")
    @classmethod
    def _names(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [rule.name for rule in rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two rules are called {twice[0]}")
        return rules


def problems(error: ValidationError) -> list[Problem]:
    """What a validation found wrong, with the place of each as a path of keys and indices."""
    return [_explained(each, ()) for each in error.errors(include_url=False)]


def rule_set_digest(rules: Sequence[Rule]) -> str:
    """SHA-256 of the canonical JSON of the rules, hexadecimal: equal rule sets have equal digests."""
    plain = [rule.model_dump(mode="json") for rule in rules]
    canonical = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def json_schema() -> dict[str, Any]:
    """JSON Schema of a file of rules, for editors."""
    return schema.complete(RuleSet.model_json_schema(mode="validation"))
