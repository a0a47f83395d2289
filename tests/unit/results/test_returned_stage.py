"""Returned DICOM in the outbox: a row and a delivery each, like our own objects."""

from __future__ import annotations

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
