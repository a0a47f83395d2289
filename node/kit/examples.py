"""Commissioning examples: images in `examples/NAME/`, and in its `expected.toml` what the plugin has to say of them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from node.errors import PermanentError
from node.kit.receiving import GivenImages, files_of
from node.run.digests import EXAMPLES
from plugins.contract import Finding, Measurement, Result, ResultStatus, Site
from plugins.manifest import ParameterValue

FOLDER = EXAMPLES
EXPECTED = "expected.toml"


class ExampleError(PermanentError):
    """An example that cannot be used; the message names file and key."""


class ExpectedNumber(BaseModel):
    """One number that the result has to have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    tolerance: float = Field(ge=0)
    """How far off it may be, in the unit of the number."""
    finding: str = ""
    """Code value of the finding."""
    measurement: str = ""
    """Code value of the measurement's concept; or `score`, or `regions`: how many the finding has."""
    derivation: str = ""
    """Code value of the measurement's derivation, where several measurements have the concept."""
    side: str = ""
    """Meaning of the laterality, of the measurement's site or else the finding's: Left."""
    segment: str = ""
    """Label of a segment: the number is of its voxels."""

    @model_validator(mode="after")
    def _names_one_thing(self) -> ExpectedNumber:
        if bool(self.segment) == bool(self.finding and self.measurement):
            raise ValueError("name a segment, or a finding and its measurement")
        return self

    @property
    def name(self) -> str:
        """What it is of, for people."""
        parts = (self.segment, self.finding, self.measurement, self.derivation, self.side)
        return " ".join(part for part in parts if part)


class ExpectedResult(BaseModel):
    """`expected.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: ResultStatus
    parameters: dict[str, ParameterValue] = Field(default_factory=dict)
    roles: dict[str, str] = Field(default_factory=dict)
    """Role → the folder of the example with its images; all other images are handed over without a role."""
    says: str = ""
    """Words that the summary has to have: the reason of `not_applicable`, say."""
    age: Annotated[int, Field(ge=0, le=150)] | None = None
    numbers: tuple[ExpectedNumber, ...] = ()


@dataclass(frozen=True, slots=True)
class CommissioningExample:
    """One example of a plugin."""

    name: str
    images: GivenImages
    expected: ExpectedResult
    parameters: Mapping[str, object] = field(default_factory=dict)


def load(plugin: Path) -> list[CommissioningExample]:
    """The examples in a plugin's folder; ExampleError."""
    folder = plugin / FOLDER
    if not folder.is_dir():
        return []
    return [_load(path) for path in sorted(folder.iterdir()) if path.is_dir()]


def _load(folder: Path) -> CommissioningExample:
    path = folder / EXPECTED
    try:
        expected = ExpectedResult.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ExampleError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ExampleError(f"{path}: {'.'.join(map(str, first['loc'])) or 'number'}: {first['msg']}") from error
    except ValueError as error:  # of tomllib, or not UTF-8
        raise ExampleError(f"{path}: {error}") from error
    roles = {role: folder / name for role, name in expected.roles.items()}
    for role, place in roles.items():
        if not place.is_dir():
            raise ExampleError(f"{path}: roles.{role}: there is no folder {place.name}")
    under = {role: files_of([place]) for role, place in roles.items()}
    taken = {file for files in under.values() for file in files} | {path}
    own = tuple(file for file in files_of([folder]) if file not in taken)
    return CommissioningExample(folder.name, GivenImages(own, under, expected.age), expected, expected.parameters)


def differences(expected: ExpectedResult, result: Result) -> Iterator[str]:
    """What the result says otherwise, in words."""
    if result.status is not expected.status:
        yield f"it is {result.status}, expected {expected.status}: {result.summary}"
        return
    if expected.says not in result.summary:
        yield f"it says {result.summary!r}, expected {expected.says!r} in it"
    for wanted in expected.numbers:
        found = list(_numbers(wanted, result))
        if len(found) != 1:
            hint = "; say derivation or side" if found else ""
            yield f"{wanted.name}: the result has {len(found)} of it, expected one{hint}"
        elif not math.isclose(found[0], wanted.value, rel_tol=0, abs_tol=wanted.tolerance):
            yield f"{wanted.name}: {found[0]:g}, expected {wanted.value:g} ± {wanted.tolerance:g}"


def _numbers(wanted: ExpectedNumber, result: Result) -> Iterator[float]:
    if wanted.segment:
        yield from _voxels(wanted.segment, result)
        return
    for finding in result.findings:
        if finding.code.value == wanted.finding:
            yield from _numbers_of(wanted, finding)


def _voxels(label: str, result: Result) -> Iterator[float]:
    segmentation = result.segmentation
    for segment in segmentation.segments if segmentation else ():
        if segment.label == label:
            assert segmentation is not None
            yield float(sum(int((plane == segment.number).sum()) for plane in segmentation.planes))


def _numbers_of(wanted: ExpectedNumber, finding: Finding) -> Iterator[float]:
    if wanted.measurement in ("regions", "score"):
        if not wanted.side or wanted.side == _side(finding.site):
            yield from _of_finding(wanted.measurement, finding)
    else:
        for measurement in finding.measurements:
            if measurement.value is not None and _is_meant(wanted, finding, measurement):
                yield measurement.value


def _of_finding(number: str, finding: Finding) -> Iterator[float]:
    """How many regions it has, or its score."""
    if number == "regions":
        yield float(len(finding.regions))
    elif finding.score is not None:
        yield finding.score.value


def _side(site: Site | None) -> str:
    return site.laterality.meaning if site and site.laterality else ""


def _is_meant(wanted: ExpectedNumber, finding: Finding, measurement: Measurement) -> bool:
    side = _side(measurement.site or finding.site)
    derivation = measurement.derivation.value if measurement.derivation else ""
    told: tuple[tuple[str, Any], ...] = ((wanted.derivation, derivation), (wanted.side, side))
    return measurement.concept.value == wanted.measurement and all(not asked or asked == said for asked, said in told)
