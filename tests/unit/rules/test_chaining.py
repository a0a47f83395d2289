"""Steps that take the results of earlier ones: what a rule may say, and when such a step is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rules import engine
from rules.model import Rule
from rules.results import ResultFacts
from rules.section import problems
from tests.unit.rules.building import make_series, make_study

WORKED, FAILED, NOT_FOR_THESE = (ResultFacts(status) for status in ("no_findings", "failed", "not_applicable"))


def rule(*run: Any) -> Rule:
    plain = {"name": "r", "when": {"Modality": "CT"}, "choose": {"where": {"Modality": "CT"}}, "mode": "shadow"}
    return Rule.model_validate(plain | {"run": list(run)})


CHAIN = ("lungs", "nodules", {"plugin": "score", "inputs": {"mask": "lungs", "seen": "nodules"}})
STUDY = make_study(make_series("1.1", "CT", [{}]))


@pytest.mark.parametrize(
    ("run", "place", "what"),
    [
        (("a", {"plugin": "b", "inputs": {"mask": "c"}}), ("run", 1, "inputs", "mask"), "not a step above it"),
        (({"plugin": "b", "inputs": {"mask": "a"}}, "a"), ("run", 0, "inputs", "mask"), "not a step above it"),
        (("a", {"plugin": "b", "inputs": {"mask": "b"}}), ("run", 1, "inputs", "mask"), "not a step above it"),
        (
            ("a", {"plugin": "b", "inputs": {"m": "a"}, "when_result": {"status": "failed"}}),
            ("run", 1),
            "has nothing to take",
        ),
        ((*CHAIN[:2], {**CHAIN[2], "when_result": {"urgent": True}}), ("run", 2), "name it, as in `after"),
    ],
)
def test_what_a_step_takes_is_a_step_above_it(run: tuple[Any, ...], place: tuple[Any, ...], what: str) -> None:
    """The error names the very key."""
    with pytest.raises(ValidationError) as refused:
        rule(*run)
    (problem,) = problems(refused.value)
    assert problem.place == place
    assert what in str(problem)


def test_a_step_waits_for_all_that_it_takes() -> None:
    """It is no first step, and is asked for by the end of the last result that it takes, once."""
    chain = rule(*CHAIN)
    (decision,) = engine.decide([chain], STUDY)
    assert [run.step for run in decision.runs] == ["lungs", "nodules"]
    assert [(each.step, each.needs) for each in decision.later] == [("score", ("lungs", "nodules"))]
    assert any("runs score on earlier results: that of lungs as mask" in line for line in decision.trace["does"])
    assert engine.follow_up(chain, STUDY, {"lungs": WORKED}, "", "lungs") == ()
    (found,) = engine.follow_up(chain, STUDY, {"lungs": WORKED, "nodules": WORKED}, "", "nodules")
    assert found.run is not None
    assert dict(found.run.results) == {"mask": "lungs", "seen": "nodules"}


@pytest.mark.parametrize("ended", [FAILED, NOT_FOR_THESE])
def test_without_a_result_to_take_a_step_is_asked_for_to_say_so(ended: ResultFacts) -> None:
    """Silence would look like a negative: the run is made, and the run stage says that it was not run."""
    (found,) = engine.follow_up(rule(*CHAIN), STUDY, {"lungs": ended, "nodules": WORKED}, "", "lungs")
    assert found.run is not None
    assert found.why == f"lungs is {ended.status}: it is reported as not run"


def test_a_result_that_the_rule_does_not_want_runs_nothing() -> None:
    """`when_result` is asked of the step that is taken, where there is one result."""
    chain = rule("lungs", {"plugin": "score", "inputs": {"mask": "lungs"}, "when_result": {"has": "SCT:1"}})
    (found,) = engine.follow_up(chain, STUDY, {"lungs": WORKED}, "", "lungs")
    assert found.run is None
