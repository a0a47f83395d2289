"""Returned DICOM in the outbox: a row and a delivery each, like our own objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from node.ledger import events, objects, returned_objects
from node.ledger.event_kinds import EventKind
from node.ledger.returned_objects import ReturnedObjectRow
from plugins.contract import Result, ResultStatus, ReturnedObject
from tests.support.results import foreign, reports
from tests.support.sites.result_site import ResultSite

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def result_of(folder: Path, number: int = 1) -> Result:
    odd = foreign.capture(number)
    del odd.ConversionType
    return Result(ResultStatus.FINDINGS, "Made.", objects=(ReturnedObject(foreign.write(odd, folder / f"{number}")),))


def test_returned_objects_are_delivered_like_ours(tmp_path: Path) -> None:
    """Each destination gets them with report and page, and what is odd about them is one event."""
    site = ResultSite(tmp_path, pacs={}, second={"sc_modality": "source"})
    job = site.ended(result_of(tmp_path))
    site.results.run_once()
    kinds = {each.sop_instance_uid: each.kind for each in objects.of_job(site.ledger.database, job.id)}
    for name in ("pacs", "second"):
        sent = sorted(kinds[each.item] for each in site.deliveries(job) if each.destination == name)
        assert sent == ["dicom", "sc", "sr"]
    kind = EventKind.JOB_OBJECTS_ODD
    (odd,) = [each for each in events.of_study(site.ledger.database, reports.STUDY_UID) if each.kind == kind]
    assert any("ConversionType" in text for text in odd.detail["problems"])


@pytest.mark.parametrize("first_is_encoded", [True, False])
def test_one_uid_for_two_jobs_loses_neither_object(tmp_path: Path, first_is_encoded: bool) -> None:
    """A plugin with one UID for all patients, or that answers a grown study again: the later job's objects get UIDs of
    their own, whether the earlier job's went into the outbox before or with them; each destination gets both.
    """
    site = ResultSite(tmp_path, pacs={})
    row = ReturnedObjectRow("", 1, "1.2.276.0.99.1", "1.2.3", "1.2.4", "OT", "ACME", marked=False, of_image=False)
    ended = []
    for number in (1, 2):
        job = site.ended(result_of(tmp_path), rule=f"rule {number}")
        ended.append(job)
        with site.ledger.transaction() as database:
            returned_objects.insert(database, [replace(row, job=job.id)])
        if first_is_encoded:
            site.results.run_once()
        site.clock.pass_(seconds=1)  # type: ignore[attr-defined]
    site.results.run_once()
    sent = [[each.item for each in site.deliveries(job) if kind_of(site, each.item) == "dicom"] for job in ended]
    assert [len(each) for each in sent] == [1, 1]
    assert sent[0] == ["1.2.276.0.99.1"]
    assert sent[1] != sent[0]
    odd = [each for each in events.of_study(site.ledger.database, reports.STUDY_UID) if each.job == ended[1].id]
    assert any("something else has the SOP Instance UID" in str(each.detail) for each in odd)


def kind_of(site: ResultSite, uid: str) -> str:
    found = objects.get(site.ledger.database, uid)
    return found.kind if found else ""


def test_what_the_manifest_said_when_the_job_ran_decides_how_it_is_sent(tmp_path: Path) -> None:
    """`mark = false` is kept with the job: its object goes under the UID of its maker, once for both destinations."""
    site = ResultSite(tmp_path, pacs={}, second={"sc_modality": "source"})
    job = site.ended(result_of(tmp_path))
    row = ReturnedObjectRow(job.id, 1, "1.2.276.0.99.1", "1.2.3", "1.2.4", "OT", "ACME", marked=False, of_image=False)
    with site.ledger.transaction() as database:
        returned_objects.insert(database, [row])
    site.results.run_once()
    items = [each for each in site.deliveries(job) if each.item == "1.2.276.0.99.1"]
    assert {each.destination for each in items} == {"pacs", "second"}
    for each in items:
        assert (site.data_folder.data / each.file).read_bytes() == (tmp_path / "1").read_bytes()
