"""What becomes of a job of whose images retention removed some: it is never run on the rest.

Where they came again meanwhile it works on these. Where not, an archive is asked to send them: the one that a retrieved
study came from, else the destinations of the job, one after the other. Meanwhile the job is queued and waits. If none
of them sends all of it, the job ends as *not run*, and its report says when and why the images went.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta

import structlog

from node.config.destinations import dicom_destinations
from node.config.models import Configuration
from node.ledger import fetches, gone_images, job_images, jobs
from node.ledger.database import Database
from node.ledger.fetches import Fetch
from node.ledger.job import Job, JobStatus
from node.ledger.job_images import JobImages
from node.run.catalogue import SitePlugin
from node.run.settle import Settler
from node.stage import Node
from node.wake import Stage

log = structlog.get_logger(__name__)

PATIENCE = timedelta(minutes=30)
"""For this long a job waits for an archive to send its images; as for an earlier study."""


class RemovedImages:
    """Looks after the images of jobs before they start; used by the run stage alone."""

    def __init__(self, node: Node, settler: Settler) -> None:
        self._node = node
        self._settler = settler

    def see_to(self, job: Job, plugin: SitePlugin, configuration: Configuration) -> Job | None:
        """The job with the images that are here; None where it waits for them, or has ended without."""
        ledger = self._node.ledger
        if not job_images.concerned(ledger.database, job.id):
            return job
        with ledger.snapshot() as database:
            found = job_images.look(database, job)
        if found.settling:
            return None
        if found.missing:
            self._ask_or_end(job, found, plugin, configuration)
            return None
        return job if found.inputs == job.inputs else self._go_on(job, found)

    def _go_on(self, job: Job, found: JobImages) -> Job | None:
        with self._node.ledger.transaction() as database:
            if not _waits(database, job):
                return None
            return job_images.came_again(database, self._node.clock.now(), job, found.inputs)

    def _ask_or_end(self, job: Job, found: JobImages, plugin: SitePlugin, configuration: Configuration) -> None:
        database, now = self._node.ledger.database, self._node.clock.now()
        study = min(found.missing)  # one study after the other; mostly there is one
        asked = [each for each in fetches.of_job(database, job.id) if each.prior_study == study]
        done = {each.source for each in asked}
        names = [name for name in self._archives(job, study, configuration) if name not in done]
        if found.forgotten or not names:
            why = self._why(study, asked, found, configuration)
            self._settler.not_run(job, why, asdict(plugin.manifest.identity))
            return
        wanted = {"series": found.series.get(study, ())}
        with self._node.ledger.transaction() as database:
            if _waits(database, job):
                fetches.ask_again(database, now, job, study, source=names[0], wanted=wanted, deadline=now + PATIENCE)
        log.info("run.images-asked-for", job=job.id, study=study, source=names[0])
        self._node.wakes.wake(Stage.FETCH)

    def _archives(self, job: Job, study: str, configuration: Configuration) -> list[str]:
        """Who may have the study: the one that sent it here, then those that the results go to."""
        known = dicom_destinations(configuration.destinations)
        names = [fetches.source_of(self._node.ledger.database, study), *job.destinations]
        return list(dict.fromkeys(name for name in names if name is not None and name in known))

    def _why(self, study: str, asked: list[Fetch], found: JobImages, configuration: Configuration) -> str:
        """For the admin, and for the reader of the report."""
        deleted = gone_images.in_words(self._node.ledger.database, study, configuration.node.zone)
        forgotten = ["which they were is not known any more"] if found.forgotten else []
        return "; ".join([f"not run: images {deleted}", *forgotten, *_answers(asked)])


def _answers(asked: list[Fetch]) -> Iterator[str]:
    for each in asked:
        yield each.error or f"{each.source} sent a part of them"


def _waits(database: Database, job: Job) -> bool:
    return jobs.get(database, job.id).status is JobStatus.QUEUED
