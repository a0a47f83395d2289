"""What earlier releases stored, and what was under way when they were stopped, is there after an upgrade."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.dimse.commitment import CommitmentReference, CommitmentRequest
from node.dimse.status import FailureReason
from node.index.children import HeaderReader
from node.ledger import (
    attempts,
    commitments,
    deliveries,
    facts,
    instances,
    job_files,
    objects,
    purges,
    studies,
    tallies,
)
from node.ledger.attempts import AttemptState
from node.ledger.commitment import CommitmentStatus
from node.ledger.delivery import DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.job import JobStatus
from node.ledger.purges import PurgeKind
from node.ledger.studies import StudyStatus
from node.route.asking import kept_rule
from node.serve import upgrade
from node.store.arrival import read_arrival
from node.store.durable import sha256_of
from node.store.journal import JournalMessage
from node.store.layout import DataFolder
from node.store.numbers import establish, number_of
from tests.support import history
from tests.support.sites.earlier import FOLDER, RELEASES, STUDIES, UpgradedSite, unpack

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture(params=RELEASES)
def site(request: pytest.FixtureRequest, tmp_path: Path, reader: HeaderReader) -> Iterator[UpgradedSite]:
    made = UpgradedSite(request.param, tmp_path, reader)
    yield made
    made.close()


def test_finding_m2_every_image_that_a_row_names_is_found_and_is_what_was_received(site: UpgradedSite) -> None:
    """In whichever folder that release stored it, with the meta information that it wrote."""
    rows = [row for study in STUDIES for row in instances.of_study(site.ledger.database, study)]
    assert len(rows) == 10
    for row in rows:
        path = site.data_folder.find(row.receipt)
        arrival, offset = read_arrival(path)
        assert sha256_of(path, offset) == row.digest
        assert (arrival.sop_instance_uid, arrival.calling_ae_title) == (row.sop_instance_uid, "CT1")
        assert arrival.received_at == row.received_at


def test_finding_m2_studies_that_were_under_way_get_their_results(site: UpgradedSite) -> None:
    """Each from where it was: reported, ended, queued, undecided, still arriving, not indexed. None is unreportable."""
    (sent,) = site.jobs("1.2.3.1")
    before = [(each.id, each.file) for each in deliveries.of_job(site.ledger.database, sent.id)]
    site.go_on()
    for study in STUDIES[:5]:
        row = studies.get(site.ledger.database, study)
        assert row is not None
        assert (row.status, row.hold) == (StudyStatus.COMPLETE, None)
        (job,) = site.jobs(study)
        assert (job.status, job.outcome, job.error) == (JobStatus.REPORTED, "no_findings", None), study
        kinds = sorted(each.kind for each in objects.of_job(site.ledger.database, job.id))
        assert kinds == ["sc", "sr"]
        waiting = deliveries.of_job(site.ledger.database, job.id)
        assert {each.status for each in waiting} == {DeliveryStatus.WAITING}
        assert all((site.data_folder.data / each.file).exists() for each in waiting)
    assert [(each.id, each.file) for each in deliveries.of_job(site.ledger.database, sent.id)] == before
    assert site.data_folder.waiting() == []


def test_finding_m2_what_was_tried_is_an_attempt_with_its_times(site: UpgradedSite) -> None:
    """Of a job that was reported and of one that had ended: one attempt, which answered. Of one that waits: none."""
    database = site.ledger.database
    for study in STUDIES[:2]:
        (job,) = site.jobs(study)
        (row,) = attempts.of_job(database, job.id)
        assert (row.number, row.state, row.counted, job.attempts) == (1, AttemptState.ANSWERED, True, 1)
        assert (job.answered_by, job.started_at) == (row.id, row.started_at)
        assert (row.ended_at, row.algorithm) == (job.finished_at, job.algorithm)
        assert job.algorithm is not None
    (waits,) = site.jobs(STUDIES[2])
    assert (attempts.of_job(database, waits.id), waits.attempts) == ([], 0)
    site.go_on()
    (row,) = attempts.of_job(database, waits.id)
    assert (row.state, row.kind, site.jobs(STUDIES[2])[0].answered_by) == (AttemptState.ANSWERED, "python", row.id)


def test_finding_m2_what_an_earlier_release_stored_is_committed(site: UpgradedSite) -> None:
    """Success for the image, from where it lies; 0110H for the second one that was quarantined beside the first."""
    references = tuple(CommitmentReference(CT, uid) for uid in ("1.2.3.2.1.1", "1.2.3.1.1.1", "1.2.3.9"))
    message = JournalMessage(CommitmentRequest("1.2.3.88", references), "CT1", "PACSNODE", "gone", site.clock.now())
    site.data_folder.sweep_parts()  # as `serve` does: half an object could be of any image
    site.journal.keep(site.data_folder.new_receipt(), message)
    site.index.run_once()
    for _ in range(2):
        site.commit.run_once()
    rows = commitments.with_status(site.ledger.database, list(CommitmentStatus))
    asked = next(row for row in rows if row.transaction_uid == "1.2.3.88")
    said = [item.failure for item in commitments.items(site.ledger.database, asked.id)]
    assert said == [0, FailureReason.PROCESSING_FAILURE, FailureReason.NO_SUCH_OBJECT]
    kept = [row for row in rows if row.transaction_uid == "1.2.3.77"]  # in the journal of the newest release
    assert [commitments.items(site.ledger.database, row.id)[0].failure for row in kept] == [0] * len(kept)


def test_finding_m2_facts_and_rules_that_were_kept_are_read(site: UpgradedSite) -> None:
    """Of each decided study: what the rules saw, and the version of the rule that decided."""
    database = site.ledger.database
    for study in STUDIES[:4]:
        (record,) = facts.of_study(database, study, 1)
        assert [one.header["Modality"][1] for one in record.instances] == [["CT"], ["CT"]]
    for study in STUDIES[:3]:
        (job,) = site.jobs(study)
        rule = kept_rule(database, job.decision)
        assert rule is not None
        assert (rule.name, rule.mode) == ("all-ct", "pilot")


def test_finding_m2_rows_are_held_against_files_once_after_an_upgrade(site: UpgradedSite) -> None:
    """Everything is there: one event that says so, and no second look by the same program."""
    for _ in range(2):
        upgrade.check_files(site.ledger, site.data_folder, site.clock)
    found = history.of_kind(site.ledger.database, EventKind.FILES_CHECKED)
    assert len(found) == 1
    assert history.of_kind(site.ledger.database, EventKind.FILES_MISSING) == []


def test_finding_m2_what_is_missing_after_an_upgrade_is_one_alert(site: UpgradedSite) -> None:
    """How many images and results, and which; looked for again by the next release only."""
    image = instances.of_study(site.ledger.database, "1.2.3.2")[0].receipt
    site.data_folder.find(image).unlink()
    (sent,) = site.jobs("1.2.3.1")
    report = objects.of_job(site.ledger.database, sent.id)[0].file
    (site.data_folder.data / report).unlink()
    for _ in range(2):
        upgrade.check_files(site.ledger, site.data_folder, site.clock)
    (alert,) = [each for each in history.open_alerts(site.ledger.database) if each.kind == "files.missing"]
    assert alert.times == 1
    assert (alert.detail["images"], alert.detail["results"]) == (1, 1)
    assert alert.detail["examples"] == [image, report]


def test_what_retention_removes_is_not_missed_after_an_upgrade(site: UpgradedSite) -> None:
    """Neither images that were just being removed, nor objects of a job whose files are gone."""
    receipts = [each.receipt for each in instances.of_study(site.ledger.database, "1.2.3.2")]
    (sent,) = site.jobs("1.2.3.1")
    with site.ledger.transaction() as database:
        purges.begin(database, site.clock.now(), "1.2.3.2", PurgeKind.IMAGES, "older than 30d")
        job_files.begin(database, sent.id)
    site.data_folder.remove(receipts)
    shutil.rmtree(site.data_folder.results / sent.id)
    upgrade.check_files(site.ledger, site.data_folder, site.clock)
    assert history.of_kind(site.ledger.database, EventKind.FILES_MISSING) == []


def test_tallies_that_an_upgrade_left_wrong_are_counted_again(site: UpgradedSite) -> None:
    """Said once, as a warning that names each; right ones are left alone."""
    with site.ledger.transaction() as database:
        database.execute("UPDATE tallies SET n=n+1 WHERE name='jobs' AND status='queued'")
    upgrade.check_files(site.ledger, site.data_folder, site.clock)
    (event,) = history.of_kind(site.ledger.database, "tallies.mended")
    assert [each.split(":")[0] for each in event.detail["tallies"]] == ["jobs quiet queued"]
    assert tallies.wrong(site.ledger.database) == []


def test_finding_m2_an_image_whose_move_to_the_store_was_cut_short_is_not_missing(site: UpgradedSite) -> None:
    """Its row was committed and its file is still in `incoming/`: the indexer moves it."""
    image = instances.of_study(site.ledger.database, "1.2.3.2")[0].receipt
    site.data_folder.find(image).rename(site.data_folder.arrived(image))
    upgrade.check_files(site.ledger, site.data_folder, site.clock)
    assert history.of_kind(site.ledger.database, EventKind.FILES_MISSING) == []
    site.index.run_once()
    assert site.data_folder.find(image) == site.data_folder.stored(image)


def test_finding_m2_what_was_cut_off_half_way_is_removed(site: UpgradedSite) -> None:
    """Nothing of it was promised by that release either; what was whole stays."""
    whole = site.data_folder.waiting()
    assert site.data_folder.sweep_parts() == 1
    assert site.data_folder.waiting() == whole


@pytest.mark.parametrize("release", RELEASES)
def test_finding_m1_numbers_go_on_above_the_names_of_earlier_releases(
    release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names are times of a clock that may have been ahead: ours is in the year 2001 now."""
    data = unpack(release, tmp_path)
    monkeypatch.setattr("node.store.numbers.time.time_ns", lambda: 10**18)
    with zipfile.ZipFile(FOLDER / f"{release}.zip") as kept:
        names = [Path(name).stem for name in kept.namelist() if name.endswith(".dcm") and "results" not in name]
    assert DataFolder(data).new_receipt() > max(names)


def test_finding_m1_a_first_start_without_any_file_goes_on_above_the_ledger(tmp_path: Path) -> None:
    """Everything that was received has been removed since, and the clock was set back."""
    ahead = number_of("7" + "0" * 31)
    establish(tmp_path, above=ahead)
    assert number_of(DataFolder(tmp_path).new_receipt()) > ahead
