"""Rejection notes (IHE IOCM) for results of a version that was withdrawn: what is sent where, once, and resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage

from node.deliver.ways.dimse import dimse
from node.ledger import deliveries, events, jobs, recalls, rejection_notes, withdrawals
from node.ledger.alert_kinds import AlertKind
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.job import Job, JobStatus
from node.ledger.recalls import NewRecall, Recall, RecallReason
from node.ledger.withdrawals import WithdrawalStatus
from node.results.request import NodeIdentity
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.results import reports
from tests.support.sites.result_site import ResultSite

VERSION = reports.ALGORITHM.version
STUDY = reports.STUDY_UID


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ResultSite]:
    """Two archives, of which one hides what a rejection note names."""
    made = ResultSite(tmp_path, pacs={"rejection_notes": True}, old={"language": "ko"})
    yield made
    made.results.close()


def reported(site: ResultSite, *only: str) -> Job:
    """A result with segmentation, report and pages that has been delivered."""
    job = site.ended(reports.measured())
    site.results.run_once()
    site.delivered(job, *only)
    return job


def withdraw(site: ResultSite, reason: RecallReason = RecallReason.QUALITY, per_minute: int = 60) -> Recall:
    """A person withdraws the version, and the node goes on with it."""
    new = NewRecall("lung_density", VERSION, reason, "too many false positives", "os:kim", per_minute)
    with site.ledger.transaction() as database:
        return recalls.begin(database, site.clock.now(), new)


def notes(site: ResultSite) -> list[tuple[Delivery, Dataset]]:
    """Rejection notes in the outbox, read from the files that would be sent."""
    found = [each for each in deliveries.of_study(site.ledger.database, STUDY) if each.job is None]
    return [(each, dcmread(site.data_folder.data / each.file)) for each in found]


def named(note: Dataset) -> set[str]:
    """The SOP Instance UIDs that a note's evidence names."""
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == STUDY
    series = study.ReferencedSeriesSequence
    return {str(item.ReferencedSOPInstanceUID) for each in series for item in each.ReferencedSOPSequence}


def states(site: ResultSite, destination: str) -> set[str]:
    rows = withdrawals.of_study(site.ledger.database, STUDY)
    return {str(each.status) for each in rows if each.destination == destination}


def sent(site: ResultSite, delivery: Delivery) -> None:
    """The archive takes a note."""
    with site.ledger.transaction() as database:
        deliveries.sending(database, site.clock.now(), delivery.id)
        deliveries.delivered(database, site.clock.now(), delivery.id, dimse(0))


@pytest.mark.parametrize(
    ("reason", "title"),
    [(RecallReason.QUALITY, "113001"), (RecallReason.SAFETY, "113037"), (RecallReason.WRONG_PATIENT, "113037")],
)
def test_one_note_a_study_rejects_all_that_is_there_and_nothing_else(
    site: ResultSite, reason: RecallReason, title: str
) -> None:
    """It goes to the archive that wants it alone, with its title, and is of the results' patient and study."""
    job = reported(site)
    withdraw(site, reason)
    site.results.run_once()
    ((delivery, note),) = notes(site)
    assert (delivery.destination, delivery.status) == ("pacs", DeliveryStatus.WAITING)
    assert note.SOPClassUID == KeyObjectSelectionDocumentStorage
    assert (note.ConceptNameCodeSequence[0].CodeValue, note.ConceptNameCodeSequence[0].CodingSchemeDesignator) == (
        title,
        "DCM",
    )
    there = {each.item for each in site.deliveries(job) if each.destination == "pacs"}
    assert named(note) == there
    kinds = {kind: str(dataset.SOPInstanceUID) for kind, dataset in site.objects(job) if kind != "ko"}
    types = {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID): item.ValueType
        for item in note.ContentSequence
        if "ReferencedSOPSequence" in item
    }
    assert types.keys() == there
    assert {types.get(uid, "IMAGE") for kind, uid in kinds.items() if kind == "sc"} == {"IMAGE"}
    report = site.sent(job, "pacs")
    assert types[str(report.SOPInstanceUID)] == "COMPOSITE"
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber", "SpecificCharacterSet"):
        assert note.get(keyword) == report.get(keyword), keyword
    assert {each.Manufacturer for each in note.ContributingEquipmentSequence} >= {NodeIdentity().manufacturer}
    assert (states(site, "pacs"), states(site, "old")) == ({"sent"}, {"listed"})


def test_what_the_archive_has_taken_is_done_and_the_rest_waits_for_a_person(site: ResultSite) -> None:
    """The alert of the withdrawal lasts until a person has seen to the archive without the profile."""
    reported(site)
    recall = withdraw(site)
    site.results.run_once()
    ((delivery, _),) = notes(site)
    sent(site, delivery)
    site.results.run_once()
    assert (states(site, "pacs"), states(site, "old")) == ({"done"}, {"listed"})
    open_ones = {each.kind for each in history.open_alerts(site.ledger.database)}
    assert AlertKind.PLUGIN_WITHDRAWN in open_ones
    assert AlertKind.STUDY_TO_WITHDRAW not in open_ones, "one alert for the withdrawal, not one for each study"
    with site.ledger.transaction() as database:
        withdrawals.end_recalled(database, site.clock.now(), recall.id, WithdrawalStatus.DONE, "os:kim")
    assert AlertKind.PLUGIN_WITHDRAWN not in {each.kind for each in history.open_alerts(site.ledger.database)}


def test_a_note_that_is_not_taken_waits_for_a_person_and_is_sent_again_by_retry(site: ResultSite) -> None:
    """Refused for good: the objects are `refused`; after `retry` they are on their way again."""
    reported(site)
    withdraw(site)
    site.results.run_once()
    ((delivery, _),) = notes(site)
    with site.ledger.transaction() as database:
        deliveries.dead(database, site.clock.now(), delivery.id, "refused")
    site.results.run_once()
    assert states(site, "pacs") == {"refused"}
    with site.ledger.transaction() as database:
        deliveries.again(database, site.clock.now(), delivery.id, "os:kim")
    site.results.run_once()
    assert states(site, "pacs") == {"sent"}
    assert len(notes(site)) == 1


def test_nothing_is_rejected_twice(site: ResultSite) -> None:
    """Neither after a restart, nor what the archive has rejected itself by a note that came here."""
    job = reported(site)
    items = [each.item for each in site.deliveries(job) if each.destination == "pacs"]
    with site.ledger.transaction() as database:
        note = _note_from(site, "PACS")
        database.execute("INSERT OR IGNORE INTO rejections VALUES (?,?,?,?)", [items[0], STUDY, note, "113001"])
    withdraw(site)
    for _ in range(3):
        site.results.run_once()
    ((_, note_of_ours),) = notes(site)
    assert named(note_of_ours) == set(items[1:])
    assert states(site, "pacs") == {"done", "sent"}


def _note_from(site: ResultSite, title: str) -> str:
    """The receipt of something that this AE title sent: a rejection note, as far as the ledger knows."""
    receipt = site.receipts[0]
    site.ledger.database.execute("UPDATE instances SET calling_ae_title=? WHERE receipt=?", [title, receipt])
    return receipt


def test_what_arrives_while_it_is_withdrawn_gets_a_note_of_its_own(site: ResultSite) -> None:
    """It was being sent when the version was withdrawn: it is listed and rejected once it is there."""
    job = reported(site, "old")
    late = [each for each in site.deliveries(job) if each.destination == "pacs"]
    with site.ledger.transaction() as database:
        deliveries.sending(database, site.clock.now(), late[0].id)
    withdraw(site)
    site.results.run_once()
    assert notes(site) == []
    assert {each.status for each in site.deliveries(job) if each.id in {one.id for one in late[1:]}} == {
        DeliveryStatus.HELD
    }
    with site.ledger.transaction() as database:
        deliveries.delivered(database, site.clock.now(), late[0].id, dimse(0))
    site.results.run_once()
    ((_, note),) = notes(site)
    assert named(note) == {late[0].item}


def test_no_more_notes_a_minute_than_asked_for_also_after_a_restart(tmp_path: Path) -> None:
    """What was made in the last minute is counted in the ledger."""
    site = ResultSite(tmp_path, pacs={"rejection_notes": True}, other={"rejection_notes": True, "language": "ko"})
    reported(site)
    recall = withdraw(site, per_minute=1)
    site.results.run_once()
    site.results.run_once()
    assert len(notes(site)) == 1
    assert rejection_notes.how_many(site.ledger.database, recall, ["pacs", "other"]) == 1
    assert isinstance(site.clock, HandClock)
    site.clock.pass_(seconds=61)
    site.results.run_once()
    assert {delivery.destination for delivery, _ in notes(site)} == {"pacs", "other"}
    site.results.close()


def test_a_note_names_the_study_as_the_first_words_of_the_record(site: ResultSite) -> None:
    """The study's history says that its result does not stand, who said so, and that a note was made."""
    reported(site)
    withdraw(site)
    site.results.run_once()
    told = {each.kind: each for each in events.of_study(site.ledger.database, STUDY)}
    assert told["job.withdrawn"].actor == "os:kim"
    assert told["job.withdrawn"].detail["to_withdraw"] > 0
    assert told["rejection.note-made"].detail["destination"] == "pacs"


def test_a_result_that_was_not_encoded_yet_never_leaves_and_its_job_waits_to_end_as_not_analysed(
    site: ResultSite,
) -> None:
    """Nothing of it is listed; what takes its place says that there is no result (`tests/integration/run`)."""
    job = site.ended(reports.measured())
    withdraw(site)
    site.results._rejection_notes.run_once(site.results._configuration)
    assert site.get(job).status is JobStatus.CANCELLED
    site.results.run_once()
    assert (notes(site), site.deliveries(job)) == ([], [])
    (anew,) = [each for each in jobs.of_study(site.ledger.database, STUDY) if each.id != job.id]
    assert (anew.supersedes, anew.status) == (job.id, JobStatus.QUEUED)


def test_another_version_stays_as_it_is(site: ResultSite) -> None:
    """The same plugin, another version: nothing of it is stopped, held or listed."""
    job = reported(site)
    new = NewRecall("lung_density", "0.0.1", RecallReason.SAFETY, "", "os:kim", 60)
    with site.ledger.transaction() as database:
        recalls.begin(database, site.clock.now(), new)
    site.results.run_once()
    assert site.get(job).status is JobStatus.REPORTED
    assert {each.status for each in site.deliveries(job)} == {DeliveryStatus.DELIVERED}
    assert withdrawals.of_study(site.ledger.database, STUDY) == []


def test_without_the_files_a_person_has_to_see_to_it(site: ResultSite) -> None:
    """Retention deleted what was sent: patient and study cannot be copied, so no note is guessed."""
    job = reported(site)
    with site.ledger.transaction() as database:
        database.execute("UPDATE jobs SET files='gone' WHERE id=?", [job.id])
    withdraw(site)
    site.results.run_once()
    site.results.run_once()
    assert notes(site) == []
    assert states(site, "pacs") == {"listed"}
    (failed,) = [each for each in events.of_study(site.ledger.database, STUDY) if each.kind == "rejection.note-failed"]
    assert "retention deleted" in str(failed.detail["reason"])


def test_taken_back_no_note_is_made_any_more(site: ResultSite) -> None:
    """Between listing and sending."""
    reported(site)
    recall = withdraw(site)
    with site.ledger.transaction() as database:
        recalls.end(database, site.clock.now(), recall, "os:lee", "the vendor was wrong")
    site.results.run_once()
    assert notes(site) == []
    assert recalls.find(site.ledger.database, "lung-density", VERSION) is None
