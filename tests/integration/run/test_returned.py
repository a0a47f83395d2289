"""A plugin that returns DICOM: what it made under pseudonyms is kept under the truth, and a copy of it is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.ledger import events, returned_objects
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobOutcome
from node.run.stage import RunStage
from tests.support.images.receipts import ct, encoded
from tests.support.sites.job_site import STUDY, Site

Start = Callable[..., RunStage]
Settle = Callable[..., Job]
BODY = """
import pydicom
first = pydicom.dcmread(study.series[0].files[0])
def copy_as(uid, **changes):
    made = pydicom.dcmread(study.series[0].files[0])
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid
    made.SeriesInstanceUID = "1.2.276.0.7"
    made.Manufacturer, made.ManufacturerModelName = "ACME", "Copier"
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = first.SOPClassUID, first.SOPInstanceUID
    made.SourceImageSequence = [item]
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    made.save_as(study.scratch / uid)
    return ReturnedObject(study.scratch / uid)
good, wrong = copy_as("1.2.276.0.1"), copy_as("1.2.276.0.2", PatientID="SOMEBODY ELSE")
return Result(ResultStatus.FINDINGS, "Two objects.", objects=(good, wrong))
"""


def receive(site: Site) -> list[str]:
    """Two slices with headers in the ledger."""
    more: dict[str, Any] = {"PatientID": ("LO", "PID-4711-0815"), "StudyDate": ("DA", "20240102")}

    def image(number: int) -> bytes:
        made = ct(number, PatientID="PID-4711-0815", StudyDate="20240102")
        made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, f"{STUDY}.1"
        made.SOPInstanceUID = f"{STUDY}.1.{number}"
        return encoded(made)

    receipts = site.receive(2, contents=image, **more)
    site.complete()
    return receipts


@pytest.mark.parametrize("identity", ["pseudonym", "full"])
def test_objects_of_a_plugin_are_kept_under_the_truth(site: Site, start: Start, settle: Settle, identity: str) -> None:
    """One is kept with its row; one of another patient is not, which is an event, a line of the log and a sentence."""
    site.python_plugin("copies", BODY, identity=identity)
    manifest = site.folder / "plugins" / "copies" / "plugin.toml"
    manifest.write_text(manifest.read_text().replace('"segmentation"', '"dicom"'))
    job = settle(start(), site.job("copies", receive(site)))
    assert (job.outcome, job.error) == (JobOutcome.FINDINGS, None)
    assert job.found is not None
    assert (job.found["findings"], job.found["objects"]) == ([], 1)
    kept = site.kept(job)
    assert kept["quality"] == ["Not sent: object 2 of the program: it belongs to another patient."]
    (path,) = (site.data_folder.results / job.id / "plugin" / "out" / "dicom").iterdir()
    one = dcmread(path)
    assert (one.StudyInstanceUID, one.PatientID, one.StudyDate) == (STUDY, "PID-4711-0815", "20240102")
    assert one.SourceImageSequence[0].ReferencedSOPInstanceUID == f"{STUDY}.1.1"
    (row,) = returned_objects.of_job(site.ledger.database, job.id)
    assert (row.number, row.sop_instance_uid, row.maker, row.marked) == (1, "1.2.276.0.1", "ACME Copier", True)
    assert returned_objects.is_known(site.ledger.database, "1.2.276.0.1", row.sop_class_uid, row.series_instance_uid)
    (told,) = [each for each in events.of_study(site.ledger.database, STUDY) if each.kind == EventKind.JOB_OBJECTS_TOLD]
    assert told.detail["told"] == ["object 2 of the program: it belongs to another patient"]
    assert "it belongs to another patient" in site.log(job)


def test_an_answer_of_nothing_but_another_patient_is_no_result(site: Site, start: Start, settle: Settle) -> None:
    """The job fails, and nothing of the object is kept."""
    only_wrong = BODY.replace("objects=(good, wrong)", "objects=(wrong,)")
    site.python_plugin("wrong", only_wrong, attempts=1)
    manifest = site.folder / "plugins" / "wrong" / "plugin.toml"
    manifest.write_text(manifest.read_text().replace('"segmentation"', '"dicom"'))
    job = settle(start(), site.job("wrong", receive(site)))
    assert job.outcome is JobOutcome.FAILED
    assert "it belongs to another patient" in (job.error or "")
    assert list(Path(site.data_folder.results / job.id).rglob("*.dcm")) == []


def test_objects_that_the_manifest_does_not_announce_are_refused(site: Site, start: Start, settle: Settle) -> None:
    """As any other kind of output."""
    site.python_plugin("silent", BODY, attempts=1)
    job = settle(start(), site.job("silent", receive(site)))
    assert job.outcome is JobOutcome.FAILED
    assert "it returned dicom, which plugin.toml does not list in outputs" in (job.error or "")
