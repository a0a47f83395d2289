"""A trial of examples takes what a job takes, holds up nobody else, and blames no plugin for a busy machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from node.config.models import Configuration, PluginUse
from node.kit import checking, chosen, writing
from node.kit.commissioning import commission
from node.kit.small_node import kit_configuration
from node.kit.writing import PluginPurpose
from node.ledger import alerts, commissionings
from node.ledger.job import Job, JobStatus
from node.run import file_digests, waiting
from node.run.commissioning import TRIES, ExamplesVerdict
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from plugins.manifest import RuntimeKind
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, Site
from tests.support.wait import until

SCRIPT = """
#!/bin/sh
echo '{"schema": 1, "status": "not_applicable", "summary": "x"}' > "$1/out/result.json"
"""

AGAIN = "its examples failed in a way that the machine may have caused, and are tried again: known: deadline"


class _HeldTrial:
    """Examples that run until they may end."""

    def __init__(self) -> None:
        self.may_end, self.runs = threading.Event(), 0
        self.verdict = ExamplesVerdict(True, "passed: known")
        self.gpus: list[str] = []

    def __call__(self, name: str, site: Configuration, stop: threading.Event) -> ExamplesVerdict:
        self.gpus = [each.id for each in site.node.machine.gpus or ()]
        self.runs += 1  # what tests wait for, so it comes last
        structlog.get_logger("trial").info("trial.line")
        assert self.may_end.wait(60)
        return self.verdict


@pytest.fixture
def trial() -> Iterator[_HeldTrial]:
    held = _HeldTrial()
    yield held
    held.may_end.set()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """With a plugin that has examples, and one that has none."""
    site = Site(tmp_path)
    site.command_plugin("measures", SCRIPT)
    (examples_of(site) / "known").mkdir(parents=True)
    site.command_plugin("plain", SCRIPT)
    return site


def examples_of(site: Site) -> Path:
    return site.folder / "plugins" / "measures" / "examples"


@pytest.fixture
def stage(site: Site, trial: _HeldTrial) -> Iterator[RunStage]:
    made = stage_of(site, trial, with_slots(1))
    yield made
    trial.may_end.set()
    made._stop(0)


def stage_of(site: Site, trial: _HeldTrial, configuration: Configuration) -> RunStage:
    workers = WarmWorkers(site.data_folder.work)
    return RunStage(site.node, configuration, lambda _: site.catalogue(NOT_ISOLATED), workers, trial)


def job_of(site: Site, plugin: str, **more: Any) -> Job:
    receipts = site.receive(1)
    site.complete()
    return site.job(plugin, receipts, rule=plugin, **more)


def drive(stage: RunStage, over: Any) -> None:
    def is_over() -> bool:
        stage.run_once()
        return bool(over())

    until(is_over, 60, "what the stage has to do")


def ended(site: Site, job: Job) -> bool:
    return site.get(job).status is JobStatus.ENDED


def test_a_job_waits_for_the_slot_that_a_trial_has(site: Site, stage: RunStage, trial: _HeldTrial) -> None:
    """One slot: the job of another plugin waits, `status` says for what, and starts when the trial is over."""
    measured = job_of(site, "measures")
    drive(stage, lambda: trial.runs)
    other = job_of(site, "plain")
    stage.run_once()
    assert site.get(other).attempts == 0
    assert (
        waiting.noted(site.data_folder.data)[waiting.OTHERS] == "waits for one of 1 slot; running: examples of measures"
    )
    trial.may_end.set()
    drive(stage, lambda: ended(site, measured) and ended(site, other))


def test_a_trial_waits_for_the_slot_that_a_job_has(site: Site, trial: _HeldTrial, tmp_path: Path) -> None:
    """Memory is taken: the trial begins when the job has ended, and until then its jobs wait for that."""
    go_on = tmp_path / "go-on"
    site.command_plugin(
        "slow", f"\n#!/bin/sh\nwhile ! [ -e {go_on} ]; do sleep 0.05; done; " + SCRIPT.strip().splitlines()[-1]
    )
    stage = stage_of(site, trial, with_slots(2))
    whole = stage._machine.memory
    for each in (stage._catalogue.plugins["slow"], stage._catalogue.plugins["measures"]):
        object.__setattr__(each, "resources", each.resources.__class__(memory=whole))
    slow = job_of(site, "slow")
    drive(stage, lambda: site.get(slow).status is JobStatus.RUNNING)
    measured = job_of(site, "measures")
    stage.run_once()
    stage.run_once()
    assert trial.runs == 0
    told = waiting.noted(site.data_folder.data)["measures"]
    assert told.startswith("waits: its examples are to be run first; waits for ")
    go_on.touch()
    trial.may_end.set()
    drive(stage, lambda: ended(site, slow) and ended(site, measured))
    assert trial.runs == 1
    stage._stop(0)


def test_a_trial_has_the_gpu_that_it_was_given(site: Site, trial: _HeldTrial) -> None:
    """And no other: jobs are on the rest."""
    machine = {"gpus": [{"id": "0"}, {"id": "1"}]}
    settings = with_slots(2).node.model_dump() | {"machine": machine}
    configuration = Configuration.model_validate({"node": settings})
    stage = stage_of(site, trial, configuration)
    plugin = stage._catalogue.plugins["measures"]
    object.__setattr__(plugin, "resources", plugin.resources.__class__(gpu=True))
    job_of(site, "measures")
    drive(stage, lambda: trial.runs)
    (slot,) = stage._busy()
    assert (slot.is_trial, [slot.gpu]) == (True, trial.gpus)
    trial.may_end.set()
    stage._stop(0)


def test_other_plugins_do_not_wait_while_large_files_are_read(
    site: Site, stage: RunStage, trial: _HeldTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights are digested for the first time: jobs of their plugin wait, and those of others run meanwhile."""
    weights = site.folder / "plugins" / "measures" / "weights.bin"
    weights.write_bytes(bytes(file_digests.QUICK_BYTES + 1))
    is_read, may_end, true = threading.Event(), threading.Event(), hashlib.file_digest

    def slow(file: Any, algorithm: str) -> Any:
        if file.seek(0, 2) > file_digests.QUICK_BYTES:
            is_read.set()
            assert may_end.wait(60)
        file.seek(0)
        return true(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", slow)
    trial.may_end.set()
    measured, other = job_of(site, "measures"), job_of(site, "plain")
    drive(stage, lambda: ended(site, other))
    assert is_read.wait(20)
    stage.run_once()
    assert "its files are being read" in waiting.noted(site.data_folder.data)["measures"]
    may_end.set()
    drive(stage, lambda: ended(site, measured))


def test_what_the_machine_may_have_caused_is_tried_again_before_it_is_a_verdict(
    site: Site, stage: RunStage, trial: _HeldTrial
) -> None:
    """With growing pauses, a few times, and with an alert that says so; then it is the plugin's."""
    trial.may_end.set()
    trial.verdict = ExamplesVerdict(False, "known: deadline", perhaps_machine=True)
    job = job_of(site, "measures")
    for number, pause in enumerate((61, 241, 961), start=1):
        drive(stage, lambda number=number: trial.runs == number and not any(each.is_trial for each in stage._busy()))
        stage.run_once()
        assert trial.runs == number
        row = commissionings.last(site.ledger.database, "measures")
        assert row is not None
        assert row.detail.startswith(
            "its examples failed in a way that the machine may have caused, and are tried again"
        )
        assert [each.detail["reason"] for each in alerts.open_ones(site.ledger.database, 10)] == [row.detail]
        site.clock.pass_(seconds=pause)  # type: ignore[attr-defined]  # a HandClock
    drive(stage, lambda: trial.runs == TRIES and not stage._busy())
    row = commissionings.last(site.ledger.database, "measures")
    assert row is not None
    assert row.detail == "known: deadline\ntried 4 times"
    site.clock.pass_(seconds=10_000)  # type: ignore[attr-defined]
    stage.run_once()
    assert (trial.runs, site.get(job).attempts) == (TRIES, 0)


def test_a_plugin_that_passes_at_the_second_try_goes_live(site: Site, stage: RunStage, trial: _HeldTrial) -> None:
    """The machine was busy, and is not any more."""
    trial.may_end.set()
    trial.verdict = ExamplesVerdict(False, "known: deadline", perhaps_machine=True)
    job = job_of(site, "measures")
    drive(stage, lambda: trial.runs == 1 and not stage._busy())
    trial.verdict = ExamplesVerdict(True, "passed: known")
    site.clock.pass_(seconds=61)  # type: ignore[attr-defined]  # a HandClock
    drive(stage, lambda: ended(site, job))


def test_lines_of_a_trial_say_whose_it_is(site: Site, stage: RunStage, trial: _HeldTrial) -> None:
    """A node of the kit logs as the site's does: its jobs and workers are none of the site's."""
    trial.may_end.set()
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        job = job_of(site, "measures")
        drive(stage, lambda: ended(site, job))
    assert [each["examples_of"] for each in lines if each["event"] == "trial.line"] == ["measures"]
    assert [each for each in lines if each["event"] == "run.started" and "examples_of" in each] == []


PROGRAMS = {
    "deadline": ("sleep 1000", True),
    "crash": ("kill -9 $$", True),
    "memory": ("head -c 500m /dev/zero | tail -c 500m > /dev/null; sleep 5", False),
    "error": ("exit 3", False),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_limit_of_the_plugin_is_a_verdict_and_a_slow_machine_is_none(tmp_path: Path, name: str) -> None:
    """By real processes: no time and a kill may be the machine's; the plugin's own memory and exit code are not."""
    program, perhaps_machine = PROGRAMS[name]
    folder = tmp_path / "mine"
    writing.write(folder, RuntimeKind.COMMAND, PluginPurpose.VOLUME)
    (folder / "analyse").write_text(f"#!/bin/sh\n{program}\n")
    manifest = (folder / "plugin.toml").read_text()
    if name == "deadline":
        manifest = manifest.replace("deadline_seconds = 120", "deadline_seconds = 2")
    (folder / "plugin.toml").write_text(manifest.replace("memory_mb = 2048", "memory_mb = 64"))
    site = kit_configuration().model_copy(update={"plugins": {"mine": PluginUse(folder=folder)}})
    found = commission("mine", site)
    assert (found.passed, found.perhaps_machine) == (False, perhaps_machine), found.detail


def test_a_check_on_a_busy_machine_takes_no_plugin_out(tmp_path: Path) -> None:
    """It says that another try is worth it, and the pass that the site's ledger has stays the last word."""
    folder, site = tmp_path / "mine", Site(tmp_path / "site")
    writing.write(folder, RuntimeKind.COMMAND, PluginPurpose.VOLUME)
    (folder / "analyse").write_text("#!/bin/sh\nkill -9 $$\n")
    with site.ledger.transaction() as database:
        commissionings.record(database, site.clock.now(), "mine", "before", "passed", passed=True)
    kit = kit_configuration()
    node = kit.node.model_copy(update={"data": site.data_folder.data})
    configuration = kit.model_copy(update={"plugins": {"mine": PluginUse(folder=folder)}, "node": node})
    choice = chosen.choose("mine", configuration)
    found = [each for each in checking.check(choice) if each.what.startswith(checking.EXAMPLE)]
    assert [(each.passed, each.perhaps_machine) for each in found] == [(False, True)]
    assert found[0].detail.endswith("try it again")
    checking.keep(choice, configuration, found)
    last = commissionings.last(site.ledger.database, "mine")
    assert last is not None
    assert (last.digest, last.passed) == ("before", True)
