"""What becomes of a job that works on results of earlier steps: without one of them it is never run on the rest.

The job ends with a report that says why. A person who has the earlier step run again has this one run again, too.
"""

from __future__ import annotations

from dataclasses import asdict

from node.ledger import job_results
from node.ledger.job import Job
from node.run.catalogue import SitePlugin
from node.run.settle import Settler
from node.stage import Node


class UsedResults:
    """Looks after the earlier results that jobs work on, before they start; used by the run stage alone."""

    def __init__(self, node: Node, settler: Settler) -> None:
        self._node = node
        self._settler = settler

    def are_here(self, job: Job, plugin: SitePlugin) -> bool:
        """Whether all of them can be worked on; where not, the job has ended."""
        if not job.uses:
            return True
        with self._node.ledger.snapshot() as database:
            found = job_results.unusable(database, job)
        if found is None:
            return True
        self._settler.not_run(job, found.why, asdict(plugin.manifest.identity), not_applicable=found.is_not_applicable)
        return False
