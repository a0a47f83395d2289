"""Results that are bombs: each ends its own job, in words, and the node does not feel it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from node.ledger.job import Job, JobOutcome, JobStatus
from node.run import nested
from node.run.catalogue import Catalogue
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, STUDY, Site

Start = Callable[..., RunStage]
Settle = Callable[..., Job]

MASK = """
def sparse(path, shape):
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {{"descr": "|u1", "fortran_order": False, "shape": shape}})
        file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)))
CODE_ = {{"value": "1", "scheme": "99TEST", "meaning": "Thing"}}
FINDING = {{"code": CODE_, "present": True}}
UIDS = ["1.2.3.1.1", "1.2.3.1.2"]
def say(**more):
    document = {{"schema": 1, "status": "findings", "summary": "x", "findings": [FINDING], **more}}
    (OUT / "result.json").write_text(json.dumps(document))
    os._exit(0)
{body}
"""
BOMBS = {
    "sparse array": (
        """
        sparse(OUT / "a.npy", (2, 2**16, 2**15))
        frames = [{"sop_instance_uid": uid} for uid in UIDS]
        segment = {"number": 1, "label": "x", "category": CODE_, "type": CODE_}
        say(segmentation={"labels": {"array": "a.npy"}, "frames": frames, "segments": [segment]})
        """,
        "$.segmentation.labels.array: has 65536 × 32768 pixels a slice, its images have 4 × 6",
    ),
    "picture": (
        """
        sparse(OUT / "a.npy", (30000, 40000, 3))
        say(pictures=[{"pixels": {"array": "a.npy"}, "caption": "x"}])
        """,
        "$.pictures[0].pixels.array: 30000 × 40000 pixels, at most 4096 a side",
    ),
    "findings": ("say(findings=[FINDING] * 10000)", "$.findings: 10000 items, at most 1000"),
    "deep": (
        """
        (OUT / "result.json").write_text('{"schema":' + "[" * 10**6)
        os._exit(0)
        """,
        "is nested too deeply",
    ),
    "text": ("say(summary='x' * 10**7)", "$.summary: 10000000 characters"),
    "pipe": (
        """
        os.mkfifo(OUT / "stray")
        say()
        """,
        "out/stray: is a pipe, a socket or a device",
    ),
}


def _plugin_body(study: str, body: str) -> str:
    return MASK.format(body=textwrap.dedent(body)).replace("1.2.3.1", f"{study}.1")


@pytest.mark.parametrize("bomb", BOMBS)
def test_finding_x1_a_bomb_ends_its_job_in_words_and_the_node_stays_as_it_was(
    site: Site, start: Start, settle: Settle, bomb: str
) -> None:
    """One attempt, a reason with the place of the offence, no growth of this process; the next job gets its result."""
    body, reason = BOMBS[bomb]
    site.python_plugin("bomb", _plugin_body(STUDY, body))
    site.python_plugin("good")
    receipts = site.receive(2)
    site.complete()
    run = start()
    before = psutil.Process().memory_info().rss
    job = settle(run, site.job("bomb", receipts))
    assert (job.status, job.outcome, job.attempts) == (JobStatus.ENDED, JobOutcome.FAILED, 1)
    assert reason in str(job.error)
    assert psutil.Process().memory_info().rss - before < 2**26
    assert settle(run, site.job("good", receipts)).outcome is JobOutcome.NO_FINDINGS


def test_finding_x1_a_mask_with_holes_of_the_right_shape_is_a_result(site: Site, start: Start, settle: Settle) -> None:
    """Holes are zeros: the mask is kept as the disk says it is."""
    body = """
    sparse(OUT / "a.npy", (2, 4, 6))
    frames = [{"sop_instance_uid": uid} for uid in UIDS]
    segment = {"number": 1, "label": "x", "category": CODE_, "type": CODE_}
    say(segmentation={"labels": {"array": "a.npy"}, "frames": frames, "segments": [segment]})
    """
    site.python_plugin("holes", _plugin_body(STUDY, body))
    receipts = site.receive(2)
    site.complete()
    assert settle(start(), site.job("holes", receipts)).outcome is JobOutcome.FINDINGS


def test_finding_x1_what_else_an_honest_plugin_leaves_is_ignored_with_a_note(
    site: Site, start: Start, settle: Settle
) -> None:
    """A cache in a folder of out/ costs no result; the job's log names it."""
    body = """
    (OUT / "mpl-cache" / "fonts").mkdir(parents=True)
    (OUT / "latest").symlink_to("run-1")
    """
    site.python_plugin("tidy", body)
    receipts = site.receive(1)
    site.complete()
    job = settle(start(), site.job("tidy", receipts))
    assert job.outcome is JobOutcome.NO_FINDINGS
    note = next(line for line in site.log(job).splitlines() if "ignored in out/" in line)
    assert "mpl-cache" in note
    assert "latest" in note


ANSWERS_AND_HANGS = """
#!/bin/sh
echo '{"schema": 1, "status": "not_applicable", "summary": "Not for this."}' > "$1/out/result.json"
sleep 600
"""
HANGS = "threading.Thread(target=threading.Event().wait).start()"


def test_fault_105_a_whole_result_of_a_process_that_hangs_is_taken(site: Site, start: Start, settle: Settle) -> None:
    """A program that does not end after result.json is whole: at the deadline the result counts."""
    site.command_plugin("hangs", ANSWERS_AND_HANGS, deadline="3s")
    receipts = site.receive(1)
    site.complete()
    job = settle(start(), site.job("hangs", receipts))
    assert (job.outcome, job.attempts, job.error) == (JobOutcome.NOT_APPLICABLE, 1, None)
    assert "the result is taken" in site.log(job)


def test_a_thread_that_never_ends_costs_neither_the_result_nor_the_deadline(
    site: Site, start: Start, settle: Settle
) -> None:
    """A Python plugin that returned has answered: its process is ended at once, and its log says why."""
    site.python_plugin("hangs", f"import threading; {HANGS}", deadline="1h")
    receipts = site.receive(1)
    site.complete()
    job = settle(start(), site.job("hangs", receipts))
    assert (job.outcome, job.attempts, job.error) == (JobOutcome.NO_FINDINGS, 1, None)
    assert "it left 1 thread running" in site.log(job)


def test_fault_105_a_process_that_does_not_end_is_ended_soon_after_its_result(site: Site, settle: Settle) -> None:
    """Its result is there and it goes on: it is ended after a grace time, long before its deadline, with a note.

    What it left is judged like any other result.
    """
    half = "(OUT / 'result.json').write_text('{'); time.sleep(600)"
    site.command_plugin("hangs", ANSWERS_AND_HANGS, deadline="10m")
    site.python_plugin("hangs-on-half", half, deadline="10m")
    receipts = site.receive(1)
    site.complete()
    run = RunStage(
        site.node, with_slots(2), lambda _: _impatient(site.catalogue(NOT_ISOLATED)), WarmWorkers(site.data_folder.work)
    )
    try:
        job = settle(run, site.job("hangs", receipts))
        assert (job.outcome, job.attempts, job.error) == (JobOutcome.NOT_APPLICABLE, 1, None)
        assert "did not end: it was ended, and the result is taken" in site.log(job)
        broken = settle(run, site.job("hangs-on-half", receipts))
        assert (broken.outcome, broken.attempts) == (JobOutcome.FAILED, 1)
        assert "not valid JSON" in str(broken.error)
    finally:
        run._stop(0)


def _impatient(found: Catalogue) -> Catalogue:
    plugins = {
        name: replace(plugin, limits=replace(plugin.limits, grace_seconds=0.5))
        for name, plugin in found.plugins.items()
    }
    return replace(found, plugins=plugins)


def test_fault_105_half_a_result_of_a_process_that_hangs_is_not(site: Site, start: Start, settle: Settle) -> None:
    """What cannot be read at the deadline ends as the deadline, not as a broken result."""
    body = """
    (OUT / "result.json").write_text('{"schema": 1, "status":')
    time.sleep(600)
    """
    site.python_plugin("hangs", body, deadline="3s", attempts=1)
    receipts = site.receive(1)
    site.complete()
    job = settle(start(), site.job("hangs", receipts))
    assert job.outcome is JobOutcome.FAILED
    assert str(job.error).startswith("deadline")


def test_finding_d3_a_folder_that_cannot_be_removed_holds_up_no_job(
    site: Site, start: Start, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier life left in work/ and cannot be removed takes room; jobs run all the same."""
    (site.data_folder.work / "stuck").mkdir()
    remove = nested.remove

    def refuse(folder: Path) -> None:
        if folder.name == "stuck":
            raise PermissionError(1, "Operation not permitted", str(folder))
        remove(folder)

    monkeypatch.setattr(nested, "remove", refuse)
    site.python_plugin("good")
    receipts = site.receive(1)
    site.complete()
    assert settle(start(), site.job("good", receipts)).outcome is JobOutcome.NO_FINDINGS
