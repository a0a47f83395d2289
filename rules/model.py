"""The YAML form of rules as frozen pydantic models; a rule that loads can be decided on any facts.

Load with the DICOM dictionary in the validation context, `Rule.model_validate(plain, context={DICTIONARY:
dictionary})`: without it, keywords and value representations are not checked. Each error's `loc` is the
path to the offending key or value as it is in the YAML; `rules.section.problems()` reads errors for people.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    PlainValidator,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from rules import schema
from rules.actions import OF_RESULTS, Expires, Forward, Names, Notice, Prior, Wait
from rules.choose import Wish
from rules.conditions import Condition
from rules.limits import Once, RunLimits, Sample
from rules.operators import wildcard
from rules.reading import RuleProblem, closest
from rules.results import WORKED, ResultCondition, Status
from rules.section import Name, RuleSection, one_or_many, raise_problems
from rules.timing import Hours, read_duration, write_duration
from rules.written import DICTIONARY as DICTIONARY
from rules.written import ImageCondition, Preferences, SeriesCondition, StudyCondition

_GROWING = "every "


def _none_is_empty(value: Any) -> Any:
    """Rules that were kept by earlier releases say null where they notify nobody."""
    return () if value is None else value


class Step(RuleSection):
    """One plugin to run on the chosen series."""

    plugin: Name
    """Name of the plugin."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """Overrides of the plugin's parameters, as its plugin.toml lists them."""
    identity: Literal["pseudonym", "full"] | None = None
    """What the plugin learns of who the patient is; what its plugin.toml says where it is not given."""
    step: Name | None = None
    """Its name within the rule; the plugin's where it is not given."""
    after: Name | None = None
    """The step that it comes after, on the same images; at once where it names none."""
    when_result: ResultCondition | None = None
    """What that step's result must be like."""
    inputs: dict[Name, Name] = Field(default_factory=dict)
    """Results of steps above it that the plugin gets, each under a name that it knows: `{mask: lungs}`."""

    @model_validator(mode="before")
    @classmethod
    def _plugin_alone(cls, data: Any) -> Any:
        return {"plugin": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _after(self) -> Step:
        if self.when_result and not self.judged:
            raise ValueError("when_result asks for the result of a step: name it, as in `after: bleed`")
        taken = self.inputs.values()
        if self.when_result and self.judged in taken and (none := sorted({*self.when_result.status} - {*WORKED})):
            raise ValueError(f"it takes the result of {self.judged}, and one that is {none[0]} has nothing to take")
        return self

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

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps whose results it waits for; none where it runs at once."""
        return tuple(dict.fromkeys([*([self.after] if self.after else []), *self.inputs.values()]))

    @property
    def judged(self) -> str:
        """The step whose result `when_result` is about: the one it comes after, else the only one it takes."""
        return self.after or (self.needs[0] if len(self.needs) == 1 else "")


def _all_finite(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_all_finite(each) for each in value.values())
    if isinstance(value, list):
        return all(_all_finite(each) for each in value)
    return not isinstance(value, float) or math.isfinite(value)


class Choose(RuleSection):
    """Which series the plugin is given; with a `role`, under a name that it knows them by."""

    role: Name | None = None
    """The name under which the plugin knows the series."""
    images: Literal["original", "any"] = "original"
    """original: derived images, secondary captures and what an AI made are left out. any: all images."""
    only_images: ImageCondition | None = None
    """Drops the images of each series that do not satisfy it, before `where` is asked."""
    where: SeriesCondition | None = None
    """A condition on the series: it has to hold for every image."""
    prefer: Preferences | None = None
    """Which of several series is best, most important first."""
    take: Literal["one", "all"] = "one"
    """one: the best series. all: every series that is left."""

    @property
    def wish(self) -> Wish:
        """What the engine needs of it."""
        only, where = (each.read if each else None for each in (self.only_images, self.where))
        return Wish(self.role or "", only, where, self.prefer.read if self.prefer else (), self.take, self.images)


def _read_decide(plain: Any) -> str:
    if plain in ("complete", "series complete"):
        return str(plain)
    try:
        if not str(plain).startswith(_GROWING):
            raise ValueError
        return _GROWING + write_duration(read_duration(str(plain).removeprefix(_GROWING)))
    except ValueError as problem:
        raise ValueError(f"{plain!r}: write complete, series complete, or as in `every 5 minutes`") from problem


Decide = Annotated[str, PlainValidator(_read_decide, json_schema_input_type=str)]


class Vendor(RuleSection):
    """A maker of AI results, told by who sends them or by their Manufacturer."""

    ae_title: str | None = None
    """Its calling AE title."""
    manufacturer: str | None = None
    """Manufacturer of its objects; * stands for anything."""

    @model_validator(mode="after")
    def _something(self) -> Vendor:
        if not (self.ae_title or self.manufacturer):
            raise ValueError("write ae_title, manufacturer, or both: an object is the vendor's where all of it holds")
        return self

    def made(self, manufacturer: str, calling_ae_title: str) -> bool:
        """Whether an object of this Manufacturer, sent by this title, is the vendor's."""
        sent = self.ae_title is None or self.ae_title.strip() == calling_ae_title.strip()
        return sent and (self.manufacturer is None or wildcard(self.manufacturer)(manufacturer))


class IgnoredStudies(RuleSection):
    """Studies that no rule of the site is asked about."""

    name: Name
    """How decisions call it."""
    when: StudyCondition
    """A condition on the study, as in a rule."""


class Rule(RuleSection):
    """One rule: when a study is like this, choose these series, run that, send the results there."""

    name: Name
    """How it is called in decisions, logs and results: letters, digits, - _ and ."""
    description: str = ""
    """For people; radiologists read it as what was asked of the plugin."""
    enabled: bool = True
    """false keeps the rule and decides nothing by it."""
    when: StudyCondition
    """A condition on the study: a clause holds where any image has such a value."""
    wait: Wait | None = None
    """Holds a match back until more of the study is there."""
    decide: Decide = "complete"
    """When the rule is asked: `complete`, `series complete`, or `every 5 minutes` while the study grows."""
    once: Once = "revision"
    """Runs once on the same images of a study, whatever comes later; `study`: once; `series`: once on each series."""
    sample: Sample | None = None
    """Only a share of the studies, drawn by their UIDs: `20 %`."""
    limits: RunLimits | None = None
    """How many studies it may run on."""
    hours: Hours | None = None
    """When its jobs may start."""
    choose: Annotated[tuple[Choose, ...], WrapValidator(one_or_many, json_schema_input_type=Choose | list[Choose])] = ()
    """Which series the plugin is given: one choice, or a list of choices, each with its role."""
    prior: Prior | None = None
    """An earlier study that is fetched and handed to the plugin."""
    run: Annotated[
        tuple[Step, ...], WrapValidator(one_or_many, json_schema_input_type=str | Step | list[str | Step])
    ] = ()
    """The plugin to run, or a list of them."""
    forward: Forward | None = None
    """Sends the study's images on."""
    notify: Annotated[
        tuple[Notice, ...],
        WrapValidator(one_or_many, json_schema_input_type=Notice | list[Notice]),
        BeforeValidator(_none_is_empty),
    ] = ()
    """Tells people: of a match, of findings, of a failure, of what was not analysed, or of what is late."""
    send: Names = ()
    """Names of destinations."""
    send_when: Annotated[tuple[Status, ...], WrapValidator(one_or_many, json_schema_input_type=str | list[str])] = ()
    """Results with these statuses are sent; all where none is named."""
    expires: Expires | None = None
    """What becomes of results that come too late."""
    mode: Literal["shadow", "pilot", "clinical"]
    """shadow: for evaluation only. pilot: for readers, marked as such. clinical: marked as AI only."""
    otherwise: bool = False
    """true: it is for studies that no other rule takes."""
    ignore: Annotated[tuple[IgnoredStudies, ...], SkipJsonSchema()] = ()
    """What the site ignores: said once beside the rules, and put into each of them so that decisions keep it."""
    vendors: Annotated[tuple[Vendor, ...], SkipJsonSchema()] = ()
    """Makers of AI results that the site names: put into each rule, too."""
    priority: Literal["routine", "high", "urgent"] = "routine"
    """Which job comes first where several wait."""
    on_correction: Literal["hold", "take_newest"] = "hold"
    """What happens to results when a technologist corrects the study."""

    @field_validator("choose")
    @classmethod
    def _roles(cls, chosen: tuple[Choose, ...]) -> tuple[Choose, ...]:
        roles = [each.role for each in chosen]
        if len(chosen) > 1 and None in roles:
            raise ValueError("where several are chosen, each needs its role")
        if len(set(roles)) < len(roles):
            raise ValueError("a role is named twice")
        return chosen

    @field_validator("run")
    @classmethod
    def _steps(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        names = [step.name for step in steps]
        for place, step in enumerate(steps):
            if step.after and step.after not in names[:place]:
                raise ValueError(f"{step.name} comes after {step.after}, which is not a step above it")
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
    def _whole(self) -> Rule:
        raise_problems(self._gaps(), self.name)
        return self

    def _gaps(self) -> Iterator[RuleProblem]:
        if self.otherwise and self.decide != "complete":
            yield RuleProblem(
                ("otherwise",), "before the study is complete nobody knows which rules take it: leave out decide"
            )
        if self.otherwise and self.wait:
            yield RuleProblem(("otherwise",), "a rule for what no other rule takes does not wait: leave out wait")
        if not (self.run or self.forward or self.notify):
            yield RuleProblem(("run",), "run is missing: the plugin to run; or forward, or notify")
        elif self.run and not self.choose:
            example = "as in `choose: {where: {Modality: CT}}`"
            yield RuleProblem(("choose",), f"choose is missing: which series the plugin is given, {example}")
        elif not self.run and (self.choose or self.send):
            yield RuleProblem(("choose" if self.choose else "send",), "there is no plugin to run: this says nothing")
        yield from self._unknown_inputs()
        yield from self._idle_notices()
        if self.run and self.mode != "shadow" and not self.send:
            yield RuleProblem(
                ("send",),
                f"send is missing: results of mode {self.mode} are for somebody; those of mode shadow stay here",
            )
        if self.prior and not self.run:
            yield RuleProblem(("prior",), "there is no plugin to run: nobody is handed the earlier study")
        elif self.prior and self.prior.role in {each.role for each in self.choose}:
            yield RuleProblem(("prior", "role"), f"the role {self.prior.role} is that of a choice: give another one")
        if self.once == "series" and (len(self.choose) != 1 or self.prior):
            yield RuleProblem(
                ("once",), "once: series runs on each series by itself, so there is one choice and no prior"
            )

    def _unknown_inputs(self) -> Iterator[RuleProblem]:
        """Results that a step takes of what is not a step above it."""
        names = [step.name for step in self.run]
        for index, step in enumerate(self.run):
            for name, taken in step.inputs.items():
                if taken not in names[:index]:
                    place = ("run", index, "inputs", name) if len(names) > 1 else ("run", "inputs", name)
                    problem = f"{step.name} takes the result of {taken}, which is not a step above it"
                    yield RuleProblem(place, problem, closest(taken, names[:index]))

    def _idle_notices(self) -> Iterator[RuleProblem]:
        """Occasions that this rule never has."""
        for index, notice in enumerate(self.notify):
            place = ("notify", index, "on") if len(self.notify) > 1 else ("notify", "on")
            of_results = sorted(OF_RESULTS.intersection(notice.on))
            if of_results and not self.run:
                yield RuleProblem(place, f"there is no plugin to run: nobody would be notified of {of_results[0]}")
            elif "late" in notice.on and self.expires is None:
                yield RuleProblem(place, "late: say when a result is late, as in `expires: {after: 2h, then: send}`")

    @property
    def condition(self) -> Condition:
        """What `when` asks."""
        return self.when.read  # type: ignore[no-any-return]  # Written holds what its reader made

    @property
    def growing(self) -> timedelta | None:
        """How often the rule is asked while the study grows; None where it waits until it is complete."""
        every = self.decide.startswith(_GROWING)
        return read_duration(self.decide.removeprefix(_GROWING)) if every else None

    @cached_property
    def wishes(self) -> tuple[Wish, ...]:
        """What `choose` asks, in order."""
        return tuple(each.wish for each in self.choose)


class RuleSet(RuleSection):
    """A file of rules."""

    ignore: tuple[IgnoredStudies, ...] = ()
    """Studies that no rule of the site is asked about: outside images, research, phantoms."""
    vendors: tuple[Vendor, ...] = ()
    """Makers of AI results whose objects do not say that a program made them."""
    rules: tuple[Rule, ...]
    """The rules."""

    @field_validator("rules")
    @classmethod
    def _names(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = Counter(rule.name for rule in rules)
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"two rules are called {twice[0]}")
        return rules


def of_site(rules: Sequence[Rule], ignored: Sequence[IgnoredStudies], vendors: Sequence[Vendor]) -> tuple[Rule, ...]:
    """The rules with what the site says for all of them put into each."""
    said = {"ignore": tuple(ignored), "vendors": tuple(vendors)}
    return tuple(rule.model_copy(update=said) for rule in rules) if ignored or vendors else tuple(rules)


def rule_set_digest(rules: Sequence[Rule]) -> str:
    """SHA-256 of the canonical JSON of the rules, hexadecimal: equal rule sets have equal digests."""
    plain = [rule.model_dump(mode="json") for rule in rules]
    canonical = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def json_schema() -> dict[str, Any]:
    """JSON Schema of a file of rules, for editors."""
    return schema.complete(RuleSet.model_json_schema(mode="validation"))
