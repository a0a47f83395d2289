"""Plugins that are replaced: before an attempt, and while it runs."""

from __future__ import annotations

from collections.abc import Callable

from node.ledger import attempts
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import Job, JobOutcome, JobStatus
from node.run.digests import CodeDigests
from node.run.stage import RunStage
from tests.support.clocks import HandClock
from tests.support.sites.job_site import Site

Start = Callable[..., RunStage]
Settle = Callable[..., Job]
ITSELF = """
code = Path(__file__)
if not code.with_name("updated").exists():
    code.with_name("updated").write_text("1")
"""


def test_fault_104_finding_v9_a_plugin_that_changes_while_it_runs_is_run_again(
    site: Site, start: Start, settle: Settle
) -> None:
    """Nobody can say which program answered: its answer is thrown away, not counted, and the next attempt's is taken.

    The attempt says what ran, and the algorithm of the job is that of what answered.
    """
    clock = site.clock = HandClock()
    site.python_plugin("updating", ITSELF)
    receipts = site.receive()
    site.complete()
    run = start()
    job = settle(run, site.job("updating", receipts))
    (first,) = attempts.of_job(site.ledger.database, job.id)
    assert (job.status, first.failure, first.counted) == (JobStatus.QUEUED, AttemptFailureKind.CHANGED, False)
    assert "changed while it ran (file updated)" in (job.error or "")
    clock.pass_(minutes=1)
    job = settle(run, job, attempts=2)
    second = attempts.last_of(site.ledger.database, job.id)
    assert (job.outcome, second is not None) == (JobOutcome.NO_FINDINGS, True)
    assert second is not None
    now = CodeDigests().of(site.catalogue().find("updating").manifest)
    assert (second.code_digest, first.code_digest == second.code_digest) == (now.whole, False)
    assert job.algorithm is not None
    assert (job.algorithm["software_digest"], job.algorithm["weights_digest"]) == (now.software, "")


def test_a_manifest_that_is_not_the_one_in_force_runs_nothing(site: Site, start: Start, settle: Settle) -> None:
    """plugin.toml says another version than the node has read: the job waits until that is taken up."""
    clock = site.clock = HandClock()
    site.python_plugin("updated", "print('it ran')")
    receipts = site.receive()
    site.complete()
    job = site.job("updated", receipts)
    run, path = start(), site.folder / "plugins" / "updated" / "plugin.toml"
    text = path.read_text()
    for number, wrong in enumerate((text.replace('version = "1"', 'version = "2"'), "not a manifest"), start=1):
        path.write_text(wrong)
        job = settle(run, job, attempts=number)
        assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
        assert str(path) in (job.error or "")
        clock.pass_(minutes=1)
    path.write_text(text)
    assert settle(run, job, attempts=3).outcome is JobOutcome.NO_FINDINGS
