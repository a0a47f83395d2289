"""What holds for a whole site: studies that no rule is asked about, and the rule for what no other rule takes."""

from __future__ import annotations

from typing import Any

import pytest

from rules.engine import decide
from rules.example_runs import failures
from rules.examples import RuleFile
from rules.explain import lines
from rules.facts import History
from rules.model import DICTIONARY, Rule, of_site
from tests.unit.rules.building import Dictionary, make_rule, make_series, make_study

OUTSIDE = {"name": "outside-cds", "when": {"StationName": {"matches": "*import*"}}}


def file_of(**plain: Any) -> RuleFile:
    return RuleFile.model_validate(plain, context={DICTIONARY: Dictionary()})


def rule(name: str, when: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "when": when, "choose": {"take": "all"}, "run": "plugin", "mode": "shadow", **more}


def test_finding_o11_no_rule_is_asked_about_what_the_site_ignores() -> None:
    """A study from an outside CD: no rule matches, each says why, and the trace shows the clause that says so."""
    file = file_of(
        ignore=[OUTSIDE], rules=[rule("ct", {"Modality": "CT"}), rule("all", {"StudyDate": {"present": True}})]
    )
    rules = of_site(file.rules, file.ignore, ())
    outside = make_study(make_series("1.1", "CT", [{"StationName": "CD import 2", "StudyDate": "20240301"}]))
    for decision in decide(rules, outside):
        assert not decision.matched
        assert decision.why == "the site ignores such studies (outside-cds)"
        said = "\n".join(lines(decision.trace))
        assert 'ignored when\n    + StationName: {matches: "*import*"} — CD import 2' in said
    own = make_study(make_series("1.1", "CT", [{"StationName": "CT1", "StudyDate": "20240301"}]))
    assert [decision.matched for decision in decide(rules, own)] == [True, True]


def test_finding_o11_a_decision_keeps_what_the_site_ignored() -> None:
    """A version of the rules read back from the ledger still ignores: replay and later steps see the same."""
    (written,) = of_site([make_rule({"Modality": "CT"})], file_of(ignore=[OUTSIDE], rules=[]).ignore, ())
    again = Rule.model_validate(written.model_dump(mode="json"), context={DICTIONARY: Dictionary()})
    study = make_study(make_series("1.1", "CT", [{"StationName": "import"}]))
    assert decide([again], study)[0].why == "the site ignores such studies (outside-cds)"


def test_finding_o11_doubt_about_what_is_ignored_runs_nothing() -> None:
    """Series that disagree: perhaps the study is to be ignored, so that nothing runs on it."""
    doubtful = {"name": "thick", "when": {"any_series": {"SliceThickness": {"above": 3}}}}
    (ignoring_rule,) = of_site([make_rule({"Modality": "CT"})], file_of(ignore=[doubtful], rules=[]).ignore, ())
    study = make_study(make_series("1.1", "CT", [{"SliceThickness": 5.0}, {"SliceThickness": 1.0}]))
    assert "thick, perhaps" in decide([ignoring_rule], study)[0].why


def test_finding_o11_the_fallback_takes_what_no_other_rule_takes() -> None:
    """It is asked last, wherever it stands: another match, a wait, or an earlier run keeps it from matching."""
    fallback = make_rule({"Modality": "CT"}, name="rest", otherwise=True)
    thin = make_rule({"SliceThickness": {"at_most": 1}}, name="thin")
    waiting = make_rule(
        {"SliceThickness": {"at_most": 1}},
        name="waits",
        wait={"until": {"Modality": "SR"}, "at_most": "20 minutes"},
    )
    once = make_rule({"SliceThickness": {"at_most": 1}}, name="once", once="study")
    fine = make_study(make_series("1.1", "CT", [{"SliceThickness": 0.5}]))
    thick = make_study(make_series("1.1", "CT", [{"SliceThickness": 5.0}]))
    for other in (thin, waiting, once):
        study = (
            fine
            if other is not once
            else make_study(*fine.series, history={"once": History(subjects=frozenset({"1.2"}))})
        )
        last, _ = decide([fallback, other], study)
        assert (last.matched, last.why) == (
            False,
            f"it is for what no other rule takes, and {other.name} takes the study",
        )
        assert decide([fallback, other], thick)[0].matched
    assert decide([fallback, thin.model_copy(update={"enabled": False})], fine)[0].matched


def test_finding_o11_a_fallback_is_tested_beside_the_other_rules() -> None:
    """A test of it asks the others, too."""
    file = file_of(
        rules=[rule("rest", {"Modality": "CT"}, otherwise=True), rule("thin", {"SliceThickness": {"at_most": 1}})],
        tests=[
            {
                "name": "thin",
                "given": {"Modality": "CT", "SliceThickness": 0.5},
                "expect": {"rest": "no match", "thin": "match"},
            },
            {"name": "thick", "given": {"Modality": "CT", "SliceThickness": 5}, "expect": {"rest": "match"}},
        ],
    )
    assert list(failures(file.tests, file.rules)) == []


@pytest.mark.parametrize(("sample", "expected"), [("in", "match"), ("out", "no match")])
def test_finding_q3_a_sampled_rule_is_tested_beside_the_rule(sample: str, expected: str) -> None:
    """The draw by the study's UID decides no test: a test says whether the study is in the sample."""
    for salt in ("a", "b", "c", "d"):
        sampled = rule("pilot", {"Modality": "CT"}, sample={"share": "20 %", "salt": salt})
        test = {"name": "t", "sample": sample, "given": {"Modality": "CT"}, "expect": {"pilot": expected}}
        file = file_of(rules=[sampled], tests=[test])
        assert list(failures(file.tests, file.rules)) == []
