"""What a rule can ask for beside running plugins: forward, notify, fetch a prior, wait, and let results expire.

The engine decides on all of it; which of it the node can carry out is the node's to say, and it
refuses rules that ask for more (`node.config.abilities`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, WrapValidator, field_validator, model_validator

from rules import values
from rules.results import FindingCondition
from rules.section import Name, RuleSection, one_or_many
from rules.timing import Duration
from rules.written import StudyCondition

Names = Annotated[tuple[Name, ...], WrapValidator(one_or_many, json_schema_input_type=str | list[str])]


class Forward(RuleSection):
    """Send the study's images on; no byte of a dataset is changed but what `coerce` names."""

    to: Names
    """Destinations."""
    coerce: dict[str, JsonValue] = Field(default_factory=dict)
    """Attributes to overwrite, by keyword; null empties. The original goes into Original Attributes Sequence."""

    @field_validator("to")
    @classmethod
    def _some(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        if not to:
            raise ValueError("an empty list forwards to nobody")
        return to


class Notify(RuleSection):
    """Tell a person."""

    whom: Names
    """Names of people or places that are notified."""
    text: str = ""
    """What the notification says."""


Occasion = Literal["match", "findings", "failure", "not_analysed", "late"]
OF_RESULTS: frozenset[Occasion] = frozenset({"findings", "failure", "not_analysed", "late"})
"""Occasions that only a rule has which runs a plugin."""


class Notice(Notify):
    """Tell people on some occasions, and others if nobody acknowledges it."""

    on: Annotated[
        tuple[Occasion, ...], WrapValidator(one_or_many, json_schema_input_type=Occasion | list[Occasion])
    ] = ("match",)
    """match: the rule has matched. findings: the result has findings. failure: there is no result, or none that can be
    reported. not_analysed: nothing fits the plugin. late: the result has not come when the rule lets it expire."""
    finding: FindingCondition | None = None
    """What one finding must be like, with `on: findings`; any finding where it is absent."""
    acknowledge: Duration | None = None
    """How soon somebody has to acknowledge it (`pacsnode ack`), as in `10m`."""
    then: Names = ()
    """Who is notified if nobody does: one after the other, each after the same time again."""

    @model_validator(mode="after")
    def _agreed(self) -> Notice:
        if not self.on:
            raise ValueError("an empty list of occasions notifies nobody: leave out on, or name one")
        if self.finding and "findings" not in self.on:
            raise ValueError("finding says which findings are meant: write on: findings")
        if (self.acknowledge is None) is bool(self.then):
            raise ValueError("acknowledge and then go together, as in {acknowledge: 10m, then: [second, third]}")
        if twice := [each for each in self.then if each in self.whom or self.then.count(each) > 1]:
            raise ValueError(f"{twice[0]} is notified already: then names others")
        return self


def _span(written: str) -> str:
    if values.duration(written) is None:
        raise ValueError(f"{written!r} is not a span of time: write it as in `2 years`, `6 months`, `30 days`")
    return written


MOST_EARLIER = 60
"""Each is copied for the job: what a plugin reads in a minute, and two months of daily scans."""


class Prior(RuleSection):
    """An earlier study to be fetched from an archive and handed to the plugin under a role."""

    role: Name = "prior"
    """The name under which the plugin knows it."""
    source: Name
    """The destination that is asked for it."""
    same: tuple[Literal["Modality", "BodyPartExamined", "StudyDescription"], ...] = ("Modality",)
    """What it must have in common with the study."""
    description: Annotated[tuple[str, ...], WrapValidator(one_or_many, json_schema_input_type=str | list[str])] = ()
    """Study descriptions that will do, with wildcards; any where none is named."""
    within: Annotated[str, AfterValidator(_span)]
    """How much older than the study it may be: `2 years`, `6 months`."""
    count: int = Field(1, ge=1, le=MOST_EARLIER)
    """How many earlier studies: the newest is fetched, the others are those that the node still has."""
    missing: Literal["run", "skip"] = "run"
    """Whether to run without it where there is none."""


class Wait(RuleSection):
    """Hold a match back until more of the study is there, and what to do if that does not come in time."""

    until: StudyCondition
    """A condition on the study, as in `when`."""
    at_most: Duration
    """CountCondition from when `when` first held for the study."""
    otherwise: Literal["run", "notify", "nothing"] = "nothing"
    """What is done if it does not hold in time."""
    notify: Notify | None = None
    """Who is notified, with `otherwise: notify`."""

    @model_validator(mode="after")
    def _whom(self) -> Wait:
        if (self.otherwise == "notify") is not bool(self.notify):
            raise ValueError("otherwise: notify and notify: {whom: …} go together")
        return self


class Expires(RuleSection):
    """A result that comes later than this after the images were complete."""

    after: Duration
    """How long after the images were complete."""
    then: Literal["send", "notify", "withhold"]
    """send it anyway, notify somebody, or withhold it."""
    notify: Notify | None = None
    """Who is notified, with `then: notify`."""

    @model_validator(mode="after")
    def _whom(self) -> Expires:
        if (self.then == "notify") is not bool(self.notify):
            raise ValueError("then: notify and notify: {whom: …} go together")
        return self
