"""The stage: what becomes of a job's result in the ledger and in the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from node.ledger import events, instances, jobs, notices, notifications
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.notifications import NotificationStatus
from node.ledger.terms import NoticeTerms, Terms
from node.results.source.files import SourceFiles
from node.results.texts import ENGLISH
from node.store import intact
from node.store.intact import Damage, DamagedError
from plugins.contract import Box, Finding, ImageReference, Result, ResultStatus
from tests.support import history
from tests.support.results import reports
from tests.support.sites.result_site import ResultSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ResultSite]:
    site = ResultSite(tmp_path)
    yield site
    site.results.close()


def _reported(site: ResultSite, result: Result, *, instead_of: Job | None = None) -> Job:
    job = site.ended(result, instead_of=instead_of)
    site.results.run_once()
    return site.get(job)


def _report(site: ResultSite, job: Job) -> Dataset:
    return next(dataset for kind, dataset in site.objects(job) if kind == "sr")


def _predecessors(report: Dataset) -> set[str]:
    return {
        str(item.ReferencedSOPInstanceUID)
        for study in report.get("PredecessorDocumentsSequence") or ()
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def _texts(report: Dataset) -> set[str]:
    return {str(element.value) for element in report.iterall() if element.keyword == "TextValue"}


# --- what the gate refuses ----------------------------------------------------------------------------


def _unspeakable() -> Result:
    """A result that nothing can be made of: its finding lies beside its image."""
    box = Box(np.array([[1.0, 1.0], [reports.COLUMNS + 9.0, 9.0]]), reports.reference("ct"))
    return Result(ResultStatus.FINDINGS, "A nodule.", (Finding(reports.NODULE, present=True, regions=(box,)),))


def test_what_cannot_be_reported_stays_and_the_reader_is_told(site: ResultSite) -> None:
    """Nothing of a refused result is sent; in its place go a report and a page that say so, and an alert is raised."""
    job = _reported(site, _unspeakable())
    assert (job.status, job.outcome) == (JobStatus.REPORTED, JobOutcome.FAILED)
    assert job.error is not None
    sent = site.objects(job)
    assert sorted(kind for kind, _ in sent) == ["sc", "sr"]
    report = _report(site, job)
    assert (report.CompletionFlag, report.PatientID) == ("PARTIAL", "12345678")
    assert any(ENGLISH.not_reportable in text for text in _texts(report))
    (alert,) = [e for e in events.of_study(site.ledger.database, reports.STUDY_UID) if e.kind == "job.refused"]
    assert [each.place for each in history.open_alerts(site.ledger.database) if each.kind == alert.kind] == [job.id]
    assert all(delivery.status is DeliveryStatus.WAITING for delivery in site.deliveries(job))


def test_where_identity_itself_cannot_be_written_nothing_is_sent(tmp_path: Path) -> None:
    """An Accession Number of 17 characters fits no object: an alert names it, and no shortened one goes out."""
    image = Dataset()
    image.add_new("AccessionNumber", "SH", "A2345678901234567")
    site = ResultSite(tmp_path, image=image)
    job = _reported(site, reports.measured())
    site.results.close()
    assert job.status is JobStatus.UNREPORTABLE
    assert "AccessionNumber: 17 characters" in str(job.error)
    assert "A2345678901234567" not in str(job.error)
    assert site.objects(job) == []
    assert site.deliveries(job) == []


def test_finding_s2_what_was_left_out_is_one_event_of_the_job(tmp_path: Path) -> None:
    """Two destinations with sets of their own: one event names attribute and reason, and holds no value."""
    image = Dataset()
    image.add_new("StudyDescription", "LO", "Chest of somebody " * 5)
    site = ResultSite(tmp_path, image=image, one={}, two={"language": "ko"})
    job = _reported(site, reports.measured())
    site.results.close()
    assert job.status is JobStatus.REPORTED
    (told,) = [e for e in events.of_study(site.ledger.database, reports.STUDY_UID) if e.kind == "job.source-changed"]
    assert told.job == job.id
    assert told.detail["changes"] == ["StudyDescription (0008,1030): shortened: VR LO cannot hold it as it is"]


def test_a_destination_that_cannot_be_told_is_an_alert(tmp_path: Path) -> None:
    """One that takes neither reports nor pages gets nothing in place of what was refused; a person is told."""
    site = ResultSite(tmp_path, archive={"kinds": ["seg"]})
    nowhere = [ImageReference(frame.sop_instance_uid, 2) for frame in reports.frames("ct")]
    job = _reported(site, reports.segmented(nowhere))
    site.results.close()
    assert job.status is JobStatus.UNREPORTABLE
    assert "frame_number: 2" in str(job.error)
    assert site.objects(job) == []


# --- revisions ----------------------------------------------------------------------------------------


def test_a_rerun_names_what_it_supersedes(site: ResultSite) -> None:
    """Predecessor Documents, the text of the report and the page say that an earlier result is replaced."""
    first = _reported(site, reports.measured())
    site.delivered(first)
    second = _reported(site, reports.no_findings(), instead_of=first)
    report = _report(site, second)
    assert _predecessors(report) == {str(_report(site, first).SOPInstanceUID)}
    assert ENGLISH.supersedes in _texts(report)
    assert _predecessors(_report(site, first)) == set()


def test_what_was_never_sent_is_not_named_and_never_goes(site: ResultSite) -> None:
    """A result overtaken in the outbox: nobody has seen it, so nothing refers to it, and it stays here."""
    first = _reported(site, reports.measured())
    second = _reported(site, reports.no_findings(), instead_of=first)
    assert _predecessors(_report(site, second)) == set()
    assert {delivery.status for delivery in site.deliveries(first)} == {DeliveryStatus.SUPERSEDED}


@pytest.mark.parametrize("how", ["failed", "refused"])
def test_a_failure_after_a_success_erases_nothing(site: ResultSite, how: str) -> None:
    """The failure is reported beside the earlier result, names no predecessor, and stops no delivery of it."""
    first = _reported(site, reports.measured())
    second = _reported(site, reports.failed() if how == "failed" else _unspeakable(), instead_of=first)
    assert second.outcome is JobOutcome.FAILED
    assert _predecessors(_report(site, second)) == set()
    assert ENGLISH.supersedes not in _texts(_report(site, second))
    assert {delivery.status for delivery in site.deliveries(first)} == {DeliveryStatus.WAITING}


def test_a_success_after_a_failure_supersedes_both(site: ResultSite) -> None:
    """The failure did not replace the first result, so the third names both of what readers still have."""
    first = _reported(site, reports.measured())
    site.delivered(first)
    second = _reported(site, reports.failed(), instead_of=first)
    site.delivered(second)
    third = _reported(site, reports.measured(), instead_of=second)
    assert _predecessors(_report(site, third)) == {
        str(_report(site, first).SOPInstanceUID),
        str(_report(site, second).SOPInstanceUID),
    }


def test_equal_profiles_share_objects_and_others_have_their_own(tmp_path: Path) -> None:
    """Two PACS alike get the same files, a third in Korean gets others; no UID is shared between those."""
    site = ResultSite(tmp_path, one={}, two={}, three={"language": "ko"})
    job = _reported(site, reports.measured())
    site.results.close()
    sent = {name: {d.item for d in site.deliveries(job) if d.destination == name} for name in site.destinations}
    assert sent["one"] == sent["two"]
    assert not sent["one"] & sent["three"]


def test_predecessors_are_those_that_the_destination_got(tmp_path: Path) -> None:
    """Two PACS alike, one of which never got the first report: only the other's second one names it."""
    site = ResultSite(tmp_path, one={}, two={})
    first = _reported(site, reports.measured())
    site.delivered(first, "one")
    second = _reported(site, reports.no_findings(), instead_of=first)
    site.results.close()
    assert _predecessors(site.sent(second, "one")) == {str(_report(site, first).SOPInstanceUID)}
    assert ENGLISH.supersedes in _texts(site.sent(second, "one"))
    assert _predecessors(site.sent(second, "two")) == set()
    assert ENGLISH.supersedes not in _texts(site.sent(second, "two"))
    assert site.sent(second, "one").SOPInstanceUID != site.sent(second, "two").SOPInstanceUID


def test_an_earlier_report_that_arrives_meanwhile_is_named(site: ResultSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is delivered while the next one is encoded: that one is encoded anew, and supersedes it."""
    first = _reported(site, reports.measured())
    encode, encoded = site.results._encode, []  # type: ignore[var-annotated]

    def delivered_meanwhile(*order: Any) -> Any:
        if not encoded:
            site.delivered(first)
        encoded.append(encode(*order))
        return encoded[-1]

    monkeypatch.setattr(site.results, "_encode", delivered_meanwhile)
    second = _reported(site, reports.no_findings(), instead_of=first)
    assert second.status is JobStatus.ENDED
    site.results.run_once()
    assert _predecessors(_report(site, site.get(second))) == {str(_report(site, first).SOPInstanceUID)}


# --- images that changed since they came --------------------------------------------------------------


def _damage(site: ResultSite, number: int) -> Path:
    path = site.data_folder.find(site.receipts[number])
    content = path.read_bytes()
    at = content.index(b"12345678")  # the Patient ID
    path.write_bytes(content[:at] + b"2" + content[at + 1 :])
    return path


@pytest.mark.parametrize("number", [0, 1], ids=["the first image", "another image"])
def test_finding_n5_no_result_is_made_from_a_damaged_image(site: ResultSite, number: int) -> None:
    """Patient ID changed on the disk after the plugin ran: no finding leaves; the sound images say why, with alerts."""
    job = site.ended(reports.measured())
    path = _damage(site, number)
    site.results.run_once()
    job = site.get(job)
    assert (job.status, job.outcome) == (JobStatus.REPORTED, JobOutcome.FAILED)
    assert str(path) in str(job.error)
    report = _report(site, job)
    assert report.PatientID == "12345678"
    assert any(ENGLISH.not_reportable in text for text in _texts(report))
    kinds = [alert.kind for alert in history.open_alerts(site.ledger.database)]
    assert sorted(kinds) == ["instance.damaged", "job.refused"]


def test_finding_n5_a_failure_is_reported_from_the_images_that_are_sound(site: ResultSite) -> None:
    """A job that failed over a damaged image still ends in a report: the reader is not left in silence."""
    _damage(site, 0)
    job = _reported(site, reports.failed())
    assert (job.status, job.outcome) == (JobStatus.REPORTED, JobOutcome.FAILED)
    assert _report(site, job).PatientID == "12345678"


def test_finding_n5_damage_that_the_run_has_told_is_not_told_again(site: ResultSite) -> None:
    """One alert a job; what is damaged since then is told, and nothing twice."""
    known, new = _damage(site, 0), _damage(site, 1)
    job = site.ended(reports.failed())
    rows = [instances.by_receipt(site.ledger.database, receipt) for receipt in site.receipts]
    assert rows[0] is not None
    told = Damage(rows[0], DamagedError(known, "the test says so"))
    with site.ledger.transaction() as database:
        intact.alert(database, site.clock.now(), [told], job.study_instance_uid, job.id)
    site.results.run_once()
    alerts = [e for e in history.of_kind(site.ledger.database, "instance.damaged") if e.job == job.id]
    assert [alert.detail["files"] for alert in alerts] == [[str(known)], [str(new)]]


def test_finding_n5_jobs_encoded_at_the_same_time_keep_their_own_images(
    site: ResultSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two results are encoded at a time: while the images of one are read, those of another are; neither gets the
    other's, so no report is written for another patient."""
    files = SourceFiles(site.node)
    other_receipts = site.receive(2, study="1.2.840.99999.5")
    site.complete("1.2.840.99999.5")
    one = site.job("lung_density", site.receipts, study=reports.STUDY_UID)
    other = site.job("lung_density", other_receipts, study="1.2.840.99999.5")
    verify, found = intact.verify, []

    def with_the_other_in_between(path: Path, digest: str, transfer_syntax_uid: str) -> None:
        if path == site.data_folder.find(site.receipts[1]):
            found.append(files.of(other))
        verify(path, digest, transfer_syntax_uid)

    monkeypatch.setattr("node.store.intact.verify", with_the_other_in_between)
    assert files.of(one).sound == tuple(site.data_folder.find(receipt) for receipt in site.receipts)
    assert [each.sound for each in found] == [tuple(site.data_folder.find(receipt) for receipt in other_receipts)]


def test_finding_n5_where_no_image_is_sound_a_person_is_told(site: ResultSite) -> None:
    """Nothing says for certain whose study it is then: nothing is sent, and an alert says why."""
    for number in range(3):
        _damage(site, number)
    job = _reported(site, reports.failed())
    assert job.status is JobStatus.UNREPORTABLE
    assert "SHA-256" in str(job.error)
    assert site.objects(job) == []


def test_finding_n5_the_images_of_a_job_are_read_once_for_all_its_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two destinations that want different objects do not cost two readings of the images."""
    site = ResultSite(tmp_path, one={}, other={"kinds": ["sr"]})
    read: list[Path] = []
    verify = intact.verify

    def counting(path: Path, digest: str, transfer_syntax_uid: str) -> None:
        read.append(path)
        verify(path, digest, transfer_syntax_uid)

    monkeypatch.setattr("node.store.intact.verify", counting)
    job = _reported(site, reports.measured())
    site.results.close()
    assert job.status is JobStatus.REPORTED
    assert len(read) == len(site.receipts)


# --- who was notified ---------------------------------------------------------------------------------


def _told(site: ResultSite, job: Job) -> None:
    """Somebody was notified of what a job found, and may have read it."""
    with site.ledger.transaction() as database:
        notices.of_result(database, site.clock.now(), job)
        for each in notifications.of_study(database, reports.STUDY_UID):
            if each.status is NotificationStatus.WAITING:
                notifications.sending(database, site.clock.now(), each.id)
                notifications.sent(database, site.clock.now(), each.id)


def _occasions(site: ResultSite) -> list[tuple[str, str]]:
    return [(each.person, each.occasion) for each in notifications.of_study(site.ledger.database, reports.STUDY_UID)]


OF_FINDINGS = Terms(notices=(NoticeTerms(("findings",), ("duty",)), NoticeTerms(("failure",), ("admin",))))


def test_who_was_told_is_told_when_a_newer_result_takes_its_place(site: ResultSite) -> None:
    """In the transaction that supersedes it; of a failure nobody says that it replaced anything."""
    first = site.ended(reports.measured(), terms=OF_FINDINGS)
    _told(site, first)
    site.results.run_once()
    _reported(site, reports.failed(), instead_of=first)
    assert _occasions(site) == [("duty", "findings")]
    failed = history.of_kind(site.ledger.database, "job.ended")[-1].job
    assert failed is not None
    _reported(site, reports.no_findings(), instead_of=jobs.get(site.ledger.database, failed))
    assert _occasions(site) == [("duty", "findings"), ("duty", "superseded")]


def test_who_was_told_of_what_the_gate_refuses_is_told_so(site: ResultSite) -> None:
    """It counts as failed: the one who was told of a finding, and the one who sees to failures."""
    job = site.ended(_unspeakable(), terms=OF_FINDINGS)
    _told(site, job)
    site.results.run_once()
    assert site.get(job).outcome is JobOutcome.FAILED
    assert _occasions(site) == [("duty", "findings"), ("duty", "withdrawn"), ("admin", "failure")]
