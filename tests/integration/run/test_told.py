"""The end of a job tells whom its rule names, in the transaction that ends it."""

from __future__ import annotations

from collections.abc import Callable

from node.ledger import notifications
from node.ledger.job import Job, JobOutcome
from node.ledger.terms import NoticeTerms, Terms
from node.run.stage import RunStage
from node.wake import Stage
from tests.support.sites.job_site import STUDY, Site

FOUND = """
from plugins.contract import Score
return Result(ResultStatus.FINDINGS, "A thing.", (Finding(CODE, present=True, urgent=True, score=Score(0.9, 0.5)),))
"""


def test_a_finding_is_told_by_its_score_as_soon_as_it_is_known(
    site: Site, start: Callable[..., RunStage], settle: Callable[..., Job]
) -> None:
    """The score that a plugin gave is kept with the job; who wants more certainty is not called; `notify` is woken."""
    site.python_plugin("found", FOUND)
    receipts = site.receive(2)
    site.complete()
    sure = {"score": {"at_least": 0.95}}
    terms = Terms(notices=(NoticeTerms(("findings",), ("duty",)), NoticeTerms(("findings",), ("boss",), finding=sure)))
    bell = site.signal.subscribe(Stage.NOTIFY)
    job = settle(start(), site.job("found", receipts, terms=terms))
    assert job.outcome is JobOutcome.FINDINGS, site.log(job)
    told = notifications.of_study(site.ledger.database, STUDY)
    assert [(each.person, each.occasion, each.job) for each in told] == [("duty", "findings", job.id)]
    assert bell.is_set()
