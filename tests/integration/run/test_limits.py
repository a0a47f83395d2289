"""Results that are bombs: each ends its own job, in words, and the node does not feel it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import psutil
import pytest

from node.ledger.job import Job, JobOutcome, JobStatus
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
        "out/stray: is not a regular file",
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
