"""Decisions: which studies a rule may see, what it chooses and runs, and what its trace says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rules.engine import decide
from rules.explain import lines
from rules.facts import SeriesFacts
from tests.unit.rules.building import make_rule, make_series, make_study

CT = {"Modality": "CT"}


def ct(number: int | None, uid: str | None = None, count: int = 2, **values: Any) -> SeriesFacts:
    return make_series(uid or f"1.{number}", "CT", [{}] * count, SeriesNumber=number, **values)


def chosen(study: Any, **choose: Any) -> list[str]:
    (decision,) = decide([make_rule(CT, choose=choose)], study)
    return [each.series_instance_uid for run in decision.runs for each in run.inputs]


def test_a_run_carries_all_that_a_job_needs() -> None:
    """Steps, parameters, inputs in an order that arrival does not change, destinations, mode, priority."""
    rule = make_rule(
        CT,
        choose={"role": "ct", "where": CT},
        run=["first", {"plugin": "second", "step": "again", "parameters": {"a": 1}}],
        send=["pacs", "archive"],
        mode="clinical",
        priority="urgent",
        on_correction="take_newest",
    )
    series = ct(1, count=3)
    turned = SeriesFacts("1.1", "CT", series.instances[::-1])
    (decision,), (same,) = decide([rule], make_study(series)), decide([rule], make_study(turned))
    assert decision.runs == same.runs
    first, second = decision.runs
    assert (first.step, first.plugin, dict(first.parameters)) == ("first", "first", {})
    assert (second.step, second.plugin, dict(second.parameters)) == ("again", "second", {"a": 1})
    assert (first.destinations, first.mode, first.priority) == (("pacs", "archive"), "clinical", "urgent")
    assert (first.on_correction, first.subject) == ("take_newest", "1.2")
    (given,) = first.inputs
    assert (given.role, given.series_instance_uid) == ("ct", "1.1")
    assert given.sop_instance_uids == ("1.1.0", "1.1.1", "1.1.2")


def test_a_disabled_rule_decides_nothing_and_the_others_keep_their_order() -> None:
    """One decision per enabled rule, in the order of the file."""
    rules = [make_rule(CT, name="b"), make_rule(CT, name="off", enabled=False), make_rule({"Modality": "MR"}, name="a")]
    decisions = decide(rules, make_study(ct(1)))
    assert [(each.rule.name, each.matched) for each in decisions] == [("b", True), ("a", False)]


@pytest.mark.parametrize(
    ("changed", "when", "matched"),
    [
        ({"complete": False}, CT, False),
        ({"origin": "retrieved"}, CT, False),
        ({"origin": "retrieved"}, {**CT, "origin": "retrieved"}, True),
        ({"series": ()}, {"not": CT}, False),
        ({"series": (SeriesFacts("1.1", "CT", ()),)}, CT, False),
    ],
)
def test_studies_that_rules_do_not_look_at(changed: dict[str, Any], when: Any, matched: bool) -> None:
    """Incomplete, empty, or fetched by this node itself where `when` does not name origin: no match, and why."""
    (decision,) = decide([make_rule(when)], make_study(ct(1), **changed))
    assert (decision.matched, bool(decision.why)) == (matched, True)
    assert lines(json.loads(json.dumps(decision.trace)))[0].startswith("r: matched" if matched else "r: not matched")


def test_preferences_in_order_and_the_least_preferred_image_speaks_for_its_series() -> None:
    """Thinnest first, where one thick slice makes a series thick; then the kernel; missing values last."""
    thin = [{"SliceThickness": 1.0}] * 3
    study = make_study(
        make_series("1.1", "CT", [*thin, {"SliceThickness": 5.0}], ConvolutionKernel="B30f"),
        make_series("1.2", "CT", thin, ConvolutionKernel="other"),
        make_series("1.3", "CT", [{"SliceThickness": 1.0000000001}], ConvolutionKernel=("B31s", "3")),
        make_series("1.4", "CT", [{}], ConvolutionKernel="B30f"),
        make_series("1.5", "CT", thin),
    )
    prefer = [{"SliceThickness": "smallest"}, {"ConvolutionKernel": ["B30f", "b3*"]}]
    assert chosen(study, prefer=prefer, take="all") == ["1.3", "1.2", "1.5", "1.1", "1.4"]
    assert chosen(study, prefer=prefer) == ["1.3"]


def test_newest_compares_dates_and_times() -> None:
    """Dates by day, date-times by offset, times within a day."""
    study = make_study(
        make_series("1.1", "CT", [{}], AcquisitionDateTime="20240301093000+0900", SeriesTime="0930"),
        make_series("1.2", "CT", [{}], AcquisitionDateTime="20240301003001+0000", SeriesTime="093000.5"),
        make_series("1.3", "CT", [{}], AcquisitionDateTime="20240229", SeriesTime="09"),
    )
    assert chosen(study, prefer=[{"AcquisitionDateTime": "newest"}], take="all") == ["1.2", "1.1", "1.3"]
    assert chosen(study, prefer=[{"SeriesTime": "oldest"}], take="all") == ["1.3", "1.1", "1.2"]
    assert chosen(study, prefer=[{"image_count": "largest"}]) == ["1.1"]


def test_ties_go_to_the_series_number_then_the_uid_whatever_arrived_first() -> None:
    """Deterministic, and the trace says so."""
    several = [ct(10, "1.9"), ct(2, "1.8"), ct(2, "1.7"), ct(None, "1.1")]
    for arrived in (several, several[::-1]):
        assert chosen(make_study(*arrived), take="all") == ["1.7", "1.8", "1.9", "1.1"]
    (decision,) = decide([make_rule(CT, choose={})], make_study(*several))
    best, second = decision.trace["choose"][0]["parts"][:2]
    assert best["taken"]
    assert best["why"] == "taken: equal in every preference, so by SeriesNumber, then Series Instance UID"
    assert not second["taken"]
    assert second["why"].startswith("another series is preferred: equal")


def test_fault_39_a_series_with_a_damaged_instance_is_given_to_no_plugin() -> None:
    """Truncated pixels: the whole series is left out, unless only_images left the damaged instance out."""
    damaged = make_series("1.1", "CT", [{}, {}, {"marks": ["truncated-pixel-data"], "InstanceNumber": 9}])
    study = make_study(damaged, ct(2))
    assert chosen(study, take="all") == ["1.2"]
    (decision,) = decide([make_rule(CT, choose={})], study)
    assert "1 of its instances are damaged" in decision.trace["choose"][0]["parts"][1]["why"]
    assert chosen(study, take="all", only_images={"not": {"InstanceNumber": 9}}) == ["1.2", "1.1"]


def test_only_images_is_applied_before_anything_is_asked_or_counted() -> None:
    """Frames of the images that are left are counted, and only they reach the plugin."""
    instances: list[dict[str, Any]] = [
        {"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER"), "frames": 50},
        {"frames": 10},
        {"frames": 10},
    ]
    study = make_study(make_series("1.1", "CT", instances))
    only = {"not": {"ImageType": {"contains": "LOCALIZER"}}}
    assert chosen(study, only_images=only, where={"image_count": 20}) == ["1.1"]
    assert chosen(study, where={"image_count": 20}) == []
    assert chosen(study, only_images={"ImageType": {"contains": "X"}}) == []


def test_an_error_in_one_series_keeps_the_choice_from_being_made() -> None:
    """`missing: error`: nothing is taken while the better series may be the one that cannot be judged."""
    where = {"Modality": "CT", "SliceThickness": {"at_most": 2, "missing": "error"}}
    good, bare = ct(1, SliceThickness=1.0), ct(2)
    report = make_series("1.9", "SR", [{}])
    assert chosen(make_study(good, report), where=where) == ["1.1"]
    (decision,) = decide([make_rule(CT, choose={"where": where})], make_study(good, bare))
    assert (decision.matched, decision.why) == (False, "when holds, but the choice is in doubt")
    (problem,) = decision.problems
    assert problem.startswith("SliceThickness: {at_most: 2, missing: error}: missing in all 2 instances")


@pytest.mark.parametrize(
    ("when", "where", "near_miss"),
    [
        ({"Modality": "CT", "KVP": 120}, {}, "KVP: 120"),
        ({"Modality": "MR", "KVP": 120}, {}, None),
        ({"KVP": 120}, {}, None),
        (CT, {"Modality": "CT", "KVP": 120}, "choose, series 1 (CT): KVP: 120"),
        (CT, {"Modality": "MR", "KVP": 120}, None),
    ],
)
def test_a_near_miss_names_the_one_clause_that_failed(when: Any, where: Any, near_miss: str | None) -> None:
    """All but one clause of `when`, or of one series' `where`."""
    (decision,) = decide([make_rule(when, choose={"where": where or CT})], make_study(ct(1, KVP=80)))
    assert decision.near_miss == near_miss


def test_the_explanation_reads_from_what_was_stored() -> None:
    """Text is made from the stored JSON alone, clause by clause, with values, counts and reasons."""
    when = {"all": [CT, {"not": {"KVP": {"above": 100}}}]}
    rule = make_rule(when, choose={"where": {"any": [{"KVP": 80}, {"SliceThickness": 1}]}})
    (decision,) = decide([rule], make_study(ct(1, KVP=80, SeriesDescription="Lung")))
    assert lines(json.loads(json.dumps(decision.trace))) == [
        "r: matched (when holds, and 1 series chosen)",
        "  when",
        "    + all — 2 of 2 hold",
        "      + Modality: CT — CT in all 2 instances",
        "      + not: {KVP: {above: 100}} — 80 in all 2 instances",
        "  + choose — 1 taken of 1 eligible and 1 looked at",
        '    > series 1 "Lung" (CT) — taken: the only eligible series',
        "      + any — 1 of 2 hold",
        "        + KVP: 80 — 80 in all 2 instances",
        "        - SliceThickness: 1 — missing in all 2 instances, which counts as false",
    ]


def test_blocks_are_explained_series_by_series() -> None:
    """Where `any_series` failed, each series says which clause it failed on."""
    when = {"any_series": {"Modality": "CT", "KVP": 120}}
    (decision,) = decide([make_rule(when)], make_study(ct(1, KVP=80), make_series("1.2", "SR", [{}])))
    said = "\n".join(lines(decision.trace))
    assert "- any_series — 0 of 2 series" in said
    assert "- series 1 (CT) — holds for 0 of 2 instances" in said
    assert "- KVP: 120 — 80 in all 2 instances, fails" in said
    assert "missing in the only instance, which counts as false" in said


def test_what_must_not_be_is_explained_by_what_is_there() -> None:
    """Under `not` a value that fits is what fails, and is told first; a missing one counts the other way round."""
    study = make_study(
        make_series("1.1", "CT", [{"SeriesDescription": "thorax venous"}, {}], SeriesNumber=1, StationName="CT1")
    )
    when = {"all": [{"not": {"StationName": "CT1"}}, {"not": {"KVP": 80}}, {"KVP": {"present": False}}]}
    (decision,) = decide([make_rule(when)], study)
    assert lines(decision.trace)[4:7] == [
        "      - not: {StationName: CT1} — CT1 in all 2 instances, fails",
        "      + not: {KVP: 80} — missing in all 2 instances, which counts as true",
        "      + KVP: {present: false} — missing in all 2 instances",
    ]
    chosen = make_rule(CT, choose={"where": {"not": {"SeriesDescription": {"matches": "*venous*"}}}})
    (decision,) = decide([chosen], study)
    assert lines(decision.trace)[-1] == (
        '      ? not: {SeriesDescription: {matches: "*venous*"}} — thorax venous in 1 of 2 instances, fails; '
        "missing in 1 of 2 instances, which counts as true"
    )


def test_a_series_without_a_fitting_image_is_named_and_not_asked_further() -> None:
    """`only_images` leaves nothing: its number is told, and no clause on no images."""
    study = make_study(make_series("1.1", "CT", [{"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}], SeriesNumber=1))
    rule = make_rule(CT, choose={"only_images": {"not": {"ImageType": {"contains": "LOCALIZER"}}}, "where": CT})
    (decision,) = decide([rule], study)
    assert lines(decision.trace)[-1] == "    - series 1 (CT) — only_images leaves none of its images"
