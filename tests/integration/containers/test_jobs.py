"""Jobs whose plugin is a container, under podman."""

from __future__ import annotations

from collections.abc import Callable

from node.ledger.job import Job, JobOutcome, JobStatus
from tests.support.sites.container_site import ANSWERS, ContainerSite


def test_a_container_answers_as_any_plugin_does(site: ContainerSite, outcome: Callable[..., Job]) -> None:
    """It reads request.json and the images, and its result is kept."""
    job = outcome(f"grep -q patient_sex /job/request.json; ls /job/in/*; {ANSWERS}")
    assert (job.status, job.outcome) == (JobStatus.ENDED, JobOutcome.NOT_APPLICABLE), site.log(job)
    assert site.kept(job)["summary"] == "Not for me."
