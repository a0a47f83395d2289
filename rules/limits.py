"""How often a rule runs: a sample of the studies, an end of enrolment, a number a day, once, a pause.

What has run so far is a fact that the node hands in (`rules.facts.History`); which studies are in a
sample rests on their UIDs alone, so the same studies are in it today, tomorrow and in a replay.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from rules.facts import History
from rules.section import RuleSection
from rules.timing import Duration, write_duration

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%")
Once = Literal["revision", "study", "series"]


def _read_share(plain: Any) -> float:
    found = _PERCENT.fullmatch(plain.strip()) if isinstance(plain, str) else None
    share = float(found[1]) / 100 if found else plain if isinstance(plain, float) else 0.0
    if not 0 < share < 1:
        raise ValueError(f"{plain!r} is not a share of the studies: write it as in `20 %`, between 0 and 100")
    return share


Share = Annotated[
    float,
    PlainValidator(_read_share, json_schema_input_type=str),
    PlainSerializer(lambda share: f"{share * 100:g} %", return_type=str),
]


class Sample(RuleSection):
    """A random but reproducible part of the studies."""

    share: Share
    """As in `20 %`."""
    salt: str = ""
    """Rules with the same salt draw the same studies; the rule's name where it is not given."""

    @model_validator(mode="before")
    @classmethod
    def _share_alone(cls, data: Any) -> Any:
        return {"share": data} if isinstance(data, str) else data


def lot(study_instance_uid: str, salt: str) -> float:
    """The lot that a study has drawn: evenly spread from 0 up to 1, and always the same."""
    drawn = hashlib.sha256(f"{salt}\0{study_instance_uid}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(drawn[:7], "big") / 2**56


class RunLimits(RuleSection):
    """Bounds on how often a rule runs; a study that it has run on before is not counted again."""

    enrolled: Annotated[int, Field(ge=1)] | None = None
    """Studies altogether: enrolment then ends."""
    per_day: Annotated[int, Field(ge=1)] | None = None
    """Studies a day, from midnight in the site's time zone."""
    cool_down: Duration | None = None
    """After a run on a patient, no other study of that patient for this long."""


class Gate(NamedTuple):
    """One bound, and whether the study may pass it."""

    text: str
    passed: bool
    why: str


def gates(
    name: str, sample: Sample | None, limits: RunLimits | None, once: Once, study: str, history: History, now: datetime
) -> list[Gate]:
    """Every bound that the rule of this name sets, checked against the study of this UID and what the rule has done."""
    found = []
    if sample:
        mine = lot(study, sample.salt or name)
        text = f"sample: {sample.share * 100:g} %"
        found.append(Gate(text, mine < sample.share, f"the study drew {mine * 100:.2f} of 100"))
    if once == "study":
        ran = bool(history.subjects)
        found.append(Gate("once: study", not ran, "it has run on this study" if ran else "it has not run on it yet"))
    if limits and not history.subjects:
        found += _bounds(limits, history, now)
    return found


def _bounds(limits: RunLimits, history: History, now: datetime) -> list[Gate]:
    found = []
    if limits.enrolled is not None:
        passed = history.enrolled < limits.enrolled
        found.append(Gate(f"enrolled: {limits.enrolled}", passed, f"{history.enrolled} studies are enrolled"))
    if limits.per_day is not None:
        passed = history.today < limits.per_day
        found.append(Gate(f"per_day: {limits.per_day}", passed, f"{history.today} studies today"))
    if limits.cool_down is not None:
        last = history.patient_last
        passed = last is None or now - last >= limits.cool_down
        why = "no other study of the patient" if last is None else f"the patient's last study ran {last:%Y-%m-%d %H:%M}"
        found.append(Gate(f"cool_down: {write_duration(limits.cool_down)}", passed, why))
    return found
