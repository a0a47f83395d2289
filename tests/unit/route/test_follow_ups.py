"""Steps after steps, limits, samples and hours, from rows to jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from node.ledger import decisions, events, jobs, rule_history, studies
from node.ledger.job import Job, JobOutcome
from node.route import follow_ups
from node.route.stage import RouteStage
from node.run import found
from node.wake import Stage
from plugins.contract import Code, Finding, Measurement, Result, ResultStatus, Unit
from rules.model import Rule, rule_set_digest
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site

BLOOD = Code("50960005", "SCT", "Hemorrhage")
MILLILITRES = Measurement(Code("118565006", "SCT", "Volume"), 30.0, Unit("mL", "mL"))
STEPS = [
    "bleed",
    "midline",
    {"plugin": "volume", "after": "bleed", "when_result": {"has": "SCT:50960005"}},
    {"plugin": "plan", "after": "volume"},
]


class Plugins:
    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        return dict(asked)


def rule(**fields: Any) -> Rule:
    plain = {
        "name": "head",
        "when": {"Modality": "CT"},
        "choose": {"take": "all"},
        "run": STEPS,
        "send": "pacs",
        "mode": "pilot",
        "priority": "urgent",
    } | fields
    return Rule.model_validate(plain)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def route(site: Site, *rules: Rule) -> RouteStage:
    return RouteStage(site.node, ruled(rules or (rule(),)), lambda _: Plugins())


def arrive(site: Site, study: str = STUDY, **options: Any) -> None:
    site.receive(1, study=study, **options)
    site.complete(study)


def steps(site: Site, study: str = STUDY) -> list[str]:
    return sorted(job.step for job in jobs.of_study(site.ledger.database, study))


def job_of(site: Site, step: str) -> Job:
    return [job for job in jobs.of_study(site.ledger.database, STUDY) if job.step == step][-1]


def end(site: Site, step: str, result: Result) -> None:
    job = job_of(site, step)
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {})
        jobs.ended(
            database, site.clock.now(), job.id, JobOutcome(result.status), f"results/{job.id}", None, found.of(result)
        )


def bleeding(*, present: bool = True) -> Result:
    status = ResultStatus.FINDINGS if present else ResultStatus.NO_FINDINGS
    return Result(status, "Looked.", (Finding(BLOOD, present=present, measurements=(MILLILITRES,) if present else ()),))


def test_a_third_step_runs_only_after_the_first_found_something(site: Site) -> None:
    """Two jobs at once; the third when the result has the finding; the fourth after the third; none twice."""
    arrive(site)
    stage = route(site)
    stage.run_once()
    assert steps(site) == ["bleed", "midline"]
    bell = site.signal.subscribe(Stage.RUN)
    end(site, "bleed", bleeding())
    stage.run_once()
    stage.run_once()
    assert steps(site) == ["bleed", "midline", "volume"]
    assert bell.is_set()
    first, later = job_of(site, "bleed"), job_of(site, "volume")
    assert (later.inputs, later.priority, later.decision) == (first.inputs, 20, first.decision)
    end(site, "volume", Result(ResultStatus.NO_FINDINGS, "Measured.", (Finding(BLOOD, present=False),)))
    stage.run_once()
    assert steps(site) == ["bleed", "midline", "plan", "volume"]


@pytest.mark.parametrize(
    "result",
    [bleeding(present=False), Result(ResultStatus.FAILED, "It broke."), Result(ResultStatus.NOT_APPLICABLE, "No.")],
)
def test_a_result_that_does_not_ask_for_it_runs_nothing_and_the_reason_is_kept(site: Site, result: Result) -> None:
    """No haemorrhage, or no result to speak of: the timeline says which line of `when_result` did not hold."""
    arrive(site)
    stage = route(site)
    stage.run_once()
    end(site, "bleed", result)
    stage.run_once()
    assert steps(site) == ["bleed", "midline"]
    (said,) = [each for each in events.of_study(site.ledger.database, STUDY) if each.kind == "decision.follow-up"]
    assert (said.detail["step"], said.detail["runs"]) == ("volume", False)
    assert said.detail["why"].startswith(("has: SCT:50960005: present: none", "status: findings, no_findings: it is"))
    assert rule_history.not_followed_up(site.ledger.database) == []


def test_later_steps_are_decided_by_the_rules_that_decided_on_the_study(site: Site) -> None:
    """The rule is changed while the first step runs: the study is still decided by the version it began with."""
    arrive(site)
    stage = route(site)
    stage.run_once()
    stage.use(ruled([rule(run="other")]))
    end(site, "bleed", bleeding())
    stage.run_once()
    assert "volume" in steps(site)


def test_the_result_of_a_job_that_was_superseded_leads_nowhere(site: Site) -> None:
    """The study grew, and the step runs again on all of it: only the newer result counts."""
    arrive(site)
    stage = route(site)
    stage.run_once()
    older = job_of(site, "bleed")
    site.clock.pass_(seconds=1)  # type: ignore[attr-defined]  # a HandClock
    arrive(site, series="2")
    stage.run_once()
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), older.id, {})
        jobs.ended(database, site.clock.now(), older.id, JobOutcome.FINDINGS, "results/x", None, found.of(bleeding()))
    stage.run_once()
    assert "volume" not in steps(site)


def test_while_a_study_grows_its_later_steps_wait(site: Site) -> None:
    """A report arrives with the result: decided once the study is complete again, with the images unchanged."""
    arrive(site)
    stage = route(site, rule(choose={"where": {"Modality": "CT"}}))
    stage.run_once()
    site.receive(1, series="2", Modality=("CS", "SR"))
    end(site, "bleed", bleeding())
    stage.run_once()
    assert "volume" not in steps(site)
    site.complete()
    stage.run_once()
    assert steps(site) == ["bleed", "midline", "volume"]


def test_a_defect_in_a_follow_up_is_alerted_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person is told which job; it is not tried for ever."""
    arrive(site)
    stage = route(site)
    stage.run_once()
    end(site, "bleed", bleeding())
    monkeypatch.setattr(follow_ups, "_result", lambda _: {}["Hong^Gildong"])  # type: ignore[index]
    stage.run_once()
    stage.run_once()
    kinds = [each for each in events.of_study(site.ledger.database, STUDY) if each.kind == "job.follow-up-failed"]
    assert len(kinds) == 1
    assert "Hong" not in str(kinds[0].detail)


def test_a_limit_counts_studies_and_not_jobs(site: Site) -> None:
    """Two studies a day: the third is refused and says why; the next day it starts again; enrolment ends for good."""
    limited = rule(limits={"per_day": 2, "enrolled": 3}, run=["a", "b"])
    stage = route(site, limited)
    for number in (1, 2, 3):
        arrive(site, f"9.{number}")
        stage.run_once()
    assert [len(steps(site, f"9.{number}")) for number in (1, 2, 3)] == [2, 2, 0]
    (decision,) = decisions.of_study(site.ledger.database, "9.3")
    assert decision.trace["why"] == "when holds, but per_day: 2: 2 studies today"
    site.clock.pass_(days=1)  # type: ignore[attr-defined]  # a HandClock
    for number in (4, 5):
        arrive(site, f"9.{number}")
        stage.run_once()
    assert [len(steps(site, f"9.{number}")) for number in (4, 5)] == [2, 0]
    (decision,) = decisions.of_study(site.ledger.database, "9.5")
    assert decision.trace["why"] == "when holds, but enrolled: 3: 3 studies are enrolled"


def test_a_patient_rests_between_two_studies(site: Site) -> None:
    """The same patient again within the cool-down: nothing; afterwards: a run."""
    stage = route(site, rule(limits={"cool_down": "6 hours"}, run="a"))
    for number, hours in ((1, 5), (2, 2), (3, 0)):
        arrive(site, f"9.{number}")
        stage.run_once()
        site.clock.pass_(hours=hours)  # type: ignore[attr-defined]  # a HandClock
    assert [len(steps(site, f"9.{number}")) for number in (1, 2, 3)] == [1, 0, 1]


def test_once_a_study_and_once_a_series(site: Site) -> None:
    """The study grows by a series: `study` runs nothing more, `series` runs on the new one alone."""
    stage = route(site, rule(name="one", once="study", run="a"), rule(name="each", once="series", run="b"))
    arrive(site)
    stage.run_once()
    arrive(site, series="2")
    stage.run_once()
    made = [(job.step, job.subject) for job in jobs.of_study(site.ledger.database, STUDY)]
    assert sorted(made) == [("a", "study"), ("b", "1.2.3.1"), ("b", "1.2.3.2")]


def test_outside_the_hours_a_job_waits(site: Site) -> None:
    """It is 18:00 in Seoul: the job is made now and may start at 20:00."""
    hours = {"open": [{"between": ["20:00", "06:00"]}]}
    arrive(site)
    route(site, rule(hours=hours, run="a")).run_once()
    (job,) = jobs.of_study(site.ledger.database, STUDY)
    assert job.not_before.astimezone(UTC).hour == 11
    assert jobs.ready(site.ledger.database, site.clock.now()) == []
    site.clock.pass_(hours=2)  # type: ignore[attr-defined]  # a HandClock
    assert [each.id for each in jobs.ready(site.ledger.database, site.clock.now())] == [job.id]


def test_a_rule_set_reads_back_as_it_was_kept() -> None:
    """Written to the ledger and read again: the same rule, the same digest."""
    full = rule(
        sample={"share": "20 %", "salt": "pilot"},
        limits={"per_day": 200, "cool_down": "90 minutes"},
        hours={"open": [{"days": ["monday"], "between": ["08:00", "18:00"]}], "closed": [{"dates": ["2026-12-25"]}]},
        once="study",
        wait={"until": {"Modality": "SR"}, "at_most": "20 minutes"},
        decide="every 5 minutes",
        prior={"source": "pacs", "within": "2 years"},
        forward={"to": ["pacs"], "coerce": {"InstitutionName": "A"}},
        expires={"after": "2 hours", "then": "withhold"},
        send_when=["findings"],
    )
    again = Rule.model_validate(full.model_dump(mode="json"))
    assert again == full
    assert rule_set_digest([again]) == rule_set_digest([full])


def test_studies_that_were_corrected_meanwhile_are_left_for_the_next_run(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image comes between reading and writing: nothing is written."""
    arrive(site)
    stage = route(site)
    stage.run_once()
    end(site, "bleed", bleeding())
    real = follow_ups.engine.follow_up  # type: ignore[attr-defined]

    def meanwhile(*arguments: Any) -> Any:
        site.receive(1, series="7")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(follow_ups.engine, "follow_up", meanwhile)  # type: ignore[attr-defined]
        stage.run_once()
    assert "volume" not in steps(site)
    assert studies.get(site.ledger.database, STUDY) is not None
