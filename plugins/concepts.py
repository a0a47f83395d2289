"""The codes that a plugin announces in `[[concepts]]`, and what of a result is not as announced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plugins.codes import Code
from plugins.result import Finding, Result
from plugins.ucum import is_unit


@dataclass(frozen=True, slots=True)
class Concept:
    """One code that findings, scores and measurements may have, with the values that its numbers may have."""

    code: Code
    unit: str = ""
    """UCUM unit of its numbers; empty: any."""
    minimum: float | None = None
    maximum: float | None = None
    """In `unit`: what lies outside is refused."""

    @property
    def mistake(self) -> tuple[str, str]:
        """Key and reason, where unit and bounds do not fit together; two empty texts where they do."""
        if self.unit and not is_unit(self.unit):
            return "unit", f"{self.unit!r} is not a UCUM unit, such as mm, mL, %, [hnsf'U] or 1"
        for key, bound in (("minimum", self.minimum), ("maximum", self.maximum)):
            if bound is not None and not self.unit:
                return key, 'a bound needs its unit ("1" where there is none)'
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            return "maximum", f"{self.maximum:g} is below the minimum, {self.minimum:g}"
        return "", ""

    def number_problem(self, value: float | None, unit: str) -> str:
        """Why a number of this concept cannot be as it is; empty where it can."""
        if self.unit and unit != self.unit:
            return f"has the unit {unit!r}, expected {self.unit!r}"
        if value is not None and self.minimum is not None and value < self.minimum:
            return f"is {value:g} {unit}, below the minimum of {self.minimum:g}"
        if value is not None and self.maximum is not None and value > self.maximum:
            return f"is {value:g} {unit}, above the maximum of {self.maximum:g}"
        return ""


def code_problems(result: Result, concepts: Sequence[Concept], declared_in: str) -> Iterator[str]:
    """What of the result's codes and numbers is not among the concepts of the file `declared_in`, in words."""
    known = {(each.code.value, each.code.scheme): each for each in concepts}
    for code, number in _uses(result):
        concept = known.get((code.value, code.scheme))
        if concept is None:
            shown = f"{code.meaning!r} ({code.value}, {code.scheme})"
            yield f"it returned {shown}, which {declared_in} does not list in concepts"
        elif concept.code.meaning != code.meaning:
            shown = f"{code.meaning!r} for ({code.value}, {code.scheme})"
            yield f"it returned {shown}, which {declared_in} declares as {concept.code.meaning!r}"
        elif number and (problem := concept.number_problem(*number)):
            yield f"{code.meaning!r} {problem}, as {declared_in} declares it in concepts"


def _uses(result: Result) -> Iterator[tuple[Code, tuple[float | None, str] | None]]:
    """Each code of a finding, a score or a measurement, and the number with its unit where it has one."""
    for finding in result.findings:
        yield finding.code, None
        yield from _numbers(finding)


def _numbers(finding: Finding) -> Iterator[tuple[Code, tuple[float | None, str]]]:
    for measurement in finding.measurements:
        yield measurement.concept, (measurement.value, measurement.unit.code)
    if finding.score and finding.score.concept:
        yield finding.score.concept, (finding.score.value, finding.score.unit.code)
