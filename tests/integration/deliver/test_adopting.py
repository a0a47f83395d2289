"""Orthanc merges a patient between the images and the result: the result follows the patient."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import storescu
from tests.support.results import reports
from tests.support.sites.adopting_site import STUDY, AdoptingSite

NEW = {"PatientID": "MERGED-1", "PatientName": "Archive^Name", "AccessionNumber": "ARCHIVE-ACC"}


def test_a_result_follows_the_patient_whom_orthanc_has_modified(tmp_path: Path) -> None:
    """Images and result are one study of one patient there in the end, under the order that Orthanc has."""
    with Orthanc(tmp_path / "pacs", modalities={"PACSNODE": 11112}) as pacs:  # who may query
        images = [reports.write(reports.ct(number), tmp_path / f"{number}.dcm") for number in (1, 2, 3)]
        assert storescu(pacs.dicom_port, images, called=pacs.ae_title).returncode == 0
        (study,) = pacs.find("Study", StudyInstanceUID=STUDY)
        kept = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
        change = {"Replace": NEW, "Keep": kept, "Force": True, "KeepSource": False}
        pacs.post(f"/patients/{study['ParentPatient']}/modify", change)
        node = AdoptingSite(tmp_path / "node", port=pacs.dicom_port, ae_title=pacs.ae_title)
        try:
            node.report()
            for seconds in (1, 61, 121, 121):
                node.pass_(seconds)
        finally:
            node.site.results.close()
        (found,) = pacs.find("Study", StudyInstanceUID=STUDY)
        assert found["PatientMainDicomTags"]["PatientID"] == NEW["PatientID"]
        modalities = set()
        for content in pacs.files(StudyInstanceUID=STUDY):
            dataset = dcmread(DicomBytesIO(content), stop_before_pixels=True)
            assert {keyword: str(dataset[keyword].value) for keyword in NEW} == NEW
            modalities.add(dataset.Modality)
        assert {"CT", "SR"} <= modalities
