"""Sites for tests of the run stage: with the machine's own isolation, and without any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.index.children import HeaderReader
from node.ledger import events
from node.ledger.job import Job, JobStatus
from node.run.sandbox import Isolation, isolation
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support.dimse.vendor_box import VendorBox
from tests.support.sites.box_room import BoxRoom
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, Site
from tests.support.wait import until


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(params=["isolated", "not isolated"])
def confinement(request: pytest.FixtureRequest) -> Isolation:
    if request.param == "not isolated":
        return NOT_ISOLATED
    found = isolation()
    if found.sandbox is None:
        pytest.skip(f"bubblewrap: {found.reason}")
    return found


@pytest.fixture
def isolated() -> Isolation:
    found = isolation()
    if found.sandbox is None:
        pytest.skip(f"bubblewrap: {found.reason}")
    return found


@pytest.fixture
def workers(site: Site) -> Iterator[WarmWorkers]:
    """Those of the site's node, ended after the test."""
    kept = WarmWorkers(site.data_folder.work)
    yield kept
    kept.close()


@pytest.fixture
def start(site: Site, workers: WarmWorkers) -> Iterator[Callable[..., RunStage]]:
    """Makes a run stage that is stopped after the test."""
    made: list[RunStage] = []

    def make(confinement: Isolation = NOT_ISOLATED, jobs_at_once: int = 2) -> RunStage:
        catalogue = site.catalogue(confinement)
        assert {name: text for name, text in catalogue.problems.items() if name in site.uses} == {}
        made.append(RunStage(site.node, with_slots(jobs_at_once), lambda _: site.catalogue(confinement), workers))
        return made[-1]

    yield make
    for run in made:
        run._stop(0)


@pytest.fixture
def settle(site: Site) -> Callable[..., Job]:
    """Drives the stage until that many attempts at the job are over, and returns the job."""

    def drive(run: RunStage, job: Job, attempts: int = 1, deadline: float = 180) -> Job:
        def over() -> bool:
            run.run_once()
            idle = not (site.data_folder.work / job.id).exists() and site.get(job).status is not JobStatus.RUNNING
            all_events = events.of_study(site.ledger.database, job.study_instance_uid)
            begun = [event for event in all_events if (event.kind, event.job) == ("job.started", job.id)]
            return idle and len(begun) == attempts

        until(over, deadline, f"the end of the attempt at job {job.id}")
        return site.get(job)

    return drive


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def box(request: pytest.FixtureRequest) -> Iterator[VendorBox]:
    """A box that listens; a test may say how (`indirect`)."""
    with VendorBox(**getattr(request, "param", {})) as listening:
        yield listening


@pytest.fixture
def make(tmp_path: Path, reader: HeaderReader, box: VendorBox) -> Iterator[Callable[..., BoxRoom]]:
    """Makes rooms with a vendor's box."""
    made: list[BoxRoom] = []

    def room(**keys: Any) -> BoxRoom:
        made.append(BoxRoom(tmp_path, reader, keys.pop("port", box.port), **keys))
        return made[-1]

    yield room
    for each in made:
        each.close()
