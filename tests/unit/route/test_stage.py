"""From a complete study to decisions and jobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from node.errors import NotFoundError, TransientError
from node.ledger import decisions, fetches, instances, jobs, studies
from node.ledger.decisions import DecisionOutcome, StoredDecision
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobStatus
from node.route import asking, stage
from node.route.stage import AGAIN_SECONDS, IDLE_SECONDS, RouteStage
from node.wake import Stage
from plugins.manifest import ParameterError
from rules.model import Rule
from tests.support import history
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site


class Plugins:
    """Knows `good`, which has a parameter `level`."""

    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        if name != "good":
            raise NotFoundError(f"there is no plugin {name}")
        if set(asked) - {"level"}:
            raise ParameterError("no such parameter")
        return {"level": 5, **asked}


def rule(**fields: Any) -> Rule:
    plain = {
        "name": "chest",
        "description": "Is there a thing?",
        "when": {"Modality": "CT"},
        "choose": {"take": "one"},
        "run": "good",
        "send": "pacs",
        "mode": "pilot",
    } | fields
    return Rule.model_validate(plain)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def route(site: Site, *rules: Rule) -> RouteStage:
    return RouteStage(site.node, ruled(rules or (rule(),)), lambda _: Plugins())


def decided(site: Site) -> list[StoredDecision]:
    return decisions.of_study(site.ledger.database, STUDY)


def queued(site: Site) -> list[Job]:
    return jobs.of_study(site.ledger.database, STUDY)


def alerts(site: Site) -> list[str]:
    return [event.kind for event in history.open_alerts(site.ledger.database)]


def test_a_match_becomes_a_job_with_all_that_it_needs(site: Site) -> None:
    """Inputs in order of arrival, parameters with defaults, priority as a number, the run stage woken."""
    receipts = site.receive(3)
    site.complete()
    bell = site.signal.subscribe(Stage.RUN)
    assert route(site, rule(priority="urgent", run={"plugin": "good"})).run_once() == IDLE_SECONDS
    (job,) = queued(site)
    assert job.inputs[0].receipts == tuple(receipts)
    assert (job.parameters, job.priority, job.destinations, job.mode) == ({"level": 5}, 20, ("pacs",), "pilot")
    assert (job.rule, job.step, job.subject, job.asked) == ("chest", "good", "study", "Is there a thing?")
    assert job.images_complete_at == site.clock.now()
    (decision,) = decided(site)
    assert (decision.outcome, job.decision) == (DecisionOutcome.MATCHED, decision.id)
    assert decision.trace["when"]["passed"] is True
    assert bell.is_set()
    assert studies.undecided(site.ledger.database) == []


def test_a_rule_that_does_not_match_is_recorded_with_its_trace(site: Site) -> None:
    """One decision for each rule, whatever it says."""
    site.receive(1)
    site.complete()
    route(site, rule(name="mr", when={"Modality": "MR"}), rule()).run_once()
    assert [(one.rule, one.outcome) for one in decided(site)] == [
        ("mr", DecisionOutcome.NOT_MATCHED),
        ("chest", DecisionOutcome.MATCHED),
    ]
    assert "CT in the only instance, fails" in str(decided(site)[0].trace)
    assert len(queued(site)) == 1


def test_a_new_revision_with_the_same_inputs_runs_nothing(site: Site) -> None:
    """A second series arrives late; the rule chooses the first again: unchanged."""
    site.receive(2)
    site.complete()
    chest = rule(choose={"where": {"SeriesNumber": 1}})
    site_route = route(site, chest)
    site.receive(2, series="2", SeriesNumber=("IS", 2))
    site.complete()
    site_route.run_once()
    assert queued(site) == []
    site.receive(1, series="3", SeriesNumber=("IS", 1))
    site.complete()
    site_route.run_once()
    (job,) = queued(site)
    site.receive(1, series="4", SeriesNumber=("IS", 9))
    site.complete()
    site_route.run_once()
    assert [one.outcome for one in decided(site)][-1] is DecisionOutcome.UNCHANGED
    assert queued(site) == [job]


def test_late_images_of_the_chosen_series_make_a_new_job_that_supersedes(site: Site) -> None:
    """Other inputs, another digest: a job that names the one it replaces."""
    site.receive(2)
    site.complete()
    site_route = route(site)
    site_route.run_once()
    site.clock.pass_(seconds=1)  # type: ignore[attr-defined]  # a HandClock
    site.receive(1)
    site.complete()
    site_route.run_once()
    first, second = queued(site)
    assert (len(first.inputs[0].receipts), len(second.inputs[0].receipts)) == (2, 3)
    assert second.supersedes == first.id


def test_a_retrieved_study_triggers_nothing(site: Site) -> None:
    """What the node fetched itself makes no job, and the trace says why."""
    site.receive(2, origin="retrieved")
    site.complete()
    route(site).run_once()
    assert queued(site) == []
    assert "fetched the study itself" in decided(site)[0].trace["why"]


def test_a_study_of_nothing_but_our_own_results_triggers_nothing(site: Site) -> None:
    """Own instances are no records: a study of them alone is decided, and runs nothing."""
    receipts = site.receive(1)
    with site.ledger.transaction() as database:
        instances.set_status(database, receipts[0], InstanceStatus.OWN)
    site.complete()
    route(site).run_once()
    assert queued(site) == []
    assert studies.undecided(site.ledger.database) == []


def test_fault_39_a_damaged_instance_keeps_its_series_from_plugins(site: Site) -> None:
    """The trace names the instance and its defect."""
    site.receive(2)
    site.receive(1, marks={"truncated-pixel-data": "why"})
    site.complete()
    route(site).run_once()
    assert queued(site) == []
    trace = decided(site)[0].trace
    assert trace["unfit_instances"] == [{"sop_instance_uid": "1.2.3.1.3", "marks": ["truncated-pixel-data"]}]


def test_a_missing_value_that_the_rule_calls_an_error_is_alerted(site: Site) -> None:
    """The rule is in doubt; a person is told which, without any value from a header."""
    site.receive(1)
    site.complete()
    route(site, rule(when={"SliceThickness": {"below": 2, "missing": "error"}})).run_once()
    assert queued(site) == []
    assert alerts(site) == ["decision.in-doubt"]


@pytest.mark.parametrize("run", ["gone", {"plugin": "good", "parameters": {"other": 1}}])
def test_a_plugin_that_cannot_be_used_still_gets_its_job(site: Site, run: Any) -> None:
    """It will end as failed, which the radiologist sees; a person is alerted now."""
    site.receive(1)
    site.complete()
    route(site, rule(run=run)).run_once()
    assert len(queued(site)) == 1
    assert alerts(site) == ["decision.plugin-unusable"]


def test_a_defect_in_one_study_does_not_stop_the_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerted once, tried again ever later; the next study has its decisions."""
    site.receive(1, study="9.9")
    site.complete("9.9")
    site.receive(1)
    site.complete()
    real = asking.study_facts  # type: ignore[attr-defined]

    def broken(study: Any, *rest: Any) -> Any:
        if study.study_instance_uid == "9.9":
            raise KeyError("Hong^Gildong")
        return real(study, *rest)

    monkeypatch.setattr(asking, "study_facts", broken)
    route(site).run_once()
    assert alerts(site) == ["study.decision-failed"]
    (alert,) = history.open_alerts(site.ledger.database)
    assert alert.study == "9.9"
    assert "an error in the program (test_stage.py, line " in alert.detail["error"]
    assert "Hong" not in str(alert.detail)
    assert len(queued(site)) == 1
    assert [each.study_instance_uid for each in studies.undecided(site.ledger.database)] == ["9.9"]


def test_fault_54_a_locked_ledger_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost or marked: the study is still undecided, and the stage comes back soon."""
    site.receive(1)
    site.complete()

    def locked(*_: Any, **__: Any) -> None:
        raise TransientError("the ledger is locked")

    site_route = route(site)
    with monkeypatch.context() as patch:
        patch.setattr(stage.decisions, "keep_rule_set", locked)  # type: ignore[attr-defined]
        assert site_route.run_once() == AGAIN_SECONDS
    assert decided(site) == []
    assert site_route.run_once() == IDLE_SECONDS
    assert len(queued(site)) == 1


def test_an_instance_rejected_while_the_rules_are_asked_stops_the_decision(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written on facts that do not hold any more; the next run decides without the instance."""
    receipts = site.receive(2)
    site.complete()
    real = stage.engine.decide  # type: ignore[attr-defined]

    def meanwhile(*arguments: Any) -> Any:
        with site.ledger.transaction() as database:
            instances.set_status(database, receipts[0], InstanceStatus.REJECTED)
        return real(*arguments)

    site_route = route(site)
    with monkeypatch.context() as patch:
        patch.setattr(stage.engine, "decide", meanwhile)  # type: ignore[attr-defined]
        site_route.run_once()
    assert (decided(site), queued(site)) == ([], [])
    site_route.run_once()
    (job,) = queued(site)
    assert job.inputs[0].receipts == (receipts[1],)


def test_rules_can_be_swapped_between_runs(site: Site) -> None:
    """After a reload the next study is decided by the new rules, under their digest."""
    site.receive(1)
    site.complete()
    site_route = route(site)
    site_route.run_once()
    site_route.use(ruled([rule(name="new")]))
    site.receive(1)
    site.complete()
    site_route.run_once()
    first, second = decided(site)
    assert (first.rule, second.rule) == ("chest", "new")
    assert first.rule_set != second.rule_set


def test_a_study_in_flight_is_decided_by_one_version(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that come into force while one is decided are for the next study."""
    site.receive(1)
    site.complete()
    site_route = route(site)
    real = stage.engine.decide  # type: ignore[attr-defined]

    def meanwhile(*arguments: Any) -> Any:
        site_route.use(ruled([rule(name="new")]))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(stage.engine, "decide", meanwhile)  # type: ignore[attr-defined]
        site_route.run_once()
    (decision,) = decided(site)
    assert decision.rule == "chest"
    assert decision.rule_set == asking.RulesInForce.of([rule()]).digest
    assert queued(site)[0].rule == "chest"


def test_a_defect_about_one_earlier_study_does_not_stop_what_comes_after(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alerted once, without what the error says; later steps and other studies go on."""
    site.receive(1)
    site.complete()
    site_route = route(site, rule(prior={"source": "pacs", "within": "2 years"}))
    site_route.run_once()
    (fetch,) = fetches.of_study(site.ledger.database, STUDY)
    with site.ledger.transaction() as database:
        fetches.ended(database, site.clock.now(), fetch, fetches.FetchStatus.NONE)
    monkeypatch.setattr(stage.priors, "decide", lambda *_: {}["Hong^Gildong"])  # type: ignore[attr-defined, index]
    for _ in range(2):
        assert site_route.run_once() == IDLE_SECONDS
    (alert,) = history.open_alerts(site.ledger.database)
    assert (alert.kind, "Hong" in str(alert.detail)) == ("study.decision-failed", False)


@pytest.mark.parametrize("left", [(), (rule(name="other"), rule(enabled=False))])
def test_finding_o10_what_a_disabled_or_removed_rule_queued_does_not_run(site: Site, left: tuple[Rule, ...]) -> None:
    """Its queued jobs are cancelled with the reason, in one alert; those of a rule that only changed stay."""
    site.receive(3)
    site.complete()
    chest = rule()
    made = route(site, chest, rule(name="stays"))
    made.run_once()
    made.use(ruled((chest.model_copy(update={"description": "changed"}), rule(name="stays"))))
    made.run_once()
    assert {job.status for job in queued(site)} == {JobStatus.QUEUED}
    made.use(ruled((*left, rule(name="stays"))))
    for _ in range(2):
        made.run_once()
    found = {job.rule: (job.status, job.error) for job in queued(site)}
    assert found["stays"] == (JobStatus.QUEUED, None)
    assert found["chest"] == (JobStatus.CANCELLED, 'the rule "chest" was disabled or removed before its turn came')
    assert alerts(site) == ["rule.jobs-cancelled"]
