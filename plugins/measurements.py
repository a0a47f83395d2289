"""Numbers with their meaning: measurements, reference ranges and scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from plugins import fields
from plugins.coding import NO_UNITS, Code, Site, Unit
from plugins.images import ContractError, require
from plugins.plausible import likelihood_problem, size_problem


class NoValue(StrEnum):
    """Why a measurement has no value (CID 42, the part an algorithm can know)."""

    CANNOT_BE_COMPUTED = "cannot_be_computed"
    """114006: the measurement failed."""
    NOT_ATTEMPTED = "not_attempted"
    """114007: it was not attempted on these images."""


@dataclass(frozen=True, slots=True)
class ReferenceRange:
    """The range called normal, in the unit of the measurement, and who calls it so."""

    low: float | None
    high: float | None
    source: str

    def __post_init__(self) -> None:
        require(self.low is not None or self.high is not None, "ReferenceRange: low, high or both must be given")
        require(bool(self.source), "ReferenceRange.source: a range without its source is not evidence")
        object.__setattr__(self, "source", fields.text(self.source, "ReferenceRange.source"))
        for name in ("low", "high"):
            if getattr(self, name) is not None:
                value = fields.number(getattr(self, name), f"ReferenceRange.{name}")
                require(
                    math.isfinite(value), f"ReferenceRange.{name}: {value} is not a finite number; None is no limit"
                )
                object.__setattr__(self, name, value)
        if self.low is not None and self.high is not None:
            require(self.low <= self.high, f"ReferenceRange: low is {self.low:g}, which is above high, {self.high:g}")

    @staticmethod
    def of(value: Any, name: str) -> ReferenceRange:
        """A reference range; a pair of numbers says not whose it is."""
        if isinstance(value, ReferenceRange):
            return value
        raise ContractError(
            f'{name}: {fields.shown(value)} is not a reference range; write ReferenceRange(low, high, "its source")'
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number with its meaning; `value` is finite, or None together with `no_value`."""

    concept: Code
    value: float | None
    unit: Unit
    no_value: NoValue | None = None
    derivation: Code | None = None
    method: Code | None = None
    reference_range: ReferenceRange | None = None
    site: Site | None = None
    decimals: int = 2
    """Digits behind the point that mean something: what people are shown. The SR holds the value as it is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "concept", Code.of(self.concept, "Measurement.concept"))
        name = f"Measurement {self.concept.meaning!r}"
        self._complete(name)
        require(
            (self.value is None) == (self.no_value is not None),
            f"{name}: give a value, or the reason in no_value why there is none",
        )
        require(
            self.value is None or math.isfinite(self.value),
            f"{name}.value: {self.value} is not a finite number; use no_value",
        )
        if self.value is not None:
            concept = (self.concept.value, self.concept.scheme)
            problem = size_problem(self.value, self.unit.code, self.concept.meaning, concept)
            problem = problem or likelihood_problem(self.value, self.unit.code, self.concept.meaning, concept)
            require(not problem, f"{name}.value: {problem}")
        require(0 <= self.decimals <= 9, f"{name}.decimals: {self.decimals} is not within 0 to 9")

    def _complete(self, name: str) -> None:
        """Make each field what it is declared as, where its meaning is certain."""
        object.__setattr__(self, "unit", Unit.of(self.unit, f"{name}.unit"))
        object.__setattr__(self, "decimals", fields.whole_number(self.decimals, f"{name}.decimals"))
        if self.value is not None:
            object.__setattr__(self, "value", fields.number(self.value, f"{name}.value"))
        made = {
            "no_value": lambda value, place: fields.member(value, NoValue, place),
            "derivation": Code.of,
            "method": Code.of,
            "reference_range": ReferenceRange.of,
            "site": Site.of,
        }
        for attribute, make in made.items():
            value = getattr(self, attribute)
            if value is not None:
                object.__setattr__(self, attribute, make(value, f"{name}.{attribute}"))


_LIKELIHOOD = "Likelihood of finding"


@dataclass(frozen=True, slots=True)
class Score:
    """How sure, or how likely: a value on a stated scale, the threshold in use and what it means."""

    value: float
    threshold: float | None = None
    meaning: str = _LIKELIHOOD
    unit: Unit = NO_UNITS
    concept: Code | None = None
    """The coded concept where one exists (CID 6047); else the node declares a private code for `meaning`."""

    @property
    def name(self) -> str:
        """What it is called: as it says, else as its concept is."""
        return self.concept.meaning if self.concept and self.is_named_by_its_concept else self.meaning

    @property
    def is_named_by_its_concept(self) -> bool:
        """Whether it has a concept, and says nothing else of what it means."""
        return self.concept is not None and self.meaning == _LIKELIHOOD

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", fields.number(self.value, "Score.value"))
        if self.threshold is not None:
            object.__setattr__(self, "threshold", fields.number(self.threshold, "Score.threshold"))
        object.__setattr__(self, "meaning", fields.text(self.meaning, "Score.meaning", 64))
        object.__setattr__(self, "unit", Unit.of(self.unit, "Score.unit"))
        if self.concept is not None:
            object.__setattr__(self, "concept", Code.of(self.concept, "Score.concept"))
        require(math.isfinite(self.value), f"Score.value: {self.value} is not a finite number")
        require(self.threshold is None or math.isfinite(self.threshold), "Score.threshold: not a finite number")
        concept = (self.concept.value, self.concept.scheme) if self.concept else None
        for name, value in (("value", self.value), ("threshold", self.threshold)):
            problem = likelihood_problem(value, self.unit.code, self.name, concept) if value is not None else ""
            require(not problem, f"Score.{name}: {problem}")

    @staticmethod
    def of(value: Any, name: str) -> Score:
        """A score, or a number: the likelihood of the finding, from 0 to 1."""
        return value if isinstance(value, Score) else Score(fields.number(value, name))
