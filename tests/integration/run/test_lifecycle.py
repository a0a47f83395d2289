"""Claiming, cancelling, stopping, dying: what happens to jobs whatever happens to the node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from node.clock import SystemClock
from node.errors import TransientError
from node.ledger import attempts, jobs, studies
from node.ledger.attempts import AttemptFailureKind, AttemptState
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.terms import Terms
from node.run.sandbox import Isolation
from node.run.stage import BLOCKED_SECONDS, IDLE_SECONDS, RunStage
from node.run.workers import WarmWorkers
from tests.support.clocks import HandClock
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import STUDY, Site, logs_of, processes_of
from tests.support.wait import until

Start = Callable[..., RunStage]
Settle = Callable[..., Job]
HANG = "print('at work', flush=True); subprocess = __import__('subprocess'); subprocess.run(['sleep', '600'])"
ROOT = Path(__file__).parents[3]


def _at_work(site: Site, run: RunStage, job: Job) -> None:
    """Drive until the plugin itself runs."""

    def working() -> bool:
        run.run_once()
        return site.get(job).status is JobStatus.RUNNING and any("at work" in text for text in logs_of(site).values())

    until(working, what="the plugin to be at work")


def test_a_cancelled_job_is_killed_and_its_result_thrown_away(
    site: Site, start: Start, settle: Settle, confinement: Isolation
) -> None:
    """Cancelled in the ledger while it runs: its processes end, nothing is kept, it stays cancelled."""
    site.python_plugin("hang", HANG)
    receipts = site.receive()
    site.complete()
    job, run = site.job("hang", receipts), start(confinement)
    _at_work(site, run, job)
    with site.ledger.transaction() as database:
        jobs.cancel(database, site.clock.now(), job.id, "a person said so")
    until(lambda: run.run_once() and processes_of(site) == [], what="the end of the plugin's processes")
    until(lambda: run.run_once() and not (site.data_folder.work / job.id).exists(), what="the end of the work folder")
    assert site.get(job).status is JobStatus.CANCELLED
    assert site.get(job).error == "a person said so"
    assert not (site.data_folder.results / job.id / "plugin").exists()


def test_stop_lets_a_short_job_end(site: Site, start: Start) -> None:
    """Within the deadline of stop() what runs may end, and its result counts."""
    site.python_plugin("short", "time.sleep(0.5)")
    receipts = site.receive()
    site.complete()
    job, run = site.job("short", receipts), start()
    run.run_once()
    run._stop(30)
    assert site.get(job).outcome is JobOutcome.NO_FINDINGS


def test_stop_kills_a_long_job_which_the_next_start_takes_up_uncounted(
    site: Site, start: Start, confinement: Isolation
) -> None:
    """Stopping on purpose is not the plugin's failure: the attempt is not counted, the job is queued."""
    site.python_plugin("hang", HANG, attempts=1)
    receipts = site.receive()
    site.complete()
    job, run = site.job("hang", receipts), start(confinement)
    _at_work(site, run, job)
    run._stop(0)
    assert processes_of(site) == []
    assert (site.get(job).status, site.get(job).attempts) == (JobStatus.QUEUED, 0)
    (stopped,) = attempts.of_job(site.ledger.database, job.id)
    assert (stopped.state, stopped.counted, stopped.detail) == (AttemptState.CANCELLED, False, "the node was stopped")
    assert site.kinds()[-1] == "job.interrupted"
    assert run.run_once() > 0
    assert site.get(job).status is JobStatus.QUEUED, "a stopped stage claimed a job"


@pytest.mark.parametrize("where", ["isolated", "bare"])
def test_fault_55_a_killed_node_leaves_no_orphan_and_the_job_is_taken_up(
    tmp_path: Path, where: str, start: Start, settle: Settle
) -> None:
    """kill -9 of the node mid-plugin: the plugin and its children end; after so many deaths the job fails in words."""
    site = Site(tmp_path, SystemClock())
    site.python_plugin("hang", HANG, attempts=2)
    receipts = site.receive()
    site.complete()
    job = site.job("hang", receipts)
    for attempt in (1, 2):
        command = [sys.executable, "-m", "tests.integration.run.node_with_a_job", str(tmp_path), where]
        old = logs_of(site)
        node = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            until(
                lambda old=old: any("at work" in text for path, text in logs_of(site).items() if path not in old),
                what="the plugin to be at work",
            )
        finally:
            node.kill()
            node.wait()
        until(lambda: processes_of(site) == [], what="the end of the plugin's processes")
        assert (site.get(job).status, site.get(job).attempts) == (JobStatus.RUNNING, attempt)
    run = start()
    run.use(with_slots(2))
    run.run_once()
    ended = site.get(job)
    assert (ended.status, ended.outcome, ended.attempts) == (JobStatus.ENDED, JobOutcome.FAILED, 2)
    assert "interrupted each time" in site.kept(job)["summary"]
    assert not (site.data_folder.work / job.id).exists()


def test_a_job_the_node_died_on_runs_again_at_once(site: Site, start: Start, settle: Settle) -> None:
    """Found running at start, with attempts left: the next attempt begins without a pause."""
    site.python_plugin("good")
    receipts = site.receive()
    site.complete()
    job = site.job("good", receipts)
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {})
    left = site.data_folder.work / job.id / "1" / "out"
    left.mkdir(parents=True)
    ended = settle(start(), job, attempts=2)
    assert (ended.outcome, ended.attempts) == (JobOutcome.NO_FINDINGS, 2)


def test_an_attempt_elsewhere_is_not_lost_with_the_node(site: Site, start: Start) -> None:
    """Only what was a process of this machine ended with it: any other is left as it is, under its handle."""
    site.python_plugin("good")
    receipts = site.receive()
    site.complete()
    here, there = site.job("good", receipts), site.job("good", receipts, rule="another")
    with site.ledger.transaction() as database:
        for job in (here, there):
            jobs.started(database, site.clock.now(), job.id, {})
        database.execute("UPDATE attempts SET place='box-1', handle='h' WHERE job=?", [there.id])
    start().run_once()
    lost, other = (attempts.of_job(site.ledger.database, job.id)[0] for job in (here, there))
    assert (lost.state, lost.counted, lost.failure) == (AttemptState.LOST, True, AttemptFailureKind.NODE_DIED)
    assert (other.state, other.ended_at, site.get(there).status) == (AttemptState.STARTING, None, JobStatus.RUNNING)


def test_the_first_run_sweeps_the_work_folder(site: Site, start: Start) -> None:
    """What an earlier life left in work/ is gone, also where the plugin took its permissions away."""
    left = site.data_folder.work / "orphan" / "1" / "out"
    left.mkdir(parents=True)
    (left / "file").touch()
    left.chmod(0)
    start().run_once()
    assert [path.name for path in site.data_folder.work.iterdir()] == ["plugins.zip"]


def test_the_most_urgent_job_is_first_and_slots_are_kept(site: Site, start: Start, settle: Settle) -> None:
    """One slot: of three jobs the one of the highest priority runs, the others wait."""
    site.python_plugin("hang", HANG)
    receipts = site.receive()
    site.complete()
    routine, urgent, high = (
        site.job("hang", receipts, rule=f"rule {priority}", priority=priority) for priority in (0, 20, 10)
    )
    run = start(jobs_at_once=1)
    run.run_once()
    assert site.get(urgent).status is JobStatus.RUNNING
    assert [site.get(job).status for job in (routine, high)] == [JobStatus.QUEUED] * 2


def test_a_plugin_runs_as_often_at_once_as_it_may(site: Site, start: Start, settle: Settle) -> None:
    """Three slots, a plugin with at_once 1: its second job waits, another plugin's runs."""
    site.python_plugin("hang", HANG, at_once=1)
    site.python_plugin("other", HANG)
    receipts = site.receive()
    site.complete()
    first = site.job("hang", receipts, rule="rule 1")
    site.clock.pass_(seconds=1)  # type: ignore[attr-defined]  # a HandClock
    second = site.job("hang", receipts, rule="rule 2")
    third = site.job("other", receipts)
    start(jobs_at_once=3).run_once()
    assert [site.get(job).status for job in (first, second, third)] == [
        JobStatus.RUNNING,
        JobStatus.QUEUED,
        JobStatus.RUNNING,
    ]


def test_no_job_of_a_held_study_is_run(site: Site, start: Start) -> None:
    """A hold keeps its jobs queued, and the stage does not spin on them."""
    site.python_plugin("good")
    receipts = site.receive()
    site.complete()
    job = site.job("good", receipts)
    with site.ledger.transaction() as database:
        studies.hold(database, site.clock.now(), STUDY, "two patients")
    assert start().run_once() == BLOCKED_SECONDS
    assert site.get(job).status is JobStatus.QUEUED


def test_run_once_says_when_the_next_job_is_due(site: Site, start: Start) -> None:
    """Nothing queued: a long pause. A job that waits for its time: until then."""
    receipts = site.receive()
    site.complete()
    run = start()
    assert run.run_once() == IDLE_SECONDS
    site.python_plugin("good")
    run.use(with_slots(2))
    job = site.job("good", receipts)
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {})
        later = site.clock.now().replace(second=30)
        jobs.try_again(database, site.clock.now(), job.id, "x", later)
    assert run.run_once() == 30.0


def test_fault_57_a_clock_set_back_does_not_delay_a_retry(site: Site, start: Start, settle: Settle) -> None:
    """The wall clock jumps back an hour during a pause of 30 s: the next attempt comes after 30 s."""
    site.python_plugin("crash", "os.abort()", attempts=2)
    receipts = site.receive()
    site.complete()
    job, run = site.job("crash", receipts), start()
    settle(run, job)
    site.clock.jump(hours=-1)  # type: ignore[attr-defined]  # a HandClock
    run.run_once()
    assert site.get(job).attempts == 1
    site.clock.pass_(seconds=31)  # type: ignore[attr-defined]
    assert settle(run, job, attempts=2).outcome is JobOutcome.FAILED


def test_a_relative_data_folder_works_as_well(
    tmp_path: Path, confinement: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`data: data` in the configuration: the sandbox has no working folder of ours to be relative to."""
    monkeypatch.chdir(tmp_path)
    site = Site(Path("here"))
    site.python_plugin("good")
    receipts = site.receive()
    site.complete()
    job = site.job("good", receipts)
    workers = WarmWorkers(site.data_folder.work)
    run = RunStage(site.node, with_slots(1), lambda _: site.catalogue(confinement), workers)
    run.run_once()
    run._stop(30)
    workers.close()
    assert site.get(job).outcome is JobOutcome.NO_FINDINGS
    assert site.get(job).result == f"results/{job.id}/plugin"


def test_an_end_that_could_not_be_recorded_is_taken_up_again(
    site: Site, start: Start, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is locked when the result is there: the job is not stuck as running, it is done once more."""
    site.python_plugin("good")
    receipts = site.receive()
    site.complete()
    job, run, real, calls = site.job("good", receipts), start(), jobs.ended, []

    def locked_once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise TransientError("the ledger is locked")
        return real(*arguments)

    monkeypatch.setattr(jobs, "ended", locked_once)
    ended = settle(run, job, attempts=2)
    assert (ended.outcome, ended.attempts) == (JobOutcome.NO_FINDINGS, 2)


def test_fault_55_a_result_that_was_kept_but_not_recorded_is_replaced(site: Site, start: Start, settle: Settle) -> None:
    """Died between the rename and the row: what lies in results/ is of no job's end, and makes room."""
    site.python_plugin("good")
    receipts = site.receive()
    site.complete()
    job = site.job("good", receipts)
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {})
    left = site.data_folder.results / job.id / "plugin" / "out"
    left.mkdir(parents=True)
    (left / "result.json").write_text("left over")
    ended = settle(start(), job, attempts=2)
    assert site.kept(ended)["status"] == "no_findings"


def test_a_job_whose_hours_are_over_is_not_started(site: Site, start: Start) -> None:
    """Its turn comes at 18:00 in Seoul, its rule lets it start from 20:00: then it does."""
    site.python_plugin("night")
    receipts = site.receive()
    site.complete()
    night = {"hours": {"open": [{"between": ["20:00", "06:00"]}]}, "zone": "Asia/Seoul"}
    job, run = site.job("night", receipts, terms=Terms(hours=night)), start()
    run.run_once()
    assert (site.get(job).status, site.get(job).attempts) == (JobStatus.QUEUED, 0)
    assert site.get(job).not_before == site.clock.now() + timedelta(hours=2)
    assert site.kinds()[-1] == "job.outside-hours"
    assert isinstance(site.clock, HandClock)
    site.clock.pass_(hours=2)
    run.run_once()
    assert site.get(job).attempts == 1
