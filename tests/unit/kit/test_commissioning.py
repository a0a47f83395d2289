"""A plugin whose numbers moved does not go live: its jobs wait, with an alert that names the command."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.config.models import Configuration, PluginUse
from node.errors import TransientError
from node.kit import writing
from node.kit.commissioning import commission
from node.kit.small_node import kit_configuration
from node.kit.writing import PluginPurpose
from node.ledger import alerts, commissionings
from node.ledger.alert_kinds import AlertKind
from node.ledger.job import Job, JobStatus
from node.run import catalogue, sandbox, waiting
from node.run.commissioning import Commissioner, ExamplesVerdict
from node.run.digests import CodeDigests
from node.run.slots import Placement
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from plugins.runtime import RuntimeKind
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, Site
from tests.support.wait import until

SCRIPT = """
#!/bin/sh
echo '{"schema": 1, "status": "not_applicable", "summary": "x"}' > "$1/out/result.json"
"""


class _Trial:
    """Stands for the examples: what comes of them, and how often they were run."""

    def __init__(self) -> None:
        self.verdict: ExamplesVerdict | Exception = ExamplesVerdict(True, "passed: known")
        self.runs = 0

    def __call__(self, name: str, site: Configuration, stop: threading.Event) -> ExamplesVerdict:
        self.runs += 1
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


@pytest.fixture
def trial() -> _Trial:
    return _Trial()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.command_plugin("measures", SCRIPT)
    (examples_of(site) / "known").mkdir(parents=True)
    return site


@pytest.fixture
def stage(site: Site, trial: _Trial) -> Iterator[RunStage]:
    made = RunStage(
        site.node, with_slots(1), lambda _: site.catalogue(NOT_ISOLATED), WarmWorkers(site.data_folder.work), trial
    )
    yield made
    made._stop(0)


def examples_of(site: Site) -> Path:
    return site.folder / "plugins" / "measures" / "examples"


def may_run(commissioner: Commissioner, site: Site) -> bool:
    """Whether jobs of the plugin may run; its examples are begun where they are due, as the stage does it."""
    commissioner.begin_look()
    why = commissioner.why_held(site.catalogue(NOT_ISOLATED).find("measures"))
    for each in commissioner.waiting:
        commissioner.begin(Placement(each.job, "local"), None, with_slots(1))
    return not why


def queue(site: Site) -> Job:
    receipts = site.receive(1)
    site.complete()
    return site.job("measures", receipts)


def drive(stage: RunStage, over: object) -> None:
    def is_over() -> bool:
        stage.run_once()
        return bool(over())  # type: ignore[operator]

    until(is_over, 60, "what the stage has to do")


def open_kinds(site: Site) -> list[AlertKind]:
    return [each.kind for each in alerts.open_ones(site.ledger.database, 10)]


def close_alerts(site: Site) -> None:
    """As the sweep of the node does it."""
    with site.ledger.transaction() as database:
        for number in alerts.over(database):
            alerts.close(database, site.clock.now(), number)


def test_the_first_job_waits_for_the_examples_and_the_next_does_not(site: Site, stage: RunStage, trial: _Trial) -> None:
    """They are run once for what runs now, not at every start and not for every job."""
    job = queue(site)
    stage.run_once()
    assert site.get(job).attempts == 0
    drive(stage, lambda: site.get(job).status is JobStatus.ENDED)
    row = commissionings.last(site.ledger.database, "measures")
    assert row is not None
    assert (row.passed, row.detail, trial.runs) == (True, "passed: known", 1)
    again = RunStage(
        site.node, with_slots(1), lambda _: site.catalogue(NOT_ISOLATED), WarmWorkers(site.data_folder.work), trial
    )
    job = site.job("measures", site.receive(1), rule="another", inputs_digest="other")
    drive(again, lambda: site.get(job).status is JobStatus.ENDED)
    again._stop(0)
    assert trial.runs == 1


def test_a_plugin_whose_numbers_moved_waits_with_an_alert_until_it_passes(
    site: Site, stage: RunStage, trial: _Trial
) -> None:
    """The alert names the difference and the command; a pass, noted by whom ever, lets the jobs run."""
    trial.verdict = ExamplesVerdict(False, "known: BODY: 3.1, expected 3 ± 0.01")
    job = queue(site)
    drive(stage, lambda: open_kinds(site) == [AlertKind.PLUGIN_NOT_COMMISSIONED])
    stage.run_once()
    stage.run_once()
    assert (site.get(job).status, site.get(job).attempts, trial.runs) == (JobStatus.QUEUED, 0, 1)
    (alert,) = alerts.open_ones(site.ledger.database, 10)
    assert alert.detail["command"] == "pacsnode plugin check measures"
    assert alert.detail["reason"] == "known: BODY: 3.1, expected 3 ± 0.01"
    close_alerts(site)
    assert open_kinds(site) == [AlertKind.PLUGIN_NOT_COMMISSIONED], "it was closed while it lasts"
    row = commissionings.last(site.ledger.database, "measures")
    assert row is not None
    with site.ledger.transaction() as database:
        commissionings.record(database, site.clock.now(), "measures", row.digest, "passed", passed=True)
    drive(stage, lambda: site.get(job).status is JobStatus.ENDED)
    close_alerts(site)
    assert open_kinds(site) == []


@pytest.mark.parametrize("changed", ["program", "examples/known/expected.toml", "examples/known/image.dcm"])
def test_a_change_of_code_or_examples_is_tried_again(site: Site, trial: _Trial, changed: str) -> None:
    """And what is as it was before needs no second trial: the pass that it had counts."""
    commissioner = Commissioner(site.node, CodeDigests(), trial)
    file = site.folder / "plugins" / "measures" / changed
    before = file.read_bytes() if file.exists() else None

    def live() -> bool:
        return may_run(commissioner, site)

    until(live, 20, "the pass")
    trial.verdict = ExamplesVerdict(False, "moved")
    file.write_bytes((before or b"") + b"# changed\n")
    until(lambda: not live() and open_kinds(site) != [], 20, "the failure")
    assert trial.runs == 2
    file.write_bytes(before) if before is not None else file.unlink()
    assert live()
    close_alerts(site)
    assert (open_kinds(site), trial.runs) == ([], 2)
    commissioner.close()


def test_a_trial_that_the_machine_did_not_allow_says_nothing_of_the_plugin(site: Site, trial: _Trial) -> None:
    """A full disk is not its failure: it is tried again after a minute. The jobs wait, and an alert says so."""
    trial.verdict = TransientError("the disk is full")
    commissioner = Commissioner(site.node, CodeDigests(), trial)
    assert not may_run(commissioner, site)
    until(lambda: not commissioner.slots, 20, "the end of the trial")
    assert not may_run(commissioner, site)
    (alert,) = alerts.open_ones(site.ledger.database, 10)
    assert alert.detail["reason"] == "its examples could not be run, and are tried again: the disk is full"
    assert trial.runs == 1
    trial.verdict = ExamplesVerdict(True, "passed")
    site.clock.pass_(seconds=61)  # type: ignore[attr-defined]  # a HandClock
    until(lambda: may_run(commissioner, site), 20, "the pass")
    commissioner.close()
    close_alerts(site)
    assert open_kinds(site) == []


def test_a_plugin_without_examples_runs_and_one_that_lost_them_too(site: Site, trial: _Trial) -> None:
    """Examples are the author's to give; an alert about what is gone is over."""
    trial.verdict = ExamplesVerdict(False, "moved")
    commissioner = Commissioner(site.node, CodeDigests(), trial)
    until(lambda: not may_run(commissioner, site) and open_kinds(site) != [], 20, "the failure")
    (examples_of(site) / "known").rmdir()
    examples_of(site).rmdir()
    assert may_run(commissioner, site)
    close_alerts(site)
    assert open_kinds(site) == []
    commissioner.close()


def test_the_examples_are_run_as_jobs_are(tmp_path: Path) -> None:
    """Through the stages and real processes: the right number passes; another one, and missing images, are named."""
    folder = tmp_path / "my-program"
    writing.write(folder, RuntimeKind.COMMAND, PluginPurpose.VOLUME)
    site = kit_configuration().model_copy(update={"plugins": {"mine": PluginUse(folder=folder)}})
    assert commission("mine", site) == ExamplesVerdict(True, "passed: known")
    expected = folder / "examples" / "known" / "expected.toml"
    expected.write_text(expected.read_text().replace("value = 32.4", "value = 33.4"))
    (folder / "examples" / "other").mkdir()
    shutil.copy(expected, folder / "examples" / "other")
    found = commission("mine", site)
    assert not found.passed
    assert found.detail.splitlines() == [
        "known: BRIGHT 118565006: 32.4, expected 33.4 ± 0.1",
        "other: no DICOM image was found that is not given already",
    ]


def test_a_trial_is_over_soon_when_the_node_stops(tmp_path: Path) -> None:
    """A plugin that hangs in an example does not keep the node from ending."""
    folder = tmp_path / "hangs"
    writing.write(folder, RuntimeKind.COMMAND, PluginPurpose.VOLUME)
    (folder / "analyse").write_text("#!/bin/sh\ntouch $1/out/begun; sleep 1000\n")
    site = kit_configuration().model_copy(update={"plugins": {"hangs": PluginUse(folder=folder)}})
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(commission, "hangs", site, stop)
        until(lambda: any(Path(tempfile.gettempdir()).glob("pacsnode-*/data/work/*/1/out/begun")), 60, "its begin")
        stop.set()
        with pytest.raises(TransientError, match="it was stopped"):
            trial.result(timeout=60)


def test_what_was_replaced_during_a_trial_is_not_what_passed(site: Site) -> None:
    """Other code while the examples run, and the old code back afterwards: nobody can say what was tried."""
    program = site.folder / "plugins" / "measures" / "program"
    before = program.read_bytes()

    def trial(*_: object) -> ExamplesVerdict:
        program.write_bytes(before + b"# other\n")
        return ExamplesVerdict(True, "passed")

    commissioner = Commissioner(site.node, CodeDigests(), trial)
    assert not may_run(commissioner, site)
    until(lambda: not commissioner.slots, what="the end of the trial")
    program.write_bytes(before)
    assert not may_run(commissioner, site)
    commissioner.close()


@pytest.mark.parametrize(("program", "node"), [("exit 75", {}), ("true", {"isolation": "required"})])
def test_nothing_is_concluded_where_a_trial_could_not_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, node: dict[str, object]
) -> None:
    """A plugin that asks to be tried again, and one that may not run here: no verdict on its numbers."""
    same = sandbox.Isolation(sandbox.Sandbox("bwrap", ()), "", same_user="there is no other user")
    if node:
        monkeypatch.setattr(catalogue, "isolation", lambda: same)
    folder = tmp_path / "my-program"
    writing.write(folder, RuntimeKind.COMMAND, PluginPurpose.VOLUME)
    (folder / "analyse").write_text(f"#!/bin/sh\n{program}\n")
    settings = {"time_zone": "UTC", "limits": {"free_space": 0}, **node}
    plugins = {"mine": {"folder": str(folder), "isolation": "off"} if not node else {"folder": str(folder)}}
    site = Configuration.model_validate({"node": settings, "plugins": plugins})
    with pytest.raises(TransientError):
        commission("mine", site)


def test_people_are_told_why_a_job_waits_for_examples(site: Site, stage: RunStage, trial: _Trial) -> None:
    """In what `status` and `study` show of the waiting."""
    trial.verdict = ExamplesVerdict(False, "known: 3 expected 4")
    job = queue(site)
    drive(stage, lambda: bool(alerts.open_ones(site.ledger.database, 10)))
    stage.run_once()
    assert "its examples have not passed" in waiting.noted(site.data_folder.data)["measures"]
    assert site.get(job).attempts == 0
