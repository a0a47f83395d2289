"""Time and how often: samples, limits, hours, waiting, growing studies, steps that come after others."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from rules.decision import Decision
from rules.engine import decide, follow_up
from rules.explain import lines
from rules.facts import CodeItem, History, StudyFacts
from rules.limits import lot
from rules.results import FindingFacts, MeasurementFacts, ResultFacts
from rules.timing import Hours, opening, read_duration, write_duration
from tests.unit.rules.building import NOW, make_rule, make_series, make_study

CT = {"Modality": "CT"}
BLOOD = CodeItem("50960005", "SCT", "Hemorrhage")
VOLUME = CodeItem("118565006", "SCT", "Volume")
SEOUL = ZoneInfo("Asia/Seoul")


def study(*numbers: int, **changed: Any) -> StudyFacts:
    return make_study(*(make_series(f"1.{number}", "CT", [{}] * 2) for number in numbers or (1,)), **changed)


def decided(facts: StudyFacts, **changed: Any) -> Decision:
    (decision,) = decide([make_rule(CT, **changed)], facts)
    return decision


def after(**history: Any) -> StudyFacts:
    return study(history={"r": History(**history)})


def test_a_sample_is_random_over_studies_and_the_same_every_time() -> None:
    """20 % of 5,000 studies, within two percent; the same ones again, and others under another salt."""
    uids = [f"1.2.840.{number}" for number in range(5000)]

    def drawn(**changed: Any) -> set[str]:
        rule = make_rule(CT, **changed)
        return {uid for uid in uids if decide([rule], study(study_instance_uid=uid))[0].matched}

    first = drawn(sample="20 %")
    assert abs(len(first) - 1000) < 100
    assert drawn(sample={"share": "20 %"}) == first
    assert drawn(sample="20 %", name="other") != first
    same = {"sample": {"share": "20 %", "salt": "pilot"}}
    assert drawn(**same) == drawn(**same, name="other")
    assert drawn(sample={"share": "10 %", "salt": "pilot"}) < drawn(**same)
    assert lot("1.2.3", "r") == lot("1.2.3", "r")


def test_who_is_not_in_the_sample_is_no_match_and_the_trace_says_why() -> None:
    """Only the sample failed: a near miss, with the lot that was drawn."""
    facts = next(
        each
        for number in range(99)
        if lot((each := study(study_instance_uid=f"1.{number}")).study_instance_uid, "r") > 0.2
    )
    decision = decided(facts, sample="20 %")
    assert (decision.matched, decision.near_miss) == (False, "sample: 20 %")
    assert decision.why.startswith("when holds, but sample: 20 %: the study drew ")
    assert any(line.startswith("  - sample: 20 % — the study drew") for line in lines(decision.trace))


@pytest.mark.parametrize(
    ("limits", "history", "matched"),
    [
        ({"enrolled": 400}, {"enrolled": 399}, True),
        ({"enrolled": 400}, {"enrolled": 400}, False),
        ({"enrolled": 400}, {"enrolled": 400, "subjects": frozenset({"1.2"})}, True),
        ({"per_day": 200}, {"today": 199}, True),
        ({"per_day": 200}, {"today": 200}, False),
        ({"cool_down": "6 hours"}, {"patient_last": NOW - timedelta(hours=6)}, True),
        ({"cool_down": "6 hours"}, {"patient_last": NOW - timedelta(hours=5, minutes=59)}, False),
        ({"cool_down": "6 hours"}, {}, True),
    ],
)
def test_limits_count_what_the_node_has_done(limits: Any, history: Any, matched: bool) -> None:
    """Studies enrolled, studies today, the patient's last one; a study that was run on before is not counted again."""
    assert decided(after(**history), limits=limits).matched is matched


def test_once_a_study_and_once_a_series() -> None:
    """`study`: nothing more after the first run; `series`: a run for each series that had none."""
    assert decided(after(), once="study").matched
    assert not decided(after(subjects=frozenset({"1.2"})), once="study").matched
    facts = study(1, 2, 3, history={"r": History(subjects=frozenset({"1.2"}))})
    runs = decided(facts, once="series").runs
    assert [(run.subject, [each.series_instance_uid for each in run.inputs]) for run in runs] == [
        ("1.1", ["1.1"]),
        ("1.3", ["1.3"]),
    ]
    nothing = decided(study(1, history={"r": History(subjects=frozenset({"1.1"}))}), once="series")
    assert (nothing.matched, nothing.why) == (False, "when holds, but it has run on each series already")


OFFICE = {"open": [{"days": ["monday", "tuesday", "wednesday", "thursday", "friday"], "between": ["08:00", "18:00"]}]}
OFF_PEAK = {"open": [{"between": ["18:00", "07:00"]}, {"days": ["saturday", "sunday"]}]}
BLACKOUT = {"closed": [{"dates": ["2024-03-01"], "between": ["09:00", "11:30"]}]}


@pytest.mark.parametrize(
    ("hours", "now", "expected"),
    [
        (OFFICE, "2024-03-01T08:00", "2024-03-01T08:00"),
        (OFFICE, "2024-03-01T07:59", "2024-03-01T08:00"),
        (OFFICE, "2024-03-01T18:00", "2024-03-04T08:00"),
        (OFF_PEAK, "2024-03-01T09:30", "2024-03-01T18:00"),
        (OFF_PEAK, "2024-03-01T06:59", "2024-03-01T06:59"),
        (OFF_PEAK, "2024-03-02T12:00", "2024-03-02T12:00"),
        (OFF_PEAK, "2024-03-04T06:30", "2024-03-04T06:30"),
        (BLACKOUT, "2024-03-01T09:30", "2024-03-01T11:30"),
        (BLACKOUT, "2024-03-02T09:30", "2024-03-02T09:30"),
        ({**OFFICE, **BLACKOUT}, "2024-03-01T09:00", "2024-03-01T11:30"),
        ({"open": [{"dates": ["2024-02-01"]}]}, "2024-03-01T09:00", None),
    ],
)
def test_when_jobs_may_start(hours: Any, now: str, expected: str | None) -> None:
    """Office hours, off-peak over midnight, a blackout that comes before both; the end is outside of a window."""
    moment = datetime.fromisoformat(now).replace(tzinfo=SEOUL)
    found = opening(Hours.model_validate(hours), moment)
    assert found == (datetime.fromisoformat(expected).replace(tzinfo=SEOUL) if expected else None)


def test_a_match_outside_the_hours_waits_or_is_skipped() -> None:
    """`wait`: the run says when it may start; `skip`: no match."""
    waiting = decided(study(), hours=OFF_PEAK)
    assert waiting.why == "when holds, and 1 series chosen, to start Friday 18:00"
    run = waiting.runs[0]
    assert run.not_before == NOW.replace(hour=18, minute=0)
    assert decided(study(), hours=OFFICE).runs[0].not_before is None
    skipped = decided(study(), hours={**OFF_PEAK, "otherwise": "skip"})
    assert (skipped.matched, skipped.why) == (False, "when holds, but hours: it is Friday 09:30")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"sample": "120 %"}, "not a share of the studies"),
        ({"sample": 0.2}, "keys and values are expected"),
        ({"limits": {"per_day": 0}}, "greater than or equal to 1"),
        ({"limits": {"cool_down": "6"}}, "is not a duration"),
        (
            {"limits": {"cool_down": "30s"}},
            "at least `1 minute`, because transfers, plugins and people .*: write `1 minute`",
        ),
        ({"limits": {"cool_down": "90 seconds"}}, "write `2 minutes`"),
        ({"limits": {"cool_down": "0 minutes"}}, "at least `1 minute`"),
        ({"hours": {}}, "hours says nothing"),
        ({"hours": {"open": [{"between": ["08:00", "18:00"]}], "closed": [{}]}}, "never open"),
        ({"hours": {"open": [{"between": ["8", "18:00"]}]}}, "not a time of day"),
        ({"decide": "often"}, "every 5 minutes"),
        ({"run": {"plugin": "x", "when_result": {"urgent": True}}}, "name it, as in `after: bleed`"),
        ({"run": [{"plugin": "x", "after": "y"}, "y"]}, "not a step above it"),
        ({"run": ["y", {"plugin": "x", "after": "y", "when_result": {"has": "blood"}}]}, "is not a code"),
        ({"wait": {"until": CT, "at_most": "20 minutes", "otherwise": "notify"}}, "go together"),
        ({"forward": {"to": []}}, "forwards to nobody"),
        ({"once": "series", "choose": [{"role": "a"}, {"role": "b"}]}, "there is one choice"),
    ],
    ids=str,
)
def test_a_mistake_is_refused_with_what_to_write(changed: Any, text: str) -> None:
    """Nothing of this loads."""
    with pytest.raises(ValidationError, match=text):
        make_rule(CT, **changed)


def test_durations_are_read_and_written() -> None:
    """In the largest unit that fits."""
    for written in ("20 minutes", "2 hours", "3 days"):
        assert write_duration(read_duration(written)) == written
    assert read_duration("90 min") == timedelta(minutes=90) == read_duration("90 minutes")


def test_waiting_for_more_of_a_study() -> None:
    """Not all there: wait until 20 minutes after it first held; then notify, run or nothing. All there: run at once."""
    until = {"count_series": {"where": CT, "at_least": 4}}

    def awaited(facts: StudyFacts, **otherwise: Any) -> Decision:
        return decided(facts, wait={"until": until, "at_most": "20 minutes", **otherwise})

    early = study(1, 2, completed_at=NOW - timedelta(minutes=5))
    waiting = awaited(early)
    assert (waiting.matched, waiting.waits_until) == (False, NOW + timedelta(minutes=15))
    assert waiting.why.startswith("when holds, and more is awaited until 09:45: count_series: ")
    assert any(line.startswith("  wait until") for line in lines(waiting.trace))
    grown = study(1, 2, 3, history={"r": History(waiting_since=NOW - timedelta(minutes=20))})
    notified = awaited(grown, otherwise="notify", notify={"whom": "mammography-desk"})
    assert [each.whom for each in notified.notify] == [("mammography-desk",)]
    assert notified.runs == ()
    (run,) = [awaited(grown, otherwise="run")]
    assert len(run.runs) == 1
    assert run.why == (
        "when holds, but what it waited for did not come within 20 minutes: when holds, and 3 series chosen"
    )
    assert not awaited(grown).matched
    assert len(awaited(study(1, 2, 3, 4)).runs) == 1


def test_rules_that_are_asked_before_a_study_is_complete() -> None:
    """`complete` waits for it, `series complete` sees complete series, `every 5 minutes` all of it, so often."""
    growing = make_study(make_series("1.1", "CT", [{}]), complete=False)
    assert not decided(growing).matched
    assert decided(growing, decide="every 5 minutes").matched
    asked = {"r": History(decided_at=NOW - timedelta(minutes=4))}
    assert not decided(make_study(*growing.series, complete=False, history=asked), decide="every 5 minutes").matched
    partly = make_series("1.2", "CT", [{}])
    partly = type(partly)(partly.series_instance_uid, partly.modality, partly.instances, complete=False)
    both = make_study(*growing.series, partly, complete=False)
    runs = decided(both, decide="series complete", once="series").runs
    assert [run.subject for run in runs] == ["1.1"]


STEPS = [
    "bleed",
    "midline",
    {"plugin": "volume", "after": "bleed", "when_result": {"has": ["SCT:50960005"]}},
    {"plugin": "audit", "after": "bleed"},
]


def result(
    status: Any = "findings", *, present: bool = True, urgent: bool = False, ml: float | None = 30.0
) -> ResultFacts:
    return ResultFacts(status, (FindingFacts(BLOOD, present, urgent, (MeasurementFacts(VOLUME, ml),)),))


def test_two_steps_at_once_and_a_third_only_after_the_first_found_something() -> None:
    """The decision runs two and names the steps that come later, and after which; the result decides on them."""
    rule = make_rule(CT, run=STEPS, priority="urgent")
    (decision,) = decide([rule], study())
    assert [(run.step, run.priority) for run in decision.runs] == [("bleed", "urgent"), ("midline", "urgent")]
    assert [(later.step, later.needs) for later in decision.later] == [("volume", ("bleed",)), ("audit", ("bleed",))]
    volume, audit = follow_up(rule, study(), {"bleed": result()})
    assert volume.run is not None
    assert (volume.run.plugin, volume.run.inputs) == ("volume", decision.runs[0].inputs)
    assert audit.run is not None
    nothing, audit = follow_up(rule, study(), {"bleed": result("no_findings", present=False)})
    assert (nothing.run, nothing.why) == (None, "has: SCT:50960005: present: none")
    assert audit.run is not None
    assert [each.run for each in follow_up(rule, study(), {"bleed": ResultFacts("failed")})] == [None, None]
    assert follow_up(rule, study(), {"midline": result()}) == ()


@pytest.mark.parametrize(
    ("asked", "found", "holds"),
    [
        ({"status": "failed"}, result("failed"), True),
        ({"has": "SCT:1"}, result(), False),
        ({"has_not": "SCT:50960005"}, result(present=False), True),
        ({"has_not": "SCT:50960005"}, result(), False),
        ({"urgent": True}, result(urgent=True), True),
        ({"urgent": True}, result(), False),
        ({"measurement": {"code": "SCT:118565006", "at_least": 30}}, result(), True),
        ({"measurement": {"code": "SCT:118565006", "above": 30}}, result(), False),
        ({"measurement": {"code": "SCT:118565006"}}, result(ml=None), False),
        ({"has": "SCT:50960005", "urgent": True}, result(), False),
    ],
)
def test_what_a_step_can_ask_of_a_result(asked: Any, found: ResultFacts, holds: bool) -> None:
    """Status, findings, urgency and measurements; every line must hold."""
    rule = make_rule(CT, run=["bleed", {"plugin": "volume", "after": "bleed", "when_result": asked}])
    (step,) = follow_up(rule, study(), {"bleed": found})
    assert (step.run is not None) is holds


def test_a_follow_up_stays_with_its_series() -> None:
    """`once: series`: the result of one series leads to a run on that one, though the rule has run on it."""
    rule = make_rule(CT, run=["bleed", {"plugin": "volume", "after": "bleed"}], once="series")
    facts = study(1, 2, history={"r": History(subjects=frozenset({"1.1", "1.2"}))})
    (step,) = follow_up(rule, facts, {"bleed": result()}, "1.2")
    assert step.run is not None
    assert (step.run.subject, [each.series_instance_uid for each in step.run.inputs]) == ("1.2", ["1.2"])


def test_what_is_decided_beside_runs() -> None:
    """Forwarding with and without coercion, whom to tell, a prior to fetch, an expiry and what is sent."""
    (forward,) = decide([make_rule(CT, choose=[], run=[], forward={"to": "research"})], study())
    assert forward.matched
    assert forward.forward is not None
    assert (forward.forward.to, forward.forward.coerce, forward.runs) == (("research",), {}, ())
    decision = decided(
        study(),
        forward={"to": ["a"], "coerce": {"InstitutionName": "Site A"}},
        notify={"whom": "duty"},
        prior={"source": "pacs", "within": "2 years", "description": "*chest*"},
        expires={"after": "2 hours", "then": "notify", "notify": {"whom": "duty"}},
        send_when=["findings", "failed"],
    )
    assert decision.forward is not None
    assert decision.forward.coerce == {"InstitutionName": "Site A"}
    assert (decision.notify[0].whom, decision.fetch and decision.fetch.role) == (("duty",), "prior")
    (run,) = decision.runs
    assert (run.expires_at, run.send_when) == (NOW + timedelta(hours=2), ("findings", "failed"))


def test_an_explanation_says_what_becomes_of_a_match() -> None:
    """Who is told, which results are sent, and until when; nothing of it where the rule does not match."""
    rule = {
        "notify": {"whom": ["duty", "desk"]},
        "expires": {"after": "2 hours", "then": "notify", "notify": {"whom": "duty"}},
        "send_when": ["findings", "failed"],
    }
    said = lines(decided(study(), **rule).trace)
    assert said[-3:] == [
        "  then notifies duty, desk",
        "  then sends results that are findings, failed; withholds the others",
        "  then results that come later than 2 hours after the images were complete are sent, with a notification "
        "to duty",
    ]
    assert not any(
        line.startswith("  then") for line in lines(decided(make_study(make_series("1.1", "MR", [{}])), **rule).trace)
    )


@pytest.mark.parametrize(
    ("between", "opens", "closes"),
    [
        (("02:00", "03:00"), "2026-03-29T03:00", "2026-03-29T04:00"),
        (("02:15", "02:45"), "2026-03-29T03:15", "2026-03-29T03:45"),
        (("01:00", "02:30"), "2026-03-29T01:00", "2026-03-29T03:00"),
        (("02:30", "05:00"), "2026-03-29T03:30", "2026-03-29T05:00"),
    ],
)
def test_finding_m11_no_window_is_skipped_when_the_clocks_go_forward(
    between: tuple[str, str], opens: str, closes: str
) -> None:
    """In Berlin 02:00 to 03:00 are not there on 29 March 2026: a window that lies in them comes an hour later."""
    berlin = ZoneInfo("Europe/Berlin")
    hours = Hours.model_validate({"open": [{"between": between}]})
    found = opening(hours, datetime(2026, 3, 29, 0, 30, tzinfo=berlin))
    assert found is not None
    assert found.timestamp() == datetime.fromisoformat(opens).replace(tzinfo=berlin).timestamp()
    last = datetime.fromisoformat(closes).replace(tzinfo=berlin) - timedelta(minutes=1)
    assert opening(hours, last) == last or last.hour == 2
    over = opening(hours, datetime.fromisoformat(closes).replace(tzinfo=berlin))
    assert over is not None
    assert over.day == 30
