"""What a rule says about who is notified, on which occasions, and until somebody has taken note."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from rules.engine import decide
from rules.facts import CodeItem
from rules.model import Rule
from rules.results import FindingCondition, FindingFacts, MeasurementFacts, ResultFacts
from rules.section import problems
from tests.unit.rules.building import make_series, make_study

BLOOD, VOLUME = CodeItem("50960005", "SCT", "Hemorrhage"), CodeItem("118565006", "SCT", "Volume")
RUNS = {
    "choose": {"where": {"Modality": "CT"}},
    "run": "bleed",
    "send": "pacs",
    "expires": {"after": "2 h", "then": "send"},
}


def rule(notify: Any, **changed: Any) -> Rule:
    plain = {"name": "head", "when": {"Modality": "CT"}, "mode": "pilot", **RUNS, "notify": notify, **changed}
    return Rule.model_validate({name: value for name, value in plain.items() if value is not None})


def refusal(notify: Any, **changed: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as refused:
        rule(notify, **changed)
    [problem] = problems(refused.value)
    return ".".join(map(str, problem.place)), str(problem)


def test_one_notice_needs_no_list_and_means_a_match() -> None:
    """As rules have said it so far; `acknowledge: 10m` is ten minutes."""
    [one] = rule({"whom": "duty", "text": "Look."}).notify
    assert (one.on, one.whom, one.then) == (("match",), ("duty",), ())
    [one] = rule({"on": "findings", "whom": "duty", "acknowledge": "10m", "then": "boss"}).notify
    assert (one.on, one.acknowledge, one.then) == (("findings",), timedelta(minutes=10), ("boss",))


def test_rules_that_earlier_releases_kept_are_read() -> None:
    """They say null where nobody is notified; what is kept now is read again as it was."""
    assert rule([]).model_copy(update={}).notify == ()
    plain = json.loads(json.dumps(rule({"on": ["findings", "late"], "whom": "duty"}).model_dump(mode="json")))
    assert Rule.model_validate(plain) == rule({"on": ["findings", "late"], "whom": "duty"})
    assert Rule.model_validate(plain | {"notify": None}).notify == ()


@pytest.mark.parametrize(
    ("notify", "place", "words"),
    [
        ({"on": "finding", "whom": "duty"}, "notify.on", "did you mean findings?"),
        ({"on": "failed", "whom": "duty"}, "notify.on", "did you mean failure?"),
        ({"on": [], "whom": "duty"}, "notify", "an empty list of occasions notifies nobody"),
        ({"whom": "duty", "finding": {"urgent": True}}, "notify", "write on: findings"),
        ({"on": "findings", "whom": "duty", "finding": {}}, "notify.finding", "it asks nothing"),
        ({"on": "findings", "whom": "duty", "finding": {"score": {}}}, "notify.finding.score", "a bound is missing"),
        ({"on": "findings", "whom": "duty", "acknowledge": "10m"}, "notify", "acknowledge and then go together"),
        ({"on": "findings", "whom": "duty", "then": "boss"}, "notify", "acknowledge and then go together"),
        (
            {"on": "findings", "whom": "duty", "acknowledge": "10m", "then": ["boss", "duty"]},
            "notify",
            "duty is notified already",
        ),
        ({"whom": "duty", "escalate": "10m"}, "notify.escalate", "there is no 'escalate' here"),
    ],
)
def test_a_slip_is_refused_with_what_was_meant(notify: Any, place: str, words: str) -> None:
    """At its place, in words."""
    found, message = refusal(notify)
    assert found == place
    assert words in message


def test_an_occasion_that_never_comes_is_refused() -> None:
    """Results of a rule that runs nothing; what is late by a rule that says no time."""
    nothing: dict[str, Any] = dict.fromkeys(RUNS)
    assert refusal({"on": "findings", "whom": "duty"}, **nothing) == (
        "notify.on",
        "there is no plugin to run: nobody would be notified of findings",
    )
    both = [{"whom": "duty"}, {"on": ["failure", "late"], "whom": "duty"}]
    place, message = refusal(both, expires=None)
    assert (place, "say when a result is late" in message) == ("notify.1.on", True)


RESULT = ResultFacts(
    "findings",
    (
        FindingFacts(BLOOD, present=True, urgent=True, measurements=(MeasurementFacts(VOLUME, 30.0),), score=0.9),
        FindingFacts(CodeItem("1", "99T", "No"), present=False, urgent=False, score=0.99),
    ),
)


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ({"code": "SCT:50960005"}, True),
        ({"code": "99T:1"}, False),
        ({"urgent": False}, False),
        ({"score": {"at_least": 0.9}}, True),
        ({"score": {"above": 0.9}}, False),
        ({"score": {"at_least": 0.95}}, False),
        ({"measurement": {"code": "SCT:118565006", "above": 25}}, True),
        ({"code": "SCT:50960005", "urgent": True, "score": {"at_least": 0.8, "below": 1}}, True),
        ({"code": "SCT:50960005", "measurement": {"code": "SCT:118565006", "above": 50}}, False),
    ],
)
def test_all_that_is_asked_holds_of_one_finding(asked: dict[str, Any], holds: bool) -> None:
    """What is absent counts for nothing, whatever its score."""
    assert FindingCondition.model_validate(asked).holds(RESULT) is holds


def test_a_study_for_the_rule_that_it_cannot_analyse_is_marked() -> None:
    """No series is left to choose; not where the rule does not mean the study, or bounds stop it."""
    study = make_study(make_series("1", "CT", [{}]))
    of = {"on": "not_analysed", "whom": "duty"}

    def decided(**changed: Any) -> tuple[bool, bool]:
        [found] = decide([rule(of, **changed)], study)
        return found.matched, found.not_analysed

    assert decided() == (True, False)
    assert decided(choose={"where": {"Modality": "MR"}}) == (False, True)
    assert decided(when={"Modality": "MR"}) == (False, False)
    assert decided(wait={"until": {"Modality": "SR"}, "at_most": "1 h"}) == (False, False)
