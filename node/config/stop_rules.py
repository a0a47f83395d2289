"""When a plugin is to be looked at, or stopped: the section `stop_rules`."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from node import exact_binomial
from node.config.sections import Party, Section
from node.config.values import Duration, span_text

LEAST_JOBS = 200
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")


def _share(value: Any) -> Any:
    """`5%` as 0.05."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    return float(found[1]) / 100 if found else value


Share = Annotated[
    float,
    BeforeValidator(_share, json_schema_input_type=str | float),
    Field(gt=0, lt=1, allow_inf_nan=False),
]


class StopRule(Section):
    """What of a plugin's jobs is counted, for each rule and scanner by itself, and what is done beyond a limit.

    A window is met only where the exact 99 % limits of the share (Clopper-Pearson) leave the limit on one side.
    """

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    plugin: str
    """The plugin, by the name that rules call it."""
    watch: Literal["failures", "latency", "positives"]
    """failures: jobs that failed. latency: results that came later than `longer_than`. positives: results with a
    finding that is present, among those that have an answer."""
    above: Share | None = None
    """The share that is too many, as in 5%."""
    below: Share | None = None
    """Of positives: the share that is too few."""
    longer_than: Duration | None = None
    """Of latency: from the moment when the images were complete until the result."""
    jobs: Annotated[int, Field(ge=LEAST_JOBS, le=100_000)] = LEAST_JOBS
    """How many jobs a window has. The next window begins behind it."""
    then: Literal["alert", "suspend"] = "alert"
    """suspend: the rule's studies of this scanner are reported as not analysed until a person resumes it."""

    @model_validator(mode="after")
    def _makes_sense(self) -> StopRule:
        if self.above is None and self.below is None:
            raise ValueError("a stop rule needs a limit: above, or below for positives")
        if self.below is not None and self.watch != "positives":
            raise ValueError(f"below: too few {self.watch} are no reason to stop; it is for positives")
        if (self.longer_than is None) == (self.watch == "latency"):
            raise ValueError("longer_than belongs to watch: latency, and is needed there")
        if self.above is not None and self.below is not None and self.below >= self.above:
            raise ValueError("below has to be less than above")
        if self.above is not None and exact_binomial.least_above(self.jobs, self.above) > self.jobs:
            raise ValueError(f"above: of {self.jobs} jobs not even all would show that the share is above this")
        if self.below is not None and exact_binomial.most_below(self.jobs, self.below) < 0:
            raise ValueError(f"below: of {self.jobs} jobs not even none would show that the share is below this")
        return self

    @property
    def terms(self) -> str:
        """All that makes its windows what they are: other terms begin other windows."""
        return json.dumps(self.model_dump(mode="json", exclude={"then"}), sort_keys=True)

    @property
    def counted(self) -> str:
        """What it counts, in words."""
        if self.longer_than is not None:
            return f"took longer than {span_text(self.longer_than)}"
        return {"failures": "failed", "positives": "had a finding"}[self.watch]
