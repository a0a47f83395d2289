"""Results that are bombs: each ends its own job, in words, and the node does not feel it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from node.ledger.job import Job, JobOutcome, JobStatus
from node.run import answer
from node.run.stage import Run
from tests.support.sites.job_site import STUDY, Site

Start = Callable[..., Run]
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


HANGS = "threading.Thread(target=threading.Event().wait).start()"


def test_fault_105_a_whole_result_of_a_process_that_hangs_is_taken(site: Site, start: Start, settle: Settle) -> None:
    """A thread that never ends keeps the process alive after result.json: at the deadline the result counts."""
    site.python_plugin("hangs", f"import threading; {HANGS}", deadline="3s")
    receipts = site.receive(1)
    site.complete()
    job = settle(start(), site.job("hangs", receipts))
    assert (job.outcome, job.attempts, job.error) == (JobOutcome.NO_FINDINGS, 1, None)
    assert "the result is taken" in site.log(job)


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
    (site.spool.work / "stuck").mkdir()
    remove = answer.remove

    def refuse(folder: Path) -> None:
        if folder.name == "stuck":
            raise PermissionError(1, "Operation not permitted", str(folder))
        remove(folder)

    monkeypatch.setattr(answer, "remove", refuse)
    site.python_plugin("good")
    receipts = site.receive(1)
    site.complete()
    assert settle(start(), site.job("good", receipts)).outcome is JobOutcome.NO_FINDINGS
