"""Where jobs run, and why they wait: as the stage does it, and as people see it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from node.config.models import Configuration, PluginResources
from node.desk import site as desk_site
from node.desk import study
from node.ledger import attempts
from node.ledger.job import Job, JobStatus
from node.run import occupancy, waiting
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support.sites.job_site import NOT_ISOLATED, STUDY, Site
from tests.support.wait import until

Settle = Callable[..., Job]
SAYS_WHICH = """#!/bin/sh
echo "the card is $CUDA_VISIBLE_DEVICES"
echo '{"schema": 1, "status": "not_applicable", "summary": "x"}' > out/part
mv out/part out/result.json
"""


@pytest.fixture
def start(site: Site) -> Iterator[Callable[..., RunStage]]:
    """Makes a stage on a machine as described."""
    made: list[RunStage] = []

    def make(**machine: Any) -> RunStage:
        settings = {"time_zone": "Asia/Seoul", "jobs_at_once": 3, "machine": machine}
        configuration = Configuration.model_validate({"node": settings})
        made.append(
            RunStage(
                site.node, configuration, lambda _: site.catalogue(NOT_ISOLATED), WarmWorkers(site.data_folder.work)
            )
        )
        return made[-1]

    yield make
    for run in made:
        run._stop(0)


def test_a_gpu_is_assigned_and_kept_with_the_attempt(
    site: Site, start: Callable[..., RunStage], settle: Settle
) -> None:
    """The plugin sees the one that it got, and the row says what it kept busy."""
    site.command_plugin("sees", SAYS_WHICH.replace("out/", "../out/"), resources=PluginResources(gpu=True, cpus=1))
    receipts = site.receive()
    site.complete()
    job = settle(start(gpus=[{"id": "GPU-7", "memory": "8GiB"}]), site.job("sees", receipts))
    assert "the card is GPU-7" in site.log(job)
    (row,) = site.ledger.database.execute("SELECT resources FROM attempts WHERE job=?", [job.id]).fetchone()
    assert json.loads(row) == {
        "cpus": 1.0,
        "memory": 400 * 2**20,
        "gpu": True,
        "gpu_memory": 0,
        "assigned": "GPU-7",
    }
    seen = occupancy.noted(site.data_folder.data)
    assert (seen.slots, [each.name for each in seen.gpus]) == (3, ["GPU-7"]), "as the console shows the machine"


def test_a_job_that_no_machine_can_run_is_not_silent(site: Site, start: Callable[..., RunStage]) -> None:
    """It needs a GPU and there is none: its attempt fails as the node's fault, with an alert, and is tried again."""
    site.command_plugin("needs", SAYS_WHICH, resources=PluginResources(gpu=True))
    receipts = site.receive()
    site.complete()
    job, run = site.job("needs", receipts), start(gpus=[])
    run.run_once()
    (tried,) = attempts.of_job(site.ledger.database, job.id)
    assert (site.get(job).status, tried.counted) == (JobStatus.QUEUED, False)
    assert tried.detail == "it needs a GPU, and this machine has none"
    assert site.kinds()[-1] == "job.postponed"


def test_study_says_why_a_job_waits(
    site: Site, start: Callable[..., RunStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is full: the job says for what it waits and what runs; not of a node that does not run."""
    site.command_plugin("hangs", "#!/bin/sh\nexec sleep 600\n", memory="1GiB")
    site.command_plugin("big", SAYS_WHICH, memory="3GiB")
    receipts = site.receive()
    site.complete()
    site.job("hangs", receipts)
    run = start(memory="3GiB")
    run.run_once()
    job = site.job("big", receipts, rule="other")
    until(lambda: run.run_once() and waiting.noted(site.data_folder.data), what="word of why it waits")
    why = "waits for 3 GiB of memory (2 GiB of 3 GiB are free); running: hangs"
    assert waiting.noted(site.data_folder.data) == {"big": why}
    data = str(site.data_folder.data)
    configuration = Configuration.model_validate({"node": {"time_zone": "Asia/Seoul", "data": data}})
    assert study.look(site.ledger, STUDY, configuration).waits == {}
    monkeypatch.setattr(desk_site, "running", lambda _: {"pid": 1})
    assert study.look(site.ledger, STUDY, configuration).waits == {job.id: why}
