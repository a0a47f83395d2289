"""Jobs of which retention removed images: an archive sends them again, or they are not run; never on the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import JPEGLSLossless

from node.fetch.deadlines import Deadlines
from node.index.children import HeaderReader
from node.ledger import attempts, fetches, instances, job_images, jobs, studies
from node.ledger.attempts import AttemptFailureKind
from node.ledger.fetches import FetchStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.studies import StudyImages
from node.store import device
from tests.support import history
from tests.support.images.receipts import SERIES, STUDY, code, compressed, ct
from tests.support.sites.gone_site import PACS, GoneSite, begin, rule, slices

PRIOR = "1.2.3.5"
DELETED = "not run: images deleted on 1 April 2026 by retention (images: 30d)"


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, reader: HeaderReader) -> GoneSite:
    """A study of three slices, analysed and removed; the PACS has them."""
    site = GoneSite(tmp_path, reader)
    site.send(*slices(1, 2, 3))
    site.reported(site.jobs()[0])
    site.pacs.has = slices(1, 2, 3)
    site.thirty_days_later()
    return site


def again(site: GoneSite, job: Job) -> Job:
    with site.ledger.transaction() as database:
        return jobs.again(database, site.clock.now(), job.id, "os:someone")


def uids(site: GoneSite, job: Job) -> list[str]:
    rows = [instances.by_receipt(site.ledger.database, each) for given in job.inputs for each in given.receipts]
    return sorted(row.sop_instance_uid for row in rows if row is not None)


def ended(site: GoneSite, job: Job) -> Job:
    found = site.get(job)
    assert (found.status, found.outcome) == (JobStatus.ENDED, JobOutcome.FAILED)
    return found


def test_a_late_slice_waits_for_the_images_that_the_archive_sends(site: GoneSite) -> None:
    """The job is queued, and not ready before all four are here; what was fetched triggers nothing else."""
    site.send(ct(4))
    job = site.jobs()[-1]
    assert site.seen_to(job) is None
    (fetch,) = site.fetches()
    assert (fetch.status, fetch.job, fetch.prior_study, fetch.source) == (FetchStatus.SEEKING, job.id, STUDY, "pacs")
    assert jobs.ready(site.ledger.database, site.clock.now()) == []
    assert jobs.next_ready_at(site.ledger.database) is None
    site.fetched()
    assert (site.pacs.moves, site.fetches()[0].status) == ([(STUDY, SERIES)], FetchStatus.FETCHED)
    assert [each.id for each in jobs.ready(site.ledger.database, site.clock.now())] == [job.id]
    here = site.seen_to(site.get(job))
    assert here is not None
    assert uids(site, here) == [f"{SERIES}.{number}" for number in (1, 2, 3, 4)]
    assert here == site.get(job)
    assert [each.origin for each in instances.of_study(site.ledger.database, STUDY)] == ["received"] + ["retrieved"] * 3
    assert len(site.jobs()) == 2
    assert site.outcomes()[-1] == "unchanged"


def test_a_retry_fetches_what_was_removed(site: GoneSite) -> None:
    """Also where the archive sends it in another transfer syntax; what it fetches is decided on by no rule."""
    site.pacs.has = [compressed(each, JPEGLSLossless) for each in site.pacs.has]
    site.pacs.syntax = {"syntax": JPEGLSLossless}
    job = again(site, site.jobs()[0])
    assert site.seen_to(job) is None
    site.fetched()
    here = site.seen_to(site.get(job))
    assert here is not None
    assert (len(uids(site, here)), here.revision, here.round) == (3, 2, 2)
    assert site.study().images is StudyImages.HERE
    assert site.outcomes() == ["matched", "not_matched"]  # retrieved: no rule takes it
    assert "job.images-again" in site.history()


def test_a_retry_of_a_study_that_came_again_asks_nobody(site: GoneSite) -> None:
    """It works on the files that are here now."""
    site.send(*slices(1, 2, 3))
    job = again(site, site.jobs()[0])
    here = site.seen_to(job)
    assert here is not None
    assert len(uids(site, here)) == 3
    assert site.fetches() == []


def test_a_job_that_no_archive_has_images_for_is_not_run(site: GoneSite) -> None:
    """It ends as failed, and says when and why they went, and what the archive said. Nothing is run on the rest."""
    site.pacs.has = []
    site.send(ct(4))
    job = site.jobs()[-1]
    assert site.seen_to(job) is None
    site.fetched()
    assert site.seen_to(site.get(job)) is None
    found = ended(site, job)
    assert found.error == f"{DELETED}; pacs does not have these series"
    (attempt,) = attempts.of_job(site.ledger.database, job.id)
    assert attempt.failure is AttemptFailureKind.GONE
    summary = site.kept(job)["summary"]
    assert summary.startswith(f"N{DELETED[1:]}")
    assert summary.endswith("Nothing can be concluded from this about the images.")


def test_without_an_archive_it_is_not_run_at_once(site: GoneSite) -> None:
    """Its results go to none that could be asked."""
    site.configuration = site.configuration.model_copy(update={"destinations": {}})
    job = again(site, site.jobs()[0])
    assert site.seen_to(job) is None
    assert ended(site, job).error == DELETED
    assert site.fetches() == []


def test_several_jobs_have_the_images_sent_once(site: GoneSite) -> None:
    """The second one finds what was fetched for the first."""
    site.send(ct(4))
    late, retried = site.jobs()[-1], again(site, site.jobs()[0])
    assert site.seen_to(late) is None
    assert site.seen_to(retried) is None
    site.fetched()
    site.fetch.run_once()
    assert (site.pacs.moves, [each.status for each in site.fetches()]) == ([(STUDY, SERIES)], [FetchStatus.FETCHED] * 2)
    assert {len(uids(site, here)) for job in (late, retried) if (here := site.seen_to(site.get(job)))} == {3, 4}


def test_an_archive_that_sends_a_part(site: GoneSite) -> None:
    """Two of three are not the study: the next archive would be asked, and there is none."""
    site.pacs.loses = 1
    job = again(site, site.jobs()[0])
    site.seen_to(job)
    site.fetched()
    assert site.fetches()[0].status is FetchStatus.FETCHED
    assert site.seen_to(site.get(job)) is None
    assert ended(site, job).error == f"{DELETED}; pacs sent a part of them"


def test_archives_are_asked_one_after_the_other(site: GoneSite) -> None:
    """The second one is asked when the first did not have it."""
    other = replace_title("ARCHIVE")
    site.configuration = site.configuration.model_copy(update={"destinations": {"pacs": PACS, "archive": other}})
    job = replace(again(site, site.jobs()[0]), destinations=("pacs", "archive"))
    site.pacs.has = []
    site.seen_to(job)
    site.fetch.run_once()
    assert site.seen_to(job) is None
    assert [(each.source, each.status) for each in site.fetches()] == [
        ("pacs", FetchStatus.NONE),
        ("archive", FetchStatus.SEEKING),
    ]


def replace_title(title: str) -> object:
    return PACS.model_copy(update={"ae_title": title})


def test_an_archive_that_is_down_is_waited_for_until_the_deadline(site: GoneSite) -> None:
    """As for an earlier study: half an hour; then the job is not run, and the alert of the fetch says why."""
    site.pacs.down = True
    job = again(site, site.jobs()[0])
    site.seen_to(job)
    site.fetch.run_once()
    assert site.fetches()[0].status is FetchStatus.SEEKING
    site.clock.pass_(minutes=31)  # type: ignore[attr-defined]
    Deadlines(site.node, site.configuration).run_once()
    assert site.seen_to(site.get(job)) is None
    assert ended(site, job).error == f"{DELETED}; pacs cannot be reached"
    assert [alert.kind for alert in history.open_alerts(site.ledger.database)] == ["fetch.failed"]


def test_the_study_of_another_patient_is_not_fetched(site: GoneSite) -> None:
    """The archive has merged patients since: its images are not the ones that the job is about."""
    site.pacs.patient_id = "P9"
    job = again(site, site.jobs()[0])
    site.seen_to(job)
    site.fetched()
    assert site.pacs.moves == []
    assert site.seen_to(site.get(job)) is None
    ended(site, job)


def test_a_study_that_is_held_runs_nothing_when_its_images_come_corrected(site: GoneSite) -> None:
    """The archive sends them under a corrected order: a person decides, as on any correction."""
    site.pacs.has = slices(1, 2, 3, AccessionNumber="A2")
    job = again(site, site.jobs()[0])
    site.seen_to(job)
    site.fetched()
    assert site.study().hold is not None
    assert site.get(job).status is JobStatus.CANCELLED


def test_a_job_that_was_cancelled_needs_nothing_more(site: GoneSite) -> None:
    """The archive is not asked for it."""
    job = again(site, site.jobs()[0])
    site.seen_to(job)
    with site.ledger.transaction() as database:
        jobs.cancel(database, site.clock.now(), job.id, "cancelled by someone")
    site.fetch.run_once()
    assert (site.pacs.moves, site.fetches()[0].status) == ([], FetchStatus.NONE)


def test_an_image_that_was_rejected_since_is_never_given(site: GoneSite) -> None:
    """The job's ground is gone: it gets the receipt that was rejected, and is cancelled for that."""
    job = again(site, site.jobs()[0])
    site.seen_to(job)
    site.fetched()
    with site.ledger.transaction() as database:
        third = instances.current(database, f"{SERIES}.3")
        assert third is not None
        instances.set_status(database, third.receipt, InstanceStatus.REJECTED)
    assert _given(site, job) == ["current", "current", "rejected"]  # which ends it when they are laid out


def _given(site: GoneSite, job: Job) -> list[str]:
    found = job_images.look(site.ledger.database, site.get(job))
    rows = [instances.by_receipt(site.ledger.database, each) for given in found.inputs for each in given.receipts]
    return sorted(str(row.status) for row in rows if row is not None)


def test_while_images_are_removed_a_job_waits(tmp_path: Path, reader: HeaderReader) -> None:
    """A person's retry at that moment neither runs on what is left nor asks for what is still going."""
    site = GoneSite(tmp_path, reader)
    site.send(*slices(1, 2, 3))
    first = site.reported(site.jobs()[0])
    begin(site.node)
    job = again(site, first)
    assert site.seen_to(job) is None
    assert (site.get(job).status, site.fetches()) == (JobStatus.QUEUED, [])


def test_the_steps_after_a_step_get_the_same_images(tmp_path: Path, reader: HeaderReader) -> None:
    """A step that is decided after its images went is queued on all of them, and fetches them."""
    site = GoneSite(tmp_path, reader, rule(run=["good", {"plugin": "next", "after": "good"}]))
    site.send(*slices(1, 2, 3))
    site.pacs.has = slices(1, 2, 3)
    first = site.done(site.jobs()[0])
    site.thirty_days_later()
    site.route.run_once()
    step = site.jobs()[-1]
    assert (step.step, step.inputs) == ("next", first.inputs)
    assert site.seen_to(step) is None
    site.fetched()
    here = site.seen_to(site.get(step))
    assert here is not None
    assert len(uids(site, here)) == 3


def test_when_the_facts_went_too_nothing_is_run_on_what_is_left(site: GoneSite) -> None:
    """Nobody knows which images there were: a late slice is not taken for the study."""
    with site.ledger.transaction() as database:
        database.execute("DELETE FROM series_facts")
    site.send(ct(4))
    job = site.jobs()[-1]
    assert len(job.inputs[0].receipts) == 1
    assert site.seen_to(job) is None
    assert ended(site, job).error == f"{DELETED}; which they were is not known any more"
    assert site.fetches() == []  # what came from an archive could be anything


def test_what_never_counted_is_not_missed(tmp_path: Path, reader: HeaderReader) -> None:
    """Our own report that the PACS sent back, and a series that was fetched beside the study, had no facts."""
    site = GoneSite(tmp_path, reader)
    site.send(*slices(1, 2, 3))
    job = site.reported(site.jobs()[0])
    serial = device.serial_number(site.data_folder.data)
    own = ct(1, SeriesInstanceUID="1.2.3.1.50", SOPInstanceUID="1.2.3.1.50.1")
    own.ContributingEquipmentSequence = [_ourselves(serial)]
    fetched = ct(1, SeriesInstanceUID="1.2.3.1.60", SOPInstanceUID="1.2.3.1.60.1")
    site.send(own)
    site.send(fetched, origin="retrieved")
    assert sorted(str(each.status) for each in _all(site)) == ["current"] * 4 + ["own"]
    site.pacs.has = slices(1, 2, 3)
    site.thirty_days_later()
    retried = again(site, job)
    assert site.seen_to(retried) is None
    site.fetched()
    assert site.seen_to(site.get(retried)) is not None


def _all(site: GoneSite) -> list[instances.Instance]:
    return instances.of_study(site.ledger.database, STUDY, list(InstanceStatus))


def _ourselves(serial: str) -> Dataset:
    item = Dataset()
    item.Manufacturer, item.ManufacturerModelName, item.DeviceSerialNumber = "pacsnode", "pacsnode", serial
    item.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
    return item


def test_a_retry_of_a_job_that_has_lost_its_receipts(site: GoneSite) -> None:
    """Retention removed them with the facts: it is not run on nothing."""
    first = site.jobs()[0]
    with site.ledger.transaction() as database:
        database.execute('UPDATE jobs SET inputs=\'[["","1.2.3.1.1",[]]]\' WHERE id=?', [first.id])
    job = again(site, site.get(first))
    assert site.seen_to(job) is None
    assert "not known any more" in str(ended(site, job).error)


def test_when_the_facts_went_too_the_whole_study_is_known_again(site: GoneSite) -> None:
    """By the digest of its inputs, or of which images these were: nothing runs again."""
    with site.ledger.transaction() as database:
        database.execute("DELETE FROM series_facts")
    site.send(*[compressed(each, JPEGLSLossless) for each in slices(1, 2, 3)], syntax=JPEGLSLossless)
    assert site.outcomes()[-1] == "unchanged"
    assert len(site.jobs()) == 1


# --- earlier studies ------------------------------------------------------------------------------------


def prior_slices() -> list[object]:
    return [
        ct(number, StudyInstanceUID=PRIOR, SeriesInstanceUID=f"{PRIOR}.1", SOPInstanceUID=f"{PRIOR}.1.{number}")
        for number in (1, 2)
    ]


@pytest.fixture
def comparing(tmp_path: Path, reader: HeaderReader) -> GoneSite:
    """A rule that compares with an earlier study, which was fetched, compared with, and removed."""
    prior = {"source": "pacs", "within": "5 years", "role": "before", "same": ["Modality"], "missing": "skip"}
    site = GoneSite(tmp_path, reader, rule(prior=prior, choose={"role": "now", "where": {"Modality": "CT"}}))
    site.pacs.has = prior_slices()  # type: ignore[assignment]
    site.send(*slices(1, 2, 3))
    site.fetched()
    site.route.run_once()
    site.reported(site.jobs()[0])
    site.thirty_days_later(PRIOR)
    return site


def test_a_gone_prior_of_a_new_study_is_fetched_as_ever(comparing: GoneSite) -> None:
    """It comes again, under new receipts, and is compared with."""
    new = "1.2.3.8"
    images = [
        ct(number, StudyInstanceUID=new, SeriesInstanceUID=f"{new}.1", SOPInstanceUID=f"{new}.1.{number}")
        for number in (1, 2)
    ]
    comparing.send(*images)
    comparing.fetched()
    comparing.route.run_once()
    (job,) = comparing.jobs(new)
    assert [(each.role, len(each.receipts)) for each in job.inputs] == [("now", 2), ("before", 2)]
    assert len(uids(comparing, job)) == 4
    study = studies.get(comparing.ledger.database, PRIOR)
    assert study is not None
    assert study.images is StudyImages.HERE


def test_a_retry_needs_the_gone_prior_too(comparing: GoneSite) -> None:
    """It is asked for where it came from, and the job runs with both."""
    job = again(comparing, comparing.jobs()[0])
    assert comparing.seen_to(job) is None
    asked = fetches.of_job(comparing.ledger.database, job.id)
    assert [(each.prior_study, each.source) for each in asked] == [(PRIOR, "pacs")]
    comparing.fetched()
    here = comparing.seen_to(comparing.get(job))
    assert here is not None
    assert len(uids(comparing, here)) == 5
    rows = instances.of_study(comparing.ledger.database, PRIOR, [InstanceStatus.CURRENT])
    assert {each.origin for each in rows} == {"retrieved"}
