"""A vendor's box beside Orthanc as the PACS: what it delivers straight there, what is fetched, and what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EncapsulatedPDFStorage

from node.ledger import attempts, instances, jobs, studies
from node.ledger.attempts import AttemptState
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobOutcome
from tests.acceptance.in_the_pacs import CT, send, small_ct
from tests.support.dimse.vendor_box import VendorBox, made_for
from tests.support.programs.orthanc import Orthanc
from tests.support.sites.box_room import MANIFEST
from tests.support.sites.site import Site, destination, rule
from tests.support.wait import until

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@pytest.fixture
def box() -> Iterator[VendorBox]:
    with VendorBox() as listening:
        yield listening


class BoxSite:
    """A PACS with a study, a node that has it, too, and a box that the node has sent it to."""

    def __init__(self, folder: Path, port: int, pacs: Orthanc, box: VendorBox, runtime: str, **keys: Any) -> None:
        plugin = folder / "cad"
        plugin.mkdir()
        (plugin / "plugin.toml").write_text(MANIFEST.format(runtime=runtime, identity="full"))
        at = {"ae_title": box.ae_title, "host": "127.0.0.1", "port": box.port, "timeout": "20s"}
        self.pacs, self.box, self.ct = pacs, box, small_ct(folder / "ct")
        self.site = Site(
            folder / "node",
            {"pacs": destination(pacs.ae_title, pacs.dicom_port)},
            [rule("cad")],
            {"cad": {"folder": str(plugin)}},
            {"listen": {"host": "127.0.0.1", "port": port}},
            sections={"boxes": {"cad": {**at, **keys}}},
        )

    def __enter__(self) -> BoxSite:
        self.site.__enter__()
        send(self.ct, self.pacs, self.site)
        until(self._is_waited_for, what="the box to have all images")
        return self

    def __exit__(self, *error: Any) -> None:
        self.site.__exit__(*error)

    @property
    def job(self) -> Job | None:
        return next(iter(jobs.of_study(self.site.ledger.database, self.ct.study)), None)

    def _is_waited_for(self) -> bool:
        last = attempts.last_of(self.site.ledger.database, self.job.id) if self.job else None
        return last is not None and last.state is AttemptState.RUNNING

    def series_of_box(self) -> list[str]:
        """What Orthanc calls the series of reports that are not the node's own."""
        found = self.pacs.find("Series", StudyInstanceUID=self.ct.study, SeriesNumber="700")
        return [each["ID"] for each in found]

    def statuses(self) -> set[InstanceStatus]:
        """What has come of the study counts as these."""
        rows = instances.of_study(self.site.ledger.database, self.ct.study, list(InstanceStatus))
        return {each.status for each in rows}


def _delivers(box: VendorBox, pacs: Orthanc, *objects: Dataset) -> None:
    assert box.send(objects, pacs.dicom_port, called=pacs.ae_title) == [0] * len(objects)


def test_a_box_that_delivers_straight_to_orthanc(tmp_path: Path, node_port: int, pacs: Orthanc, box: VendorBox) -> None:
    """The node's report says where the answer is; when Orthanc forwards that to the node, it is no image."""
    with BoxSite(tmp_path, node_port, pacs, box, 'expects = ["sr"]', answers="elsewhere") as site:
        _delivers(box, pacs, box.report())
        until(lambda: site.job is not None and site.job.outcome, what="the answer to be seen in the PACS")
        assert site.job is not None
        assert site.job.outcome is JobOutcome.FINDINGS, site.job.error
        until(lambda: len(pacs.find("Series", StudyInstanceUID=site.ct.study, Modality="SR")) > 1, what="the report")
        for series in site.series_of_box():
            pacs.post("/modalities/PACSNODE/store", series)
        until(lambda: InstanceStatus.ANSWER in site.statuses(), what="what Orthanc sends back")
        row = studies.get(site.site.ledger.database, site.ct.study)
        assert row is not None
        assert (row.revision, len(jobs.of_study(site.site.ledger.database, site.ct.study))) == (1, 1)


def test_a_box_whose_answer_is_fetched_from_orthanc(
    tmp_path: Path, node_port: int, pacs: Orthanc, box: VendorBox
) -> None:
    """By C-FIND and C-MOVE; it is taken as if it had come here, and makes no revision."""
    with BoxSite(tmp_path, node_port, pacs, box, 'expects = ["sr"]', answers={"from": "pacs"}) as site:
        report = box.report()
        _delivers(box, pacs, report)
        until(lambda: site.job is not None and site.job.outcome, what="the answer to be fetched")
        assert site.job is not None
        assert site.job.outcome is JobOutcome.FINDINGS, site.job.error
        assert (site.job.found or {})["objects"] == 1
        assert site.statuses() == {InstanceStatus.CURRENT, InstanceStatus.ANSWER}
        row = studies.get(site.site.ledger.database, site.ct.study)
        assert row is not None
        assert row.revision == 1


def test_a_pdf_that_a_box_returns_gets_to_orthanc(
    tmp_path: Path, node_port: int, pacs: Orthanc, box: VendorBox
) -> None:
    """The document, byte for byte, in the study that it is about."""
    with BoxSite(tmp_path, node_port, pacs, box, 'expects = ["pdf"]') as site:
        document = made_for(box.received[0], EncapsulatedPDFStorage, "DOC")
        document.BurnedInAnnotation, document.ConversionType, document.DocumentTitle = "NO", "WSD", "Findings"
        document.ConceptNameCodeSequence = []
        document.MIMETypeOfEncapsulatedDocument = "application/pdf"
        document.EncapsulatedDocument = PDF + b"\0" * (len(PDF) % 2)
        document.EncapsulatedDocumentLength = len(PDF)
        assert box.send([document], site.site.port) == [0x0000]
        until(lambda: _documents(pacs, site.ct), what="the document in the PACS")
        (held,) = _documents(pacs, site.ct)
        assert held.EncapsulatedDocument[: len(PDF)] == PDF
        assert (held.StudyInstanceUID, held.PatientID) == (site.ct.study, site.ct.header.PatientID)


def _documents(pacs: Orthanc, ct: CT) -> list[Dataset]:
    return [
        dcmread(BytesIO(each))
        for each in pacs.files(StudyInstanceUID=ct.study, SOPClassUID=str(EncapsulatedPDFStorage))
    ]
