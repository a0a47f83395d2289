"""Jobs that take the result of an earlier step: when such a job is made, and when it is made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from node.ledger import events, job_results, jobs
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobOutcome, JobStatus
from node.route.stage import RouteStage
from node.run import found
from plugins.contract import Code, Finding, ImageReference, Result, ResultStatus, Segment, Segmentation
from rules.model import Rule
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site

CODE = Code("1", "99TEST", "Thing")
RULE = Rule.model_validate(
    {
        "name": "chain",
        "when": {"Modality": "CT"},
        "choose": {"take": "all"},
        "run": ["first", {"plugin": "volume", "inputs": {"mask": "first"}}],
        "send": "pacs",
        "mode": "pilot",
    }
)
FAILED = Result(ResultStatus.FAILED, "It broke.")
MEASURED = Result(ResultStatus.NO_FINDINGS, "Measured.", (Finding(CODE, present=False),))
NOT_FOR_THESE = Result(ResultStatus.NOT_APPLICABLE, "No.")


class Plugins:
    """All that rules run are there, and take no parameters."""

    def parameters_for(self, name: str, asked: dict[str, object]) -> dict[str, object]:
        return dict(asked)


def masked(columns: int, summary: str = "Seen.") -> Result:
    """A segmentation of so many columns."""
    labels = np.zeros((1, 8, 8), np.uint8)
    labels[0, :, :columns] = 7
    mask = Segmentation(labels, (ImageReference(f"{STUDY}.1.1"),), (Segment(7, "Thing", CODE, CODE),))
    return Result(ResultStatus.FINDINGS, summary, (Finding(CODE, True, segments=(7,)),), mask)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """With one study that was decided on."""
    made = Site(tmp_path)
    made.receive(1)
    made.complete()
    look(made)
    return made


def look(site: Site) -> None:
    """A route stage of a new life does what is there to do."""
    RouteStage(site.node, ruled([RULE]), lambda _: Plugins()).run_once()  # type: ignore[arg-type,return-value]


def of_step(site: Site, step: str) -> list[Job]:
    return [job for job in jobs.of_study(site.ledger.database, STUDY) if job.step == step]


def end(site: Site, step: str, result: Result) -> Job:
    """The newest job of a step ends with this result, and what follows is decided."""
    job = of_step(site, step)[-1]
    said = found.of(result)
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {})
        jobs.ended(database, site.clock.now(), job.id, JobOutcome(result.status), f"results/{job.id}", None, said)
        jobs.reported(database, site.clock.now(), job.id, 0)
    look(site)
    return job


def again(site: Site, step: str, result: Result) -> Job:
    """A person has it done again."""
    with site.ledger.transaction() as database:
        jobs.again(database, site.clock.now(), of_step(site, step)[-1].id, "os:hong")
    return end(site, step, result)


def test_a_node_that_died_between_the_two_makes_the_second_once(site: Site) -> None:
    """The first result is in the ledger; each life of the stage looks, one makes the job, and an event names both."""
    first = end(site, "first", masked(5))
    for _ in range(3):
        look(site)
    (second,) = of_step(site, "volume")
    assert [(use.name, use.job) for use in second.uses] == [("mask", first.id)]
    assert job_results.users(site.ledger.database, first.id) == [second.id]
    told = [each for each in events.of_study(site.ledger.database, STUDY) if each.kind == EventKind.DECISION_FOLLOW_UP]
    (said,) = [each.detail for each in told]
    assert (said["step"], said["after"], said["runs"]) == ("volume", "first", True)
    assert said["why"] == "the result of first asks for it"


def test_an_equal_result_runs_nothing_and_a_changed_one_runs_the_second_again(site: Site) -> None:
    """The summary is not handed on; what goes back to what it was is worked on again, too, and each names the last."""
    end(site, "first", masked(5))
    end(site, "volume", MEASURED)
    again(site, "first", masked(5, "Seen later."))
    assert len(of_step(site, "volume")) == 1
    sources = [again(site, "first", masked(6)).id]
    end(site, "volume", MEASURED)
    sources.append(again(site, "first", masked(5)).id)
    made = of_step(site, "volume")
    assert [use.job for job in made[1:] for use in job.uses] == sources
    assert [job.supersedes for job in made] == [None, made[0].id, made[1].id]


def test_what_waits_to_work_on_an_older_result_is_not_begun(site: Site) -> None:
    """The first is done again before the second has started: only the one on the newer result is run."""
    end(site, "first", masked(5))
    again(site, "first", masked(6))
    older, newer = of_step(site, "volume")
    assert (older.status, newer.status) == (JobStatus.CANCELLED, JobStatus.QUEUED)
    assert older.error == f"an earlier step has another result: job {newer.id}"


@pytest.mark.parametrize("result", [FAILED, NOT_FOR_THESE])
def test_without_a_result_the_second_is_made_to_say_so_and_made_again_once_there_is_one(
    site: Site, result: Result
) -> None:
    """Silence would look like a negative; the run stage ends it unrun (`job_results.unusable`)."""
    end(site, "first", result)
    (waits,) = of_step(site, "volume")
    assert job_results.unusable(site.ledger.database, waits) is not None
    end(site, "volume", result)
    again(site, "first", masked(5))
    found_now = of_step(site, "volume")[-1]
    assert found_now.id != waits.id
    assert job_results.unusable(site.ledger.database, found_now) is None
